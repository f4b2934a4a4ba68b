package org.labelstream.job.kafka;

import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.KafkaSourceBuilder;
import org.apache.flink.connector.kafka.source.KafkaSourceOptions;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SideOutputDataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.labelstream.job.jobfile.JobSpec;
import org.labelstream.job.jobfile.JobSpec.PipelineSpec;
import org.labelstream.job.jobfile.KafkaProperties;
import org.labelstream.operator.ExplainSettings.When;
import org.labelstream.operator.ModelOperatorFactory;
import org.labelstream.operator.OutcomeRouter;
import org.labelstream.operator.OutputRecords;
import org.labelstream.operator.RecordTypes;
import org.labelstream.record.Outcome;
import org.labelstream.record.OutputRecord;
import org.labelstream.record.OutputRecord.Destination;
import org.labelstream.record.SourceRecord;
import org.labelstream.task.TaskType.Order;

/**
 * Builds a job's pipelines: Kafka source, async inference, router, perhaps explanations, and one
 * sink for all that comes out, so that what a checkpoint covers commits in one transaction.
 */
public final class KafkaPipelines {

  /**
   * Below any broker's {@code transaction.max.timeout.ms} (15 minutes by default), which would
   * refuse the connector's hour.
   */
  static final Duration TRANSACTION_TIMEOUT = Duration.ofMinutes(15);

  private static final String COMMIT = KafkaSourceOptions.COMMIT_OFFSETS_ON_CHECKPOINT.key();

  private final JobSpec job;

  private KafkaPipelines(JobSpec job) {
    this.job = job;
  }

  /** Adds all pipelines of a job. */
  public static void build(StreamExecutionEnvironment env, JobSpec job) {
    KafkaPipelines pipelines = new KafkaPipelines(job);
    job.pipelines().forEach(pipeline -> pipelines.build(env, pipeline));
  }

  private void build(StreamExecutionEnvironment env, PipelineSpec pipeline) {
    String name = pipeline.name();
    int parallelism =
        pipeline.parallelism() == null ? env.getParallelism() : pipeline.parallelism();
    SingleOutputStreamOperator<SourceRecord> texts =
        env.fromSource(source(pipeline), WatermarkStrategy.noWatermarks(), name + "/source")
            .uid(name + "/source")
            .setParallelism(parallelism);
    SingleOutputStreamOperator<Outcome> outcomes =
        ModelOperatorFactory.infer(texts, pipeline.models(), pipeline.order())
            .name(name + "/infer")
            .uid(name + "/infer")
            .setParallelism(parallelism);
    OutputRecords outputs = new OutputRecords(name, topics(pipeline));
    SingleOutputStreamOperator<OutputRecord> labelled =
        outcomes
            .process(new OutcomeRouter(outputs, when(pipeline), name, pipeline.maxDeadLetters()))
            .returns(RecordTypes.OUTPUT_RECORD)
            .name(name + "/route")
            .uid(name + "/route")
            .setParallelism(parallelism);
    DataStream<OutputRecord> out =
        labelled.union(labelled.getSideOutput(OutcomeRouter.DEAD_LETTERS));
    if (pipeline.explaining() != null) {
      out = out.union(explain(pipeline, labelled.getSideOutput(OutcomeRouter.TO_EXPLAIN), outputs));
    }
    out.sinkTo(sink(pipeline)).name(name + "/sink").uid(name + "/sink").setParallelism(parallelism);
  }

  private OutputTopics topics(PipelineSpec pipeline) {
    Map<Destination, String> topics = new HashMap<>();
    topics.put(Destination.LABELS, pipeline.outputTopic());
    topics.put(Destination.DEAD_LETTERS, pipeline.deadLetterTopic());
    if (pipeline.explanationTopic() != null) {
      topics.put(Destination.EXPLANATIONS, pipeline.explanationTopic());
    }
    pipeline.routeTopics().forEach(topic -> topics.put(Destination.route(topic), topic));
    return new OutputTopics(Preflight.of(job, pipeline), topics, job.producer());
  }

  private static When when(PipelineSpec pipeline) {
    return pipeline.explaining() == null ? When.NEVER : pipeline.explaining().when();
  }

  /** Explanations come as they are ready: they are owed to records that have gone out already. */
  private static DataStream<OutputRecord> explain(
      PipelineSpec pipeline, SideOutputDataStream<SourceRecord> labelled, OutputRecords outputs) {
    return ModelOperatorFactory.explain(
            labelled, pipeline.settings(), pipeline.explaining(), outputs, false)
        .name(pipeline.name() + "/explain")
        .uid(pipeline.name() + "/explain")
        .setParallelism(labelled.getParallelism());
  }

  private KafkaSource<SourceRecord> source(PipelineSpec pipeline) {
    Properties properties = properties(job.consumer());
    // What an aborted transaction wrote upstream never happened, so it gets no label.
    properties.putIfAbsent("isolation.level", "read_committed");
    properties.put(COMMIT, "false"); // it would commit what it has read: see GroupOffsets
    KafkaSourceBuilder<SourceRecord> builder =
        KafkaSource.<SourceRecord>builder()
            .setProperties(properties)
            .setGroupId(job.group(pipeline))
            .setKafkaSubscriber(new InputTopic(pipeline.inputTopic()))
            .setStartingOffsets(new StartingOffsets(pipeline.start()))
            .setDeserializer(new KafkaSourceRecords());
    if (pipeline.bounded()) {
      builder.setBounded(OffsetsInitializer.latest());
    }
    return builder.build();
  }

  private OutputSink sink(PipelineSpec pipeline) {
    Properties properties = properties(job.producer());
    properties.putIfAbsent("transaction.timeout.ms", Long.toString(TRANSACTION_TIMEOUT.toMillis()));
    properties.merge(
        "interceptor.classes",
        RefusedRecords.class.getName(),
        (theirs, ours) -> theirs + "," + ours);
    return new OutputSink(
        KafkaSink.<OutputRecord>builder()
            .setKafkaProducerConfig(properties)
            .setDeliveryGuarantee(
                job.exactlyOnce()
                    ? DeliveryGuarantee.EXACTLY_ONCE
                    : DeliveryGuarantee.AT_LEAST_ONCE)
            .setTransactionalIdPrefix(job.name() + "/" + pipeline.name())
            .setRecordSerializer(
                new KafkaOutputRecords(
                    pipeline.outputTopic(),
                    pipeline.deadLetterTopic(),
                    pipeline.explanationTopic(),
                    pipeline.order() == Order.PARTITION))
            .build(),
        new GroupOffsets.Group(
            job.name(),
            pipeline.name(),
            job.group(pipeline),
            new HashMap<>(job.consumer()),
            !"false".equals(job.consumer().get(COMMIT))));
  }

  private static Properties properties(Map<String, String> given) {
    Properties properties = new Properties();
    properties.putAll(KafkaProperties.withProviders(given));
    properties.remove("group.id");
    return properties;
  }
}
