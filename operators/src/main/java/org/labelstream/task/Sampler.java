package org.labelstream.task;

import java.util.Random;

/** Draws tokens by their scores, the same ones for the same seed. */
final class Sampler {

  // java.util.Random's numbers are told by its documentation, so they stay the same in every JVM.
  private final Random random;

  Sampler(long seed) {
    random = new Random(mixed(seed));
  }

  /**
   * Random(1) and Random(2) begin with nearly the same number, and Random does not look at the
   * upper 16 bits; so all bits are mixed first, as MurmurHash3 ends (Appleby, fmix64).
   */
  private static long mixed(long seed) {
    long bits = seed;
    bits = (bits ^ (bits >>> 33)) * 0xff51afd7ed558ccdL;
    bits = (bits ^ (bits >>> 33)) * 0xc4ceb9fe1a85ec53L;
    return bits ^ (bits >>> 33);
  }

  /**
   * Draws one.
   *
   * @param scores logarithms of weights, not all minus infinity
   */
  int draw(float[] scores) {
    // Most of a vocabulary is excluded when one is drawn.
    int[] tokens = Scores.included(scores);
    float[] probabilities = Scores.softmax(Scores.of(tokens, scores));
    double sum = 0;
    for (float probability : probabilities) {
      sum += probability;
    }
    double left = random.nextDouble() * sum;
    int drawn = -1;
    for (int i = 0; i < probabilities.length; i++) {
      if (probabilities[i] > 0) {
        drawn = tokens[i];
        left -= probabilities[i];
        if (left < 0) {
          break;
        }
      }
    }
    return drawn;
  }
}
