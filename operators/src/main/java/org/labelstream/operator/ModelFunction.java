package org.labelstream.operator;

import java.io.IOException;
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
import org.labelstream.record.ErrorCode;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;
import org.labelstream.task.Parameters;
import org.labelstream.task.Task;
import org.labelstream.task.TaskType;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * An async function over a model folder: it leases the model in {@code open()} and gives it back in
 * {@code close()}.
 *
 * <p>Flink fails a job whose async function completes with an exception, so what happens to a
 * record is always a value. Flink's own timeout must be off (0), since it would count a record's
 * waiting; the settings' counts the model's work.
 *
 * @param <T> what becomes of a record
 */
abstract class ModelFunction<T> extends RichAsyncFunction<SourceRecord, T> {
  private static final long serialVersionUID = 1L;

  private static final Logger LOG = LoggerFactory.getLogger(ModelFunction.class);

  final InferenceSettings settings;

  transient LoadedModel model;
  transient TaskType type;
  transient Task task;
  transient EventCodec codec;
  private transient ModelFetcher.Lease fetched;
  private transient Parameters defaults;

  ModelFunction(InferenceSettings settings) {
    this.settings = settings;
  }

  /** Starts the work, once the model is there. */
  abstract void start();

  /** Ends the work; none of it may run when this returns. Called even if it never started. */
  abstract void stop();

  @Override
  public void open(OpenContext context) throws Exception {
    try {
      fetched =
          ModelFetcher.instance()
              .fetch(settings.model(), settings.verify(), settings.modelSha256());
      ModelFolder folder = fetched.folder();
      folder.notices().forEach(LOG::info);
      type = InferenceFunction.taskType(folder);
      defaults = type.parameters().parse(settings.parameters());
      model = LoadedModel.lease(folder, settings.device());
      task = type.factory().create(model);
      codec = new EventCodec(settings.pipeline(), settings.format(), settings.maxValueBytes());
      start();
    } catch (IOException
        | InvalidModelException
        | EngineException
        | IllegalArgumentException
        | LinkageError e) {
      if (LoadFailure.of(e, settings.modelSha256() != null) == LoadFailure.PASSING) {
        throw new IOException("Pipeline " + settings.pipeline() + ": " + e.getMessage(), e);
      }
      // What is wrong here stays wrong however often the job restarts.
      throw new SuppressRestartsException(
          new IllegalStateException(
              "Pipeline " + settings.pipeline() + " cannot start: " + reason(e), e));
    }
  }

  private static String reason(Throwable e) {
    return e instanceof LinkageError
        ? "DJL cannot be loaded ("
            + e
            + "): unpack labelstream-lib into Flink's lib/ folder and restart the cluster"
        : e.getMessage();
  }

  final Parameters parametersOf(DecodedEvent decoded) throws RejectedRecordException {
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

  final void complete(ResultFuture<T> future, T result) {
    try {
      future.complete(List.of(result));
    } catch (RejectedExecutionException e) {
      // The task has ended while the model worked for it; the record is in its checkpoint and will
      // run again.
      LOG.debug("A result came after its task had ended");
    }
  }

  @Override
  public void close() {
    // In this order: freeing a module under a native call ends the JVM.
    stop();
    if (model != null) {
      model.close();
    }
    if (fetched != null) {
      fetched.close();
    }
  }
}
