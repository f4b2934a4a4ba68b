package org.labelstream.operator;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
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
import org.labelstream.schedule.InFlightBudget;
import org.labelstream.schedule.Lane;
import org.labelstream.schedule.LaneSettings;
import org.labelstream.schedule.Runner;
import org.labelstream.schedule.ThrottledLog;
import org.slf4j.LoggerFactory;

/**
 * A model for those who have texts and no records: the same task, lane and engine as {@link
 * InferenceFunction}'s, without a codec before and behind them.
 *
 * <p><em>Contract.</em> Each event is answered once, unless the predictor has failed or is closed
 * before. From its coming until its answer an event counts among the texts in flight of the process
 * ({@link InFlightBudget}), as a job's records do: what has been answered is Flink's to hold, which
 * lets no more than {@code max-concurrent-operations} rows in.
 *
 * <p><em>Thread-safety.</em> {@code predict} may be called from any thread.
 */
public final class Predictor implements AutoCloseable {

  /** Takes the answer to an event: one call of any method, from any thread. */
  public interface Answer extends Lane.Answer {

    /** Told in place of {@code predicted} where the explanation failed that was asked for. */
    void unexplained(Prediction prediction, DeadLetter why);
  }

  /** As many as a job file has by default. */
  private static final int STEPS = 50;

  private static final ThrottledLog LOG =
      new ThrottledLog(LoggerFactory.getLogger(Predictor.class));

  private final EngineRuntime runtime;
  private final Preparation preparing;
  private final InferenceSettings settings;
  private final Consumer<Throwable> onFailure;
  private final StageMetrics metrics;
  private final LeasedModel leased;
  private final Lane lane;
  private final Repeats repeats;
  private final Explainer explainer;
  private final InFlightBudget.Account account;
  private final Object memory = new Object();

  @GuardedBy("memory")
  private boolean failed;

  private Predictor(
      EngineRuntime runtime,
      InferenceSettings settings,
      boolean explaining,
      StageMetrics metrics,
      LeasedModel leased,
      Consumer<Throwable> onFailure) {
    this.runtime = runtime;
    this.settings = settings;
    this.metrics = metrics;
    this.leased = leased;
    this.onFailure = onFailure;
    this.preparing = new Preparation(metrics, this::failed);
    LaneSettings how = settings.lane(leased.model().onGpu());
    this.lane = lane(leased.task(), how);
    this.repeats = new Repeats(leased.task(), settings.caching(), metrics::repeated);
    try {
      // A row waits for both, so there is nothing that an explanation would stand back for.
      this.explainer =
          explaining
              ? Explainer.open(settings, STEPS, 1, leased.model(), leased.task(), this::lane)
              : null;
    } catch (RuntimeException | Error e) {
      lane.close();
      throw e;
    }
    metrics.model(leased.folder());
    metrics.gauge("model_load_ms", leased.model()::loadMillis);
    this.account = runtime.inFlight().open(this::memoryIsFree);
    metrics.watch(account::held, runtime.inFlight(), () -> List.of(lane));
  }

  private Lane lane(Runner rows, LaneSettings how) {
    return new Lane(
        rows,
        how,
        runtime.workers(leased.model()),
        runtime.joiner(leased.model()),
        metrics,
        this::failed);
  }

  /**
   * Loads the settings' model.
   *
   * @param explaining whether each prediction is given the fields of its explanation too
   * @param group the operator's metrics
   * @param onFailure told, once and from any thread, of what no record is to blame for
   * @throws Exception with a sentence, and with no restart where one would not help
   */
  public static Predictor open(
      InferenceSettings settings,
      boolean explaining,
      MetricGroup group,
      Consumer<Throwable> onFailure)
      throws Exception {
    RequiredEngine.check();
    return open(EngineRuntime.ofProcess(), settings, explaining, group, onFailure);
  }

  static Predictor open(
      EngineRuntime runtime,
      InferenceSettings settings,
      boolean explaining,
      MetricGroup group,
      Consumer<Throwable> onFailure)
      throws Exception {
    LeasedModel leased = null;
    try {
      leased = LeasedModel.open(settings, runtime);
      return new Predictor(
          runtime, settings, explaining, new StageMetrics(group), leased, onFailure);
    } catch (IOException | RuntimeException | Error e) {
      if (leased != null) {
        leased.close();
      }
      if (LeasedModel.isOfStart(e)) {
        throw LeasedModel.failure("The model " + settings.pipeline(), settings, e);
      }
      throw e;
    }
  }

  private void failed(Throwable cause) {
    synchronized (memory) {
      failed = true; // nobody gives memory back any more
      memory.notifyAll();
    }
    onFailure.accept(cause);
  }

  private void memoryIsFree() {
    synchronized (memory) {
      memory.notifyAll();
    }
  }

  /** The version of the model: the first characters of its folder's SHA-256. */
  public String version() {
    return leased.model().folder().version();
  }

  /**
   * Takes an event; its answer comes later, from another thread. Waits while the texts in flight
   * hold all the memory that they may, which answers give back.
   *
   * @throws InterruptedException when the caller's thread is to end while it waits
   */
  public void predict(TextEvent event, Answer answer) throws InterruptedException {
    long length =
        Stream.of(event.text(), event.textPair(), event.question(), event.context())
            .mapToLong(Predictor::utf8Length)
            .sum();
    long bytes = Math.min(ModelFunction.inFlightBytes(length, 1), runtime.inFlight().limit());
    synchronized (memory) {
      while (!failed && !account.tryReserve(bytes)) {
        memory.wait();
      }
    }
    metrics.came();
    Counted counted = new Counted(event, answer, bytes);
    prepare(length, () -> begin(event, length, counted));
  }

  private void prepare(long length, Runnable work) {
    preparing.execute(Preparation.threads(runtime, length), work);
  }

  /** How many bytes a text has in UTF-8, in which records hold theirs. */
  private static long utf8Length(String text) {
    long length = 0;
    for (int i = 0; text != null && i < text.length(); i++) {
      char c = text.charAt(i);
      // A surrogate is half of four bytes.
      length += c < 0x80 ? 1 : c < 0x800 || Character.isSurrogate(c) ? 2 : 3;
    }
    return length;
  }

  private void begin(TextEvent event, long length, Counted answer) {
    try {
      if (length > settings.maxValueBytes()) {
        throw new RejectedRecordException(
            ErrorCode.TOO_LARGE,
            Stage.DECODE,
            "the row's texts have "
                + length
                + " bytes, but may have at most "
                + settings.maxValueBytes()
                + ": shorten them");
      }
      ModelFunction.checkFits(length, 1, runtime.inFlight());
      Encodings encodings = new Encodings(new Encodings.Sharing(), metrics::tokenized);
      repeats.submit(
          event,
          leased.defaults(),
          answer,
          first -> lane.submit(leased.task().plan(event, leased.defaults(), encodings), first));
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

  /** An event on its way: to its prediction, and on to an explanation where there shall be one. */
  private final class Counted implements Lane.Answer {
    private final TextEvent event;
    private final Answer answer;
    private final long bytes;
    private final long came = System.nanoTime();

    Counted(TextEvent event, Answer answer, long bytes) {
      this.event = event;
      this.answer = answer;
      this.bytes = bytes;
    }

    @Override
    public void predicted(Prediction prediction) {
      if (explainer == null) {
        succeeded(prediction);
      } else {
        prepare(0, () -> explain(prediction));
      }
    }

    private void explain(Prediction prediction) {
      Lane.Answer explained =
          new Lane.Answer() {
            @Override
            public void predicted(Prediction explanation) {
              Map<String, Object> fields = new LinkedHashMap<>(explanation.fields());
              fields.putAll(prediction.fields());
              succeeded(new Prediction(fields, prediction.tokens(), prediction.truncated()));
            }

            @Override
            public void rejected(DeadLetter letter) {
              failed(letter.code());
              answer.unexplained(prediction, letter);
              account.release(bytes);
            }
          };
      try {
        explainer.explain(event, leased.defaults(), explained);
      } catch (RejectedRecordException e) {
        explained.rejected(e.letter());
      }
    }

    private void succeeded(Prediction prediction) {
      answer.predicted(prediction);
      if (prediction.fields().get("generated_tokens") instanceof Integer count) {
        metrics.generated(count);
      }
      metrics.succeeded(System.nanoTime() - came);
      account.release(bytes);
    }

    @Override
    public void rejected(DeadLetter letter) {
      failed(letter.code());
      answer.rejected(letter);
      account.release(bytes);
    }

    private void failed(ErrorCode code) {
      metrics.failed(code, System.nanoTime() - came);
    }
  }

  @Override
  public void close() {
    // In this order: freeing a module under a native call ends the JVM.
    preparing.close();
    if (explainer != null) {
      explainer.close();
    }
    lane.close();
    if (lane.isStuck()) {
      leased.model().abandon();
    }
    leased.close();
    account.close();
  }
}
