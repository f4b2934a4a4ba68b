package org.labelstream.operator;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.apache.flink.streaming.api.functions.async.CollectionSupplier;
import org.apache.flink.streaming.api.functions.async.ResultFuture;
import org.junit.jupiter.api.Test;
import org.labelstream.record.SourceRecord;

class KeyOrderTest {

  /** What went out, such as {@code a3}: key and offset. */
  private final List<String> out = new ArrayList<>();

  private KeyOrder<String> order = opened(1_000);

  private static KeyOrder<String> opened(int capacity) {
    KeyOrder<String> order = new KeyOrder<>(capacity);
    order.restored();
    return order;
  }

  /** A record under way, and where its result goes. */
  private record UnderWay(String name, ResultFuture<String> future) {
    void complete() {
      future.complete(List.of(name));
    }
  }

  private UnderWay arrives(String key, int offset) {
    byte[] bytes = key == null ? null : key.getBytes(UTF_8);
    SourceRecord record = new SourceRecord(bytes, bytes, List.of(), "texts", 0, offset, 1);
    ResultFuture<String> exit =
        new ResultFuture<>() {
          @Override
          public void complete(Collection<String> results) {
            out.addAll(results);
          }

          @Override
          public void complete(CollectionSupplier<String> supplier) {
            throw new IllegalStateException("results are given as they are");
          }

          @Override
          public void completeExceptionally(Throwable error) {
            throw new IllegalStateException(error);
          }
        };
    return new UnderWay(key + offset, order.inTurn(record, exit));
  }

  @Test
  void aRecordWaitsForThoseOfItsKeyOnly() {
    UnderWay first = arrives("a", 0);
    UnderWay second = arrives("a", 1);
    UnderWay other = arrives("b", 2);
    UnderWay keyless = arrives(null, 3);
    UnderWay keylessToo = arrives(null, 4);

    second.complete();
    assertThat(out).isEmpty();
    other.complete();
    keylessToo.complete();
    keyless.complete();
    assertThat(out).containsExactly("b2", "null4", "null3");
    first.complete();
    assertThat(out).containsExactly("b2", "null4", "null3", "a0", "a1");
  }

  @Test
  void keepsEachKeysOrderHoweverTheyEnd() {
    Random random = new Random(5);
    List<UnderWay> waiting = new ArrayList<>();
    for (int i = 0; i < 2_000; i++) {
      waiting.add(arrives("k" + random.nextInt(20) + "-", i));
      if (waiting.size() > 50) {
        waiting.remove(random.nextInt(waiting.size())).complete();
      }
    }
    Collections.shuffle(waiting, random);
    waiting.forEach(UnderWay::complete);

    assertThat(out).hasSize(2_000);
    for (int key = 0; key < 20; key++) {
      String prefix = "k" + key + "-";
      List<Integer> offsets =
          out.stream()
              .filter(name -> name.startsWith(prefix))
              .map(name -> Integer.valueOf(name.substring(prefix.length())))
              .toList();
      assertThat(offsets).isSorted();
    }
  }

  @Test
  void whatIsRestoredInAnyOrderGoesOutInThatOfItsOffsets() {
    order = new KeyOrder<>(1_000);
    List<UnderWay> restored =
        List.of(arrives("a", 7), arrives("b", 5), arrives("a", 3), arrives("a", 4));
    restored.forEach(UnderWay::complete);
    assertThat(out).isEmpty();

    order.restored();

    assertThat(out).containsSubsequence("a3", "a4", "a7").contains("b5").hasSize(4);
    UnderWay next = arrives("a", 8);
    next.complete();
    assertThat(out).endsWith("a8");
  }

  @Test
  void moreThanFitAtOnceAreNotWaitedFor() {
    order = new KeyOrder<>(3);
    UnderWay first = arrives("a", 7);
    first.complete();
    arrives("b", 5);
    assertThat(out).isEmpty();
    arrives("a", 3);
    assertThat(out).isEmpty(); // of these three the order is known
    arrives("b", 6).complete();
    assertThat(out).isEmpty();
  }
}
