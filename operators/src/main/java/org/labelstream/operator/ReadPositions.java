package org.labelstream.operator;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableSet;
import java.util.Optional;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.flink.runtime.operators.coordination.CoordinatorStore;
import org.labelstream.operator.PositionsEvent.Position;

/**
 * Up to where a pipeline has done all that it was given, at each of its last checkpoints: behind a
 * partition's last record, or before the first one that had not come out of a stage. Lives on the
 * JobManager, where the stages' coordinators tell it what their subtasks say.
 */
public final class ReadPositions {

  /** As many checkpoints as are kept; the newest are the ones that complete. */
  private static final int MOST = 64;

  /** A partition that is read. */
  public record Partition(String topic, int partition) implements Serializable {
    private static final long serialVersionUID = 1L;
  }

  private final Map<String, Stage> stages = new HashMap<>();
  private final NavigableSet<Long> checkpoints = new TreeSet<>();

  /** What the subtasks of a stage have said, by checkpoint. */
  private static final class Stage {
    final List<TreeMap<Long, Map<Partition, Position>>> subtasks = new ArrayList<>();
  }

  ReadPositions() {}

  /** Those of a pipeline, which the coordinators of its operators share. */
  public static ReadPositions of(CoordinatorStore store, String pipeline) {
    return (ReadPositions)
        store.compute(
            new Key(pipeline), (key, there) -> there == null ? new ReadPositions() : there);
  }

  private record Key(String pipeline) implements Serializable {
    private static final long serialVersionUID = 1L;
  }

  /** A stage without which nothing is known; called before its subtasks say anything. */
  synchronized void expect(String stage, int parallelism) {
    Stage subtasks = new Stage();
    for (int i = 0; i < parallelism; i++) {
      subtasks.subtasks.add(new TreeMap<>());
    }
    stages.put(stage, subtasks);
  }

  /** Takes what a subtask says. */
  synchronized void told(String stage, int subtask, PositionsEvent event) {
    stages.get(stage).subtasks.get(subtask).put(event.checkpoint(), event.positions());
    checkpoints.add(event.checkpoint());
    while (checkpoints.size() > MOST) {
      long oldest = checkpoints.pollFirst();
      stages.values().forEach(each -> each.subtasks.forEach(said -> said.remove(oldest)));
    }
  }

  /** A subtask begins anew from a checkpoint, so that what it has said since does not hold. */
  synchronized void reset(String stage, int subtask, long checkpoint) {
    stages.get(stage).subtasks.get(subtask).tailMap(checkpoint, false).clear();
  }

  /** Whether a subtask has said that it has finished. */
  synchronized boolean hasFinished(String stage, int subtask) {
    return stages.get(stage).subtasks.get(subtask).containsKey(PositionsEvent.FINISHED);
  }

  /**
   * The offsets from which the pipeline would go on, as the newest checkpoint tells of which all is
   * known.
   *
   * @param completed a checkpoint up to which everything is out for good
   * @return the next offset of each partition of which records have come, or nothing where no such
   *     checkpoint is known
   */
  public synchronized Optional<Map<Partition, Long>> upTo(long completed) {
    for (long checkpoint : checkpoints.headSet(completed, true).descendingSet()) {
      Map<Partition, Position> positions = at(checkpoint);
      if (positions != null) {
        Map<Partition, Long> offsets = new HashMap<>();
        positions.forEach(
            (partition, position) -> {
              if (position.offset() >= 0) {
                offsets.put(partition, position.offset());
              }
            });
        return Optional.of(offsets);
      }
    }
    return Optional.empty();
  }

  /** What all subtasks of all stages say of a checkpoint, or null where one has said nothing. */
  private Map<Partition, Position> at(long checkpoint) {
    Map<Partition, Position> all = new HashMap<>();
    for (Stage stage : stages.values()) {
      for (TreeMap<Long, Map<Partition, Position>> said : stage.subtasks) {
        Map<Partition, Position> positions =
            said.getOrDefault(checkpoint, said.get(PositionsEvent.FINISHED));
        if (positions == null) {
          return null;
        }
        positions.forEach((partition, at) -> all.merge(partition, at, Position::and));
      }
    }
    return all;
  }
}
