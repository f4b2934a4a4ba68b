package org.labelstream.engine;

/**
 * The output of a forward pass, copied out of native memory.
 *
 * @param values float32, row by row
 * @param shape {@code [batch, …]}
 */
public record Logits(float[] values, long[] shape) {

  /** How many values a row of the batch has. */
  public int width() {
    int width = 1;
    for (int i = 1; i < shape.length; i++) {
      width *= (int) shape[i];
    }
    return width;
  }

  /** The values of one row of the batch. */
  public float[] row(int index) {
    int width = width();
    float[] row = new float[width];
    System.arraycopy(values, index * width, row, 0, width);
    return row;
  }
}
