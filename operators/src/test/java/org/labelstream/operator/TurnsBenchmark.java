package org.labelstream.operator;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.apache.flink.api.common.functions.DefaultOpenContext;
import org.apache.flink.streaming.api.functions.async.CollectionSupplier;
import org.apache.flink.streaming.api.functions.async.ResultFuture;
import org.apache.flink.streaming.util.MockStreamingRuntimeContext;
import org.junit.jupiter.api.Test;
import org.labelstream.record.Outcome;
import org.labelstream.record.SourceRecord;
import org.labelstream.task.TaskType.Order;

/**
 * What documents cost their neighbours: the latency of short texts of four tasks, with and without
 * a document of 2,000 windows among each hundred of them. Not a test: {@code scripts/bench.sh
 * --turns} runs it by its name.
 *
 * <p>Open loop: records arrive at random times at a rate at which the model works for six tenths of
 * the time, documents included, and latency counts from the time at which they were to arrive.
 */
class TurnsBenchmark {

  private static final Path ASSETS = Path.of("../model-assets");
  private static final int RECORDS = Integer.getInteger("records", 20_000);
  private static final double LOAD = 0.6;
  private static final int WINDOWS = 2_000;
  private static final String SENTENCE =
      "What a wonderful film, and the soup was cold but nobody in Nairobi minded it. ";

  private final List<InferenceFunction> stages = new ArrayList<>();

  /** A record, the stage that it is for, and whether it is a document. */
  private record Arrival(int stage, byte[] value, boolean document) {}

  /** Takes the time of one result. */
  private record Timed(
      long start, long[] latencies, int place, AtomicInteger dead, CountDownLatch left)
      implements ResultFuture<Outcome> {
    @Override
    public void complete(Collection<Outcome> outcomes) {
      latencies[place] = System.nanoTime() - start;
      if (outcomes.iterator().next() instanceof Outcome.Failed failed) {
        dead.incrementAndGet();
        System.out.println("a dead letter: " + failed.letter());
      }
      left.countDown();
    }

    @Override
    public void complete(CollectionSupplier<Outcome> supplier) {
      throw new IllegalStateException("outcomes are given as they are");
    }

    @Override
    public void completeExceptionally(Throwable error) {
      throw new IllegalStateException(error);
    }
  }

  private static String words(Random random, int count) {
    List<String> words = List.of(SENTENCE.split(" ", -1));
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < count; i++) {
      text.append(words.get(random.nextInt(words.size()))).append(' ');
    }
    return text.toString().strip();
  }

  private static Arrival text(Random random, int stage) {
    String words = words(random, 4 + random.nextInt(30));
    String value =
        stage == 2
            ? "{\"question\": \"What was cold?\", \"context\": \"%s\"}".formatted(words)
            : "{\"text\": \"%s\"}".formatted(words);
    return new Arrival(stage, value.getBytes(UTF_8), false);
  }

  /** Rows of 32 tokens, so that a run of all records ends within minutes; 16 of them are new. */
  private static Arrival document() {
    String value =
        "{\"question\": \"What was cold?\", \"parameters\": {\"max_seq_len\": 32, \"doc_stride\": 9}, \"context\": \"%s\"}"
            .formatted(SENTENCE.repeat(WINDOWS * 16 / 18));
    return new Arrival(2, value.getBytes(UTF_8), true);
  }

  private void open() throws Exception {
    for (String model : List.of("sentiment", "entities", "answers", "writer")) {
      Map<String, Object> parameters =
          model.equals("writer") ? Map.of("max_new_tokens", 8) : Map.of();
      InferenceFunction stage =
          new InferenceFunction(
              InferenceSettings.of(model, ASSETS.resolve(model).toString())
                  .withParameters(parameters),
              Order.NONE);
      stage.setRuntimeContext(new MockStreamingRuntimeContext(1, 0));
      stage.open(DefaultOpenContext.INSTANCE);
      stages.add(stage);
    }
  }

  /** The latencies in nanoseconds, in the order of the arrivals. */
  private long[] run(List<Arrival> arrivals, double perSecond, Random random) throws Exception {
    long[] latencies = new long[arrivals.size()];
    AtomicInteger dead = new AtomicInteger();
    CountDownLatch left = new CountDownLatch(arrivals.size());
    long due = System.nanoTime();
    for (int i = 0; i < arrivals.size(); i++) {
      due += perSecond == 0 ? 0 : (long) (-Math.log(1 - random.nextDouble()) / perSecond * 1e9);
      for (long wait = due - System.nanoTime(); wait > 0; wait = due - System.nanoTime()) {
        LockSupport.parkNanos(wait);
      }
      Arrival arrival = arrivals.get(i);
      SourceRecord record = new SourceRecord(null, arrival.value(), List.of(), "texts", 0, i, 1);
      stages.get(arrival.stage()).asyncInvoke(record, new Timed(due, latencies, i, dead, left));
    }
    left.await(30, TimeUnit.MINUTES);
    if (left.getCount() > 0 || dead.get() > 0) {
      throw new AssertionError(
          left.getCount() + " records have no result, and " + dead + " are dead letters");
    }
    return latencies;
  }

  private static double millis(long[] latencies, List<Arrival> arrivals, double quantile) {
    long[] texts = new long[arrivals.size()];
    int count = 0;
    for (int i = 0; i < latencies.length; i++) {
      if (!arrivals.get(i).document()) {
        texts[count++] = latencies[i];
      }
    }
    Arrays.sort(texts, 0, count);
    return texts[(int) Math.min(count - 1, Math.ceil(quantile * count))] / 1e6;
  }

  @Test
  void documentsAmongTexts() throws Exception {
    open();
    try {
      Random random = new Random(8);
      List<Arrival> texts = new ArrayList<>();
      for (int i = 0; i < RECORDS; i++) {
        texts.add(text(random, random.nextInt(4)));
      }
      run(texts.subList(0, Math.min(400, RECORDS)), 0, random); // warms up

      List<Arrival> mixed = new ArrayList<>(texts);
      for (int i = 50; i < mixed.size(); i += 100) {
        mixed.set(i, document());
      }
      List<Arrival> hundred = mixed.subList(0, 100);
      long start = System.nanoTime();
      run(hundred, 0, random);
      double perSecond = LOAD * hundred.size() / ((System.nanoTime() - start) / 1e9);

      long[] without = run(texts, perSecond, new Random(1));
      long[] with = run(mixed, perSecond, new Random(1));
      System.out.printf(
          Locale.ROOT,
          "%d records of four tasks, %.0f a second; short texts: p50 %.1f ms, p99 %.1f ms; with a document of %d windows in each hundred: p50 %.1f ms, p99 %.1f ms%n",
          RECORDS,
          perSecond,
          millis(without, texts, 0.5),
          millis(without, texts, 0.99),
          WINDOWS,
          millis(with, mixed, 0.5),
          millis(with, mixed, 0.99));
      System.out.printf(
          Locale.ROOT,
          "p99 with documents / without: %.2f (bound: 3)%n",
          millis(with, mixed, 0.99) / millis(without, texts, 0.99));
    } finally {
      for (InferenceFunction stage : stages) {
        stage.close();
      }
    }
  }
}
