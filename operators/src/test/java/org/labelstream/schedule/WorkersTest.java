package org.labelstream.schedule;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
class WorkersTest {

  /** Who ran, in order; written by the one worker. */
  private final List<String> ran = new ArrayList<>();

  private final Workers workers = new Workers("", 1);

  /** A source of pieces of work that take about a millisecond each. */
  private final class Source implements Workers.WorkSource {
    final AtomicInteger left = new AtomicInteger();
    private final String name;
    private final Runnable also;

    Source(String name, Runnable also) {
      this.name = name;
      this.also = also;
    }

    @Override
    public Runnable poll() {
      left.decrementAndGet();
      return () -> {
        ran.add(name);
        also.run();
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(1);
        while (System.nanoTime() < end) {
          Thread.onSpinWait();
        }
      };
    }

    @Override
    public long nanosUntilReady() {
      return left.get() > 0 ? 0 : Long.MAX_VALUE;
    }
  }

  private long count(String name, int from, int to) {
    return ran.subList(from, to).stream().filter(name::equals).count();
  }

  @Test
  void shareTheirTimeFairlyWithASourceThatWasIdleForLong() throws Exception {
    CountDownLatch done = new CountDownLatch(240);
    Source idle = new Source("idle", done::countDown);
    Source busy =
        new Source(
            "busy",
            () -> {
              done.countDown();
              if (done.getCount() == 140) { // after 100 pieces of its own
                idle.left.set(70);
              }
            });
    try (Workers.Lease first = workers.lease(busy);
        Workers.Lease second = workers.lease(idle)) {
      busy.left.set(170);
      first.signal();
      assertThat(done.await(30, TimeUnit.SECONDS)).isTrue();
      second.signal();
    }
    assertThat(count("idle", 0, 100)).isZero();
    assertThat(count("busy", 100, 160)).isBetween(15L, 45L);
  }

  @Test
  void shareTheirTimeFairlyWithANewcomer() throws Exception {
    CountDownLatch warm = new CountDownLatch(60);
    CountDownLatch done = new CountDownLatch(120);
    Source busy =
        new Source(
            "busy",
            () -> {
              warm.countDown();
              done.countDown();
            });
    Source newcomer = new Source("newcomer", done::countDown);
    busy.left.set(100_000);
    newcomer.left.set(100_000);
    try (Workers.Lease first = workers.lease(busy)) {
      first.signal();
      assertThat(warm.await(30, TimeUnit.SECONDS)).isTrue();
      try (Workers.Lease second = workers.lease(newcomer)) {
        second.signal();
        done.await(30, TimeUnit.SECONDS);
      }
    }
    int start = ran.indexOf("newcomer");
    assertThat(start).isGreaterThanOrEqualTo(60);
    int end = Math.min(ran.lastIndexOf("newcomer"), start + 40);
    assertThat(count("busy", start, end)).isGreaterThanOrEqualTo((end - start) / 4);
  }

  @Test
  void outliveAPieceOfWorkThatThrows() throws Exception {
    CountDownLatch done = new CountDownLatch(2);
    Source source =
        new Source(
            "throwing",
            () -> {
              done.countDown();
              throw new AssertionError("must not, but did");
            });
    source.left.set(2);
    try (Workers.Lease lease = workers.lease(source)) {
      lease.signal();
      assertThat(done.await(30, TimeUnit.SECONDS)).isTrue();
    }
  }

  /** A source whose first call of one of its methods throws. */
  private static final class Broken implements Workers.WorkSource {
    final CompletableFuture<Throwable> told = new CompletableFuture<>();
    private final boolean inPoll;

    Broken(boolean inPoll) {
      this.inPoll = inPoll;
    }

    @Override
    public Runnable poll() {
      throw new OutOfMemoryError("Java heap space");
    }

    @Override
    public long nanosUntilReady() {
      if (inPoll) {
        return 0;
      }
      throw new IllegalStateException("a bug");
    }

    @Override
    public void failed(Throwable cause) {
      told.complete(cause);
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void outliveASourceThatThrowsWhichIsTold(boolean inPoll) throws Exception {
    Broken broken = new Broken(inPoll);
    CountDownLatch done = new CountDownLatch(3);
    Source healthy = new Source("healthy", done::countDown);
    healthy.left.set(3);
    try (Workers.Lease first = workers.lease(broken);
        Workers.Lease second = workers.lease(healthy)) {
      first.signal();
      assertThat(broken.told.get(30, TimeUnit.SECONDS)).isNotNull();
      second.signal();
      assertThat(done.await(30, TimeUnit.SECONDS)).isTrue();
    }
  }

  @Test
  void giveUpACallThatDoesNotReturnAndGoOnWithAnother() throws Exception {
    CountDownLatch started = new CountDownLatch(1);
    CountDownLatch never = new CountDownLatch(1);
    Source stuck =
        new Source(
            "stuck",
            () -> {
              started.countDown();
              awaitUninterruptibly(never);
            });
    stuck.left.set(1);
    CountDownLatch done = new CountDownLatch(3);
    Source healthy = new Source("healthy", done::countDown);
    try (Workers.Lease second = workers.lease(healthy)) {
      Workers.Lease first = workers.lease(stuck);
      first.signal();
      assertThat(started.await(30, TimeUnit.SECONDS)).isTrue();

      assertThat(first.close(Duration.ofMillis(50))).isFalse();

      healthy.left.set(3);
      second.signal();
      assertThat(done.await(30, TimeUnit.SECONDS)).isTrue();
      never.countDown();
    }
  }

  private static void awaitUninterruptibly(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  @Test
  void endWithTheLastLease() throws Exception {
    try (Workers.Lease lease = workers.lease(new Source("none", () -> {}))) {
      lease.signal();
      assertThat(threads()).isNotEmpty();
    }
    for (Thread thread : threads()) {
      thread.join(TimeUnit.SECONDS.toMillis(30));
    }
    assertThat(threads()).isEmpty();
  }

  private static List<Thread> threads() {
    return Thread.getAllStackTraces().keySet().stream()
        .filter(thread -> thread.getName().startsWith("labelstream-"))
        .toList();
  }
}
