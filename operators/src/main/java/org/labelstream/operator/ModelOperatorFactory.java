package org.labelstream.operator;

import java.util.List;
import org.apache.flink.runtime.jobgraph.OperatorID;
import org.apache.flink.runtime.operators.coordination.OperatorCoordinator;
import org.apache.flink.streaming.api.datastream.AsyncDataStream.OutputMode;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.streaming.api.operators.CoordinatedOperatorFactory;
import org.apache.flink.streaming.api.operators.StreamOperator;
import org.apache.flink.streaming.api.operators.StreamOperatorParameters;
import org.apache.flink.streaming.api.operators.async.AsyncWaitOperatorFactory;
import org.labelstream.record.Outcome;
import org.labelstream.record.OutputRecord;
import org.labelstream.record.SourceRecord;
import org.labelstream.task.TaskType.Order;

/** The stages that run a model, as a job graph has them. */
public final class ModelOperatorFactory<T> extends AsyncWaitOperatorFactory<SourceRecord, T>
    implements CoordinatedOperatorFactory<T> {
  private static final long serialVersionUID = 1L;

  private final ModelFunction<T> function;
  private final OutputMode mode;

  private final Integer capacity;

  /**
   * @param capacity how many records are taken in at once, or null for as many as suit the device
   *     where the job runs
   */
  ModelOperatorFactory(ModelFunction<T> function, OutputMode mode, Integer capacity) {
    super(function, 0, 1, mode);
    this.function = function;
    this.mode = mode;
    this.capacity = capacity;
  }

  /**
   * A stage that labels records with one model.
   *
   * @param order which records keep their order
   */
  public static SingleOutputStreamOperator<Outcome> infer(
      DataStream<SourceRecord> texts, InferenceSettings settings, Order order) {
    return infer(texts, PipelineModel.only(settings), order);
  }

  /**
   * A stage that labels records with some models, each behind those that it waits for.
   *
   * @param order which records keep their order
   */
  public static SingleOutputStreamOperator<Outcome> infer(
      DataStream<SourceRecord> texts, List<PipelineModel> models, Order order) {
    InferenceFunction function = new InferenceFunction(models, order);
    OutputMode mode = order == Order.PARTITION ? OutputMode.ORDERED : OutputMode.UNORDERED;
    return texts.transform(
        "infer", RecordTypes.OUTCOME, new ModelOperatorFactory<>(function, mode, null));
  }

  /**
   * A stage that explains records that have their label.
   *
   * @param ordered whether explanations go out in the order of their records
   * @param outputs makes the records that go out
   */
  public static SingleOutputStreamOperator<OutputRecord> explain(
      DataStream<SourceRecord> labelled,
      InferenceSettings settings,
      ExplainSettings explaining,
      OutputRecords outputs,
      boolean ordered) {
    ExplainFunction function = new ExplainFunction(settings, explaining, outputs);
    OutputMode mode = ordered ? OutputMode.ORDERED : OutputMode.UNORDERED;
    return labelled.transform(
        "explain", RecordTypes.OUTPUT_RECORD, new ModelOperatorFactory<>(function, mode, null));
  }

  @Override
  @SuppressWarnings({"unchecked", "TypeParameterUnusedInFormals"}) // as Flink declares it
  public <O extends StreamOperator<T>> O createStreamOperator(
      StreamOperatorParameters<T> parameters) {
    return (O)
        ModelOperator.create(
            parameters,
            function,
            capacity == null ? function.capacity() : capacity,
            mode,
            parameters.getProcessingTimeService(),
            getMailboxExecutor());
  }

  @Override
  public OperatorCoordinator.Provider getCoordinatorProvider(String name, OperatorID id) {
    return new PositionsCoordinator.Provider(
        id, function.settings.pipeline(), function.getClass().getSimpleName());
  }

  @Override
  @SuppressWarnings("rawtypes")
  public Class<? extends StreamOperator> getStreamOperatorClass(ClassLoader classLoader) {
    return ModelOperator.class;
  }
}
