package org.labelstream.task;

import java.util.Arrays;
import java.util.List;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;

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

  /** The place of the highest value, the first of equal ones. */
  static int argmax(float[] values) {
    int best = 0;
    for (int i = 1; i < values.length; i++) {
      if (values[i] > values[best]) {
        best = i;
      }
    }
    return best;
  }

  static float max(float[] values) {
    return values[argmax(values)];
  }

  /** The places of the values that are not minus infinity, in their order. */
  static int[] included(float[] values) {
    int[] places = new int[values.length];
    int count = 0;
    for (int i = 0; i < values.length; i++) {
      if (values[i] != Float.NEGATIVE_INFINITY) {
        places[count++] = i;
      }
    }
    return Arrays.copyOf(places, count);
  }

  /** The values at some places. */
  static float[] of(int[] places, float[] values) {
    float[] chosen = new float[places.length];
    for (int i = 0; i < chosen.length; i++) {
      chosen[i] = values[places[i]];
    }
    return chosen;
  }

  /** Whether one of the values is not a number. */
  static boolean hasNaN(float[] values) {
    for (float value : values) {
      if (Float.isNaN(value)) {
        return true;
      }
    }
    return false;
  }

  /** The mean vector. */
  static float[] mean(List<float[]> vectors) {
    float[] mean = new float[vectors.get(0).length];
    for (float[] vector : vectors) {
      for (int i = 0; i < mean.length; i++) {
        mean[i] += vector[i] / vectors.size();
      }
    }
    return mean;
  }

  /**
   * Finds out whether the model gave numbers.
   *
   * @throws RejectedRecordException when it did not
   */
  static void checkFinite(float[] scores) throws RejectedRecordException {
    for (float score : scores) {
      if (!Float.isFinite(score)) {
        throw new RejectedRecordException(
            ErrorCode.INFERENCE_FAILED,
            Stage.INFERENCE,
            "the model gave a score that is not a number: check the checkpoint, and its precision");
      }
    }
  }
}
