package org.labelstream.schedule;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;
import org.slf4j.LoggerFactory;

/**
 * A record in flight: it is answered once, and knows how long the model has worked on it.
 *
 * <p><em>Contract.</em> Each method that answers does so whatever the plan or the answer throws,
 * except where Java has no memory left, or two answers in a row throw: this they throw in turn, and
 * the stage has failed.
 *
 * <p><em>Thread-safety.</em> All methods may be called from any thread; {@code goOn} once for each
 * round of rows.
 */
final class Request {

  private static final ThrottledLog LOG = new ThrottledLog(LoggerFactory.getLogger(Request.class));

  private final Plan plan;
  private final Lane.Answer answer;
  private final long submitted = System.nanoTime();
  private final AtomicInteger open = new AtomicInteger();
  private final AtomicBoolean answered = new AtomicBoolean();

  @GuardedBy("this")
  private long chargedNanos;

  @GuardedBy("this")
  private long chargedUntil = submitted;

  Request(Plan plan, Lane.Answer answer) {
    this.plan = plan;
    this.answer = answer;
  }

  boolean isAnswered() {
    return answered.get();
  }

  /** How long ago it was submitted, in nanoseconds. */
  long age() {
    return System.nanoTime() - submitted;
  }

  /** The rows to begin with. */
  List<? extends Row> begin() {
    List<? extends Row> rows = plan.rows();
    open.set(rows.size());
    return rows.isEmpty() ? goOn() : rows;
  }

  /** Tells that one of its rows is done; true when it was the last of them. */
  boolean rowDone() {
    return open.decrementAndGet() == 0;
  }

  /**
   * Once all rows are done: the rows that follow. Where there are none it is answered.
   *
   * @return more rows, or none when it was answered
   */
  List<? extends Row> goOn() {
    List<? extends Row> next;
    try {
      next = plan.next();
    } catch (RejectedRecordException e) {
      reject(e.letter());
      return List.of();
    } catch (RuntimeException | Error e) {
      Faults.rethrowFatal(e);
      LOG.warn("A record could not go on", e);
      fail(e);
      return List.of();
    }
    open.set(next.size());
    if (next.isEmpty()) {
      join();
    }
    return next;
  }

  private void join() {
    if (!answered.compareAndSet(false, true)) {
      return;
    }
    try {
      answer.predicted(plan.join());
    } catch (RejectedRecordException e) {
      answer.rejected(e.letter());
    } catch (RuntimeException | Error e) {
      Faults.rethrowFatal(e);
      LOG.warn("A result could not be read", e);
      answer.rejected(letter(e));
    }
  }

  /** Answers with a dead letter, unless it has been answered. */
  void reject(DeadLetter letter) {
    if (!answered.compareAndSet(false, true)) {
      return;
    }
    try {
      answer.rejected(letter);
    } catch (RuntimeException | Error e) {
      Faults.rethrowFatal(e);
      LOG.warn("A record could not be rejected", e);
      answer.rejected(letter(e));
    }
  }

  /** Answers that the model failed on it. */
  void fail(Throwable cause) {
    reject(letter(cause));
  }

  /** Answers that it took too long. */
  void timeOut(String message) {
    reject(new DeadLetter(ErrorCode.TIMEOUT, Stage.INFERENCE, message));
  }

  private static DeadLetter letter(Throwable e) {
    return new DeadLetter(
        ErrorCode.INFERENCE_FAILED,
        Stage.INFERENCE,
        "the model failed on this record ("
            + e.getMessage()
            + "): try the text with scripts/label.sh, and see the TaskManager's log");
  }

  /**
   * Charges the time of a batch. What runs side by side counts once.
   *
   * @param start when the batch began, by {@link System#nanoTime}
   * @param end when it ended
   * @param share the part of the batch that is this record's, at most 1
   */
  synchronized void charge(long start, long end, double share) {
    long from = chargedUntil - start > 0 ? chargedUntil : start;
    if (end - from > 0) {
      chargedNanos += (long) (share * (end - from));
      chargedUntil = end;
    }
  }

  /** How much longer the model may work on it, in nanoseconds, at least 0. */
  synchronized long nanosLeft(Duration timeout) {
    return Math.max(0, timeout.toNanos() - chargedNanos);
  }
}
