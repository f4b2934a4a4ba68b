package org.labelstream.schedule;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class BatcherTest {

  private static final Duration SECOND = Duration.ofSeconds(1);

  /** A row with a name, so that rows of one length are told apart. */
  private record Named(int name, int length) {}

  private final AtomicLong now = new AtomicLong(Long.MAX_VALUE - 5); // nanoTime may overflow
  private int names;

  private Batcher<Named> batcher(int maxTokens, int lookAhead, Duration maxAge, Duration linger) {
    return new Batcher<>(
        new BatchPolicy(maxTokens, lookAhead, maxAge, linger), Named::length, now::get);
  }

  private Batcher<Named> batcher(int maxTokens, int lookAhead) {
    return batcher(maxTokens, lookAhead, SECOND, Duration.ZERO);
  }

  private List<Named> add(Batcher<Named> batcher, int... lengths) {
    List<Named> rows = new ArrayList<>();
    for (int length : lengths) {
      Named row = new Named(names++, length);
      rows.add(row);
      batcher.add(row);
    }
    return rows;
  }

  private void pass(Duration time) {
    now.addAndGet(time.toNanos());
  }

  private static List<Integer> lengths(List<Named> rows) {
    return rows.stream().map(Named::length).toList();
  }

  private static int padded(List<Named> rows) {
    return rows.size() * rows.stream().mapToInt(Named::length).max().orElse(0);
  }

  @Nested
  class ABatch {

    @Test
    void isThereAsSoonAsOneRowIs() {
      Batcher<Named> batcher = batcher(256, 128);
      assertThat(batcher.nanosUntilReady()).isEqualTo(Long.MAX_VALUE);
      assertThat(batcher.poll()).isEmpty();

      List<Named> rows = add(batcher, 3);

      assertThat(batcher.nanosUntilReady()).isZero();
      assertThat(batcher.poll()).isEqualTo(rows);
      assertThat(batcher.size()).isZero();
      assertThat(batcher.poll()).isEmpty();
    }

    @Test
    void isThereWhileAnyRowWaits() {
      Batcher<Named> batcher = batcher(10, 4);
      add(batcher, 9, 9, 1, 40, 2, 2, 2, 10, 11, 1);

      while (batcher.size() > 0) {
        assertThat(batcher.nanosUntilReady()).isZero();
        assertThat(batcher.poll()).isNotEmpty();
      }
    }

    @Test
    void neverCostsMoreThanTheBudgetUnlessItIsOneRow() {
      Random random = new Random(1);
      for (int round = 0; round < 300; round++) {
        int budget = 1 + random.nextInt(100);
        Batcher<Named> batcher = batcher(budget, 1 + random.nextInt(40));
        List<Named> added = new ArrayList<>();
        List<Named> given = new ArrayList<>();
        while (added.size() < 100 || batcher.size() > 0) {
          if (added.size() < 100 && random.nextBoolean()) {
            added.addAll(add(batcher, 1 + random.nextInt(120)));
          } else {
            pass(Duration.ofMillis(random.nextInt(600)));
            List<Named> batch = batcher.poll();
            assertThat(batch.size() <= 1 || padded(batch) <= budget)
                .as("%s in a budget of %d", batch, budget)
                .isTrue();
            given.addAll(batch);
          }
        }
        assertThat(given).containsExactlyInAnyOrderElementsOf(added);
      }
    }

    @Test
    void holdsRowsOfLikeLengthAsManyAsFillTheBudget() {
      Batcher<Named> batcher = batcher(40, 128);
      add(batcher, 3, 10, 20, 10, 2, 10, 19, 10);

      assertThat(lengths(batcher.poll())).containsExactly(10, 10, 10, 10);
      assertThat(lengths(batcher.poll())).containsExactly(19, 20);
      assertThat(lengths(batcher.poll())).containsExactly(2, 3);
    }

    @Test
    void isChosenFromTheRowsThatHaveWaitedLongest() {
      Batcher<Named> batcher = batcher(40, 3);
      List<Named> rows = add(batcher, 5, 30, 6, 40, 40);

      assertThat(batcher.poll()).containsExactly(rows.get(1));
      assertThat(batcher.poll()).containsExactly(rows.get(3));
      assertThat(batcher.poll()).containsExactly(rows.get(4));
      assertThat(batcher.poll()).containsExactly(rows.get(0), rows.get(2));
    }

    @Test
    void holdsTheRowThatIsOverdue() {
      Batcher<Named> batcher = batcher(40, 128);
      List<Named> old = add(batcher, 1);
      for (int i = 0; i < 3; i++) {
        add(batcher, 40);
      }
      assertThat(lengths(batcher.poll())).containsExactly(40);

      pass(SECOND.minusNanos(1));
      assertThat(lengths(batcher.poll())).containsExactly(40);

      pass(Duration.ofNanos(1));
      assertThat(batcher.poll()).isEqualTo(old);
      assertThat(lengths(batcher.poll())).containsExactly(40);
    }

    @Test
    void holdsTheCompanyThatSuitsAnOverdueRow() {
      Batcher<Named> batcher = batcher(40, 128);
      add(batcher, 20);
      pass(SECOND);
      add(batcher, 40, 18, 1, 1, 19);

      assertThat(lengths(batcher.poll())).containsExactly(19, 20);
    }

    @Test
    void ofARowLongerThanTheBudgetIsThatRowAlone() {
      Batcher<Named> batcher = batcher(10, 128);
      add(batcher, 500, 1, 501, 1);

      List<List<Integer>> batches = new ArrayList<>();
      while (batcher.size() > 0) {
        batches.add(lengths(batcher.poll()));
      }

      assertThat(batches).containsExactlyInAnyOrder(List.of(500), List.of(501), List.of(1, 1));
    }

    @Test
    void countsARowWithoutTokensAsOne() {
      Batcher<Named> batcher = batcher(2, 128);
      add(batcher, 0, 0, 0);

      assertThat(batcher.poll()).hasSize(2);
      assertThat(batcher.poll()).hasSize(1);
    }

    @Test
    void holdsEqualRowsEachOnce() {
      Batcher<String> batcher =
          new Batcher<>(new BatchPolicy(4, 128, SECOND, Duration.ZERO), String::length, now::get);
      for (int i = 0; i < 5; i++) {
        batcher.add("ab");
      }

      assertThat(batcher.poll()).containsExactly("ab", "ab");
      assertThat(batcher.poll()).containsExactly("ab", "ab");
      assertThat(batcher.poll()).containsExactly("ab");
      assertThat(batcher.poll()).isEmpty();
    }
  }

  @Nested
  class Lingering {

    private final Duration linger = Duration.ofMillis(20);

    @Test
    void holdsAnUnfilledBatchBackForAWhile() {
      Batcher<Named> batcher = batcher(100, 128, SECOND, linger);
      List<Named> rows = add(batcher, 10);
      assertThat(batcher.nanosUntilReady()).isEqualTo(linger.toNanos());
      assertThat(batcher.poll()).isEmpty();

      pass(Duration.ofMillis(15));
      rows.addAll(add(batcher, 10));
      assertThat(batcher.nanosUntilReady()).isEqualTo(Duration.ofMillis(5).toNanos());
      assertThat(batcher.poll()).isEmpty();

      pass(Duration.ofMillis(5));
      assertThat(batcher.nanosUntilReady()).isZero();
      assertThat(batcher.poll()).isEqualTo(rows);
      assertThat(batcher.nanosUntilReady()).isEqualTo(Long.MAX_VALUE);
    }

    @Test
    void endsWhenTheBudgetIsFilled() {
      Batcher<Named> batcher = batcher(100, 128, SECOND, linger);
      add(batcher, 50);
      assertThat(batcher.poll()).isEmpty();

      add(batcher, 50);

      assertThat(batcher.nanosUntilReady()).isZero();
      assertThat(batcher.poll()).hasSize(2);
    }

    @Test
    void endsWhenTheWindowIsFull() {
      Batcher<Named> batcher = batcher(100, 3, SECOND, linger);
      add(batcher, 1, 1);
      assertThat(batcher.poll()).isEmpty();

      add(batcher, 1);

      assertThat(batcher.poll()).hasSize(3);
    }

    @Test
    void neverHoldsARowBeyondItsAge() {
      Batcher<Named> batcher = batcher(100, 128, linger, linger);
      List<Named> rows = add(batcher, 10);

      pass(linger);

      assertThat(batcher.poll()).isEqualTo(rows);
    }
  }

  /** Of the mix: how many numbers of tokens batches have, and what that costs in padding. */
  @Test
  void batchesHaveFewNumbersOfTokens() {
    Random random = new Random(7);
    Batcher<Named> batcher =
        new Batcher<>(
            new BatchPolicy(512, 128, SECOND, Duration.ZERO),
            Named::length,
            BatchPolicy::width,
            now::get);
    Set<Integer> numbers = new HashSet<>();
    long real = 0;
    long longest = 0;
    long padded = 0;
    for (int i = 0; i < 2_000; i++) {
      while (batcher.size() < 256) {
        add(batcher, 4 + random.nextInt(100));
      }
      List<Named> batch = batcher.poll();
      int most = batch.stream().mapToInt(Named::length).max().orElseThrow();
      int width = BatchPolicy.width(batch.size(), most);
      numbers.add(batch.size() * width);
      real += batch.stream().mapToLong(Named::length).sum();
      longest += (long) batch.size() * most;
      padded += (long) batch.size() * width;
    }

    assertThat(numbers).allMatch(tokens -> tokens % 16 == 0 && tokens <= 512);
    assertThat((double) padded / longest).isLessThan(1.02);
    assertThat((double) padded / real).isLessThan(1.06);
  }

  @Test
  void aRowThatIsWiderThanTheBudgetRunsAlone() {
    Batcher<Named> batcher =
        new Batcher<>(
            new BatchPolicy(50, 128, SECOND, Duration.ZERO),
            Named::length,
            BatchPolicy::width,
            now::get);
    List<Named> rows = add(batcher, 49, 49);

    assertThat(batcher.poll()).isEqualTo(rows.subList(0, 1));
    assertThat(batcher.poll()).isEqualTo(rows.subList(1, 2));
  }

  @ParameterizedTest
  @CsvSource({
    "1,1,16",
    "1,16,16",
    "1,17,32",
    "2,17,24",
    "3,40,48",
    "8,43,44",
    "16,43,43",
    "48,7,7"
  })
  void widthsMakeNumbersOfTokensThatComeAgain(int rows, int longest, int width) {
    assertThat(BatchPolicy.width(rows, longest)).isEqualTo(width);
  }

  @Test
  void givesEachRowOutOnceWhateverManyThreadsDo() throws Exception {
    Batcher<Named> batcher =
        new Batcher<>(
            new BatchPolicy(64, 32, Duration.ofMillis(1), Duration.ZERO),
            Named::length,
            System::nanoTime);
    int producers = 4;
    int each = 5_000;
    AtomicInteger missing = new AtomicInteger(producers * each);
    ExecutorService threads = Executors.newFixedThreadPool(producers * 2);
    try {
      List<Future<Void>> running = new ArrayList<>();
      List<Future<List<Named>>> consuming = new ArrayList<>();
      for (int p = 0; p < producers; p++) {
        int first = p * each;
        running.add(
            threads.submit(
                () -> {
                  Random random = new Random(first);
                  for (int i = 0; i < each; i++) {
                    batcher.add(new Named(first + i, 1 + random.nextInt(80)));
                  }
                  return null;
                }));
        Callable<List<Named>> consumer =
            () -> {
              List<Named> taken = new ArrayList<>();
              while (missing.get() > 0) {
                List<Named> batch = batcher.poll();
                missing.addAndGet(-batch.size());
                taken.addAll(batch);
              }
              return taken;
            };
        consuming.add(threads.submit(consumer));
      }
      for (Future<Void> producer : running) {
        producer.get(60, TimeUnit.SECONDS);
      }
      List<Integer> given = new ArrayList<>();
      for (Future<List<Named>> consumer : consuming) {
        consumer.get(60, TimeUnit.SECONDS).forEach(row -> given.add(row.name()));
      }

      assertThat(given).hasSize(producers * each).doesNotHaveDuplicates();
      assertThat(batcher.size()).isZero();
    } finally {
      threads.shutdownNow();
    }
  }

  /** Padded to real tokens on the mix that the platform's figures were taken with. */
  private double paddingOfTheMix(int maxTokens, int lookAhead) {
    Random random = new Random(42);
    // Mean 41, p99 193: z(0.99) = 2.3263; exp(mu + s²/2) = 41 and exp(mu + 2.3263·s) = 193 give s.
    double sigma = 0.8053;
    double mu = Math.log(41) - sigma * sigma / 2;
    Batcher<Named> batcher = batcher(maxTokens, lookAhead);
    int rows = 40_000;
    int added = 0;
    long real = 0;
    long paddedTokens = 0;
    int given = 0;
    while (given < rows) {
      while (added < rows && batcher.size() < 2 * lookAhead) {
        int length = (int) Math.round(Math.exp(mu + sigma * random.nextGaussian()));
        add(batcher, Math.max(2, Math.min(512, length)));
        added++;
      }
      List<Named> batch = batcher.poll();
      pass(Duration.ofMillis(20));
      given += batch.size();
      real += batch.stream().mapToLong(Named::length).sum();
      paddedTokens += padded(batch);
    }
    double ratio = (double) paddedTokens / real;
    System.out.printf(
        "padded/real tokens, lognormal mix (mean %.1f), window %d, budget %d: %.4f%n",
        (double) real / rows, lookAhead, maxTokens, ratio);
    return ratio;
  }

  @Test
  void padsALognormalMixByLessThanSixPercentOnACpu() {
    assertThat(paddingOfTheMix(256, 128)).isBetween(1.0, 1.06);
  }

  @Test
  void padsALognormalMixByLessThanFifteenPercentOnADevice() {
    assertThat(paddingOfTheMix(8_192, 2_048)).isBetween(1.0, 1.15);
  }

  @Nested
  class Turns {

    private List<Named> record(Batcher<Named> batcher, int rows, int length) {
      List<Named> record = new ArrayList<>();
      for (int i = 0; i < rows; i++) {
        record.add(new Named(names++, length));
      }
      batcher.addRecord(record);
      return record;
    }

    @Test
    void areTakenByRecordsHoweverManyRowsTheyHave() {
      Batcher<Named> batcher = batcher(40, 128);
      List<Named> first = record(batcher, 50, 40);
      List<Named> second = record(batcher, 50, 40);
      List<Named> third = record(batcher, 1, 40);

      assertThat(batcher.poll()).containsExactly(first.get(0));
      assertThat(batcher.poll()).containsExactly(second.get(0));
      assertThat(batcher.poll()).isEqualTo(third);
      assertThat(batcher.poll()).containsExactly(first.get(1));
      List<Named> late = record(batcher, 1, 40);
      assertThat(batcher.poll()).containsExactly(second.get(1));
      assertThat(batcher.poll()).containsExactly(first.get(2));
      assertThat(batcher.poll()).isEqualTo(late);
    }

    @Test
    void arePassedOverForDenserBatchesOnlyAFewTimes() {
      Batcher<Named> batcher = batcher(40, 128);
      record(batcher, 100, 40);
      batcher.poll();
      List<Named> text = add(batcher, 3);
      record(batcher, 100, 40);

      int passes = 0;
      while (!batcher.poll().equals(text)) {
        passes++;
      }
      assertThat(passes).isLessThanOrEqualTo(4);
    }

    @Test
    void leaveNoRecordWithoutItsTurnHoweverManyOthersCome() {
      Batcher<Named> batcher = batcher(40, 16);
      List<Named> document = record(batcher, 20, 40);
      int polls = 0;
      int served = 0;
      while (served < document.size()) {
        add(batcher, 1, 1, 1, 1, 1, 1, 1, 1); // a flood, which would fill any window
        List<Named> batch = batcher.poll();
        served += document.containsAll(batch) ? batch.size() : 0;
        polls++;
      }
      assertThat(polls).isLessThan(400);
    }
  }

  @Nested
  class APolicyThatCannotWork {

    @ParameterizedTest
    @ValueSource(ints = {0, -5})
    void isRefusedForItsBudget(int maxTokens) {
      assertThatIllegalArgumentException()
          .isThrownBy(() -> new BatchPolicy(maxTokens, 1, SECOND, Duration.ZERO))
          .withMessage(
              "max-tokens is " + maxTokens + ", but a batch holds at least 1 token: raise it");
    }

    @Test
    void isRefusedForItsWindow() {
      assertThatIllegalArgumentException()
          .isThrownBy(() -> new BatchPolicy(1, 0, SECOND, Duration.ZERO))
          .withMessage("look-ahead is 0, but a batch is chosen from at least 1 row: raise it");
    }

    @Test
    void isRefusedForNegativeTimes() {
      assertThatIllegalArgumentException()
          .isThrownBy(() -> new BatchPolicy(1, 1, Duration.ofMillis(-1), Duration.ZERO))
          .withMessage("max-age and linger cannot be negative");
      assertThatIllegalArgumentException()
          .isThrownBy(() -> new BatchPolicy(1, 1, SECOND, Duration.ofMillis(-1)))
          .withMessage("max-age and linger cannot be negative");
    }

    @Test
    void isRefusedForLingeringLongerThanRowsMayWait() {
      assertThatIllegalArgumentException()
          .isThrownBy(() -> new BatchPolicy(1, 1, SECOND, Duration.ofSeconds(2)))
          .withMessage(
              "linger (2000 ms) is longer than max-age (1000 ms), so every row would be overdue before its batch may start: lower linger or raise max-age");
    }
  }
}
