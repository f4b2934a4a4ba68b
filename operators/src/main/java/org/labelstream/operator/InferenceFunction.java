package org.labelstream.operator;

import org.apache.flink.streaming.api.functions.async.ResultFuture;
import org.labelstream.codec.DecodedEvent;
import org.labelstream.model.InvalidModelException;
import org.labelstream.model.ModelFolder;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Outcome;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;
import org.labelstream.schedule.Lane;
import org.labelstream.task.TaskType;
import org.labelstream.task.Tasks;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Labels records with a model: on a GPU where there is one, else on the CPU. A record's fate is
 * always an {@link Outcome}.
 *
 * <p>Decoding and tokenizing happen in {@code asyncInvoke}, on the task's thread, while the workers
 * run the batch before.
 */
public final class InferenceFunction extends ModelFunction<Outcome> {
  private static final long serialVersionUID = 1L;

  private static final Logger LOG = LoggerFactory.getLogger(InferenceFunction.class);

  private transient Lane lane;

  public InferenceFunction(InferenceSettings settings) {
    super(settings);
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
  void start() {
    lane = new Lane(task, settings.batch().policy(model.onGpu()), settings.timeout(), 1);
  }

  @Override
  void stop() {
    if (lane != null) {
      lane.close();
    }
  }

  @Override
  public void asyncInvoke(SourceRecord record, ResultFuture<Outcome> future) {
    if (record.value() == null && settings.tombstones() == Tombstones.FORWARD) {
      complete(future, new Outcome.Labelled(record, null, false));
      return;
    }
    try {
      DecodedEvent decoded = codec.decode(record);
      lane.submit(
          task.plan(decoded.event(), parametersOf(decoded)),
          new Completion(record, decoded, future));
    } catch (RejectedRecordException e) {
      complete(future, new Outcome.Failed(record, e.letter()));
    } catch (RuntimeException | StackOverflowError | OutOfMemoryError e) {
      LOG.warn("The record at {} could not be encoded", record.position(), e);
      complete(
          future,
          new Outcome.Failed(
              record,
              new DeadLetter(
                  ErrorCode.INFERENCE_FAILED,
                  Stage.ENCODE,
                  "the record could not be made ready for the model ("
                      + e.getMessage()
                      + "): see the TaskManager's log")));
    }
  }

  /** Brings a record's answer back to Flink. */
  private final class Completion implements Lane.Answer {
    private final SourceRecord record;
    private final DecodedEvent decoded;
    private final ResultFuture<Outcome> future;

    Completion(SourceRecord record, DecodedEvent decoded, ResultFuture<Outcome> future) {
      this.record = record;
      this.decoded = decoded;
      this.future = future;
    }

    @Override
    public void predicted(Prediction prediction) {
      byte[] value =
          decoded.labelled(
              type.name(), model.folder().name(), model.folder().version(), prediction);
      complete(future, new Outcome.Labelled(record, value, decoded.event().explain()));
    }

    @Override
    public void rejected(DeadLetter letter) {
      complete(future, new Outcome.Failed(record, letter));
    }
  }

  @Override
  public void timeout(SourceRecord record, ResultFuture<Outcome> future) {
    complete(
        future,
        new Outcome.Failed(
            record,
            new DeadLetter(
                ErrorCode.TIMEOUT, Stage.INFERENCE, "the record was not labelled in time")));
  }
}
