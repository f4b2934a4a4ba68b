package org.labelstream.job.kafka;

import org.apache.flink.connector.kafka.sink.KafkaCommittable;
import org.apache.flink.runtime.jobgraph.OperatorID;
import org.apache.flink.runtime.operators.coordination.OperatorCoordinator;
import org.apache.flink.runtime.operators.coordination.OperatorEvent;
import org.apache.flink.runtime.operators.coordination.OperatorEventGateway;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.streaming.api.connector.sink2.CommittableMessage;
import org.apache.flink.streaming.api.connector.sink2.CommittableSummary;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.AbstractStreamOperatorFactory;
import org.apache.flink.streaming.api.operators.BoundedOneInput;
import org.apache.flink.streaming.api.operators.CoordinatedOperatorFactory;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperatorFactory;
import org.apache.flink.streaming.api.operators.StreamOperator;
import org.apache.flink.streaming.api.operators.StreamOperatorParameters;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;

/**
 * Stands behind the sink's committer, and tells {@link GroupOffsets} of each checkpoint whose
 * records are out for good. It emits nothing.
 */
final class CommittedOperator extends AbstractStreamOperator<Void>
    implements OneInputStreamOperator<CommittableMessage<KafkaCommittable>, Void>, BoundedOneInput {
  private static final long serialVersionUID = 1L;

  private final transient OperatorEventGateway coordinator;
  private long lastSnapshot;
  private boolean ended;

  private CommittedOperator(StreamOperatorParameters<Void> parameters) {
    super(parameters);
    coordinator = parameters.getOperatorEventDispatcher().getOperatorEventGateway(getOperatorID());
  }

  /**
   * What the coordinator is told.
   *
   * @param checkpoint up to which checkpoint all is out; {@link Long#MAX_VALUE} where nothing more
   *     comes
   */
  record Committed(long checkpoint) implements OperatorEvent {
    private static final long serialVersionUID = 1L;
  }

  /** What the job graph holds of it. */
  static final class Factory extends AbstractStreamOperatorFactory<Void>
      implements OneInputStreamOperatorFactory<CommittableMessage<KafkaCommittable>, Void>,
          CoordinatedOperatorFactory<Void> {
    private static final long serialVersionUID = 1L;

    private final GroupOffsets.Group group;

    Factory(GroupOffsets.Group group) {
      this.group = group;
    }

    @Override
    @SuppressWarnings({"unchecked", "TypeParameterUnusedInFormals"}) // as Flink declares it
    public <O extends StreamOperator<Void>> O createStreamOperator(
        StreamOperatorParameters<Void> parameters) {
      return (O) new CommittedOperator(parameters);
    }

    @Override
    public OperatorCoordinator.Provider getCoordinatorProvider(String name, OperatorID id) {
      return new GroupOffsets.Provider(id, group);
    }

    @Override
    @SuppressWarnings("rawtypes")
    public Class<? extends StreamOperator> getStreamOperatorClass(ClassLoader classLoader) {
      return CommittedOperator.class;
    }
  }

  @Override
  public void processElement(StreamRecord<CommittableMessage<KafkaCommittable>> element) {
    if (element.getValue() instanceof CommittableSummary<KafkaCommittable> summary) {
      long checkpoint = summary.getCheckpointId();
      // The writer's last, which is that of the end of input, has a number of its own making.
      boolean isLast = ended && checkpoint > lastSnapshot;
      coordinator.sendEventToCoordinator(new Committed(isLast ? Long.MAX_VALUE : checkpoint));
    }
  }

  @Override
  public void snapshotState(StateSnapshotContext context) throws Exception {
    super.snapshotState(context);
    if (!ended) {
      lastSnapshot = context.getCheckpointId();
    }
  }

  @Override
  public void endInput() {
    ended = true;
  }
}
