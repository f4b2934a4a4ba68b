package org.labelstream.task;

import java.util.Arrays;
import java.util.function.Predicate;

/** One token after the other: the best one, or one that is drawn. */
final class SingleDecoding implements Decoding {

  private final LogitsProcessors processors;
  private final Sampler sampler;
  private final Predicate<int[]> isFinished;
  private int[] sequence;

  /**
   * @param sampler draws, or null where the best token is taken
   * @param isFinished tells whether a sequence is not to be continued
   */
  SingleDecoding(
      int[] prompt, LogitsProcessors processors, Sampler sampler, Predicate<int[]> isFinished) {
    this.sequence = prompt;
    this.processors = processors;
    this.sampler = sampler;
    this.isFinished = isFinished;
  }

  @Override
  public int[][] sequences() {
    return new int[][] {sequence};
  }

  @Override
  public int[] advance(float[][] logits) {
    float[] scores = logits[0];
    processors.process(scores, sequence);
    int best = Scores.argmax(scores);
    if (!Float.isFinite(scores[best]) || Scores.hasNaN(scores)) {
      throw new ArithmeticException("no token is left to choose");
    }
    int token = sampler == null ? best : sampler.draw(scores);
    sequence = Arrays.copyOf(sequence, sequence.length + 1);
    sequence[sequence.length - 1] = token;
    return isFinished.test(sequence) ? new int[0] : new int[] {0};
  }

  @Override
  public int[] result() {
    return sequence;
  }
}
