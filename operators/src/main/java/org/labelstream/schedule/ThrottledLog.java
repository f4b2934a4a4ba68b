package org.labelstream.schedule;

import java.time.Duration;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.slf4j.Logger;

/**
 * Warns of what may happen to each record of a flood: with its stack trace now and then, and with
 * how often it happened in between.
 *
 * <p><em>Thread-safety.</em> All methods may be called from any thread.
 */
public final class ThrottledLog {

  private static final Duration PAUSE = Duration.ofSeconds(10);

  private final Logger log;
  private final AtomicLong next = new AtomicLong(System.nanoTime());
  private final AtomicInteger silent = new AtomicInteger();

  public ThrottledLog(Logger log) {
    this.log = log;
  }

  /**
   * Warns, or counts.
   *
   * @param message what happened; holds no text of a record
   */
  public void warn(String message, Throwable cause) {
    long due = next.get();
    long now = System.nanoTime();
    if (now - due < 0 || !next.compareAndSet(due, now + PAUSE.toNanos())) {
      silent.incrementAndGet();
      log.debug(message, cause);
      return;
    }
    int others = silent.getAndSet(0);
    log.warn(
        others == 0 ? message : message + " (" + others + " more since the last warning)", cause);
  }
}
