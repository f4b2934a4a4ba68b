package org.labelstream.task;

import org.labelstream.engine.LoadedModel;

/**
 * A kind of task: its names, its parameters, and how to make one over a model.
 *
 * @param name the name in records and model folders, such as {@code sequence_classification}
 * @param parameters what a record or a pipeline may set
 * @param factory makes the task
 */
public record TaskType(String name, ParameterSpecs parameters, Factory factory) {

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
