package org.labelstream.operator;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.labelstream.schedule.Workers;

/** Keeps all workers busy until it is closed, so that what is owed stays owed. */
final class BusyWorkers implements AutoCloseable {

  private final CountDownLatch end = new CountDownLatch(1);
  private final Workers.Lease lease;

  BusyWorkers(Workers workers) throws InterruptedException {
    CountDownLatch begun = new CountDownLatch(workers.count());
    AtomicInteger left = new AtomicInteger(workers.count());
    lease =
        workers.lease(
            new Workers.WorkSource() {
              @Override
              public Runnable poll() {
                left.decrementAndGet();
                return () -> {
                  begun.countDown();
                  try {
                    end.await();
                  } catch (InterruptedException e) {
                    throw new AssertionError(e);
                  }
                };
              }

              @Override
              public long nanosUntilReady() {
                return left.get() > 0 ? 0 : Long.MAX_VALUE;
              }
            });
    for (int i = 0; i < workers.count(); i++) {
      lease.signal();
    }
    assertThat(begun.await(60, TimeUnit.SECONDS)).isTrue();
  }

  @Override
  public void close() {
    end.countDown();
    lease.close();
  }
}
