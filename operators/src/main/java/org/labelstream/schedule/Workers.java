package org.labelstream.schedule;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The threads that run models: a fixed number, one per core, shared fairly by all pipelines and
 * slots of a job in this JVM.
 *
 * <p>Four pipelines on two cores must not become sixteen threads: more threads than cores cost
 * throughput, and libtorch's memory grows with every thread that ever called it. So the threads
 * belong to this class, which each job's class loader has once, and not to a task. Each lease
 * offers its work through a {@link WorkSource}; a free worker takes from the source that has had
 * the least time so far, and sleeps when none has work.
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
    Runnable poll();

    /**
     * How long until {@link #poll} has work, in nanoseconds; {@link Long#MAX_VALUE} while nothing
     * waits.
     */
    long nanosUntilReady();
  }

  private static final Logger LOG = LoggerFactory.getLogger(Workers.class);

  private static Workers instance;

  private final ReentrantLock lock = new ReentrantLock();
  private final Condition workArrived = lock.newCondition();
  private final Condition workEnded = lock.newCondition();
  private final List<Lease> leases = new ArrayList<>();
  private final ScheduledThreadPoolExecutor clock;
  private final int count;
  private boolean stopping;

  /**
   * The time that a source has had which is served now. One that comes, or comes back from being
   * idle, starts level with it, else it would have the workers to itself until it had caught up.
   */
  private long level;

  private Workers(int count) {
    this.count = count;
    clock = new ScheduledThreadPoolExecutor(1, Workers::clockThread);
    clock.setRemoveOnCancelPolicy(true);
    for (int i = 0; i < count; i++) {
      Thread thread = new Thread(this::work, "labelstream-worker-" + i);
      thread.setDaemon(true);
      // A worker outlives the task that happened to start it, so it must not keep that task's class
      // loader by its context.
      thread.setContextClassLoader(Workers.class.getClassLoader());
      thread.start();
    }
  }

  private static Thread clockThread(Runnable task) {
    Thread thread = Executors.defaultThreadFactory().newThread(task);
    thread.setName("labelstream-clock");
    thread.setDaemon(true);
    thread.setContextClassLoader(Workers.class.getClassLoader());
    return thread;
  }

  /**
   * Offers a source's work to the workers of this JVM, which the first lease starts and the last
   * one ends. The system property {@code labelstream.workers} sets their number; the default is the
   * number of cores.
   */
  public static Lease lease(WorkSource source) {
    return lease(source, 1);
  }

  /**
   * As {@link #lease(WorkSource)}, for work that stands back behind others': while these have any
   * it gets at most {@code share} of the time, and never more than that share of the workers at
   * once (but one), so that one of them is soon free for the others. What nobody wants it may have.
   *
   * @param share above 0; 1 for work like any other
   */
  public static Lease lease(WorkSource source, double share) {
    synchronized (Workers.class) {
      if (instance == null) {
        int count =
            Integer.getInteger("labelstream.workers", Runtime.getRuntime().availableProcessors());
        instance = new Workers(Math.max(1, count));
      }
      return instance.add(source, share);
    }
  }

  private static void giveBack(Lease lease) {
    // Before the lock that other leases need: it takes as long as a forward pass.
    lease.workers().drain(lease);
    synchronized (Workers.class) {
      lease.workers().remove(lease);
    }
  }

  private void drain(Lease lease) {
    lock.lock();
    try {
      lease.closed = true;
      while (lease.running > 0) {
        workEnded.awaitUninterruptibly();
      }
    } finally {
      lock.unlock();
    }
  }

  private void remove(Lease lease) {
    lock.lock();
    try {
      if (leases.remove(lease) && leases.isEmpty()) {
        stopping = true;
        clock.shutdownNow();
        workArrived.signalAll();
        instance = null;
      }
    } finally {
      lock.unlock();
    }
  }

  private Lease add(WorkSource source, double share) {
    lock.lock();
    try {
      Lease lease = new Lease(source, share, Math.max(1, (int) (share * count)));
      leases.add(lease);
      return lease;
    } finally {
      lock.unlock();
    }
  }

  private void work() {
    for (Assignment next = await(); next != null; next = await()) {
      long start = System.nanoTime();
      try {
        next.work().run();
      } catch (Throwable e) {
        LOG.error("A piece of work threw, which it must not. This is a bug.", e);
      } finally {
        ended(next.lease(), System.nanoTime() - start);
      }
    }
  }

  private record Assignment(Lease lease, Runnable work) {}

  /** The next piece of work, once there is one; null when the workers are to stop. */
  private Assignment await() {
    lock.lock();
    try {
      while (!stopping) {
        long wait = Long.MAX_VALUE;
        Lease chosen = null;
        for (Lease lease : leases) {
          if (lease.running >= lease.mostAtOnce) {
            continue; // it is asked again when one of its pieces has ended
          }
          long ready = lease.closed ? Long.MAX_VALUE : lease.source.nanosUntilReady();
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
        Runnable work = chosen.source.poll();
        if (work != null) {
          level = Math.max(level, chosen.busyNanos);
          chosen.running++;
          workArrived.signal(); // there may be work for another too
          return new Assignment(chosen, work);
        }
      }
      return null;
    } finally {
      lock.unlock();
    }
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

  private void ended(Lease lease, long nanos) {
    lock.lock();
    try {
      // Against one other source that always has work, this charge gives the share.
      lease.busyNanos += lease.share < 1 ? (long) (nanos * (1 - lease.share) / lease.share) : nanos;
      lease.running--;
      workEnded.signalAll();
    } finally {
      lock.unlock();
    }
  }

  /** A source's place among those that the workers serve. */
  public final class Lease implements AutoCloseable {
    private final WorkSource source;
    private long busyNanos;
    private boolean idle = true;
    private int running;
    private boolean closed;
    private final double share;
    private final int mostAtOnce;

    private Lease(WorkSource source, double share, int mostAtOnce) {
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

    /** Runs a short task later, on a thread of its own, unless it is cancelled before. */
    public Future<?> schedule(Runnable task, Duration delay) {
      return clock.schedule(task, delay.toNanos(), TimeUnit.NANOSECONDS);
    }

    private Workers workers() {
      return Workers.this;
    }

    /**
     * Takes no more work from the source and waits, uninterruptibly, until none of it runs any
     * more.
     */
    @Override
    public void close() {
      giveBack(this);
    }
  }
}
