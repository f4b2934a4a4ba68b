package org.labelstream.schedule;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The way from plans to predictions: rows wait in a {@link Batcher}, {@link Workers} run them in
 * batches, and a record whose rows are all done is joined.
 *
 * <p>A row that goes again (a text that is being generated) holds memory until it is done. So only
 * so many are under way at a time; as long as there is room a new one is begun first, so that it
 * joins the others in their next step.
 *
 * <p><em>Contract.</em> Each plan that is submitted is answered once, unless the lane is closed
 * before. A batch that fails is bisected until only the rows that fail alone have failed. A record
 * on which the model has worked for longer than the timeout is answered with a dead letter, and its
 * late result goes nowhere.
 *
 * <p><em>Thread-safety.</em> {@code submit} may be called from any thread; answers come from the
 * workers' threads.
 */
public final class Lane implements Workers.WorkSource, AutoCloseable {

  /** Takes the answer to a plan: one call of either method, from any thread. */
  public interface Answer {
    void predicted(Prediction prediction);

    void rejected(DeadLetter letter);
  }

  private static final Logger LOG = LoggerFactory.getLogger(Lane.class);

  private final Runner model;
  private final Duration timeout;

  /** A sequence under way takes the place of this many tokens of a batch. */
  private static final int TOKENS_PER_SEQUENCE_UNDER_WAY = 8;

  private final Batcher<Item> fresh;
  private final Batcher<Item> again;
  private final int mostUnderWay;

  /** Rows that begin and rows that go on take turns. Only the workers read it, under their lock. */
  private boolean begunLast;

  private final AtomicInteger underWay = new AtomicInteger();
  private final Workers.Lease workers;

  /**
   * @param timeout how long the model may work on a record
   * @param share the part of the workers' time that the lane may take from others, at most 1
   */
  public Lane(Runner model, BatchPolicy policy, Duration timeout, double share) {
    this.model = model;
    this.timeout = timeout;
    this.fresh = new Batcher<>(policy, Lane::costToBegin, System::nanoTime);
    BatchPolicy atOnce =
        new BatchPolicy(policy.maxTokens(), policy.lookAhead(), policy.maxAge(), Duration.ZERO);
    // Those that go on are not padded to each other, and how many there are has a bound: all of
    // them step together.
    this.again = new Batcher<>(atOnce, item -> 1, System::nanoTime);
    this.mostUnderWay = Math.max(1, policy.maxTokens() / TOKENS_PER_SEQUENCE_UNDER_WAY);
    this.workers = Workers.lease(this, share);
  }

  /** A record under way. */
  private static final class Pending {
    final Plan plan;
    final Answer answer;
    final AtomicInteger open;
    final AtomicBoolean answered = new AtomicBoolean();
    final AtomicLong workedNanos = new AtomicLong();

    Pending(Plan plan, Answer answer) {
      this.plan = plan;
      this.answer = answer;
      this.open = new AtomicInteger(plan.rows().size());
    }

    void reject(ErrorCode code, String message) {
      reject(new DeadLetter(code, Stage.INFERENCE, message));
    }

    void reject(DeadLetter letter) {
      if (answered.compareAndSet(false, true)) {
        answer.rejected(letter);
      }
    }

    void join() {
      if (answered.compareAndSet(false, true)) {
        try {
          answer.predicted(plan.join());
        } catch (RejectedRecordException e) {
          answer.rejected(e.letter());
        } catch (RuntimeException | Error e) {
          LOG.warn("A result could not be read", e);
          answer.rejected(new DeadLetter(ErrorCode.INFERENCE_FAILED, Stage.INFERENCE, failure(e)));
        }
      }
    }
  }

  /** A row that waits or runs. */
  private static final class Item {
    final Row row;
    final Pending record;
    int underWay;

    Item(Row row, Pending record) {
      this.row = row;
      this.record = record;
    }
  }

  /** Takes a record; its answer comes later, from another thread, unless it has no rows. */
  public void submit(Plan plan, Answer answer) {
    Pending record = new Pending(plan, answer);
    if (plan.rows().isEmpty()) {
      goOn(record);
      return;
    }
    for (Row row : plan.rows()) {
      fresh.add(new Item(row, record));
      workers.signal();
    }
  }

  /** How many rows wait. */
  public int waiting() {
    return fresh.size() + again.size();
  }

  @Override
  public Runnable poll() {
    boolean turn = hasRoom() && !(begunLast && again.size() > 0);
    List<Item> batch = turn ? fresh.poll() : List.of();
    batch.forEach(this::begin);
    begunLast = !batch.isEmpty();
    List<Item> chosen = batch.isEmpty() ? again.poll() : batch;
    return chosen.isEmpty() ? null : () -> runAndAnswer(chosen);
  }

  /** So that no more texts begin at once than may be under way, however short their prompts. */
  private static int costToBegin(Item item) {
    return Math.max(item.row.length(), TOKENS_PER_SEQUENCE_UNDER_WAY * item.row.sequences());
  }

  private boolean hasRoom() {
    return underWay.get() < mostUnderWay;
  }

  @Override
  public long nanosUntilReady() {
    long ready = again.nanosUntilReady();
    return hasRoom() ? Math.min(ready, fresh.nanosUntilReady()) : ready;
  }

  /**
   * Whatever goes wrong around a batch, its records are answered: Flink would wait for ever for one
   * that is not.
   */
  private void runAndAnswer(List<Item> batch) {
    try {
      run(batch);
    } catch (RuntimeException | Error e) {
      LOG.error("A batch could not be run", e);
      for (Item item : batch) {
        item.record.reject(ErrorCode.INFERENCE_FAILED, failure(e));
        leave(item);
      }
    }
  }

  private void run(List<Item> batch) {
    List<Item> live = new ArrayList<>(batch.size());
    for (Item item : batch) {
      if (item.record.answered.get()) {
        leave(item);
      } else {
        live.add(item);
      }
    }
    if (live.isEmpty()) {
      workers.signal(); // there may be room again
      return;
    }
    long start = System.nanoTime();
    List<Future<?>> alarms = setAlarms(live);
    try {
      runOrBisect(live);
    } finally {
      alarms.forEach(alarm -> alarm.cancel(false));
    }
    long nanos = System.nanoTime() - start;
    live.stream().map(item -> item.record).distinct().forEach(r -> r.workedNanos.addAndGet(nanos));
    List<Item> unfinished = new ArrayList<>();
    for (Item item : live) {
      if (item.record.answered.get()) {
        leave(item);
      } else if (!item.row.done()) {
        unfinished.add(item);
      } else {
        leave(item);
        if (item.record.open.decrementAndGet() == 0) {
          goOn(item.record);
        }
      }
    }
    again.addAll(unfinished);
    workers.signal();
  }

  /** Lets a record go on whose rows are all done: with more rows, or to its answer. */
  private void goOn(Pending record) {
    List<? extends Row> next;
    try {
      next = record.plan.next();
    } catch (RejectedRecordException e) {
      record.reject(e.letter());
      return;
    } catch (RuntimeException | Error e) {
      LOG.warn("A record could not go on", e);
      record.reject(ErrorCode.INFERENCE_FAILED, failure(e));
      return;
    }
    if (next.isEmpty()) {
      record.join();
    } else {
      record.open.set(next.size());
      fresh.addAll(next.stream().map(row -> new Item(row, record)).toList());
    }
  }

  /** Takes the room of a row before it runs, for other workers may take a batch meanwhile. */
  private void begin(Item item) {
    item.underWay = item.row.sequences();
    underWay.addAndGet(item.underWay);
  }

  /** Gives back what a row holds that is not to run any more. */
  private void leave(Item item) {
    item.row.release();
    underWay.addAndGet(-item.underWay);
    item.underWay = 0;
  }

  private void runOrBisect(List<Item> items) {
    try {
      model.run(items.stream().map(item -> item.row).toList());
    } catch (RuntimeException | Error e) { // a record that is never answered stops the job for good
      if (items.size() == 1) {
        LOG.warn("The model failed on a record", e);
        items.get(0).record.reject(ErrorCode.INFERENCE_FAILED, failure(e));
      } else {
        int half = items.size() / 2;
        runOrBisect(items.subList(0, half));
        runOrBisect(items.subList(half, items.size()));
      }
    }
  }

  private static String failure(Throwable e) {
    return "the model failed on this record ("
        + e.getMessage()
        + "): try the text with scripts/label.sh, and see the TaskManager's log";
  }

  /**
   * Ends the waiting for records whose time runs out in this batch; the native call itself cannot
   * be interrupted.
   */
  private List<Future<?>> setAlarms(List<Item> items) {
    Map<Long, List<Item>> byTimeLeft = new HashMap<>();
    for (Item item : items) {
      long left = Math.max(0, timeout.toNanos() - item.record.workedNanos.get());
      byTimeLeft.computeIfAbsent(left, any -> new ArrayList<>()).add(item);
    }
    List<Future<?>> alarms = new ArrayList<>(byTimeLeft.size());
    byTimeLeft.forEach(
        (left, group) -> alarms.add(workers.schedule(() -> ring(group), Duration.ofNanos(left))));
    return alarms;
  }

  private void ring(List<Item> items) {
    for (Item item : items) {
      if (!item.row.done()) {
        item.record.reject(
            ErrorCode.TIMEOUT,
            "the model has worked on this record for longer than the timeout of "
                + timeout.toMillis()
                + " ms: shorten the text, or raise timeout");
      }
    }
  }

  /** Stops the work: rows that wait are never run, and none runs any more when this returns. */
  @Override
  public void close() {
    workers.close();
    for (List<Item> batch = again.poll(); !batch.isEmpty(); batch = again.poll()) {
      batch.forEach(this::leave);
    }
  }
}
