package org.labelstream.schedule;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Work that stands back behind others': {@code Workers.lease(source, share)}. */
@Timeout(60)
class WorkersShareTest {

  /** Names of the sources whose pieces ended, in order. */
  private final List<String> ended = new ArrayList<>();

  private Workers workers;

  private void haveWorkers(int count) {
    workers = new Workers("", count);
  }

  /** A source of pieces of work that sleep, so that as many run at once as there are workers. */
  private final class Source implements Workers.WorkSource {
    final AtomicInteger left;
    final AtomicLong nanos = new AtomicLong();
    final AtomicInteger mostAtOnce = new AtomicInteger();
    private final AtomicInteger atOnce = new AtomicInteger();
    private final String name;

    Source(String name, int pieces) {
      this.name = name;
      this.left = new AtomicInteger(pieces);
    }

    @Override
    public Runnable poll() {
      left.decrementAndGet();
      return this::work;
    }

    private void work() {
      long start = System.nanoTime();
      mostAtOnce.accumulateAndGet(atOnce.incrementAndGet(), Math::max);
      try {
        Thread.sleep(2);
      } catch (InterruptedException e) {
        throw new AssertionError(e);
      }
      atOnce.decrementAndGet();
      nanos.addAndGet(System.nanoTime() - start);
      synchronized (ended) {
        ended.add(name);
        ended.notifyAll();
      }
    }

    @Override
    public long nanosUntilReady() {
      return left.get() > 0 ? 0 : Long.MAX_VALUE;
    }
  }

  /** Waits until so many pieces have ended, and returns how many there are now. */
  private int awaitEnded(int pieces) throws InterruptedException {
    synchronized (ended) {
      while (ended.size() < pieces) {
        ended.wait();
      }
      return ended.size();
    }
  }

  private void signal(Workers.Lease lease, int count) {
    for (int i = 0; i < count; i++) {
      lease.signal();
    }
  }

  private long count(String name, int from, int to) {
    synchronized (ended) {
      return ended.subList(from, to).stream().filter(name::equals).count();
    }
  }

  @ParameterizedTest
  @CsvSource({"1, 0.2", "2, 0.2", "4, 0.2", "2, 0.5"})
  void workersGiveAboutItsShareOfTheirTimeWhileOthersHaveWork(int count, double share)
      throws Exception {
    haveWorkers(count);
    Source labels = new Source("labels", 1_000_000);
    Source explanations = new Source("explanations", 1_000_000);
    try (Workers.Lease first = workers.lease(labels);
        Workers.Lease second = workers.lease(explanations, share)) {
      signal(first, count);
      signal(second, count);
      awaitEnded(600);
      long all = labels.nanos.get() + explanations.nanos.get();
      assertThat((double) explanations.nanos.get() / all)
          .as("share of the time")
          .isBetween(share / 2, share * 1.25 + 0.02);
    }
  }

  /** Two pipelines beside it leave it less, but never nothing. */
  @Test
  void workersGiveItLessThanItsShareWhereMoreOthersHaveWork() throws Exception {
    haveWorkers(2);
    Source explanations = new Source("explanations", 1_000_000);
    try (Workers.Lease first = workers.lease(new Source("one", 1_000_000));
        Workers.Lease other = workers.lease(new Source("two", 1_000_000));
        Workers.Lease second = workers.lease(explanations, 0.2)) {
      signal(first, 2);
      signal(other, 2);
      signal(second, 2);
      int all = awaitEnded(600);
      assertThat(count("explanations", 0, all)).isBetween(all / 30L, all / 5L);
    }
  }

  @ParameterizedTest
  @CsvSource({"1, 0.2, 1", "4, 0.2, 1", "4, 0.5, 2", "4, 0.9, 3", "4, 1, 4"})
  void workersThatNobodyWantsItMayHaveButForOthersToCome(int count, double share, int most)
      throws Exception {
    haveWorkers(count);
    Source explanations = new Source("explanations", 200);
    try (Workers.Lease lease = workers.lease(explanations, share)) {
      signal(lease, count);
      awaitEnded(200); // all of them, though nobody else has work
    }
    assertThat(explanations.mostAtOnce).hasValue(most);
  }

  /** A batch of gradients takes long; a label that comes meanwhile does not wait for it. */
  @Test
  void workersAreNotAllTakenWhenAnotherComes() throws Exception {
    haveWorkers(2);
    CountDownLatch labelled = new CountDownLatch(1);
    CountDownLatch begun = new CountDownLatch(1);
    AtomicInteger left = new AtomicInteger(10);
    Workers.WorkSource explanations =
        source(
            left,
            () -> {
              begun.countDown();
              labelled.await();
            });
    AtomicInteger one = new AtomicInteger();
    Workers.WorkSource labels = source(one, labelled::countDown);
    try (Workers.Lease second = workers.lease(explanations, 0.2);
        Workers.Lease first = workers.lease(labels)) {
      signal(second, 2);
      assertThat(begun.await(30, TimeUnit.SECONDS)).isTrue();
      assertThat(left).hasValue(9);
      one.set(1);
      first.signal();
      assertThat(labelled.await(30, TimeUnit.SECONDS)).isTrue();
    } finally {
      labelled.countDown();
    }
  }

  private interface Work {
    void run() throws InterruptedException;
  }

  private static Workers.WorkSource source(AtomicInteger left, Work work) {
    return new Workers.WorkSource() {
      @Override
      public Runnable poll() {
        left.decrementAndGet();
        return () -> {
          try {
            work.run();
          } catch (InterruptedException e) {
            throw new AssertionError(e);
          }
        };
      }

      @Override
      public long nanosUntilReady() {
        return left.get() > 0 ? 0 : Long.MAX_VALUE;
      }
    };
  }

  /** What it took while nobody wanted it is not held against it, nor against those who come. */
  @ParameterizedTest
  @ValueSource(ints = {1, 2})
  void workersStarveNeitherAfterItHadThemForLong(int count) throws Exception {
    haveWorkers(count);
    Source explanations = new Source("explanations", 1_000_000);
    Source labels = new Source("labels", 0);
    try (Workers.Lease second = workers.lease(explanations, 0.2);
        Workers.Lease first = workers.lease(labels)) {
      signal(second, count);
      int before = awaitEnded(150);
      labels.left.set(1_000_000);
      signal(first, count);
      awaitEnded(before + 240);
      assertThat(count("explanations", before + 20, before + 240)).isBetween(10L, 80L);
    }
  }

  /** Labels that come in bursts, as from a source that is slower than the model. */
  @Test
  void workersStarveNeitherWhereOthersComeAndGo() throws Exception {
    haveWorkers(1);
    Source explanations = new Source("explanations", 1_000_000);
    Source labels = new Source("labels", 0);
    try (Workers.Lease second = workers.lease(explanations, 0.2);
        Workers.Lease first = workers.lease(labels)) {
      second.signal();
      for (int burst = 1; burst <= 20; burst++) {
        int before = awaitEnded(1);
        labels.left.set(8);
        first.signal();
        int now = before;
        while (count("labels", 0, now) < 8L * burst) {
          now = awaitEnded(now + 1);
        }
        // One that runs when the burst comes, and its share of the time of eight labels.
        assertThat(now - before).as("pieces until burst %d was done", burst).isLessThan(8 + 7);
        awaitEnded(now + 5); // nobody else wants the worker now
      }
    }
  }
}
