package org.labelstream.operator;

import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.streaming.api.functions.async.CollectionSupplier;
import org.apache.flink.streaming.api.functions.async.ResultFuture;
import org.labelstream.record.SourceRecord;

/**
 * Lets records with the same key go out in the order in which they came, and others as soon as they
 * are ready. Those without a key have no order.
 *
 * <p>What Flink restores comes in any order, before all else. So nothing goes out until {@link
 * #restored} is called, which puts each key's records in the order of their offsets; Kafka keeps
 * the order of a key within a partition only.
 *
 * <p><em>Thread-safety.</em> All methods may be called from any thread.
 */
final class KeyOrder<T> {

  private static final Comparator<KeyOrder<?>.InTurn> BY_PLACE =
      Comparator.comparing((KeyOrder<?>.InTurn entry) -> entry.record.topic())
          .thenComparing(entry -> entry.record.partition())
          .thenComparing(entry -> entry.record.offset());

  private final Map<ByteBuffer, Deque<InTurn>> lines = new HashMap<>();
  private final int capacity;
  private int arrived;
  private boolean open;

  /**
   * @param capacity how many records may be under way at once; where more are restored than that,
   *     as with a lower parallelism, those of a key go out in the order in which they come
   */
  KeyOrder(int capacity) {
    this.capacity = capacity;
  }

  /** Takes a record's place in the line of its key; it goes out when it is ready and its turn. */
  synchronized ResultFuture<T> inTurn(SourceRecord record, ResultFuture<T> future) {
    ResultFuture<T> result = future;
    if (record.key() != null) {
      InTurn entry = new InTurn(record, future);
      lines
          .computeIfAbsent(ByteBuffer.wrap(record.key()), any -> new ArrayDeque<>())
          .addLast(entry);
      result = entry;
    }
    if (!open && ++arrived == capacity) {
      restored();
    }
    return result;
  }

  /** Tells that all records have come that were under way when the state was saved. */
  synchronized void restored() {
    if (open) {
      return;
    }
    open = true;
    for (Deque<InTurn> line : List.copyOf(lines.values())) {
      List<InTurn> sorted = line.stream().sorted(BY_PLACE).toList();
      line.clear();
      line.addAll(sorted);
      release(line);
    }
  }

  private void release(Deque<InTurn> line) {
    while (!line.isEmpty() && line.peekFirst().exit != null) {
      InTurn entry = line.pollFirst();
      if (line.isEmpty()) {
        lines.remove(ByteBuffer.wrap(entry.record.key()));
      }
      entry.exit.run();
    }
  }

  /** A record under way. Its result is handed on under the lock, or a later one could overtake. */
  private final class InTurn implements ResultFuture<T> {
    private final SourceRecord record;
    private final ResultFuture<T> future;
    private Runnable exit;

    InTurn(SourceRecord record, ResultFuture<T> future) {
      this.record = record;
      this.future = future;
    }

    private void ready(Runnable how) {
      synchronized (KeyOrder.this) {
        exit = how;
        Deque<InTurn> line = lines.get(ByteBuffer.wrap(record.key()));
        if (open && line != null) {
          release(line);
        }
      }
    }

    @Override
    public void complete(Collection<T> result) {
      ready(() -> future.complete(result));
    }

    @Override
    public void complete(CollectionSupplier<T> supplier) {
      ready(() -> future.complete(supplier));
    }

    @Override
    public void completeExceptionally(Throwable error) {
      ready(() -> future.completeExceptionally(error));
    }
  }
}
