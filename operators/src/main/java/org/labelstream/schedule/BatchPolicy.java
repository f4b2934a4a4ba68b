package org.labelstream.schedule;

import java.io.Serializable;
import java.time.Duration;

/**
 * What a batch may cost and how long work may wait for one.
 *
 * @param maxTokens the largest cost of a batch, in padded tokens (rows times the longest row); a
 *     row that is longer runs alone
 * @param lookAhead how many of the longest-waiting rows are considered for a batch
 * @param maxAge how long a row may be passed over before it must be in the next batch
 * @param linger how long an idle model waits for a batch to fill; zero means that it never waits
 */
public record BatchPolicy(int maxTokens, int lookAhead, Duration maxAge, Duration linger)
    implements Serializable {

  /** A batch of this part of the budget runs at about half the speed of a full one. */
  private static final double OVERHEAD = 1 / 16.0;

  /**
   * Libraries compile their matrix products anew for each number of tokens in a batch, which takes
   * milliseconds and half a megabyte for each layer. So there are only multiples of this many.
   */
  private static final int GRAIN = 16;

  public BatchPolicy {
    if (maxTokens < 1) {
      throw new IllegalArgumentException(
          "max-tokens is " + maxTokens + ", but a batch holds at least 1 token: raise it");
    }
    if (lookAhead < 1) {
      throw new IllegalArgumentException(
          "look-ahead is " + lookAhead + ", but a batch is chosen from at least 1 row: raise it");
    }
    if (maxAge.isNegative() || linger.isNegative()) {
      throw new IllegalArgumentException("max-age and linger cannot be negative");
    }
    if (linger.compareTo(maxAge) > 0) {
      throw new IllegalArgumentException(
          "linger ("
              + linger.toMillis()
              + " ms) is longer than max-age ("
              + maxAge.toMillis()
              + " ms), so every row would be overdue before its batch may start: lower linger or raise max-age");
    }
  }

  /**
   * How wide a batch is padded: a little more than its longest row where that makes its tokens a
   * number that other batches have too. A number of rows with many factors of two needs the least.
   *
   * @param rows how many there are
   * @param longest the length of the longest row, in tokens
   */
  public static int width(int rows, int longest) {
    int step = GRAIN / Math.min(GRAIN, Integer.lowestOneBit(rows));
    return (longest + step - 1) / step * step;
  }

  /** What a batch costs beside its tokens, in tokens: the calls of its operators. */
  double overhead() {
    return OVERHEAD * maxTokens;
  }
}
