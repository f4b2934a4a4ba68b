package org.labelstream.schedule;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The threads that run models on a device: a fixed number, shared fairly by all jobs, pipelines and
 * slots of this process.
 *
 * <p>Four pipelines on two cores must not become sixteen threads: more threads than cores cost
 * throughput, and libtorch's memory grows with every thread that ever called it. So the threads
 * belong to the device, and not to a task. Each lease offers its work through a {@link WorkSource};
 * a free worker takes from the source that has had the least time so far, and sleeps when none has
 * work. The first lease starts the threads, the last one ends them.
 *
 * <p><em>Thread-safety.</em> All methods may be called from any thread.
 */
public final class Workers {

  /**
   * Where workers get their work. Called under no lock of its caller but the workers' own; must not
   * block.
   */
  public interface WorkSource {

    /** The next piece of work, or null when there is none now. */
    @Nullable Runnable poll();

    /**
     * How long until {@link #poll} has work, in nanoseconds; {@link Long#MAX_VALUE} while nothing
     * waits.
     */
    long nanosUntilReady();

    /**
     * Told, under no lock, when one of the other methods threw, after which the source is not asked
     * again, or when a piece of its work did.
     */
    default void failed(Throwable cause) {}
  }

  private static final Logger LOG = LoggerFactory.getLogger(Workers.class);

  private final ReentrantLock lock = new ReentrantLock();
  private final Condition workArrived = lock.newCondition();
  private final Condition workEnded = lock.newCondition();
  private final List<Lease> leases = new ArrayList<>();
  private final String name;
  private final int count;
  private @Nullable Crew crew;

  /**
   * The time that a source has had which is served now. One that comes, or comes back from being
   * idle, starts level with it, else it would have the workers to itself until it had caught up.
   */
  private long level;

  /** When a piece of work has ended last, of any lease. */
  private volatile long lastEnded = System.nanoTime();

  /**
   * @param name a part of the threads' names
   * @param count how many threads there are while there is a lease
   */
  public Workers(String name, int count) {
    this.name = name;
    this.count = Math.max(1, count);
  }

  /** The threads from a first lease to the last one. */
  private final class Crew {
    final ScheduledThreadPoolExecutor clock =
        new ScheduledThreadPoolExecutor(1, task -> Threads.daemon("labelstream-clock", task));
    int hired;
    boolean dismissed;

    Crew() {
      clock.setRemoveOnCancelPolicy(true);
      for (int i = 0; i < count; i++) {
        hire();
      }
    }

    void hire() {
      Threads.daemon("labelstream-worker-" + name + hired++, () -> work(this)).start();
    }
  }

  /** How many workers there are while there is a lease. */
  public int count() {
    return count;
  }

  /** Offers a source's work to the workers. */
  public Lease lease(WorkSource source) {
    return lease(source, 1);
  }

  /**
   * As {@link #lease(WorkSource)}, for work that stands back behind others': while these have any
   * it gets at most {@code share} of the time, and never more than that share of the workers at
   * once (but one), so that one of them is soon free for the others. What nobody wants it may have.
   *
   * @param share above 0; 1 for work like any other
   */
  public Lease lease(WorkSource source, double share) {
    lock.lock();
    try {
      if (crew == null) {
        crew = new Crew();
      }
      Lease lease = new Lease(crew, source, share, Math.max(1, (int) (share * count)));
      leases.add(lease);
      return lease;
    } finally {
      lock.unlock();
    }
  }

  private void work(Crew ours) {
    while (runNext(ours)) {
      // Nothing of a piece of work is kept while its worker waits for the next.
    }
  }

  /** Runs a piece of work, once there is one; false when the worker is to end. */
  private boolean runNext(Crew ours) {
    Assignment next = await(ours);
    if (next == null) {
      return false;
    }
    long start = System.nanoTime();
    try {
      next.work().run();
    } catch (Throwable e) {
      LOG.error("A piece of work threw, which it must not. This is a bug.", e);
      tell(next.lease(), e);
    }
    // Where its lease has given it up, another thread has taken this one's place.
    return ended(next.lease(), System.nanoTime() - start);
  }

  private static void tell(Lease lease, Throwable cause) {
    try {
      lease.source.failed(cause);
    } catch (Throwable e) {
      LOG.error("A source could not take that it has failed. This is a bug.", e);
    }
  }

  private record Assignment(Lease lease, Runnable work) {}

  /** The next piece of work, once there is one; null when the workers are to stop. */
  private @Nullable Assignment await(Crew ours) {
    lock.lock();
    try {
      while (!ours.dismissed) {
        long wait = Long.MAX_VALUE;
        Lease chosen = null;
        for (Lease lease : leases) {
          if (lease.running >= lease.mostAtOnce || lease.closed) {
            continue; // it is asked again when one of its pieces has ended
          }
          long ready;
          try {
            ready = lease.source.nanosUntilReady();
          } catch (Throwable e) {
            return assign(lease, broken(lease, e));
          }
          if (ready > 0) {
            wait = Math.min(wait, ready);
            lease.idle = true;
            continue;
          }
          if (lease.idle) {
            lease.busyNanos = Math.max(lease.busyNanos, level);
            lease.idle = false;
          }
          if (chosen == null || lease.busyNanos < chosen.busyNanos) {
            chosen = lease;
          }
        }
        if (chosen == null) {
          sleep(wait);
          continue;
        }
        Runnable work;
        try {
          work = chosen.source.poll();
        } catch (Throwable e) {
          work = broken(chosen, e);
        }
        if (work != null) {
          return assign(chosen, work);
        }
      }
      return null;
    } finally {
      lock.unlock();
    }
  }

  private Assignment assign(Lease lease, Runnable work) {
    level = Math.max(level, lease.busyNanos);
    lease.running++;
    workArrived.signal(); // there may be work for another too
    return new Assignment(lease, work);
  }

  /** A source that threw must not take a worker with it, nor be asked for ever. */
  private static Runnable broken(Lease lease, Throwable cause) {
    lease.closed = true;
    return () -> tell(lease, cause);
  }

  // The loop that Error Prone misses is the caller's, which looks again at what there is to do.
  @SuppressWarnings("WaitNotInLoop")
  private void sleep(long nanos) {
    try {
      if (nanos == Long.MAX_VALUE) {
        workArrived.await();
      } else {
        workArrived.awaitNanos(nanos);
      }
    } catch (InterruptedException e) {
      // Nobody interrupts a worker to end it; the loop looks at what there is to do.
    }
  }

  /** False when the lease does not wait for its work any more. */
  private boolean ended(Lease lease, long nanos) {
    lock.lock();
    try {
      if (lease.abandoned) {
        return false;
      }
      // Against one other source that always has work, this charge gives the share.
      lease.busyNanos += lease.share < 1 ? (long) (nanos * (1 - lease.share) / lease.share) : nanos;
      lease.running--;
      lastEnded = System.nanoTime();
      workEnded.signalAll();
      return true;
    } finally {
      lock.unlock();
    }
  }

  /** A source's place among those that the workers serve. */
  public final class Lease implements AutoCloseable {
    private final Crew crew;
    private final WorkSource source;
    private long busyNanos;
    private boolean idle = true;
    private int running;
    private boolean closed;
    private boolean abandoned;
    private final double share;
    private final int mostAtOnce;

    private Lease(Crew crew, WorkSource source, double share, int mostAtOnce) {
      this.crew = crew;
      this.source = source;
      this.share = share;
      this.mostAtOnce = mostAtOnce;
    }

    /** Tells the workers that the source has new work. */
    public void signal() {
      lock.lock();
      try {
        workArrived.signal();
      } finally {
        lock.unlock();
      }
    }

    /** How long ago a piece of anybody's work has ended, in nanoseconds. */
    public long nanosSinceWorkEnded() {
      return System.nanoTime() - lastEnded;
    }

    /** Runs a short task later, on a thread of its own, unless it is cancelled before. */
    public Future<?> schedule(Runnable task, Duration delay) {
      return crew.clock.schedule(task, delay.toNanos(), TimeUnit.NANOSECONDS);
    }

    /**
     * Takes no more work from the source and waits, uninterruptibly, until none of it runs any
     * more.
     */
    @Override
    public void close() {
      close(Duration.ofNanos(Long.MAX_VALUE / 2));
    }

    /**
     * Takes no more work from the source and waits, uninterruptibly, until none of it runs any
     * more, or gives up those calls that do not end: other threads take the place of theirs.
     *
     * @param patience how long to wait
     * @return whether nothing runs any more; if something does, what it uses must never be freed
     */
    public boolean close(Duration patience) {
      lock.lock();
      try {
        closed = true;
        long left = patience.toNanos();
        while (running > 0 && left > 0) {
          left = awaitEnd(left);
        }
        if (running > 0) {
          abandoned = true;
          LOG.error(
              "{} call(s) of a model have not returned within {} s: they are given up, and what the model holds is not freed",
              running,
              patience.toSeconds());
          for (int i = 0; i < running; i++) {
            crew.hire();
          }
          running = 0;
        }
        if (leases.remove(this) && leases.isEmpty()) {
          crew.dismissed = true;
          crew.clock.shutdownNow();
          Workers.this.crew = null;
          workArrived.signalAll();
        }
        return !abandoned;
      } finally {
        lock.unlock();
      }
    }

    @SuppressWarnings("WaitNotInLoop") // the loop is the caller's
    private long awaitEnd(long nanos) {
      boolean interrupted = false;
      long end = System.nanoTime() + nanos;
      try {
        while (true) {
          try {
            return workEnded.awaitNanos(end - System.nanoTime());
          } catch (InterruptedException e) {
            interrupted = true;
          }
        }
      } finally {
        if (interrupted) {
          Thread.currentThread().interrupt();
        }
      }
    }
  }
}
