package org.labelstream.task;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Comparator;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class BestTest {

  /** By a sort of everything that keeps the order of equal ones. */
  private static int[] sorted(float[] scores, int count) {
    return IntStream.range(0, scores.length)
        .boxed()
        .sorted(Comparator.comparing((Integer place) -> scores[place]).reversed())
        .limit(count)
        .mapToInt(Integer::intValue)
        .toArray();
  }

  @Test
  void theBestAreThoseOfASortOfAll() {
    Random random = new Random(1);
    for (int round = 0; round < 2_000; round++) {
      float[] scores = new float[1 + random.nextInt(60)];
      int levels = 1 + random.nextInt(20); // few, so that many are equal
      for (int i = 0; i < scores.length; i++) {
        scores[i] = (random.nextInt(levels) - levels / 2) / 3f;
      }
      if (random.nextInt(4) == 0) {
        scores[random.nextInt(scores.length)] = Float.NEGATIVE_INFINITY;
        scores[random.nextInt(scores.length)] = Float.NaN;
        scores[random.nextInt(scores.length)] = Float.POSITIVE_INFINITY;
      }
      int count = 1 + random.nextInt(70);
      assertThat(Best.places(scores, count)).isEqualTo(sorted(scores, count));
    }
  }

  @Test
  void theLeastOfTheBestIsTold() {
    Best best = new Best(2);
    best.add(-3.5f, 0);
    assertThat(best.full()).isFalse();
    best.add(-1, 1);
    best.add(-7, 2);
    assertThat(best.full()).isTrue();
    assertThat(best.least()).isEqualTo(-3.5f);
    best.add(2, 3);
    assertThat(best.least()).isEqualTo(-1);
  }
}
