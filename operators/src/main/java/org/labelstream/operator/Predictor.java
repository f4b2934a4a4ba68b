package org.labelstream.operator;

import java.io.IOException;
import java.util.concurrent.Executor;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.apache.flink.metrics.MetricGroup;
import org.labelstream.engine.Encodings;
import org.labelstream.engine.EngineRuntime;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;
import org.labelstream.record.TextEvent;
import org.labelstream.schedule.Faults;
import org.labelstream.schedule.Lane;
import org.labelstream.schedule.TaskGroup;
import org.labelstream.schedule.ThrottledLog;
import org.slf4j.LoggerFactory;

/**
 * A model for those who have texts and no records: the same task, lane and engine as {@link
 * InferenceFunction}'s, without a codec before and behind them.
 *
 * <p><em>Contract.</em> Each event is answered once, unless the predictor has failed or is closed
 * before.
 *
 * <p><em>Thread-safety.</em> {@code predict} may be called from any thread.
 */
public final class Predictor implements AutoCloseable {

  private static final ThrottledLog LOG =
      new ThrottledLog(LoggerFactory.getLogger(Predictor.class));

  private final EngineRuntime runtime = EngineRuntime.ofProcess();
  private final TaskGroup preparing = new TaskGroup();
  private final InferenceSettings settings;
  private final Consumer<Throwable> onFailure;
  private final StageMetrics metrics;
  private final LeasedModel leased;
  private final Lane lane;

  private Predictor(InferenceSettings settings, MetricGroup group, Consumer<Throwable> onFailure)
      throws IOException {
    this.settings = settings;
    this.onFailure = onFailure;
    this.metrics = new StageMetrics(group);
    this.leased = LeasedModel.open(settings, runtime);
    this.lane =
        new Lane(
            leased.task(),
            settings.lane(leased.model().onGpu()),
            runtime.workers(leased.model()),
            runtime.joiner(leased.model()),
            metrics,
            onFailure);
    metrics.model(leased.folder());
    metrics.gauge("model_load_ms", leased.model()::loadMillis);
    metrics.gauge("queue_rows", lane::waiting);
    metrics.gauge("queue_age_ms", () -> lane.nanosWaited() / 1_000_000);
    metrics.gauge("running_sequences", lane::sequences);
  }

  /**
   * Loads the settings' model.
   *
   * @param group the operator's metrics
   * @param onFailure told, once and from any thread, of what no record is to blame for
   * @throws Exception with a sentence, and with no restart where one would not help
   */
  public static Predictor open(
      InferenceSettings settings, MetricGroup group, Consumer<Throwable> onFailure)
      throws Exception {
    RequiredEngine.check();
    try {
      return new Predictor(settings, group, onFailure);
    } catch (IOException | RuntimeException | LinkageError e) {
      if (LeasedModel.isOfStart(e)) {
        throw LeasedModel.failure("The model " + settings.pipeline(), settings, e);
      }
      throw e;
    }
  }

  /** The version of the model: the first characters of its folder's SHA-256. */
  public String version() {
    return leased.model().folder().version();
  }

  /** Takes an event; its answer comes later, from another thread. */
  public void predict(TextEvent event, Lane.Answer answer) {
    metrics.came();
    Counted counted = new Counted(answer);
    long length =
        Stream.of(event.text(), event.textPair(), event.question(), event.context())
            .mapToLong(text -> text == null ? 0 : text.length())
            .sum();
    Executor threads = length > ModelFunction.LONG_VALUE ? runtime.documents() : runtime.texts();
    preparing.execute(
        threads,
        () -> {
          long start = System.nanoTime();
          try {
            prepare(event, length, counted);
          } catch (RuntimeException | Error e) {
            onFailure.accept(e);
          }
          metrics.prepared(System.nanoTime() - start);
        });
  }

  private void prepare(TextEvent event, long length, Counted answer) {
    try {
      if (length > settings.maxValueBytes()) {
        throw new RejectedRecordException(
            ErrorCode.TOO_LARGE,
            Stage.DECODE,
            "the row's texts have "
                + length
                + " characters, but may have at most "
                + settings.maxValueBytes()
                + ": shorten them");
      }
      Encodings encodings = new Encodings(new Encodings.Sharing(), metrics::tokenized);
      lane.submit(leased.task().plan(event, leased.defaults(), encodings), answer);
    } catch (RejectedRecordException e) {
      answer.rejected(e.letter());
    } catch (RuntimeException | Error e) {
      Faults.rethrowFatal(e);
      LOG.warn("A row could not be encoded", e);
      answer.rejected(
          new DeadLetter(
              ErrorCode.INFERENCE_FAILED,
              Stage.ENCODE,
              "the row could not be made ready for the model ("
                  + e.getMessage()
                  + "): see the TaskManager's log"));
    }
  }

  /** An answer that is counted. */
  private final class Counted implements Lane.Answer {
    private final Lane.Answer answer;
    private final long came = System.nanoTime();

    Counted(Lane.Answer answer) {
      this.answer = answer;
    }

    @Override
    public void predicted(Prediction prediction) {
      answer.predicted(prediction);
      if (prediction.fields().get("generated_tokens") instanceof Integer count) {
        metrics.generated(count);
      }
      metrics.succeeded(System.nanoTime() - came);
    }

    @Override
    public void rejected(DeadLetter letter) {
      metrics.failed(letter.code(), System.nanoTime() - came);
      answer.rejected(letter);
    }
  }

  @Override
  public void close() {
    // In this order: freeing a module under a native call ends the JVM.
    preparing.close();
    lane.close();
    if (lane.isStuck()) {
      leased.model().abandon();
    }
    leased.close();
  }
}
