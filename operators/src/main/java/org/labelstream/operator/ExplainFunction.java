package org.labelstream.operator;

import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.UnaryOperator;
import org.apache.flink.streaming.api.functions.async.ResultFuture;
import org.labelstream.codec.DecodedEvent;
import org.labelstream.engine.EngineException;
import org.labelstream.operator.ExplainSettings.WhenFull;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.OutputRecord;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;
import org.labelstream.result.RedactSettings;
import org.labelstream.result.Redaction;
import org.labelstream.schedule.Faults;
import org.labelstream.schedule.Lane;
import org.labelstream.schedule.Threads;
import org.labelstream.schedule.ThrottledLog;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Explains records that have their label. A stage of its own: the label is out already, and what
 * Flink checkpoints here are the explanations that are still owed. Each record that comes in gives
 * one that goes out: its explanation, or why there is none.
 */
public final class ExplainFunction extends ModelFunction<OutputRecord> {
  private static final long serialVersionUID = 1L;

  private static final Logger LOG = LoggerFactory.getLogger(ExplainFunction.class);
  private static final ThrottledLog THROTTLED = new ThrottledLog(LOG);

  private final ExplainSettings explaining;
  private final OutputRecords outputs;

  private transient AtomicInteger owed;

  /** A thread of its own: the first explanation may load a module, which nobody else waits for. */
  private transient ExecutorService thread;

  private transient volatile Explainer explainer;
  private transient String unloadable;

  /**
   * @param settings the pipeline's
   * @param outputs makes the records that go out
   */
  public ExplainFunction(
      InferenceSettings settings, ExplainSettings explaining, OutputRecords outputs) {
    super(settings);
    this.explaining = explaining;
    this.outputs = outputs;
  }

  @Override
  int capacity() {
    return explaining.capacity();
  }

  @Override
  Lane lane() {
    return explainer == null ? null : explainer.lane();
  }

  @Override
  void start() {
    outputs.log().open();
    owed = new AtomicInteger();
    thread = Executors.newSingleThreadExecutor(run -> Threads.daemon("labelstream-explain", run));
    metrics.gauge("explanations_owed", owed::get);
    if (model.folder().manifest().explain() == null) {
      LOG.warn(
          "Pipeline {}: {} has no methods for explanations, so each that is asked for is refused",
          settings.pipeline(),
          settings.model());
    }
  }

  /** Loads the module for gradients when it is first asked for: it may be a second one. */
  private void startExplaining() {
    if (explainer != null) {
      return;
    }
    if (unloadable != null) {
      throw new EngineException(unloadable); // once is enough: each try holds up all that are owed
    }
    explainer =
        Explainer.open(settings, explaining.steps(), explaining.share(), model, task, this::open);
  }

  @Override
  void stop() {
    try {
      if (explainer != null) {
        explainer.close();
      }
    } finally {
      outputs.log().close();
      if (thread != null) {
        thread.shutdown();
      }
    }
  }

  @Override
  boolean givesUpWhenFull() {
    return explaining.whenFull() == WhenFull.DROP;
  }

  @Override
  Executor threadsFor(SourceRecord record) {
    return thread;
  }

  @Override
  void take(SourceRecord record, ResultFuture<OutputRecord> future) {
    boolean full = owed.getAndIncrement() >= explaining.queue() || memoryIsFull();
    prepare(record, () -> prepare(record, future, full));
  }

  private void prepare(SourceRecord record, ResultFuture<OutputRecord> future, boolean full) {
    Completion completion = new Completion(record, codec.unread(record), future);
    try {
      checkFits(record);
      DecodedEvent decoded = codec.decode(record); // one that is given up is told by its id too
      completion = new Completion(record, decoded, future);
      if (full && explaining.whenFull() == WhenFull.DROP) {
        throw new RejectedRecordException(
            ErrorCode.EXPLANATION_DROPPED,
            Stage.EXPLANATION,
            explaining.queue()
                + " explanations are owed already: ask for fewer, raise explanations.share or"
                + " explanations.queue, or set when-full: block");
      }
      if (completion.redaction == null
          && settings.results().redact() != null
          && settings.results().redact().replace()) {
        completion = new Completion(record, codec.unread(record), future);
        throw new RejectedRecordException(
            ErrorCode.EXPLANATION_FAILED,
            Stage.EXPLANATION,
            "the record was labelled before redact was set, so its words cannot be redacted here:"
                + " send it again");
      }
      startExplaining();
      explainer.explain(decoded.event(), parametersOf(decoded), completion);
    } catch (RejectedRecordException e) {
      completion.rejected(e.letter());
    } catch (EngineException e) {
      if (unloadable == null) {
        LOG.warn("The module for explanations cannot be loaded", e);
        unloadable = e.getMessage();
      }
      completion.failed(e.getMessage());
    } catch (RuntimeException | Error e) {
      Faults.rethrowFatal(e);
      THROTTLED.warn("The record at " + record.position() + " could not be explained", e);
      completion.failed(e.getMessage());
    }
  }

  /** What the record tells of what was blotted out of its label, or null where nothing was. */
  private Redaction redaction(SourceRecord record, String text) {
    RedactSettings redact = settings.results().redact();
    return redact == null || !redact.replace()
        ? null
        : Redaction.of(redact, text, record).orElse(null);
  }

  /** Brings an explanation, or why there is none, back to Flink. */
  private final class Completion implements Lane.Answer {
    private final SourceRecord record;
    private final DecodedEvent decoded;
    private final ResultFuture<OutputRecord> future;
    private final long came = System.nanoTime();
    private final Redaction redaction;

    Completion(SourceRecord record, DecodedEvent decoded, ResultFuture<OutputRecord> future) {
      this.record = record;
      this.redaction = redaction(record, decoded.event().text());
      this.decoded = decoded;
      this.future = future;
    }

    @Override
    public void predicted(Prediction explanation) {
      OutputRecord whole = outputs.explanation(record, value(explanation.fields()));
      Optional<DeadLetter> refusal = outputs.log().refusal(whole);
      if (refusal.isEmpty()) {
        metrics.succeeded(System.nanoTime() - came);
        answer(whole);
      } else {
        failed(refusal.get().message());
      }
    }

    @Override
    public void rejected(DeadLetter letter) {
      ErrorCode code =
          switch (letter.code()) {
            case INVALID_TARGET, EXPLANATION_UNSUPPORTED, EXPLANATION_DROPPED -> letter.code();
            default -> ErrorCode.EXPLANATION_FAILED;
          };
      metrics.failed(code, System.nanoTime() - came);
      Map<String, Object> error =
          Map.of("code", code.wireName(), "message", OutputRecords.shortened(letter.message()));
      OutputRecord whole = outputs.explanation(record, value(Map.of("error", error)));
      answer(outputs.fits(whole) ? whole : outputs.withoutSource(whole, record));
    }

    void failed(String reason) {
      rejected(
          new DeadLetter(
              ErrorCode.EXPLANATION_FAILED,
              Stage.EXPLANATION,
              "the record could not be explained ("
                  + reason
                  + "): see the TaskManager's log, or shorten the text"));
    }

    private byte[] value(Map<String, Object> fields) {
      return decoded.explained(
          type.name(),
          model.folder().name(),
          model.folder().version(),
          redaction == null ? fields : redaction.explained(fields),
          redaction == null ? UnaryOperator.identity() : redaction.rewriting());
    }

    private void answer(OutputRecord output) {
      owed.decrementAndGet();
      complete(record, future, output);
    }
  }

  @Override
  public void timeout(SourceRecord record, ResultFuture<OutputRecord> future) {
    new Completion(record, codec.unread(record), future).failed("it took too long");
  }
}
