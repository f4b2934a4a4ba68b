package org.labelstream.operator;

import java.util.function.UnaryOperator;
import org.apache.flink.streaming.api.functions.async.ResultFuture;
import org.labelstream.codec.DecodedEvent;
import org.labelstream.engine.EngineException;
import org.labelstream.model.InvalidModelException;
import org.labelstream.model.ModelFolder;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Outcome;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;
import org.labelstream.record.TextEvent;
import org.labelstream.result.Redaction;
import org.labelstream.result.Routes;
import org.labelstream.schedule.Faults;
import org.labelstream.schedule.Lane;
import org.labelstream.schedule.ThrottledLog;
import org.labelstream.task.TaskType;
import org.labelstream.task.TaskType.Order;
import org.labelstream.task.Tasks;
import org.slf4j.LoggerFactory;

/**
 * Labels records with a model: on a GPU where there is one, else on the CPU. A record's fate is
 * always an {@link Outcome}.
 *
 * <p>Decoding and tokenizing happen on threads of their own, while the workers run the batch
 * before.
 */
public final class InferenceFunction extends ModelFunction<Outcome> {
  private static final long serialVersionUID = 1L;

  private static final ThrottledLog LOG =
      new ThrottledLog(LoggerFactory.getLogger(InferenceFunction.class));

  private final Order order;

  private transient Routes routes;
  private transient Lane lane;
  private transient KeyOrder<Outcome> keys;

  /**
   * @param order which records keep their order; {@code PARTITION} is kept by Flink's operator
   */
  public InferenceFunction(InferenceSettings settings, Order order) {
    super(settings);
    this.order = order;
  }

  /** The task that a folder's model was made for. */
  public static TaskType taskType(ModelFolder folder) {
    String name = folder.manifest().task();
    return Tasks.named(name)
        .orElseThrow(
            () ->
                new InvalidModelException(
                    folder.path()
                        + " is for the task "
                        + name
                        + ", which this version does not have: it has "
                        + String.join(", ", Tasks.ALL.stream().map(TaskType::name).toList())));
  }

  @Override
  int capacity() {
    try {
      boolean onGpu = runtime().onGpu(settings.device());
      return settings.capacity(onGpu, runtime().workerCount(onGpu));
    } catch (IllegalArgumentException | EngineException e) {
      return 1; // open() comes next, and says what is wrong
    }
  }

  @Override
  void start() {
    routes = new Routes(settings.results().routes(), type.results());
    if (settings.results().redact() != null && !type.results().containsKey("entities")) {
      throw new InvalidModelException(
          "redact needs a model that finds entities, and "
              + settings.model()
              + " is for "
              + type.name()
              + ": remove redact, or name another model");
    }
    lane = open(task, settings.lane(model.onGpu()));
    keys = order == Order.KEY ? new KeyOrder<>(capacity()) : null;
  }

  @Override
  Lane lane() {
    return lane;
  }

  @Override
  void restored() {
    if (keys != null) {
      keys.restored();
    }
  }

  @Override
  void stop() {
    if (lane != null) {
      lane.close();
      if (lane.isStuck()) {
        model.abandon();
      }
    }
  }

  @Override
  void take(SourceRecord record, ResultFuture<Outcome> future) {
    Completion completion =
        new Completion(record, keys == null ? future : keys.inTurn(record, future));
    if (record.value() == null && settings.tombstones() == Tombstones.FORWARD) {
      completion.passedOn();
    } else {
      prepare(record, () -> prepare(record, completion));
    }
  }

  private void prepare(SourceRecord record, Completion completion) {
    try {
      checkFits(record);
      completion.decoded = codec.decode(record);
      if (completion.decoded.isDeletion()) {
        completion.passedOn();
        return;
      }
      TextEvent event = completion.decoded.event();
      if (settings.results().redact() != null && event.parameters().containsKey("ignore_labels")) {
        throw new RejectedRecordException(
            ErrorCode.INVALID_PARAMETER,
            Stage.DECODE,
            "in parameters, ignore_labels would keep entities from being redacted: remove it");
      }
      lane.submit(task.plan(event, parametersOf(completion.decoded)), completion);
    } catch (RejectedRecordException e) {
      completion.rejected(e.letter());
    } catch (RuntimeException | Error e) {
      Faults.rethrowFatal(e);
      LOG.warn("The record at " + record.position() + " could not be encoded", e);
      completion.rejected(
          new DeadLetter(
              ErrorCode.INFERENCE_FAILED,
              Stage.ENCODE,
              "the record could not be made ready for the model ("
                  + e.getMessage()
                  + "): see the TaskManager's log"));
    }
  }

  /** Brings a record's answer back to Flink. */
  private final class Completion implements Lane.Answer {
    private final SourceRecord record;
    private final ResultFuture<Outcome> future;
    private final long came = System.nanoTime();
    private DecodedEvent decoded;

    Completion(SourceRecord record, ResultFuture<Outcome> future) {
      this.record = record;
      this.future = future;
    }

    @Override
    public void predicted(Prediction prediction) {
      try {
        Routes.Choice choice = routes.choose(record, prediction);
        if (settings.results().redact() == null) {
          labelled(record, prediction, UnaryOperator.identity(), choice);
        } else {
          Redaction redaction =
              Redaction.of(settings.results().redact(), decoded.event().text(), prediction);
          labelled(
              redaction.applied(record),
              redaction.applied(prediction),
              redaction.rewriting(),
              choice);
        }
      } catch (RejectedRecordException e) {
        rejected(e.letter());
      }
    }

    private void labelled(
        SourceRecord source,
        Prediction prediction,
        UnaryOperator<String> rewriting,
        Routes.Choice choice) {
      byte[] value =
          decoded.labelled(
              type.name(), model.folder().name(), model.folder().version(), prediction, rewriting);
      if (prediction.fields().get("generated_tokens") instanceof Integer count) {
        metrics.generated(count);
      }
      labelled(
          new Outcome.Labelled(
              source, value, decoded.event().explain(), choice.topics(), choice.moved()));
    }

    private void labelled(Outcome.Labelled outcome) {
      metrics.succeeded(System.nanoTime() - came);
      complete(record, future, outcome);
    }

    void passedOn() {
      labelled(new Outcome.Labelled(record, null, false));
    }

    @Override
    public void rejected(DeadLetter letter) {
      metrics.failed(letter.code(), System.nanoTime() - came);
      complete(record, future, new Outcome.Failed(record, letter));
    }
  }

  @Override
  public void timeout(SourceRecord record, ResultFuture<Outcome> future) {
    new Completion(record, future)
        .rejected(
            new DeadLetter(
                ErrorCode.TIMEOUT, Stage.INFERENCE, "the record was not labelled in time"));
  }
}
