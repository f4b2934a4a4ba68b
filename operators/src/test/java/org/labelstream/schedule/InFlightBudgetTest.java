package org.labelstream.schedule;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class InFlightBudgetTest {

  private final InFlightBudget budget = new InFlightBudget(100);
  private final AtomicInteger firstFreed = new AtomicInteger();
  private final AtomicInteger secondFreed = new AtomicInteger();
  private final InFlightBudget.Account first = budget.open(firstFreed::incrementAndGet);
  private final InFlightBudget.Account second = budget.open(secondFreed::incrementAndGet);

  @Test
  void givesNoMoreThanItHas() {
    assertThat(first.tryReserve(60)).isTrue();
    assertThat(second.tryReserve(30)).isTrue();
    assertThat(second.tryReserve(11)).isFalse();
    assertThat(second.tryReserve(10)).isTrue();
    assertThat(budget.reserved()).isEqualTo(100);
    assertThat(first.held()).isEqualTo(60);
  }

  @Test
  void givesToOneThatHoldsNothingOrItWouldWaitForEver() {
    assertThat(first.tryReserve(100)).isTrue();
    assertThat(second.tryReserve(100)).isTrue();
    assertThat(second.tryReserve(1)).isFalse();
    assertThat(first.tryReserve(1)).isFalse();
  }

  @Test
  void tellsThoseThatWereRefusedOnce() {
    first.tryReserve(90);
    second.tryReserve(5);
    assertThat(second.tryReserve(20)).isFalse();
    first.release(40);
    assertThat(secondFreed).hasValue(1);
    assertThat(firstFreed).hasValue(0);
    first.release(10);
    assertThat(secondFreed).hasValue(1);
    assertThat(second.tryReserve(20)).isTrue();
  }

  @Test
  void takesBackAllThatAnAccountHeld() {
    first.tryReserve(90);
    second.tryReserve(5);
    second.tryReserve(20);
    first.close();
    assertThat(budget.reserved()).isEqualTo(5);
    assertThat(secondFreed).hasValue(1);
  }

  @Test
  void isRefusedWhereItCouldHoldNothing() {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> new InFlightBudget(0))
        .withMessage("the texts in flight may hold 0 bytes, but need at least 1: raise the limit");
  }

  /** Each thread is a stage that waits only when it was refused, and only until it is told. */
  @Test
  void keepsItsLimitAndWakesAllHoweverManyWait() throws Exception {
    InFlightBudget shared = new InFlightBudget(1_000);
    AtomicLong most = new AtomicLong();
    List<Thread> threads = new ArrayList<>();
    AtomicInteger done = new AtomicInteger();
    for (int t = 0; t < 6; t++) {
      int seed = t;
      Thread thread =
          new Thread(
              () -> {
                Semaphore freed = new Semaphore(0);
                Random random = new Random(seed);
                Deque<Long> held = new ArrayDeque<>();
                try (InFlightBudget.Account account = shared.open(freed::release)) {
                  for (int i = 0; i < 20_000; i++) {
                    long bytes = 1L + random.nextInt(400);
                    while (!account.tryReserve(bytes)) {
                      if (random.nextBoolean()) {
                        account.release(held.poll());
                      } else if (!freed.tryAcquire(1, TimeUnit.MILLISECONDS)) {
                        account.release(held.poll());
                      }
                    }
                    held.add(bytes);
                    most.accumulateAndGet(shared.reserved(), Math::max);
                    if (held.size() > 5) {
                      account.release(held.poll());
                    }
                  }
                } catch (InterruptedException e) {
                  throw new AssertionError(e);
                }
                done.incrementAndGet();
              });
      thread.start();
      threads.add(thread);
    }
    for (Thread thread : threads) {
      thread.join();
    }
    assertThat(done).hasValue(6);
    assertThat(shared.reserved()).isZero();
    assertThat(most.get()).isLessThanOrEqualTo(1_000 + 6 * 400);
  }
}
