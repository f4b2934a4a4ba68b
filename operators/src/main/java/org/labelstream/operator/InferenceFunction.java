package org.labelstream.operator;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.util.List;
import java.util.concurrent.RejectedExecutionException;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.runtime.execution.SuppressRestartsException;
import org.apache.flink.streaming.api.functions.async.ResultFuture;
import org.apache.flink.streaming.api.functions.async.RichAsyncFunction;
import org.labelstream.codec.DecodedEvent;
import org.labelstream.codec.EventCodec;
import org.labelstream.engine.EngineException;
import org.labelstream.engine.LoadedModel;
import org.labelstream.model.InvalidModelException;
import org.labelstream.model.ModelFolder;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Outcome;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;
import org.labelstream.task.Parameters;
import org.labelstream.task.Task;
import org.labelstream.task.TaskType;
import org.labelstream.task.Tasks;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Labels records with a model that it leases in {@code open()}: on a GPU where there is one, else
 * on the CPU.
 *
 * <p>A record's fate is always an {@link Outcome}: Flink fails a job whose async function completes
 * with an exception, so none does. Flink's own timeout must be off (0), since it would count a
 * record's waiting; {@link InferenceSettings#timeout} counts the model's work.
 *
 * <p>Decoding and tokenizing happen in {@code asyncInvoke}, on the task's thread, while the workers
 * run the batch before.
 */
public final class InferenceFunction extends RichAsyncFunction<SourceRecord, Outcome> {
  private static final long serialVersionUID = 1L;

  private static final Logger LOG = LoggerFactory.getLogger(InferenceFunction.class);

  private final InferenceSettings settings;

  private transient ModelFetcher fetched;
  private transient LoadedModel model;
  private transient TaskType type;
  private transient Task task;
  private transient Parameters defaults;
  private transient EventCodec codec;
  private transient Lane lane;

  public InferenceFunction(InferenceSettings settings) {
    this.settings = settings;
  }

  @Override
  public void open(OpenContext context) throws Exception {
    try {
      fetched = ModelFetcher.fetch(settings.model());
      ModelFolder folder = ModelFolder.read(fetched.folder(), settings.verify());
      folder.notices().forEach(LOG::info);
      type = taskType(folder);
      defaults = type.parameters().parse(settings.parameters());
      model = LoadedModel.lease(folder, settings.device());
      task = type.factory().create(model);
      codec = new EventCodec(settings.pipeline(), settings.format(), settings.maxValueBytes());
      lane = new Lane(task, settings.batch().policy(model.onGpu()), settings.timeout());
    } catch (InvalidModelException | EngineException | IllegalArgumentException | LinkageError e) {
      if (isPassing(e)) {
        throw new IOException("Pipeline " + settings.pipeline() + ": " + e.getMessage(), e);
      }
      // What is wrong here stays wrong however often the job restarts.
      throw new SuppressRestartsException(
          new IllegalStateException(
              "Pipeline " + settings.pipeline() + " cannot start: " + reason(e), e));
    }
  }

  /**
   * Whether a storage did not answer, which a restart may find mended; what is not there will not
   * be.
   */
  private static boolean isPassing(Throwable e) {
    return e.getCause() instanceof IOException cause
        && !(cause instanceof FileNotFoundException)
        && !(cause instanceof NoSuchFileException);
  }

  private static String reason(Throwable e) {
    return e instanceof LinkageError
        ? "DJL cannot be loaded ("
            + e
            + "): unpack labelstream-lib into Flink's lib/ folder and restart the cluster"
        : e.getMessage();
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
  public void asyncInvoke(SourceRecord record, ResultFuture<Outcome> future) {
    if (record.value() == null && settings.tombstones() == Tombstones.FORWARD) {
      complete(future, new Outcome.Labelled(record, null));
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

  private Parameters parametersOf(DecodedEvent decoded) throws RejectedRecordException {
    if (decoded.event().parameters().isEmpty()) {
      return defaults;
    }
    try {
      return defaults.overriddenBy(type.parameters().parse(decoded.event().parameters()));
    } catch (IllegalArgumentException e) {
      throw new RejectedRecordException(
          ErrorCode.INVALID_PARAMETER, Stage.DECODE, "in parameters, " + e.getMessage());
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
      complete(future, new Outcome.Labelled(record, value));
    }

    @Override
    public void rejected(DeadLetter letter) {
      complete(future, new Outcome.Failed(record, letter));
    }
  }

  private static void complete(ResultFuture<Outcome> future, Outcome outcome) {
    try {
      future.complete(List.of(outcome));
    } catch (RejectedExecutionException e) {
      // The task has ended while the model worked for it; the record is in its checkpoint and will
      // run again.
      LOG.debug("A result came after its task had ended");
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

  @Override
  public void close() {
    // In this order: freeing a module under a native call ends the JVM.
    if (lane != null) {
      lane.close();
    }
    if (model != null) {
      model.close();
    }
    if (fetched != null) {
      fetched.close();
    }
  }
}
