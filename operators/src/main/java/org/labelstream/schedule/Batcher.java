package org.labelstream.schedule;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.Deque;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;
import java.util.function.LongSupplier;
import java.util.function.ToIntFunction;

/**
 * Waiting rows, and the choice of those that run together next.
 *
 * <p>A batch is a rectangle: it costs as many tokens as it has rows times the length of its longest
 * row, whether they are real or padding. So rows of like length belong together. {@link #poll}
 * sorts the rows that have waited longest (the look-ahead window) by length and takes, of all runs
 * of neighbours that fit into the token budget, the one that fills it with the most real tokens. A
 * row that has been passed over for longer than {@code max-age} must be in the next batch.
 *
 * <p><em>Contract.</em> Work-conserving: while a row waits, {@code poll} gives a batch; only {@code
 * linger}, if asked for, holds an unfilled one back. Every row that was added is given out once.
 *
 * <p><em>Thread-safety.</em> All methods may be called from any thread.
 */
public final class Batcher<R> {

  private record Waiting<R>(R row, int length, long since) {}

  private final BatchPolicy policy;
  private final ToIntFunction<R> lengthOf;
  private final LongSupplier nanoClock;
  private final Deque<Waiting<R>> waiting = new ArrayDeque<>();

  /**
   * @param lengthOf the length of a row, in tokens; at least 1
   * @param nanoClock the time, in nanoseconds from any fixed point
   */
  public Batcher(BatchPolicy policy, ToIntFunction<R> lengthOf, LongSupplier nanoClock) {
    this.policy = policy;
    this.lengthOf = lengthOf;
    this.nanoClock = nanoClock;
  }

  /** Adds a row to those that wait. */
  public void add(R row) {
    addAll(List.of(row));
  }

  /** Adds rows to those that wait, all of them before any of them is given out. */
  public void addAll(List<R> rows) {
    long now = nanoClock.getAsLong();
    synchronized (waiting) {
      for (R row : rows) {
        waiting.addLast(new Waiting<>(row, Math.max(1, lengthOf.applyAsInt(row)), now));
      }
    }
  }

  /** The rows of the next batch, or an empty list when there is none to run now. */
  public List<R> poll() {
    synchronized (waiting) {
      if (nanosUntilReady() > 0) {
        return List.of();
      }
      List<Waiting<R>> window = takeWindow();
      boolean overdue = nanoClock.getAsLong() - window.get(0).since() >= policy.maxAge().toNanos();
      Waiting<R> oldest = window.get(0);
      List<Waiting<R>> sorted = new ArrayList<>(window);
      sorted.sort(Comparator.comparingInt(Waiting::length));
      List<Waiting<R>> run = fullestRun(sorted, overdue ? sorted.indexOf(oldest) : -1);
      putBackAllBut(run, window);
      List<R> batch = new ArrayList<>(run.size());
      for (Waiting<R> entry : run) {
        batch.add(entry.row());
      }
      return batch;
    }
  }

  /**
   * How long until {@link #poll} gives a batch, in nanoseconds: 0 for now, {@link Long#MAX_VALUE}
   * while nothing waits. Adding a row may shorten it.
   */
  public long nanosUntilReady() {
    synchronized (waiting) {
      if (waiting.isEmpty()) {
        return Long.MAX_VALUE;
      }
      long linger = policy.linger().toNanos();
      if (linger == 0 || windowFillsBatch()) {
        return 0;
      }
      return Math.max(0, waiting.peekFirst().since() + linger - nanoClock.getAsLong());
    }
  }

  /** How many rows wait. */
  public int size() {
    synchronized (waiting) {
      return waiting.size();
    }
  }

  private boolean windowFillsBatch() {
    long tokens = 0;
    int seen = 0;
    for (Waiting<R> entry : waiting) {
      tokens += entry.length();
      if (tokens >= policy.maxTokens() || ++seen == policy.lookAhead()) {
        return true;
      }
    }
    return false;
  }

  private List<Waiting<R>> takeWindow() {
    int size = Math.min(policy.lookAhead(), waiting.size());
    List<Waiting<R>> window = new ArrayList<>(size);
    for (int i = 0; i < size; i++) {
      window.add(waiting.pollFirst());
    }
    return window;
  }

  private void putBackAllBut(List<Waiting<R>> run, List<Waiting<R>> window) {
    Set<Waiting<R>> taken = Collections.newSetFromMap(new IdentityHashMap<>());
    taken.addAll(run);
    for (int i = window.size() - 1; i >= 0; i--) {
      if (!taken.contains(window.get(i))) {
        waiting.addFirst(window.get(i));
      }
    }
  }

  /**
   * The run of neighbours with the largest share of real tokens in max(budget, its cost).
   *
   * @param sorted rows by ascending length
   * @param required the index of a row that the run must hold, or -1
   */
  private List<Waiting<R>> fullestRun(List<Waiting<R>> sorted, int required) {
    double best = -1;
    int bestStart = 0;
    int bestEnd = 0;
    int start = 0;
    long real = 0;
    for (int end = 0; end < sorted.size(); end++) {
      long longest = sorted.get(end).length();
      real += longest;
      while (start < end && (end - start + 1) * longest > policy.maxTokens()) {
        real -= sorted.get(start).length();
        start++;
      }
      if (required >= 0 && (required < start || required > end)) {
        continue;
      }
      long cost = (end - start + 1) * longest;
      double share = (double) real / Math.max(policy.maxTokens(), cost);
      if (share > best) {
        best = share;
        bestStart = start;
        bestEnd = end;
      }
    }
    return sorted.subList(bestStart, bestEnd + 1);
  }
}
