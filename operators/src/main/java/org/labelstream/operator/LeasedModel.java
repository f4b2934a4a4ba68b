package org.labelstream.operator;

import java.io.IOException;
import org.apache.flink.runtime.execution.SuppressRestartsException;
import org.labelstream.engine.EngineException;
import org.labelstream.engine.EngineRuntime;
import org.labelstream.engine.LoadedModel;
import org.labelstream.model.InvalidModelException;
import org.labelstream.model.ModelFolder;
import org.labelstream.store.ModelFetcher;
import org.labelstream.task.Parameters;
import org.labelstream.task.Task;
import org.labelstream.task.TaskType;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A model folder in use: fetched, loaded on a device, and the task over it. Whoever runs the task
 * closes it after that has ended: freeing a module under a native call ends the JVM.
 *
 * @param defaults the settings' parameters, checked
 */
record LeasedModel(
    ModelFetcher.Lease fetched, TaskType type, Parameters defaults, LoadedModel model, Task task)
    implements AutoCloseable {

  private static final Logger LOG = LoggerFactory.getLogger(LeasedModel.class);

  /**
   * Fetches and loads the settings' model. What it throws, {@link #failure} makes a sentence of.
   *
   * @throws IOException when a store does not give the folder
   */
  static LeasedModel open(InferenceSettings settings, EngineRuntime runtime) throws IOException {
    ModelFetcher.Lease fetched =
        ModelFetcher.instance().fetch(settings.model(), settings.verify(), settings.modelSha256());
    LoadedModel model = null;
    try {
      ModelFolder folder = fetched.folder();
      folder.notices().forEach(LOG::info);
      TaskType type = InferenceFunction.taskType(folder);
      Parameters defaults = type.parameters().parse(settings.parameters());
      model = runtime.lease(folder, settings.device());
      return new LeasedModel(fetched, type, defaults, model, type.factory().create(model));
    } catch (RuntimeException | Error e) {
      if (model != null) {
        model.close();
      }
      fetched.close();
      throw e;
    }
  }

  /** Whether a fault is one that the start of a stage tells in a sentence. */
  static boolean isOfStart(Throwable e) {
    return e instanceof IOException
        || e instanceof InvalidModelException
        || e instanceof EngineException
        || e instanceof IllegalArgumentException
        || e instanceof LinkageError;
  }

  /**
   * What the task fails with when a stage could not start.
   *
   * @param stage the stage as a sentence names it, such as {@code Pipeline sentiment}
   */
  static Exception failure(String stage, InferenceSettings settings, Throwable e) {
    if (LoadFailure.of(e, settings.modelSha256() != null) == LoadFailure.PASSING) {
      return new PipelineException(stage + ": " + e.getMessage(), e);
    }
    // What is wrong here stays wrong however often the job restarts.
    return new SuppressRestartsException(
        new PipelineException(stage + " cannot start: " + reason(e), e));
  }

  private static String reason(Throwable e) {
    return e instanceof LinkageError
        ? "DJL cannot be loaded ("
            + e
            + "): unpack labelstream-lib into Flink's lib/ folder and restart the cluster"
        : e.getMessage();
  }

  @Override
  public void close() {
    model.close();
    fetched.close();
  }
}
