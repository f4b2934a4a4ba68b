package org.labelstream.operator;

import java.util.BitSet;
import java.util.HashMap;
import java.util.concurrent.CompletableFuture;
import org.apache.flink.runtime.jobgraph.OperatorID;
import org.apache.flink.runtime.operators.coordination.OperatorCoordinator;
import org.apache.flink.runtime.operators.coordination.OperatorEvent;

/**
 * Passes what the subtasks of a stage say about their positions on to {@link ReadPositions}. Its
 * state is which of them have finished: Flink does not start those again, so they say nothing more.
 */
final class PositionsCoordinator implements OperatorCoordinator {

  private final Context context;
  private final String stage;
  private final ReadPositions positions;
  private BitSet finished = new BitSet();

  private PositionsCoordinator(Context context, String pipeline, String stage) {
    this.context = context;
    this.stage = stage;
    this.positions = ReadPositions.of(context.getCoordinatorStore(), pipeline);
  }

  /** What the job graph holds of it. */
  record Provider(OperatorID id, String pipeline, String stage)
      implements OperatorCoordinator.Provider {
    private static final long serialVersionUID = 1L;

    @Override
    public OperatorID getOperatorId() {
      return id;
    }

    @Override
    public OperatorCoordinator create(Context context) {
      return new PositionsCoordinator(context, pipeline, stage);
    }
  }

  @Override
  public void start() {
    expect();
  }

  private void expect() {
    positions.expect(stage, context.currentParallelism());
    for (int i = finished.nextSetBit(0); i >= 0; i = finished.nextSetBit(i + 1)) {
      if (i < context.currentParallelism()) {
        positions.told(stage, i, new PositionsEvent(PositionsEvent.FINISHED, new HashMap<>()));
      }
    }
  }

  @Override
  public void handleEventFromOperator(int subtask, int attempt, OperatorEvent event) {
    positions.told(stage, subtask, (PositionsEvent) event);
  }

  @Override
  public void checkpointCoordinator(long checkpoint, CompletableFuture<byte[]> result) {
    BitSet now = new BitSet();
    for (int i = 0; i < context.currentParallelism(); i++) {
      now.set(i, positions.hasFinished(stage, i));
    }
    result.complete(now.toByteArray());
  }

  /** May come before {@link #start()}, and again with each restart of the whole job. */
  @Override
  public void resetToCheckpoint(long checkpoint, byte[] state) {
    finished = state == null ? new BitSet() : BitSet.valueOf(state);
    expect();
  }

  @Override
  public void subtaskReset(int subtask, long checkpoint) {
    positions.reset(stage, subtask, checkpoint);
  }

  @Override
  public void executionAttemptFailed(int subtask, int attempt, Throwable reason) {}

  @Override
  public void executionAttemptReady(int subtask, int attempt, SubtaskGateway gateway) {}

  @Override
  public void notifyCheckpointComplete(long checkpoint) {}

  @Override
  public void close() {}
}
