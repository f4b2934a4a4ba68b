package org.labelstream.schedule;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.IntBinaryOperator;
import java.util.function.LongSupplier;
import java.util.function.ToIntFunction;

/**
 * Waiting rows, and the choice of those that run together next.
 *
 * <p>Records take turns. The rows of a record stand in one line; of each line the first row is
 * looked at, then of each the second, until there are as many as the look-ahead says. A record that
 * was served goes behind all others, so that a text of ten tokens does not wait for the two
 * thousand windows of a document that came before it.
 *
 * <p>A batch is a rectangle: it costs as many tokens as it has rows times its width, which is the
 * length of its longest row or a little more, whether they are real or padding, and beside that
 * what any batch costs however small it is (an {@link BatchPolicy#overhead overhead}). So rows of
 * like length belong together. {@link #poll} sorts the rows that it looks at by length and takes,
 * of all runs of neighbours that fit into the token budget, the one that costs least for each real
 * token. The record whose turn it is may be passed over for the sake of that a few times, and no
 * longer than {@code max-age}; then one of its rows must be in the next batch.
 *
 * <p><em>Contract.</em> Work-conserving: while a row waits, {@code poll} gives a batch; only {@code
 * linger}, if asked for, holds an unfilled one back. Every row that was added is given out once.
 *
 * <p><em>Thread-safety.</em> All methods may be called from any thread.
 */
public final class Batcher<R> {

  /** How many batches in a row may leave out the record whose turn it is. */
  private static final int MAX_PASSES = 3;

  /** The rows of a record that wait. */
  private static final class Line<R> {
    final Deque<Waiting<R>> rows = new ArrayDeque<>();
    final long arrived;
    long lastServed;
    int passes;

    Line(long now) {
      arrived = now;
      lastServed = now;
    }
  }

  private static final class Waiting<R> {
    final R row;
    final int length;
    final Line<R> line;

    Waiting(R row, int length, Line<R> line) {
      this.row = row;
      this.length = length;
      this.line = line;
    }
  }

  private final BatchPolicy policy;
  private final ToIntFunction<R> lengthOf;
  private final IntBinaryOperator width;
  private final LongSupplier nanoClock;

  private final Object lock = new Object();

  /** Those that have not been served for longest come first. */
  @GuardedBy("lock")
  private final Deque<Line<R>> lines = new ArrayDeque<>();

  @GuardedBy("lock")
  private int size;

  /**
   * @param lengthOf the length of a row, in tokens; at least 1
   * @param nanoClock the time, in nanoseconds from any fixed point
   */
  public Batcher(BatchPolicy policy, ToIntFunction<R> lengthOf, LongSupplier nanoClock) {
    this(policy, lengthOf, (rows, longest) -> longest, nanoClock);
  }

  /**
   * @param lengthOf the length of a row, in tokens; at least 1
   * @param width how wide a batch of so many rows is whose longest has so many tokens, in tokens;
   *     at least these
   * @param nanoClock the time, in nanoseconds from any fixed point
   */
  public Batcher(
      BatchPolicy policy,
      ToIntFunction<R> lengthOf,
      IntBinaryOperator width,
      LongSupplier nanoClock) {
    this.policy = policy;
    this.lengthOf = lengthOf;
    this.width = width;
    this.nanoClock = nanoClock;
  }

  /** Adds the only row of a record to those that wait. */
  public void add(R row) {
    addRecord(List.of(row));
  }

  /** Adds the rows of one record, all of them before any of them is given out. */
  public void addRecord(List<R> rows) {
    synchronized (lock) {
      addLine(rows);
    }
  }

  /** Adds rows of a record each, all of them before any of them is given out. */
  public void addAll(List<R> rows) {
    synchronized (lock) {
      rows.forEach(row -> addLine(List.of(row)));
    }
  }

  @GuardedBy("lock")
  private void addLine(List<R> rows) {
    if (rows.isEmpty()) {
      return;
    }
    Line<R> line = new Line<>(nanoClock.getAsLong());
    for (R row : rows) {
      line.rows.addLast(new Waiting<>(row, Math.max(1, lengthOf.applyAsInt(row)), line));
    }
    lines.addLast(line);
    size += rows.size();
  }

  /** The rows of the next batch, or an empty list when there is none to run now. */
  public List<R> poll() {
    synchronized (lock) {
      if (nanosUntilReady() > 0) {
        return List.of();
      }
      long now = nanoClock.getAsLong();
      Line<R> first = lines.peekFirst();
      Waiting<R> next = first.rows.peekFirst();
      boolean due =
          first.passes >= MAX_PASSES || now - first.lastServed >= policy.maxAge().toNanos();
      List<Line<R>> inView = new ArrayList<>();
      List<Waiting<R>> window = takeWindow(inView);
      List<Waiting<R>> sorted = new ArrayList<>(window);
      sorted.sort(Comparator.comparingInt(entry -> entry.length));
      List<Waiting<R>> run = cheapestRun(sorted, due ? sorted.indexOf(next) : -1);
      putBack(run, window, inView, now);
      size -= run.size();
      List<R> batch = new ArrayList<>(run.size());
      for (Waiting<R> entry : run) {
        batch.add(entry.row);
      }
      return batch;
    }
  }

  /**
   * How long until {@link #poll} gives a batch, in nanoseconds: 0 for now, {@link Long#MAX_VALUE}
   * while nothing waits. Adding a row may shorten it.
   */
  public long nanosUntilReady() {
    synchronized (lock) {
      if (lines.isEmpty()) {
        return Long.MAX_VALUE;
      }
      long linger = policy.linger().toNanos();
      if (linger == 0 || windowFillsBatch()) {
        return 0;
      }
      return Math.max(0, lines.peekFirst().arrived + linger - nanoClock.getAsLong());
    }
  }

  /** Forgets all that wait. */
  public void clear() {
    synchronized (lock) {
      lines.clear();
      size = 0;
    }
  }

  /** How many rows wait. */
  public int size() {
    synchronized (lock) {
      return size;
    }
  }

  /** How long the record has waited whose turn it is, in nanoseconds; 0 where none waits. */
  public long nanosWaited() {
    synchronized (lock) {
      return lines.isEmpty() ? 0 : nanoClock.getAsLong() - lines.peekFirst().lastServed;
    }
  }

  @GuardedBy("lock")
  private boolean windowFillsBatch() {
    long tokens = 0;
    int seen = 0;
    for (Line<R> line : lines) {
      for (Waiting<R> entry : line.rows) {
        tokens += entry.length;
        if (tokens >= policy.maxTokens() || ++seen == policy.lookAhead()) {
          return true;
        }
      }
    }
    return false;
  }

  /**
   * Takes the rows out that are looked at.
   *
   * @param inView the lines that they are from, which are taken out too; filled here
   */
  @GuardedBy("lock")
  private List<Waiting<R>> takeWindow(List<Line<R>> inView) {
    while (inView.size() < policy.lookAhead() && !lines.isEmpty()) {
      inView.add(lines.pollFirst());
    }
    List<Waiting<R>> window = new ArrayList<>();
    for (boolean more = true; more; ) {
      more = false;
      for (Line<R> line : inView) {
        if (window.size() == policy.lookAhead()) {
          return window;
        }
        Waiting<R> entry = line.rows.pollFirst();
        if (entry != null) {
          window.add(entry);
          more = true;
        }
      }
    }
    return window;
  }

  /** Puts back what is not in the run: lines that were served behind all others. */
  @GuardedBy("lock")
  private void putBack(
      List<Waiting<R>> run, List<Waiting<R>> window, List<Line<R>> inView, long now) {
    Set<Waiting<R>> taken = new HashSet<>(run);
    for (int i = window.size() - 1; i >= 0; i--) {
      Waiting<R> entry = window.get(i);
      if (!taken.contains(entry)) {
        entry.line.rows.addFirst(entry);
      }
    }
    Set<Line<R>> served = new HashSet<>();
    run.forEach(entry -> served.add(entry.line));
    if (!served.contains(inView.get(0))) {
      inView.get(0).passes++;
    }
    for (int i = inView.size() - 1; i >= 0; i--) {
      if (!served.contains(inView.get(i))) {
        lines.addFirst(inView.get(i));
      }
    }
    for (Line<R> line : inView) {
      if (served.contains(line)) {
        line.passes = 0;
        line.lastServed = now;
        if (!line.rows.isEmpty()) {
          lines.addLast(line);
        }
      }
    }
  }

  /**
   * The run of neighbours that costs least for each of its real tokens.
   *
   * @param sorted rows by ascending length
   * @param required the index of a row that the run must hold, or -1
   */
  private List<Waiting<R>> cheapestRun(List<Waiting<R>> sorted, int required) {
    long[] tokensBefore = new long[sorted.size() + 1];
    for (int i = 0; i < sorted.size(); i++) {
      tokensBefore[i + 1] = tokensBefore[i] + sorted.get(i).length;
    }
    double overhead = policy.overhead();
    double best = Double.POSITIVE_INFINITY;
    int bestStart = 0;
    int bestEnd = 0;
    int first = 0;
    for (int end = Math.max(0, required); end < sorted.size(); end++) {
      int longest = sorted.get(end).length;
      while (first < end && (end - first + 1L) * longest > policy.maxTokens()) {
        first++;
      }
      if (required >= 0 && required < first) {
        break;
      }
      int last = required >= 0 ? required : end;
      for (int start = first; start <= last; start++) {
        int rows = end - start + 1;
        long padded = (long) rows * width.applyAsInt(rows, longest);
        if (padded > policy.maxTokens() && rows > 1) {
          continue;
        }
        double perToken = (padded + overhead) / (tokensBefore[end + 1] - tokensBefore[start]);
        if (perToken < best) {
          best = perToken;
          bestStart = start;
          bestEnd = end;
        }
      }
    }
    return sorted.subList(bestStart, bestEnd + 1);
  }
}
