package org.labelstream.job.kafka;

import java.io.Serializable;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.apache.flink.runtime.jobgraph.OperatorID;
import org.apache.flink.runtime.operators.coordination.OperatorCoordinator;
import org.apache.flink.runtime.operators.coordination.OperatorEvent;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.labelstream.operator.ReadPositions;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Commits a pipeline's offsets for its consumer group, on the JobManager: once the records of a
 * checkpoint are out for good, up to the first that had not come out. Flink's source would commit
 * what it has read; a start from there would leave out what was with the model.
 *
 * <p>As with Flink's source, a commit that fails does not fail the job: it goes on from its
 * checkpoints, and the next one commits more.
 */
final class GroupOffsets implements OperatorCoordinator {

  private static final Logger LOG = LoggerFactory.getLogger(GroupOffsets.class);

  /** How long the end of a job waits for its last commit. */
  private static final int LAST_WITHIN_SECONDS = 5;

  /**
   * Whose offsets.
   *
   * @param job the job's name
   * @param pipeline the pipeline's name
   * @param id the group's
   * @param client properties of the consumers
   * @param commits whether they are committed
   */
  record Group(
      String job, String pipeline, String id, HashMap<String, String> client, boolean commits)
      implements Serializable {
    private static final long serialVersionUID = 1L;
  }

  /** What the job graph holds of it. */
  record Provider(OperatorID operator, Group group) implements OperatorCoordinator.Provider {
    private static final long serialVersionUID = 1L;

    @Override
    public OperatorID getOperatorId() {
      return operator;
    }

    @Override
    public OperatorCoordinator create(Context context) {
      return new GroupOffsets(context, group);
    }
  }

  private final Group group;
  private final ReadPositions positions;
  private final long[] committed;
  private final ExecutorService thread;

  /** What the group has, as far as it was set here; of the thread. */
  private final Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();

  private volatile Admin admin;

  private GroupOffsets(Context context, Group group) {
    this.group = group;
    this.positions = ReadPositions.of(context.getCoordinatorStore(), group.pipeline());
    this.committed = new long[context.currentParallelism()];
    // Of commits that wait for a broker only the newest is worth making.
    this.thread =
        new ThreadPoolExecutor(
            1,
            1,
            0,
            TimeUnit.SECONDS,
            new LinkedBlockingQueue<>(1),
            task -> {
              Thread thread = new Thread(task, "labelstream-offsets-" + group.id());
              thread.setDaemon(true);
              thread.setContextClassLoader(context.getUserCodeClassloader());
              return thread;
            },
            new ThreadPoolExecutor.DiscardOldestPolicy());
  }

  @Override
  public void start() {}

  @Override
  public void handleEventFromOperator(int subtask, int attempt, OperatorEvent event) {
    if (!group.commits()) {
      return;
    }
    long checkpoint = ((CommittedOperator.Committed) event).checkpoint();
    committed[subtask] = Math.max(committed[subtask], checkpoint);
    long completed = Long.MAX_VALUE;
    for (long each : committed) {
      completed = Math.min(completed, each);
    }
    Optional<Map<ReadPositions.Partition, Long>> reached = positions.upTo(completed);
    reached.ifPresent(next -> thread.execute(() -> commit(next)));
  }

  private void commit(Map<ReadPositions.Partition, Long> next) {
    Map<TopicPartition, OffsetAndMetadata> changed = new HashMap<>();
    next.forEach(
        (partition, offset) ->
            changed.put(
                new TopicPartition(partition.topic(), partition.partition()),
                new OffsetAndMetadata(offset)));
    changed.entrySet().removeIf(entry -> entry.getValue().equals(offsets.get(entry.getKey())));
    if (changed.isEmpty()) {
      return;
    }
    try {
      if (admin == null) {
        admin = Admin.create(AdminProperties.of(group.client()));
      }
      admin.alterConsumerGroupOffsets(group.id(), changed).all().get();
      offsets.putAll(changed);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } catch (Exception e) {
      LOG.warn(
          "The offsets of the group {} could not be committed ({}): the job goes on, and a start"
              + " from committed offsets would repeat more",
          group.id(),
          e.getMessage());
    }
  }

  @Override
  public void close() {
    thread.shutdown();
    try {
      if (!thread.awaitTermination(LAST_WITHIN_SECONDS, TimeUnit.SECONDS)) {
        thread.shutdownNow();
      }
    } catch (InterruptedException e) {
      thread.shutdownNow();
      Thread.currentThread().interrupt();
    }
    if (admin != null) {
      admin.close(Duration.ZERO);
    }
  }

  /** By its state a checkpoint or savepoint can be known as one of this job. */
  @Override
  public void checkpointCoordinator(long checkpoint, CompletableFuture<byte[]> result) {
    result.complete(SavedJob.mark(group.job()));
  }

  @Override
  public void resetToCheckpoint(long checkpoint, byte[] state) {}

  @Override
  public void subtaskReset(int subtask, long checkpoint) {}

  @Override
  public void executionAttemptFailed(int subtask, int attempt, Throwable reason) {}

  @Override
  public void executionAttemptReady(int subtask, int attempt, SubtaskGateway gateway) {}

  @Override
  public void notifyCheckpointComplete(long checkpoint) {}
}
