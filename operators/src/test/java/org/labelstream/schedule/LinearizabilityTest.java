package org.labelstream.schedule;

import java.time.Duration;
import java.util.List;
import org.jetbrains.lincheck.datastructures.IntGen;
import org.jetbrains.lincheck.datastructures.ModelCheckingOptions;
import org.jetbrains.lincheck.datastructures.Operation;
import org.jetbrains.lincheck.datastructures.Param;
import org.junit.jupiter.api.Test;

/**
 * Whatever threads do at once to the queue and to the budget could have happened in some order, one
 * after the other: Lincheck tries the ways in which their steps can mix.
 */
class LinearizabilityTest {

  private static ModelCheckingOptions options(Class<?> specification) {
    return new ModelCheckingOptions()
        .sequentialSpecification(specification)
        .iterations(6)
        .invocationsPerIteration(200)
        .threads(2)
        .actorsPerThread(3);
  }

  @Param(name = "length", gen = IntGen.class, conf = "1:4")
  public static class Queue {
    private final Batcher<Integer> batcher =
        new Batcher<>(
            new BatchPolicy(4, 3, Duration.ofSeconds(1), Duration.ZERO), length -> length, () -> 0);

    @Operation
    public void add(@Param(name = "length") int length) {
      batcher.add(length);
    }

    @Operation
    public void addRecord(@Param(name = "length") int length) {
      batcher.addRecord(List.of(length, length));
    }

    @Operation
    public List<Integer> poll() {
      return batcher.poll();
    }

    @Operation
    public int size() {
      return batcher.size();
    }
  }

  @Test
  void theQueueIsLinearizable() {
    options(Queue.class).check(Queue.class);
  }

  @Param(name = "bytes", gen = IntGen.class, conf = "1:6")
  public static class Budget {
    private final InFlightBudget budget = new InFlightBudget(10);
    private final InFlightBudget.Account first = budget.open(() -> {});
    private final InFlightBudget.Account second = budget.open(() -> {});

    @Operation
    public boolean first(@Param(name = "bytes") int bytes) {
      return first.tryReserve(bytes);
    }

    @Operation
    public boolean second(@Param(name = "bytes") int bytes) {
      return second.tryReserve(bytes);
    }

    @Operation
    public void release() {
      first.close();
    }

    @Operation
    public long reserved() {
      return budget.reserved();
    }
  }

  @Test
  void theBudgetIsLinearizable() {
    options(Budget.class).check(Budget.class);
  }
}
