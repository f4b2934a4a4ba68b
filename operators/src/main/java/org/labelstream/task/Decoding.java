package org.labelstream.task;

/** The choice of tokens for one text, step by step. */
interface Decoding {

  /** The sequences that the model must read next, all of them of one length. */
  int[][] sequences();

  /**
   * Goes on by one token.
   *
   * @param logits behind each of the sequences, {@code [sequences][vocabulary]}
   * @return which of the sequences those that follow go on from; empty when there is nothing more
   *     to read
   * @throws ArithmeticException when the logits leave nothing to choose
   */
  int[] advance(float[][] logits);

  /** The best sequence, prompt included, once nothing is left to read. */
  int[] result();
}
