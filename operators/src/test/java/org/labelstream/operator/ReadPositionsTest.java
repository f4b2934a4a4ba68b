package org.labelstream.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.labelstream.operator.PositionsEvent.Position;
import org.labelstream.operator.ReadPositions.Partition;

/** From where a pipeline would go on. */
class ReadPositionsTest {

  private static final Partition ZERO = new Partition("texts", 0);
  private static final Partition ONE = new Partition("texts", 1);
  private static final long NONE = Long.MAX_VALUE;

  private final ReadPositions positions = new ReadPositions();

  private void told(String stage, int subtask, long checkpoint, Map<Partition, Position> at) {
    positions.told(stage, subtask, new PositionsEvent(checkpoint, new HashMap<>(at)));
  }

  @Test
  void isBehindTheLastRecordOrBeforeTheFirstThatIsInAStage() {
    positions.expect("infer", 2);
    positions.expect("explain", 1);
    told("infer", 0, 1, Map.of(ZERO, new Position(10, NONE)));
    told("infer", 1, 1, Map.of(ONE, new Position(20, 15)));
    assertThat(positions.upTo(1)).as("while the other stage has said nothing").isEmpty();

    told("explain", 0, 1, Map.of(ZERO, new Position(8, 3)));

    assertThat(positions.upTo(1)).contains(Map.of(ZERO, 3L, ONE, 15L));
    assertThat(positions.upTo(0)).isEmpty();
  }

  @Test
  void isThatOfTheNewestCheckpointThatIsKnownAndComplete() {
    positions.expect("infer", 1);
    told("infer", 0, 1, Map.of(ZERO, new Position(10, NONE)));
    told("infer", 0, 2, Map.of(ZERO, new Position(20, NONE)));
    told("infer", 0, 4, Map.of(ZERO, new Position(40, NONE)));

    assertThat(positions.upTo(3)).contains(Map.of(ZERO, 20L));
    positions.reset("infer", 0, 1);
    assertThat(positions.upTo(4)).contains(Map.of(ZERO, 10L));
  }

  @Test
  void restoredRecordsCountWhereverTheyHaveComeTo() {
    positions.expect("infer", 2);
    // At another parallelism, subtask 1 has got records of the partition that subtask 0 reads.
    told("infer", 0, 1, Map.of(ZERO, new Position(100, NONE)));
    told("infer", 1, 1, Map.of(ZERO, new Position(6, 5)));
    assertThat(positions.upTo(1)).contains(Map.of(ZERO, 5L));

    told("infer", 0, 2, Map.of(ZERO, new Position(100, NONE)));
    told("infer", 1, 2, Map.of(ZERO, new Position(6, NONE)));
    assertThat(positions.upTo(2)).contains(Map.of(ZERO, 100L));
  }

  @Test
  void aSubtaskThatHasFinishedSaysNoMore() {
    positions.expect("infer", 2);
    told("infer", 1, PositionsEvent.FINISHED, Map.of(ONE, new Position(7, NONE)));
    told("infer", 0, 1, Map.of(ZERO, new Position(10, 9)));

    assertThat(positions.upTo(1)).contains(Map.of(ZERO, 9L, ONE, 7L));

    told("infer", 0, PositionsEvent.FINISHED, Map.of(ZERO, new Position(10, NONE)));
    assertThat(positions.upTo(Long.MAX_VALUE)).contains(Map.of(ZERO, 10L, ONE, 7L));
  }

  @Test
  void forgetsOldCheckpointsAndKnowsTheNewest() {
    positions.expect("infer", 1);
    for (int i = 1; i <= 1_000; i++) {
      told("infer", 0, i, Map.of(ZERO, new Position(i, NONE)));
    }
    assertThat(positions.upTo(900)).isEmpty();
    assertThat(positions.upTo(999)).contains(Map.of(ZERO, 999L));
  }
}
