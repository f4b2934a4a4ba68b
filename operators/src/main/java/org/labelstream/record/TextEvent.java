package org.labelstream.record;

import java.util.Map;

/**
 * What a record asks of a task. Fields that the event lacks are null; which of them a task needs is
 * the task's to say.
 *
 * @param position where the record came from, such as {@code topic-partition@offset}; the same
 *     whenever the record is read
 * @param text the text, or the prompt
 * @param textPair the second sentence
 * @param question the question
 * @param context where the answer stands
 * @param explain whether an explanation is asked for
 * @param target what to explain, or null for what the model predicts
 * @param parameters the record's own settings by name; values are String, Boolean, Long,
 *     BigInteger, Double, List, Map or null
 */
public record TextEvent(
    String position,
    String text,
    String textPair,
    String question,
    String context,
    boolean explain,
    Target target,
    Map<String, Object> parameters) {

  /** An event that is a text and nothing else. */
  public static TextEvent ofText(String position, String text) {
    return new TextEvent(position, text, null, null, null, false, null, Map.of());
  }
}
