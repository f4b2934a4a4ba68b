package org.labelstream.schedule;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Executor;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.Prediction;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The way from plans to predictions: rows wait in a {@link Batcher}, {@link Workers} run them in
 * batches, and a record whose rows are all done is joined.
 *
 * <p>A row that goes on (a text that is being generated) holds memory until it is done. So only so
 * many run at a time; as long as there is room a waiting one is begun first, so that it joins the
 * others in their next step.
 *
 * <p><em>Contract.</em> Each plan that is submitted is answered once, unless the lane is closed or
 * has failed before. A batch that fails is bisected until only the rows that fail alone have
 * failed. A record is charged its own part of each batch; once that is more than the timeout it is
 * answered with a dead letter, and its late result goes nowhere. What is nobody's fault (no memory
 * is left in Java, an answer cannot be given, rows wait and no batch ends) is told once as the
 * lane's failure.
 *
 * <p><em>Thread-safety.</em> {@code submit} may be called from any thread; answers come from the
 * workers' threads, or those that records are joined on.
 */
public final class Lane implements Workers.WorkSource, AutoCloseable {

  /** Takes the answer to a plan: one call of either method, from any thread. */
  public interface Answer {
    void predicted(Prediction prediction);

    void rejected(DeadLetter letter);
  }

  private static final Logger LOG = LoggerFactory.getLogger(Lane.class);
  private static final ThrottledLog THROTTLED = new ThrottledLog(LOG);

  /** A sequence that runs takes the place of this many tokens of a batch. */
  private static final int TOKENS_PER_RUNNING_SEQUENCE = 8;

  /**
   * A task that does not end within three minutes is ended by Flink's watchdog, and the TaskManager
   * with it; it may have two stages.
   */
  private static final Duration PATIENCE = Duration.ofMinutes(1);

  private final Runner model;
  private final LaneSettings settings;
  private final LaneListener listener;
  private final Consumer<Throwable> onFailure;

  private final Batcher<Item> waiting;
  private final Batcher<Item> running;
  private final int mostSequences;

  /** Rows that begin and rows that go on take turns. Only the workers read it, under their lock. */
  private boolean begunLast;

  private final AtomicInteger sequences = new AtomicInteger();
  private final AtomicInteger runs = new AtomicInteger();
  private final AtomicLong lastProgress = new AtomicLong(System.nanoTime());
  private final AtomicReference<Throwable> failure = new AtomicReference<>();
  private final Executor joiner;
  private final TaskGroup joins = new TaskGroup();
  private final Workers.Lease workers;
  private volatile Future<?> watch;
  private volatile boolean closed;
  private boolean stuck;

  /**
   * @param joiner where records are joined and answered; may run that at once, on the caller's
   *     thread
   * @param onFailure told, once and from any thread, when the lane cannot go on
   */
  public Lane(
      Runner model,
      LaneSettings settings,
      Workers workers,
      Executor joiner,
      LaneListener listener,
      Consumer<Throwable> onFailure) {
    this.model = model;
    this.settings = settings;
    this.listener = listener;
    this.onFailure = onFailure;
    BatchPolicy policy = settings.policy();
    this.waiting = new Batcher<>(policy, Lane::costToBegin, BatchPolicy::width, System::nanoTime);
    BatchPolicy atOnce =
        new BatchPolicy(policy.maxTokens(), policy.lookAhead(), policy.maxAge(), Duration.ZERO);
    // Those that go on are not padded to each other, and how many there are has a bound: all of
    // them step together.
    this.running = new Batcher<>(atOnce, item -> 1, System::nanoTime);
    this.mostSequences = Math.max(1, policy.maxTokens() / TOKENS_PER_RUNNING_SEQUENCE);
    this.joiner = joiner;
    this.workers = workers.lease(this, settings.share());
    watch();
  }

  /** A row that waits or runs. */
  private static final class Item {
    final Row row;
    final Request record;
    final long since = System.nanoTime();
    boolean begun;
    int sequences;

    Item(Row row, Request record) {
      this.row = row;
      this.record = record;
    }

    /** What it adds to a batch, in tokens. */
    int cost() {
      return Math.max(1, begun ? row.sequences() : row.length());
    }
  }

  /** Takes a record; its answer comes later, from another thread, unless it has no rows. */
  public void submit(Plan plan, Answer answer) {
    Request record = new Request(plan, answer);
    wait(record, record.begin());
  }

  private void wait(Request record, List<? extends Row> rows) {
    if (rows.isEmpty()) {
      return;
    }
    if (running.size() + waiting.size() == 0) {
      lastProgress.set(System.nanoTime());
    }
    waiting.addRecord(rows.stream().map(row -> new Item(row, record)).toList());
    workers.signal();
  }

  /** How many rows wait for a batch, those included that go on. */
  public int waiting() {
    return waiting.size() + running.size();
  }

  /** How long the record has waited whose turn it is, in nanoseconds. */
  public long nanosWaited() {
    return waiting.nanosWaited();
  }

  /** How many sequences are being generated. */
  public int sequences() {
    return sequences.get();
  }

  @Override
  public @Nullable Runnable poll() {
    if (failure.get() != null) {
      return null;
    }
    boolean turn = hasRoom() && !(begunLast && running.size() > 0);
    List<Item> batch = turn ? waiting.poll() : List.of();
    batch.forEach(this::enter);
    begunLast = !batch.isEmpty();
    List<Item> chosen = batch.isEmpty() ? running.poll() : batch;
    return chosen.isEmpty() ? null : () -> runAndAnswer(chosen);
  }

  /** So that no more texts begin at once than may run, however short their prompts. */
  private static int costToBegin(Item item) {
    return Math.max(item.row.length(), TOKENS_PER_RUNNING_SEQUENCE * item.row.sequences());
  }

  private boolean hasRoom() {
    return sequences.get() < mostSequences;
  }

  @Override
  public long nanosUntilReady() {
    if (failure.get() != null) {
      return Long.MAX_VALUE;
    }
    long ready = running.nanosUntilReady();
    return hasRoom() ? Math.min(ready, waiting.nanosUntilReady()) : ready;
  }

  /** Whatever goes wrong around a batch, its records are answered, or the lane fails. */
  private void runAndAnswer(List<Item> batch) {
    runs.incrementAndGet();
    try {
      run(batch);
    } catch (RuntimeException | Error e) {
      if (Faults.isFatal(e)) {
        failed(e);
      }
      LOG.error("A batch could not be run", e);
      for (Item item : batch) {
        answerOrFail(() -> item.record.fail(e));
        leave(item);
      }
    } finally {
      runs.decrementAndGet();
      lastProgress.set(System.nanoTime());
    }
  }

  private void run(List<Item> batch) {
    List<Item> live = new ArrayList<>(batch.size());
    for (Item item : batch) {
      if (item.record.isAnswered()) {
        leave(item);
      } else {
        live.add(item);
      }
    }
    if (live.isEmpty()) {
      workers.signal(); // there may be room again
      return;
    }
    Run run = new Run(live);
    run.start();
    List<Item> unfinished = new ArrayList<>();
    for (Item item : live) {
      if (item.record.isAnswered()) {
        leave(item);
      } else if (!item.row.done()) {
        unfinished.add(item);
      } else {
        leave(item);
        if (item.record.rowDone()) {
          joins.execute(joiner, () -> answerOrFail(() -> goOn(item.record)));
        }
      }
    }
    running.addAll(unfinished);
    workers.signal();
  }

  /** Lets a record go on whose rows are all done: with more rows, or to its answer. */
  private void goOn(Request record) {
    long start = System.nanoTime();
    wait(record, record.goOn());
    listener.joined(System.nanoTime() - start);
  }

  /** An answer that cannot be given fails the lane, since its record would wait for ever. */
  private void answerOrFail(Runnable answer) {
    try {
      answer.run();
    } catch (RuntimeException | Error e) {
      failed(e);
    }
  }

  /** Takes the room of a row before it runs, for other workers may take a batch meanwhile. */
  private void enter(Item item) {
    item.sequences = item.row.sequences();
    sequences.addAndGet(item.sequences);
  }

  /** Gives back what a row holds that is not to run any more. */
  private void leave(Item item) {
    item.row.release();
    sequences.addAndGet(-item.sequences);
    item.sequences = 0;
  }

  /** A batch that runs: what each record has of it, and the bounds on its time. */
  private final class Run {
    private final List<Item> items;
    private final Map<Request, Double> shares = new HashMap<>();
    private final long tokens;
    private final long padded;
    private final long start = System.nanoTime();
    private boolean over;
    private @Nullable Future<?> alarm;

    Run(List<Item> items) {
      this.items = items;
      long sum = 0;
      int longest = 0;
      int sequences = 0;
      for (Item item : items) {
        sum += item.cost();
        longest = Math.max(longest, item.begun ? 1 : item.row.length());
        sequences += item.row.sequences();
      }
      tokens = sum;
      padded =
          sequences > 0
              ? (long) longest * sequences
              : (long) items.size() * BatchPolicy.width(items.size(), longest);
      for (Item item : items) {
        shares.merge(item.record, (double) item.cost() / tokens, Double::sum);
      }
    }

    void start() {
      for (Item item : items) {
        if (!item.begun) {
          listener.began(start - item.since);
        }
      }
      setAlarm();
      try {
        runOrBisect(items);
      } finally {
        end();
      }
      long end = System.nanoTime();
      shares.forEach((record, share) -> record.charge(start, end, share));
      for (Item item : items) {
        if (!item.begun && item.row.sequences() > 0) {
          listener.firstToken(item.record.age());
        }
        item.begun = true;
      }
      listener.ran(items.size(), tokens, padded, end - start);
    }

    /** Sets an alarm for the record whose time is over first, or for the call itself. */
    private synchronized void setAlarm() {
      long elapsed = System.nanoTime() - start;
      long next = settings.callTimeout().toNanos() - elapsed;
      for (Map.Entry<Request, Double> entry : shares.entrySet()) {
        if (!entry.getKey().isAnswered()) {
          next = Math.min(next, nanosLeft(entry.getKey(), entry.getValue()) - elapsed);
        }
      }
      if (!over) {
        alarm = workers.schedule(this::ring, Duration.ofNanos(Math.max(0, next)));
      }
    }

    private long nanosLeft(Request record, double share) {
      double left = record.nanosLeft(settings.timeout()) / share;
      return left < Long.MAX_VALUE ? (long) left : Long.MAX_VALUE;
    }

    /**
     * Answers the records whose time is over; the native call itself cannot be interrupted. Rows
     * that were done before others of the batch failed are left alone.
     */
    private void ring() {
      long elapsed = System.nanoTime() - start;
      boolean call = elapsed >= settings.callTimeout().toNanos();
      boolean more = false;
      for (Item item : items) {
        Request record = item.record;
        if (item.row.done() || record.isAnswered()) {
          continue;
        }
        if (elapsed >= nanosLeft(record, Objects.requireNonNull(shares.get(record)))) {
          answerOrFail(() -> record.timeOut(ownTimeOver()));
        } else if (call) {
          answerOrFail(() -> record.timeOut(callTimeOver()));
        } else {
          more = true;
        }
      }
      if (more) {
        setAlarm();
      }
    }

    private synchronized void end() {
      over = true;
      if (alarm != null) {
        alarm.cancel(false);
      }
    }

    private String ownTimeOver() {
      return "the model has worked on this record for longer than the timeout of "
          + settings.timeout().toMillis()
          + " ms: shorten the text, or raise timeout";
    }

    private String callTimeOver() {
      return "a call of the model with this record in it has not returned within "
          + settings.callTimeout().toSeconds()
          + " s: look at the TaskManager, or raise call-timeout";
    }
  }

  private void runOrBisect(List<Item> items) {
    try {
      model.run(items.stream().map(item -> item.row).toList());
    } catch (RuntimeException | Error e) { // a record that is never answered stops the job for good
      Faults.rethrowFatal(e);
      if (items.size() == 1) {
        THROTTLED.warn("The model failed on a record", e);
        answerOrFail(() -> items.get(0).record.fail(e));
      } else {
        int half = items.size() / 2;
        runOrBisect(items.subList(0, half));
        runOrBisect(items.subList(half, items.size()));
      }
    }
  }

  /** Looks now and then whether batches end while rows wait. */
  private void watch() {
    Duration bound = settings.callTimeout().multipliedBy(2);
    watch = workers.schedule(() -> look(bound), bound.dividedBy(8));
  }

  private void look(Duration bound) {
    long still = System.nanoTime() - lastProgress.get();
    // Where none of its own is under way, others may have the workers, as long as their calls end.
    boolean ours = runs.get() > 0 || workers.nanosSinceWorkEnded() > bound.toNanos();
    if (waiting() > 0 && still > bound.toNanos() && ours) {
      failed(
          new IllegalStateException(
              waiting()
                  + " rows wait for the model, and no batch has ended for "
                  + Duration.ofNanos(still).toSeconds()
                  + " s: its calls do not return"));
    } else if (!closed) {
      watch();
    }
  }

  @Override
  public void failed(Throwable cause) {
    if (failure.compareAndSet(null, cause)) {
      onFailure.accept(cause);
    }
  }

  /** Whether a call of the model did not return, so that it must not be freed. */
  public boolean isStuck() {
    return stuck;
  }

  /** Stops the work: rows that wait are never run, and none runs any more when this returns. */
  @Override
  public void close() {
    closed = true;
    watch.cancel(false);
    stuck |= !workers.close(PATIENCE);
    joins.close();
    waiting.clear();
    for (List<Item> batch = running.poll(); !batch.isEmpty(); batch = running.poll()) {
      batch.forEach(this::leave);
    }
  }
}
