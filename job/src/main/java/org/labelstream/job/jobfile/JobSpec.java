package org.labelstream.job.jobfile;

import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.labelstream.job.registry.RegistryProperties;
import org.labelstream.operator.ExplainSettings;
import org.labelstream.operator.InferenceSettings;
import org.labelstream.operator.PipelineModel;
import org.labelstream.result.RouteSettings;
import org.labelstream.task.TaskType.Order;

/**
 * A job file's content, checked.
 *
 * @param name the job's name
 * @param pipelines at least one
 * @param consumer properties of the Kafka consumers
 * @param producer properties of the Kafka producers
 * @param exactlyOnce whether delivery is exactly-once, not at-least-once
 * @param registry where schemas are, or null where no pipeline needs one
 * @param flink options of Flink
 * @param notices what the user should know, one sentence each
 */
public record JobSpec(
    String name,
    List<PipelineSpec> pipelines,
    Map<String, String> consumer,
    Map<String, String> producer,
    boolean exactlyOnce,
    RegistryProperties registry,
    Map<String, String> flink,
    List<String> notices) {

  /** The consumer group as which a pipeline reads. */
  public String group(PipelineSpec pipeline) {
    return consumer.get("group.id") + "-" + pipeline.name();
  }

  /**
   * One pipeline.
   *
   * @param models what the async stage is told of each of its models, at least one
   * @param inputTopic where texts come from
   * @param start where reading starts
   * @param bounded whether reading ends at what is there when the job starts
   * @param outputTopic where labelled records go
   * @param deadLetterTopic where records go that got no label
   * @param maxDeadLetters the share of dead letters above which the job ends; 1 where it never does
   * @param explaining what is explained and how, or null where nothing is
   * @param explanationTopic where explanations go, or null
   * @param order which records keep their order
   * @param parallelism how many subtasks run, or null for the cluster's default
   */
  public record PipelineSpec(
      List<PipelineModel> models,
      String inputTopic,
      Start start,
      boolean bounded,
      String outputTopic,
      String deadLetterTopic,
      double maxDeadLetters,
      ExplainSettings explaining,
      String explanationTopic,
      Order order,
      Integer parallelism) {

    /** The topics of its routes, each once. */
    public List<String> routeTopics() {
      return settings().results().routes().stream().map(RouteSettings::topic).distinct().toList();
    }

    /** What the async stage is told; of several models it has the first's. */
    public InferenceSettings settings() {
      return models.get(0).settings();
    }

    /** The pipeline's name. */
    public String name() {
      return settings().pipeline();
    }
  }

  /** Where reading starts. */
  public sealed interface Start {
    /** Where the consumer group stopped, else at the earliest record. */
    record Committed() implements Start {}

    /** At the earliest record. */
    record Earliest() implements Start {}

    /** At what arrives from now on. */
    record Latest() implements Start {}

    /** At the first record with that timestamp or a later one. */
    record At(Instant time) implements Start {}
  }
}
