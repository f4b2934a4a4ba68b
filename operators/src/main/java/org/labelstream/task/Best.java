package org.labelstream.task;

import java.util.Arrays;

/**
 * The highest of many scores, in room for as many as are wanted: of equal scores the one that came
 * first. The order is that of {@link Float#compare}.
 */
final class Best {

  /** A heap with the least in front. Each is a score, above the complement of its place. */
  private final long[] heap;

  private int size;

  /**
   * @param count how many are wanted, at least one
   */
  Best(int count) {
    heap = new long[count];
  }

  /** The places of the highest scores, the highest first. */
  static int[] places(float[] scores, int count) {
    Best best = new Best(Math.min(count, scores.length));
    for (int place = 0; place < scores.length; place++) {
      best.add(scores[place], place);
    }
    return best.places();
  }

  /** Takes a score in, if it is among the best. */
  void add(float score, int place) {
    long key = (long) sortable(score) << 32 | (~place & 0xFFFFFFFFL);
    if (size < heap.length) {
      int at = size++;
      while (at > 0 && heap[(at - 1) / 2] > key) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
      }
      heap[at] = key;
    } else if (key > heap[0]) {
      sink(key);
    }
  }

  /** Puts a key where the least one was. */
  private void sink(long key) {
    int at = 0;
    for (int child = 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && heap[child + 1] < heap[child]) {
        child++;
      }
      if (heap[child] >= key) {
        break;
      }
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = key;
  }

  /** Whether as many as are wanted have been found. */
  boolean full() {
    return size == heap.length;
  }

  /** The least of the best so far. */
  float least() {
    return score(heap[0]);
  }

  /** The places of what was found, the best first. */
  int[] places() {
    long[] sorted = Arrays.copyOf(heap, size);
    Arrays.sort(sorted);
    int[] places = new int[size];
    for (int i = 0; i < size; i++) {
      places[i] = ~(int) sorted[size - 1 - i];
    }
    return places;
  }

  private static float score(long key) {
    int bits = (int) (key >> 32);
    return Float.intBitsToFloat(bits ^ (bits >> 31 & Integer.MAX_VALUE));
  }

  /** An integer that is larger where the score is. */
  private static int sortable(float score) {
    int bits = Float.floatToIntBits(score);
    return bits ^ (bits >> 31 & Integer.MAX_VALUE);
  }
}
