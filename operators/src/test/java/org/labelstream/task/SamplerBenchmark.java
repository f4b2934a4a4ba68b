package org.labelstream.task;

import java.util.Arrays;
import java.util.Random;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** What drawing a token costs: {@code scripts/bench.sh --micro} runs it. */
@State(Scope.Thread)
public class SamplerBenchmark {

  private static final int VOCABULARY = 50_257;

  /** How many tokens of GPT-2's vocabulary are left to choose from. */
  @Param({"50", "50257"})
  public int left;

  private final float[] scores = new float[VOCABULARY];
  private final Sampler sampler = new Sampler(7);

  /** Those that are left are spread over the vocabulary. */
  @Setup
  public void scores() {
    Random random = new Random(5);
    Arrays.fill(scores, Float.NEGATIVE_INFINITY);
    for (int i = 0; i < left; i++) {
      scores[(int) ((long) i * VOCABULARY / left)] = (float) random.nextGaussian();
    }
  }

  @Benchmark
  public int draw() {
    return sampler.draw(scores);
  }
}
