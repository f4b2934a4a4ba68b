package org.labelstream.schedule;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * The memory that records may hold between their arrival and their going out, all stages of a
 * process together, in bytes.
 *
 * <p><em>Contract.</em> What an account reserves stays below the limit together with what others
 * have, with one exception, without which stages that wait for each other would wait for ever: an
 * account that holds nothing may always reserve once.
 *
 * <p><em>Thread-safety.</em> All methods may be called from any thread.
 */
public final class InFlightBudget {

  private final long limit;

  @GuardedBy("this")
  private final Set<Account> refused = new LinkedHashSet<>();

  @GuardedBy("this")
  private long reserved;

  /**
   * @param limit in bytes
   */
  public InFlightBudget(long limit) {
    if (limit < 1) {
      throw new IllegalArgumentException(
          "the texts in flight may hold " + limit + " bytes, but need at least 1: raise the limit");
    }
    this.limit = limit;
  }

  /** The most that may be reserved, in bytes. */
  public long limit() {
    return limit;
  }

  /** How much is reserved, in bytes. */
  public synchronized long reserved() {
    return reserved;
  }

  /**
   * Opens an account.
   *
   * @param freed called, from any thread, once it may be worth it to try again what was refused
   */
  public Account open(Runnable freed) {
    return new Account(freed);
  }

  /** What one stage holds. */
  public final class Account implements AutoCloseable {
    private final Runnable freed;

    @GuardedBy("InFlightBudget.this")
    private long held;

    private Account(Runnable freed) {
      this.freed = freed;
    }

    /**
     * Reserves memory for a record, if there is enough of it.
     *
     * @param bytes at least 1
     */
    public boolean tryReserve(long bytes) {
      synchronized (InFlightBudget.this) {
        if (held > 0 && bytes > limit - reserved) {
          refused.add(this);
          return false;
        }
        refused.remove(this);
        held += bytes;
        reserved += bytes;
        return true;
      }
    }

    /** Reserves memory for a record that has been taken in already, whatever there is left. */
    public void reserve(long bytes) {
      synchronized (InFlightBudget.this) {
        held += bytes;
        reserved += bytes;
      }
    }

    /** Gives back what was reserved for a record. */
    public void release(long bytes) {
      List<Account> waiting;
      synchronized (InFlightBudget.this) {
        waiting = giveBack(bytes);
      }
      waiting.forEach(account -> account.freed.run());
    }

    /** Those that were refused, who may try again. */
    @GuardedBy("InFlightBudget.this")
    private List<Account> giveBack(long bytes) {
      held -= bytes;
      reserved -= bytes;
      List<Account> waiting = new ArrayList<>(refused);
      refused.clear();
      return waiting;
    }

    /** How much this account holds, in bytes. */
    public long held() {
      synchronized (InFlightBudget.this) {
        return held;
      }
    }

    /** Gives back all that it holds. */
    @Override
    public void close() {
      List<Account> waiting;
      synchronized (InFlightBudget.this) {
        refused.remove(this);
        waiting = giveBack(held);
      }
      waiting.forEach(account -> account.freed.run());
    }
  }
}
