package org.labelstream.operator;

import java.util.concurrent.Executor;
import java.util.function.Consumer;
import org.labelstream.engine.EngineRuntime;
import org.labelstream.schedule.TaskGroup;

/**
 * Makes records ready for their model on threads for that, so that the task's own thread takes in
 * others, and lets results and checkpoints through.
 *
 * <p><em>Thread-safety.</em> All methods may be called from any thread.
 */
final class Preparation implements AutoCloseable {

  /** A value that is longer, in bytes, is read beside the others, so that they need not wait. */
  static final int LONG_VALUE = 16 << 10;

  private final TaskGroup tasks = new TaskGroup();
  private final StageMetrics metrics;
  private final Consumer<Throwable> onFailure;

  /**
   * @param onFailure told of what no record is to blame for
   */
  Preparation(StageMetrics metrics, Consumer<Throwable> onFailure) {
    this.metrics = metrics;
    this.onFailure = onFailure;
  }

  /** The threads that read and tokenize a value of so many bytes. */
  static Executor threads(EngineRuntime runtime, long length) {
    return length > LONG_VALUE ? runtime.documents() : runtime.texts();
  }

  /**
   * @param task throws nothing but what is fatal
   */
  void execute(Executor threads, Runnable task) {
    tasks.execute(
        threads,
        () -> {
          long start = System.nanoTime();
          try {
            task.run();
          } catch (RuntimeException | Error e) {
            onFailure.accept(e);
          }
          metrics.prepared(System.nanoTime() - start);
        });
  }

  /** Begins no more, and waits until none is under way. */
  @Override
  public void close() {
    tasks.close();
  }
}
