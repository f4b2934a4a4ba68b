package org.labelstream.job.sql;

import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.catalog.ResolvedSchema;
import org.labelstream.codec.EventForm;
import org.labelstream.model.InvalidModelException;
import org.labelstream.model.ModelFolder;
import org.labelstream.operator.InferenceFunction;
import org.labelstream.operator.InferenceSettings;
import org.labelstream.operator.Tombstones;
import org.labelstream.result.ResultSettings;
import org.labelstream.schedule.LaneSettings;
import org.labelstream.store.ModelFetcher;
import org.labelstream.task.TaskType;

/**
 * A {@code CREATE MODEL} statement that is planned: everything that is wrong with it is told at
 * once, before anything runs.
 */
final class Statement {

  private static final Duration TIMEOUT = Duration.ofSeconds(60);
  private static final int MAX_CHARACTERS = 1 << 20;

  private Statement() {}

  /**
   * Reads a statement.
   *
   * @param name the model's name, for messages
   * @throws ValidationException with all that is wrong, in one sentence each
   */
  static PredictFunction read(
      String name, Map<String, String> given, ResolvedSchema input, ResolvedSchema output) {
    List<String> problems = new ArrayList<>();
    SqlOptions options = new SqlOptions(given, problems);
    String model = resolved(options.get(SqlOptions.MODEL));
    ModelFolder.Verify verify = options.get(SqlOptions.VERIFY);
    String pinned = options.sha256();
    InferenceSettings settings = null;
    Inputs inputs = null;
    Outputs outputs = null;
    OnError onError = options.get(SqlOptions.ON_ERROR);
    if (model == null) {
      problems.add("there is no option model: add 'model' = '<a model folder>'");
      throw refusal(name, problems);
    }
    try (ModelFetcher.Lease lease = ModelFetcher.instance().fetch(model, verify, pinned)) {
      TaskType type = InferenceFunction.taskType(lease.folder());
      settings =
          new InferenceSettings(
              name,
              model,
              options.get(SqlOptions.DEVICE),
              EventForm.DEFAULT,
              MAX_CHARACTERS,
              Tombstones.DEAD_LETTER,
              new HashMap<>(options.parameters(type.parameters())),
              TIMEOUT,
              LaneSettings.CALL_TIMEOUT,
              options.batching(),
              verify,
              lease.folder().sha256(),
              ResultSettings.DEFAULT,
              options.caching(),
              null);
      inputs = Inputs.of(type, input, problems);
      Outputs.Promise promise = new Outputs.Promise(!inputs.nullable(), onError);
      outputs = Outputs.of(type, settings.parameters(), output, promise, problems);
      if (outputs.explaining() && lease.folder().manifest().explain() == null) {
        problems.add(
            "OUTPUT has columns of an explanation, but the model was exported without the methods"
                + " that explanations need: export its checkpoint again, or leave the columns out");
      }
    } catch (IOException | InvalidModelException e) {
      problems.add(e.getMessage());
    }
    if (!problems.isEmpty()) {
      throw refusal(name, problems);
    }
    return new PredictFunction(settings, inputs, outputs, onError);
  }

  private static String resolved(String model) {
    if (model == null || model.isBlank()) {
      return null;
    }
    return ModelFetcher.isLocal(model)
        ? ModelFetcher.localPath(model).toAbsolutePath().normalize().toString()
        : model;
  }

  private static ValidationException refusal(String name, List<String> problems) {
    String all = String.join("; ", problems);
    return new ValidationException(
        "Model " + name + " cannot be used: " + all + (all.endsWith("?") ? "" : "."));
  }
}
