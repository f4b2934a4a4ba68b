package org.labelstream.engine;

import ai.djl.ndarray.NDArray;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * What a generator has read of one text, or of several continuations of it that have the same
 * length (beams): a handle on their keys and values in native memory.
 *
 * <p>The keys and values of all texts of a step stay in the one block that the model gave back. As
 * long as the same texts go on together the block is handed to the model as it is; only where the
 * company changes are they copied together anew.
 *
 * <p><em>Thread-safety.</em> A handle belongs to one thread at a time; blocks may be shared by
 * handles of many.
 */
public final class KeyValueCache implements AutoCloseable {

  /**
   * Keys and values {@code [layers, 2, rows, heads, columns, head_dim]}, freed with the last handle
   * on them.
   */
  static final class Block {
    final NDArray values;
    final int rows;
    final int columns;
    private final AtomicInteger holders;

    Block(NDArray values, int holders) {
      this.values = values;
      this.rows = (int) values.getShape().get(2);
      this.columns = (int) values.getShape().get(4);
      this.holders = new AtomicInteger(holders);
    }

    private void release() {
      if (holders.decrementAndGet() == 0) {
        values.close();
      }
    }
  }

  private @Nullable Block block;
  private int[] rows = {0};
  private int length;

  /** How many tokens of each sequence have been read; they are the last columns of its row. */
  public int length() {
    return length;
  }

  /** How many sequences there are. */
  public int sequences() {
    return rows.length;
  }

  /** The block of the last step, or null before the first. */
  @Nullable Block block() {
    return block;
  }

  /** The row of a sequence in the block. */
  int row(int sequence) {
    return rows[sequence];
  }

  /**
   * Makes a sequence of each of these, in their order: one may go on several times, or not at all.
   * Nothing is copied before the next step.
   */
  public void select(int... sequences) {
    rows = IntStream.of(sequences).map(sequence -> rows[sequence]).toArray();
  }

  /** Goes over to the block of the step that was just made. */
  void moveTo(Block next, int firstRow, int newTokens) {
    close();
    block = next;
    rows = IntStream.range(firstRow, firstRow + rows.length).toArray();
    length += newTokens;
  }

  /** Frees what no other handle shares; the sequences cannot go on after that. */
  @Override
  public void close() {
    if (block != null) {
      block.release();
      block = null;
    }
  }
}
