package org.labelstream.engine;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.Shape;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.labelstream.model.Manifest;

/**
 * The inputs of one step of a generator: {@code input_ids [rows, new]}, {@code attention_mask
 * [rows, past + new]}, {@code position_ids [rows, new]} and {@code past [layers, 2, rows, heads,
 * past, head_dim]}, padded on the left.
 */
final class DecodingStep {

  private final Manifest manifest;
  private final List<KeyValueCache> caches;
  private final List<int[][]> tokens;
  private final int rows;
  private final int newColumns;
  private final KeyValueCache.@Nullable Block whole;
  private final int pastColumns;

  /**
   * @param caches what was read before: of all of them nothing, or of all of them something
   * @param tokens the next tokens {@code [sequences][new]} of each; one for each sequence where
   *     something was read before
   */
  DecodingStep(Manifest manifest, List<KeyValueCache> caches, List<int[][]> tokens) {
    this.manifest = manifest;
    this.caches = caches;
    this.tokens = tokens;
    this.rows = caches.stream().mapToInt(KeyValueCache::sequences).sum();
    this.newColumns = tokens.stream().mapToInt(next -> next[0].length).max().orElse(0);
    this.whole = wholeBlock();
    this.pastColumns =
        whole != null
            ? whole.columns
            : caches.stream().mapToInt(KeyValueCache::length).max().orElse(0);
  }

  /** The block that holds just these sequences in this order, or null. */
  private KeyValueCache.@Nullable Block wholeBlock() {
    KeyValueCache.Block block = caches.get(0).block();
    int row = 0;
    for (KeyValueCache cache : caches) {
      for (int i = 0; i < cache.sequences(); i++) {
        if (cache.block() != block || cache.row(i) != row++) {
          return null;
        }
      }
    }
    return block != null && block.rows == row ? block : null;
  }

  /** The arguments of the module. */
  NDList inputs(NDManager manager) {
    long[] ids = new long[rows * newColumns];
    Arrays.fill(ids, manifest.padTokenId());
    long[] positions = new long[rows * newColumns];
    int columns = pastColumns + newColumns;
    long[] mask = new long[rows * columns];
    int row = 0;
    for (int i = 0; i < caches.size(); i++) {
      int read = caches.get(i).length();
      for (int[] next : tokens.get(i)) {
        int start = (row + 1) * newColumns - next.length;
        for (int j = 0; j < next.length; j++) {
          ids[start + j] = next[j];
          positions[start + j] = (long) read + j;
        }
        int end = row * columns + pastColumns;
        Arrays.fill(mask, end - read, end, 1);
        Arrays.fill(mask, (row + 1) * columns - next.length, (row + 1) * columns, 1);
        row++;
      }
    }
    return new NDList(
        manager.create(ids, new Shape(rows, newColumns)),
        manager.create(mask, new Shape(rows, columns)),
        manager.create(positions, new Shape(rows, newColumns)),
        past(manager));
  }

  private NDArray past(NDManager manager) {
    if (whole != null) {
      return whole.values;
    }
    Manifest.Cache sizes = manifest.cache();
    NDArray past =
        manager.zeros(
            new Shape(sizes.layers(), 2, rows, sizes.heads(), pastColumns, sizes.headDim()));
    if (pastColumns == 0) {
      return past;
    }
    int row = 0;
    for (KeyValueCache cache : caches) {
      KeyValueCache.Block block = Objects.requireNonNull(cache.block()); // all have read something
      for (int i = 0; i < cache.sequences(); ) {
        int first = cache.row(i);
        int count = 1; // neighbours in the block stay neighbours
        while (i + count < cache.sequences() && cache.row(i + count) == first + count) {
          count++;
        }
        try (NDArray read =
            block.values.get(
                columns(first, first + count, block.columns - cache.length(), block.columns))) {
          past.set(columns(row, row + count, pastColumns - cache.length(), pastColumns), read);
        }
        row += count;
        i += count;
      }
    }
    return past;
  }

  private static NDIndex columns(int firstRow, int lastRow, int from, int to) {
    return new NDIndex()
        .addAllDim()
        .addAllDim()
        .addSliceDim(firstRow, lastRow)
        .addAllDim()
        .addSliceDim(from, to)
        .addAllDim();
  }

  /** Gives the caches what the model gave back for them. */
  void moveTo(NDArray values) {
    KeyValueCache.Block block = new KeyValueCache.Block(values, caches.size());
    int row = 0;
    for (int i = 0; i < caches.size(); i++) {
      int sequences = caches.get(i).sequences();
      caches.get(i).moveTo(block, row, tokens.get(i)[0].length);
      row += sequences;
    }
  }
}
