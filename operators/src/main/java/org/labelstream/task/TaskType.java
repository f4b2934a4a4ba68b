package org.labelstream.task;

import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import org.labelstream.engine.LoadedModel;

/**
 * A kind of task: its names, its parameters, and how to make one over a model.
 *
 * @param name the name in records and model folders, such as {@code sequence_classification}
 * @param parameters what a record or a pipeline may set
 * @param fields which of {@code text}, {@code text_pair}, {@code question} and {@code context} it
 *     reads
 * @param results what its results hold, by name
 * @param factory makes the task
 * @param order the order in which a pipeline gives its results, unless it is told
 */
public record TaskType(
    String name,
    ParameterSpecs parameters,
    Set<String> fields,
    Map<String, FieldType> results,
    Factory factory,
    Order order) {

  /** What every result holds. */
  private static final Map<String, FieldType> OF_ALL =
      Map.of("tokens", FieldType.COUNT, "truncated", FieldType.FLAG);

  /** A task over {@code text} whose results come in the order of their records. */
  public TaskType(
      String name, ParameterSpecs parameters, Map<String, FieldType> results, Factory factory) {
    this(name, parameters, Set.of("text"), results, factory, Order.PARTITION);
  }

  public TaskType {
    fields = Set.copyOf(fields);
    Map<String, FieldType> all = new HashMap<>(OF_ALL);
    all.putAll(results);
    results = Map.copyOf(all);
  }

  /** Which records keep their order. */
  public enum Order {
    /** Those of a partition. */
    PARTITION,
    /** Those with the same key. */
    KEY,
    /** None: each goes out as soon as it is ready. */
    NONE
  }

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
