package org.labelstream.schedule;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import java.util.concurrent.Executor;

/**
 * Short tasks of one owner on threads that it shares with others, so that it can wait for them
 * before it frees what they use.
 *
 * <p><em>Thread-safety.</em> All methods may be called from any thread.
 */
public final class TaskGroup implements AutoCloseable {

  @GuardedBy("this")
  private int unfinished;

  @GuardedBy("this")
  private boolean closed;

  /**
   * Runs a task, unless the group was closed before its turn came.
   *
   * @param executor where it runs; that may be at once, on the caller's thread
   */
  public void execute(Executor executor, Runnable task) {
    synchronized (this) {
      if (closed) {
        return;
      }
      unfinished++;
    }
    Unfinished unfinishedTask = new Unfinished(task);
    try {
      executor.execute(unfinishedTask);
    } catch (RuntimeException | Error e) {
      if (!unfinishedTask.begun) { // one that ran on this thread has counted itself
        finished();
      }
      throw e;
    }
  }

  private final class Unfinished implements Runnable {
    private final Runnable task;
    private volatile boolean begun;

    Unfinished(Runnable task) {
      this.task = task;
    }

    @Override
    public void run() {
      begun = true;
      try {
        boolean go;
        synchronized (TaskGroup.this) {
          go = !closed;
        }
        if (go) {
          task.run();
        }
      } finally {
        finished();
      }
    }
  }

  private synchronized void finished() {
    unfinished--;
    notifyAll();
  }

  /** Starts no more tasks, and waits until none runs any more. */
  @Override
  public synchronized void close() {
    closed = true;
    boolean interrupted = false;
    while (unfinished > 0) {
      try {
        wait();
      } catch (InterruptedException e) {
        interrupted = true; // what they use is freed next, so they must have ended
      }
    }
    if (interrupted) {
      Thread.currentThread().interrupt();
    }
  }
}
