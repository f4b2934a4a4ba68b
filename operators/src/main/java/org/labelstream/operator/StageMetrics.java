package org.labelstream.operator;

import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongSupplier;
import java.util.function.Supplier;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Gauge;
import org.apache.flink.metrics.Histogram;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.metrics.ThreadSafeSimpleCounter;
import org.apache.flink.runtime.metrics.DescriptiveStatisticsHistogram;
import org.labelstream.model.ModelFolder;
import org.labelstream.record.ErrorCode;
import org.labelstream.schedule.InFlightBudget;
import org.labelstream.schedule.Lane;
import org.labelstream.schedule.LaneListener;

/**
 * What a stage tells of itself, in the group {@code model_inference} of its operator, as {@code
 * docs/metrics.md} lists it. The names {@code requests}, {@code requests_success}, {@code
 * requests_failure}, {@code rows_output} and {@code latency} are those that Flink gives to its own
 * model functions.
 *
 * <p><em>Thread-safety.</em> All methods may be called from any thread.
 */
final class StageMetrics implements LaneListener {

  /** Histograms tell of so many last values. */
  private static final int WINDOW = 1_000;

  private final MetricGroup group;
  private final Counter requests;
  private final Counter success;
  private final Counter failure;
  private final Counter rowsOutput;
  private final Counter rows;
  private final Counter tokens;
  private final Counter paddedTokens;
  private final Counter batches;
  private final Counter generatedTokens;
  private final Counter dropped;
  final Counter tokenizations;
  private final Counter repeats;
  private final Counter modelErrors;
  private final Map<ErrorCode, Counter> deadLetters = new EnumMap<>(ErrorCode.class);
  private final Histogram latency;
  private final Histogram prepare;
  private final Histogram queue;
  private final Histogram forward;
  private final Histogram join;
  private final Histogram firstToken;
  private final Histogram batchRows;
  private final Histogram batchTokens;

  /**
   * @param operator the operator's own group
   */
  StageMetrics(MetricGroup operator) {
    group = operator.addGroup("model_inference");
    requests = counter("requests");
    success = counter("requests_success");
    failure = counter("requests_failure");
    rowsOutput = counter("rows_output");
    rows = counter("rows");
    tokens = counter("tokens");
    paddedTokens = counter("padded_tokens");
    batches = counter("batches");
    generatedTokens = counter("generated_tokens");
    dropped = counter("explanations_dropped");
    tokenizations = counter("tokenizations");
    repeats = counter("repeats");
    modelErrors = counter("model_errors");
    for (ErrorCode code : ErrorCode.values()) {
      deadLetters.put(
          code,
          group
              .addGroup("code", code.wireName())
              .counter("dead_letters", new ThreadSafeSimpleCounter()));
    }
    latency = histogram("latency");
    prepare = histogram("prepare_ms");
    queue = histogram("queue_ms");
    forward = histogram("forward_ms");
    join = histogram("join_ms");
    firstToken = histogram("first_token_ms");
    batchRows = histogram("batch_rows");
    batchTokens = histogram("batch_tokens");
    gauge("padding_percent", this::paddingPercent);
  }

  private Counter counter(String name) {
    return group.counter(name, new ThreadSafeSimpleCounter());
  }

  private Histogram histogram(String name) {
    return group.histogram(name, new DescriptiveStatisticsHistogram(WINDOW));
  }

  /** A figure that is looked up when it is asked for. */
  void gauge(String name, LongSupplier value) {
    group.gauge(name, (Gauge<Long>) value::getAsLong);
  }

  /** A model that the stage has loaded, as labels of a figure that is always 1. */
  void model(ModelFolder folder) {
    group
        .addGroup("model", folder.name())
        .addGroup("version", folder.version())
        .gauge("model_info", () -> 1);
  }

  /**
   * What the stage holds, and what waits in it.
   *
   * @param held the bytes of the stage's own texts in flight
   * @param all those of the process
   * @param lanes of the stage's work, as long as there are any
   */
  void watch(LongSupplier held, InFlightBudget all, Supplier<List<Lane>> lanes) {
    gauge("in_flight_bytes", held);
    gauge("in_flight_limit_bytes", all::limit);
    gauge("in_flight_taskmanager_bytes", all::reserved);
    gauge("queue_rows", () -> lanes.get().stream().mapToLong(Lane::waiting).sum());
    gauge(
        "queue_age_ms",
        () -> lanes.get().stream().mapToLong(Lane::nanosWaited).max().orElse(0) / 1_000_000);
    gauge("running_sequences", () -> lanes.get().stream().mapToLong(Lane::sequences).sum());
  }

  private long paddingPercent() {
    long padded = paddedTokens.getCount();
    return padded == 0 ? 0 : Math.round(100.0 * (padded - tokens.getCount()) / padded);
  }

  /** A record has come. */
  void came() {
    requests.inc();
  }

  /** The texts of a record were tokenized, for one model or for all that share it. */
  void tokenized() {
    tokenizations.inc();
  }

  /** A text did not go to its model: it came before, and its answer is known or on its way. */
  void repeated() {
    repeats.inc();
  }

  /** One of several models failed on a record that goes out with the others' results. */
  void modelFailed() {
    modelErrors.inc();
  }

  /** A record was read and tokenized. */
  void prepared(long nanos) {
    prepare.update(millis(nanos));
  }

  /**
   * A record goes out with a result.
   *
   * @param nanos since it came
   */
  void succeeded(long nanos) {
    success.inc();
    rowsOutput.inc();
    latency.update(millis(nanos));
  }

  /**
   * A record goes out without one.
   *
   * @param nanos since it came
   */
  void failed(ErrorCode code, long nanos) {
    failure.inc();
    deadLetters.get(code).inc();
    if (code == ErrorCode.EXPLANATION_DROPPED) {
      dropped.inc();
    }
    latency.update(millis(nanos));
  }

  /** A text was continued by so many tokens. */
  void generated(long count) {
    generatedTokens.inc(count);
  }

  @Override
  public void began(long nanos) {
    queue.update(millis(nanos));
  }

  @Override
  public void ran(int rowCount, long real, long padded, long nanos) {
    batches.inc();
    rows.inc(rowCount);
    tokens.inc(real);
    paddedTokens.inc(padded);
    batchRows.update(rowCount);
    batchTokens.update(padded);
    forward.update(millis(nanos));
  }

  @Override
  public void firstToken(long nanos) {
    firstToken.update(millis(nanos));
  }

  @Override
  public void joined(long nanos) {
    join.update(millis(nanos));
  }

  /** Rounded up, so that what takes time is never told as none. */
  private static long millis(long nanos) {
    return (nanos + 999_999) / 1_000_000;
  }
}
