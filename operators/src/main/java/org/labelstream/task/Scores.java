package org.labelstream.task;

/** Logits to scores, in float32 as the reference computes them. */
final class Scores {

  private Scores() {}

  /** exp(x - max) / sum of the same: finite for any finite logits. */
  static float[] softmax(float[] logits) {
    float max = Float.NEGATIVE_INFINITY;
    for (float logit : logits) {
      max = Math.max(max, logit);
    }
    float[] scores = new float[logits.length];
    float sum = 0;
    for (int i = 0; i < logits.length; i++) {
      scores[i] = (float) Math.exp(logits[i] - max);
      sum += scores[i];
    }
    for (int i = 0; i < scores.length; i++) {
      scores[i] /= sum;
    }
    return scores;
  }

  /** 1 / (1 + exp(-x)), each on its own. */
  static float[] sigmoid(float[] logits) {
    float[] scores = new float[logits.length];
    for (int i = 0; i < logits.length; i++) {
      scores[i] = (float) (1 / (1 + Math.exp(-logits[i])));
    }
    return scores;
  }
}
