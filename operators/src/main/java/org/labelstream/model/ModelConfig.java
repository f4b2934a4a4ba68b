package org.labelstream.model;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * {@code model-config.yaml}: TorchServe's file, its {@code handler} section read as it is.
 *
 * @param mode the task, or null where the file does not say
 * @param maxLength the most tokens in a row, or null for the model's own limit
 * @param numLabels the number of classes, or null
 * @param modelName the checkpoint's name, or null
 * @param maxNewTokens the longest generated text in tokens, or null
 * @param doLowerCase whether the tokenizer lower-cases, or null
 * @param embeddingName the embeddings module's name, or null
 * @param captumExplanation whether explanations are on, or null
 * @param notices a line for the log for each key that has another place here
 */
public record ModelConfig(
    String mode,
    Integer maxLength,
    Integer numLabels,
    String modelName,
    Integer maxNewTokens,
    Boolean doLowerCase,
    String embeddingName,
    Boolean captumExplanation,
    List<String> notices) {

  static final String FILE = "model-config.yaml";

  private static final Set<String> HANDLER_KEYS =
      Set.of(
          "mode",
          "max_length",
          "num_labels",
          "model_name",
          "save_mode",
          "max_new_tokens",
          "do_lower_case",
          "embedding_name",
          "captum_explanation");

  /** What TorchServe's users have in the file and find elsewhere here. */
  private static final Map<String, String> ELSEWHERE = elsewhere();

  private static Map<String, String> elsewhere() {
    Map<String, String> places = new LinkedHashMap<>();
    String parallelism = "the job file's parallelism says how many subtasks run";
    String noServer = "there is no model server here, so it has no effect";
    places.put("minWorkers", parallelism);
    places.put("maxWorkers", parallelism);
    places.put("batchSize", "batches are bounded in tokens by the job file's batch.max-tokens");
    places.put("maxBatchDelay", "the job file's batch.linger says how long a batch may wait");
    places.put("responseTimeout", "the job file's timeout bounds the work on a record");
    places.put("startupTimeout", noServer);
    places.put("maxRetryTimeoutInSec", "Flink's restart strategy takes its place");
    places.put("clientTimeoutInMills", noServer);
    places.put("jobQueueSize", "Flink's backpressure takes its place");
    places.put("useJobTicket", noServer);
    places.put("useVenv", noServer);
    places.put("asyncCommunication", noServer);
    places.put("deviceType", "the job file's device says where the model runs");
    places.put("deviceIds", "GPUs are leased by Flink's task slots");
    places.put("parallelType", "a device holds a whole model");
    places.put("parallelLevel", "a device holds a whole model");
    places.put("torchrun", "a device holds a whole model");
    places.put("continuousBatching", "batches always form while the model runs");
    places.put("BetterTransformer", "the exporter chooses the attention kernels");
    places.put("FasterTransformer", "the exporter chooses the attention kernels");
    places.put("model_parallel", "a device holds a whole model");
    places.put("pt2", "the exporter writes TorchScript");
    places.put("torch_compile", "the exporter writes TorchScript");
    places.put("hf_model_path", "the exporter takes the checkpoint's path");
    return places;
  }

  static ModelConfig read(Path file) {
    Map<?, ?> content = Document.readMapping(file);
    List<String> notices = new ArrayList<>();
    for (Object key : content.keySet()) {
      if (!"handler".equals(key)) {
        notices.add(elsewhere(file, String.valueOf(key), Set.of("handler")));
      }
    }
    Object section = content.get("handler");
    if (section == null) {
      throw new InvalidModelException(
          file + " has no handler section: write handler: with mode: below it");
    }
    if (!(section instanceof Map<?, ?> handler)) {
      throw new InvalidModelException(
          file
              + " should have names with values under handler, but has "
              + Document.describe(section));
    }
    for (Object key : handler.keySet()) {
      if (!HANDLER_KEYS.contains(String.valueOf(key))) {
        notices.add(elsewhere(file, String.valueOf(key), HANDLER_KEYS));
      }
    }
    return new ModelConfig(
        text(file, handler, "mode"),
        positive(file, handler, "max_length"),
        positive(file, handler, "num_labels"),
        text(file, handler, "model_name"),
        positive(file, handler, "max_new_tokens"),
        flag(file, handler, "do_lower_case"),
        text(file, handler, "embedding_name"),
        flag(file, handler, "captum_explanation"),
        List.copyOf(notices));
  }

  private static String elsewhere(Path file, String key, Set<String> known) {
    String place = ELSEWHERE.get(key);
    if (place != null) {
      return file + ": " + key + " is not used here: " + place;
    }
    Set<String> all = new TreeSet<>(known);
    all.addAll(ELSEWHERE.keySet());
    throw new InvalidModelException(
        file + " has the unknown key " + Names.shown(key) + ": " + Names.didYouMean(key, all));
  }

  private static String text(Path file, Map<?, ?> handler, String key) {
    Object value = handler.get(key);
    if (value == null || value instanceof String) {
      return (String) value;
    }
    throw wrong(file, key, "a text", value);
  }

  private static Integer positive(Path file, Map<?, ?> handler, String key) {
    Object value = handler.get(key);
    Object number = value;
    if (value instanceof String text && text.strip().matches("\\d{1,9}")) {
      number = Integer.valueOf(text.strip()); // TorchServe's examples quote their numbers
    }
    if (number == null || (number instanceof Integer n && n > 0)) {
      return (Integer) number;
    }
    throw wrong(file, key, "a whole number above 0", value);
  }

  private static Boolean flag(Path file, Map<?, ?> handler, String key) {
    Object value = handler.get(key);
    if (value == null || value instanceof Boolean) {
      return (Boolean) value;
    }
    throw wrong(file, key, "true or false", value);
  }

  private static InvalidModelException wrong(Path file, String key, String expected, Object value) {
    return new InvalidModelException(
        file
            + " has "
            + Document.describe(value)
            + " for handler."
            + key
            + ": it must be "
            + expected);
  }
}
