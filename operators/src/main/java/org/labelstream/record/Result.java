package org.labelstream.record;

/**
 * What one model says of a record, or why it says nothing: an entry of the record's {@code
 * inference}.
 *
 * @param name the entry's name
 * @param task the task's name
 * @param model the model's name
 * @param version the model's version
 * @param prediction what it says, or null where there is an error
 * @param error why it says nothing, or null where it does
 */
public record Result(
    String name,
    String task,
    String model,
    String version,
    Prediction prediction,
    DeadLetter error) {

  /** An entry with a prediction. */
  public static Result of(Result entry, Prediction prediction) {
    return new Result(entry.name, entry.task, entry.model, entry.version, prediction, null);
  }

  /** An entry with an error. */
  public static Result of(Result entry, DeadLetter error) {
    return new Result(entry.name, entry.task, entry.model, entry.version, null, error);
  }
}
