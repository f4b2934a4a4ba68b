package org.labelstream.job.file;

import java.nio.file.Path;
import java.util.List;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.labelstream.operator.ExplainSettings;
import org.labelstream.operator.ExplainSettings.When;
import org.labelstream.operator.ExplainSettings.WhenFull;
import org.labelstream.operator.InferenceSettings;
import org.labelstream.operator.ModelOperatorFactory;
import org.labelstream.operator.OutcomeRouter;
import org.labelstream.operator.OutputRecords;
import org.labelstream.operator.RecordTypes;
import org.labelstream.record.OutputRecord;
import org.labelstream.task.TaskType.Order;

/** The operators of a pipeline with lines on both sides, in a Flink of this JVM. */
public final class LinePipeline {

  private static final int EXPLANATIONS_AT_ONCE = 64;

  private LinePipeline() {}

  /**
   * Labels lines until they end.
   *
   * @param files what is read, in this order; {@code -} is standard input
   * @param deadLetters where dead letters go, or null for standard error
   * @param explanations where the explanations of all lines go, or null where none are made
   * @param steps how many gradients an explanation takes, or null for as many as it needs
   * @throws Exception when the model cannot start or a file cannot be read
   */
  public static void run(
      InferenceSettings settings,
      List<String> files,
      Path deadLetters,
      Path explanations,
      Integer steps)
      throws Exception {
    Configuration options = new Configuration();
    options.set(PipelineOptions.GENERIC_TYPES, false);
    options.set(PipelineOptions.OBJECT_REUSE, true);
    options.set(RestartStrategyOptions.RESTART_STRATEGY, "none");
    options.set(TaskManagerOptions.NETWORK_MEMORY_MAX, MemorySize.ofMebiBytes(64));
    StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(1, options);
    OutputRecords outputs =
        new OutputRecords(settings.pipeline(), Long.MAX_VALUE, Long.MAX_VALUE / 2);
    SingleOutputStreamOperator<OutputRecord> labelled =
        ModelOperatorFactory.infer(
                env.fromSource(
                    new LineSource(files, settings.maxValueBytes()),
                    WatermarkStrategy.noWatermarks(),
                    "lines"),
                settings,
                Order.PARTITION)
            .process(new OutcomeRouter(outputs, explanations == null ? When.NEVER : When.ALWAYS))
            .returns(RecordTypes.OUTPUT_RECORD);
    labelled.sinkTo(new LineSink(LineSink.STDOUT));
    labelled
        .getSideOutput(OutcomeRouter.DEAD_LETTERS)
        .sinkTo(new LineSink(deadLetters == null ? LineSink.STDERR : deadLetters.toString()));
    if (explanations != null) {
      ExplainSettings explaining =
          new ExplainSettings(When.ALWAYS, steps, 1, EXPLANATIONS_AT_ONCE, WhenFull.BLOCK);
      ModelOperatorFactory.explain(
              labelled.getSideOutput(OutcomeRouter.TO_EXPLAIN), settings, explaining, outputs, true)
          .sinkTo(new LineSink(explanations.toString()));
    }
    env.execute("label");
  }
}
