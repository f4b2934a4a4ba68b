package org.labelstream.schedule;

import java.time.Duration;
import java.util.Random;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** What a row costs in the queue: {@code scripts/bench.sh --micro} runs it. */
@State(Scope.Thread)
public class BatcherBenchmark {

  private static final int ROWS = 10_000;

  /** The budget of a batch, in tokens: a processor's and a GPU's. */
  @Param({"256", "8192"})
  public int maxTokens;

  private final Integer[] lengths = new Integer[ROWS];

  /** Lengths as texts have them: 42 in the mean, a few of 300. */
  @Setup
  public void lengths() {
    Random random = new Random(3);
    for (int i = 0; i < ROWS; i++) {
      lengths[i] = Math.min(512, 3 + (int) Math.exp(3.3 + random.nextGaussian()));
    }
  }

  /** Rows come while batches are taken, with as many waiting as are looked at. */
  @Benchmark
  @OperationsPerInvocation(ROWS)
  public int addAndPoll() {
    Batcher<Integer> batcher =
        new Batcher<>(
            new BatchPolicy(maxTokens, maxTokens / 2, Duration.ofSeconds(1), Duration.ZERO),
            Integer::intValue,
            System::nanoTime);
    int waiting = 0;
    int taken = 0;
    for (Integer length : lengths) {
      batcher.add(length);
      if (++waiting > maxTokens / 2) {
        int rows = batcher.poll().size();
        waiting -= rows;
        taken += rows;
      }
    }
    while (waiting > 0) {
      int rows = batcher.poll().size();
      waiting -= rows;
      taken += rows;
    }
    return taken;
  }
}
