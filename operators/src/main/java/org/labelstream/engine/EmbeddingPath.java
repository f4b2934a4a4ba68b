package org.labelstream.engine;

/**
 * The straight way from the embeddings of a baseline to those of a text, and the logit that is
 * watched along it.
 *
 * @param text a row
 * @param baseline the row with all but the special tokens replaced
 * @param logit the place of the logit in the row's own logits: a class; or {@code token * classes +
 *     class}; or {@code token * 2}, and one more for the end of an answer
 */
public record EmbeddingPath(Tokens text, Tokens baseline, int logit) {

  /**
   * A point of the way.
   *
   * @param alpha from 0, at the baseline, to 1, at the text
   */
  public record Point(EmbeddingPath path, double alpha) {}

  /**
   * What the model does at a point.
   *
   * @param logit the watched logit's value
   * @param slopes for each token, the change of the logit along the whole way at this point's rate:
   *     the gradient times the difference of the embeddings, summed over the hidden dimension
   */
  public record Slope(float logit, float[] slopes) {

    /** The slopes of all tokens together. */
    public double total() {
      double total = 0;
      for (float slope : slopes) {
        total += slope;
      }
      return total;
    }
  }
}
