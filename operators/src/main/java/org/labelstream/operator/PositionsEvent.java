package org.labelstream.operator;

import java.io.Serializable;
import java.util.HashMap;
import org.apache.flink.runtime.operators.coordination.OperatorEvent;

/**
 * What a stage's subtask tells at a checkpoint: how far it has read each partition, and what of it
 * had not come out of the stage.
 *
 * @param checkpoint the checkpoint, or {@link #FINISHED} where no record comes any more and all are
 *     out
 * @param positions the partitions of which the subtask knows something
 */
record PositionsEvent(long checkpoint, HashMap<ReadPositions.Partition, Position> positions)
    implements OperatorEvent {
  private static final long serialVersionUID = 1L;

  static final long FINISHED = Long.MAX_VALUE;

  /**
   * A place in a partition.
   *
   * @param next the offset behind the last record that came, or -1 where none has come since the
   *     subtask started
   * @param inFlight the least offset that is in the stage, or {@link Long#MAX_VALUE} where none is
   */
  record Position(long next, long inFlight) implements Serializable {
    private static final long serialVersionUID = 1L;

    /** The offset from which to go on, or -1 where that is not known. */
    long offset() {
      return next < 0 && inFlight < Long.MAX_VALUE ? inFlight : Math.min(next, inFlight);
    }

    Position and(Position other) {
      return new Position(Math.max(next, other.next), Math.min(inFlight, other.inFlight));
    }
  }
}
