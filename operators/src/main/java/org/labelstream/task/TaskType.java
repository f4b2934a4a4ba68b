package org.labelstream.task;

import java.util.List;
import org.labelstream.engine.LoadedModel;

/**
 * A kind of task: its names, its parameters, and how to make one over a model.
 *
 * @param name the name in records and model folders, such as {@code sequence_classification}
 * @param aliases the other names that users know it by
 * @param parameters what a record or a pipeline may set
 * @param factory makes the task
 */
public record TaskType(
    String name, List<String> aliases, ParameterSpecs parameters, Factory factory) {

  /** Makes a task over a model. */
  @FunctionalInterface
  public interface Factory {
    /**
     * Makes a task over a model.
     *
     * @throws org.labelstream.model.InvalidModelException when the model does not suit the task
     */
    Task create(LoadedModel model);
  }
}
