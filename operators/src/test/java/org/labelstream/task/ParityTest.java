package org.labelstream.task;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.engine.LoadedModel;
import org.labelstream.model.ModelFolder;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.TextEvent;
import org.labelstream.schedule.Plan;
import org.labelstream.schedule.Row;

/**
 * Predictions against those of the Hugging Face pipelines for the same checkpoints, as {@code
 * scripts/exporter/make_fixtures.py} recorded them.
 */
class ParityTest {

  private static final Path FIXTURES =
      Path.of(System.getProperty("parity.fixtures", "src/test/resources/parity"));
  private static final float TOLERANCE = 1e-4f;
  private static final int[] BATCH_SIZES = {1, 7, 1000};
  private static final ObjectMapper JSON = new ObjectMapper();

  /** A line of the table for each folder that was compared. */
  private static final Map<String, String> TABLE = new TreeMap<>();

  private static int compared;
  private static float largestDifference;

  @AfterAll
  static void printTable() {
    System.out.println("| model | precision | inputs compared | agreement |");
    System.out.println("| --- | --- | --- | --- |");
    TABLE.values().forEach(System.out::println);
  }

  private static void tell(Path folder, String precision, int inputs, String agreement) {
    TABLE.put(
        folder.getFileName().toString(),
        "| %s | %s | %d | %s |".formatted(folder.getFileName(), precision, inputs, agreement));
  }

  static List<Path> reducedPrecisions() throws IOException {
    try (Stream<Path> paths = Files.list(FIXTURES)) {
      return paths
          .filter(
              path -> path.getFileName().toString().matches(".*-token_classification-(bf16|int8)"))
          .sorted()
          .toList();
    }
  }

  static List<Path> reducedGenerators() {
    return List.of(
        FIXTURES.resolve("gpt2-text_generation-bf16"),
        FIXTURES.resolve("gpt2-text_generation-int8"));
  }

  static List<Path> sequenceClassifiers() throws IOException {
    return folders("sequence_classification");
  }

  static List<Path> tokenClassifiers() throws IOException {
    return folders("token_classification");
  }

  static List<Path> questionAnswerers() throws IOException {
    return folders("question_answering");
  }

  static List<Path> generators() throws IOException {
    return folders("text_generation");
  }

  private static List<Path> folders(String task) throws IOException {
    try (Stream<Path> paths = Files.list(FIXTURES)) {
      return paths
          .filter(path -> path.getFileName().toString().contains("-" + task))
          .filter(path -> !path.toString().endsWith("-bf16") && !path.toString().endsWith("-int8"))
          .filter(Files::isDirectory)
          .sorted()
          .toList();
    }
  }

  /** Holds one prediction against the reference's. */
  private interface Agreement {
    void check(Prediction prediction, JsonNode expected, String where);
  }

  @ParameterizedTest
  @MethodSource("sequenceClassifiers")
  void classifiesTextsAsTheReferenceDoes(Path folder) throws Exception {
    compare(folder, SequenceClassification.TYPE, ParityTest::scoresAgree);
  }

  @ParameterizedTest
  @MethodSource("tokenClassifiers")
  void findsTheEntitiesThatTheReferenceFinds(Path folder) throws Exception {
    compare(folder, TokenClassification.TYPE, ParityTest::entitiesAgree);
  }

  @ParameterizedTest
  @MethodSource("questionAnswerers")
  void answersAsTheReferenceDoes(Path folder) throws Exception {
    compare(folder, QuestionAnswering.TYPE, ParityTest::answersAgree);
  }

  @ParameterizedTest
  @MethodSource("generators")
  void generatesTheTokensThatTheReferenceGenerates(Path folder) throws Exception {
    compare(folder, TextGeneration.TYPE, null);
  }

  /**
   * The same checkpoint in fp32 is the reference; random weights make this a hard test of a
   * precision.
   */
  @ParameterizedTest
  @MethodSource("reducedPrecisions")
  void mostTokensGetTheLabelThatTheyGetInFullPrecision(Path path) throws Exception {
    String name = path.getFileName().toString();
    String precision = name.substring(name.lastIndexOf('-') + 1);
    Path full = FIXTURES.resolve(name.substring(0, name.lastIndexOf('-')));
    List<TextEvent> events = events(inputs().get("few_entities"));
    Parameters all =
        TokenClassification.TYPE.parameters().parse(Map.of("ignore_labels", List.of()));
    List<List<String>> labels = new ArrayList<>();
    for (Path folder : List.of(full, path)) {
      ModelFolder read = ModelFolder.read(folder, ModelFolder.Verify.REQUIRED);
      assertThat(read.manifest().precision()).isEqualTo(folder.equals(full) ? "fp32" : precision);
      try (LoadedModel model = LoadedModel.lease(read, DeviceChoice.CPU)) {
        Task task = TokenClassification.TYPE.factory().create(model);
        List<String> found = new ArrayList<>();
        for (Prediction prediction : predict(task, events, all, 1)) {
          for (Object entity : (List<?>) prediction.fields().get("entities")) {
            found.add((String) ((Map<?, ?>) entity).get("entity"));
          }
        }
        labels.add(found);
      }
    }
    assertThat(labels.get(0)).hasSameSizeAs(labels.get(1)).hasSizeGreaterThan(200);
    long equal =
        IntStream.range(0, labels.get(0).size())
            .filter(i -> labels.get(0).get(i).equals(labels.get(1).get(i)))
            .count();
    double share = (double) equal / labels.get(0).size();
    tell(
        path,
        precision,
        events.size(),
        "%.3f of %d labels equal to fp32".formatted(share, labels.get(0).size()));
    assertThat(share).isGreaterThan(0.75);
  }

  /**
   * After a first difference two texts go different ways, so only their beginnings are compared.
   */
  @ParameterizedTest
  @MethodSource("reducedGenerators")
  void mostTextsBeginAsInFullPrecision(Path path) throws Exception {
    String name = path.getFileName().toString();
    List<TextEvent> events = events(inputs().get("prompts"));
    Parameters few = TextGeneration.TYPE.parameters().parse(Map.of("max_new_tokens", 8));
    List<Integer> tokens = new ArrayList<>();
    for (String folder : List.of(name.substring(0, name.lastIndexOf('-')), name)) {
      ModelFolder read = ModelFolder.read(FIXTURES.resolve(folder), ModelFolder.Verify.REQUIRED);
      try (LoadedModel model = LoadedModel.lease(read, DeviceChoice.CPU)) {
        for (Plan plan : run(TextGeneration.TYPE.factory().create(model), events, few, 1)) {
          for (int token : ((TextGeneration.Generation) plan).newTokens()) {
            tokens.add(token);
          }
        }
      }
    }
    int half = tokens.size() / 2;
    assertThat(tokens).hasSize(2 * 8 * events.size());
    long equal =
        IntStream.range(0, half).filter(i -> tokens.get(i).equals(tokens.get(half + i))).count();
    double share = (double) equal / half;
    tell(
        path,
        name.substring(name.lastIndexOf('-') + 1),
        events.size(),
        "%.3f of the first 8 tokens equal to fp32".formatted(share));
    assertThat(share).isGreaterThan(0.5);
  }

  private static Map<String, JsonNode> inputs() throws IOException {
    Map<String, JsonNode> inputs = new HashMap<>();
    for (String file : List.of("texts.json", "inputs.json")) {
      JSON.readTree(FIXTURES.resolve(file).toFile())
          .properties()
          .forEach(entry -> inputs.put(entry.getKey(), entry.getValue()));
    }
    return inputs;
  }

  private static void compare(Path path, TaskType type, Agreement agreement) throws Exception {
    Map<String, JsonNode> inputs = inputs();
    compared = 0;
    largestDifference = 0;
    JsonNode expected =
        JSON.readTree(FIXTURES.resolve(path.getFileName() + ".expected.json").toFile());
    ModelFolder folder = ModelFolder.read(path, ModelFolder.Verify.REQUIRED);
    try (LoadedModel model = LoadedModel.lease(folder, DeviceChoice.CPU)) {
      Task task = type.factory().create(model);
      for (JsonNode reference : expected.get("cases")) {
        List<TextEvent> events = events(inputs.get(reference.get("inputs").asText()));
        JsonNode results = reference.get("results");
        assertThat(events).hasSameSizeAs(results).hasSizeGreaterThanOrEqualTo(5);
        Parameters parameters = parameters(type, reference.get("parameters"));
        for (int batchSize : BATCH_SIZES) {
          List<Plan> plans = run(task, events, parameters, batchSize);
          List<Prediction> predictions = join(plans);
          for (int i = 0; i < events.size(); i++) {
            String where = reference.get("name") + ", input " + i + ", batches of " + batchSize;
            if (agreement == null) {
              textAgrees((TextGeneration.Generation) plans.get(i), results.get(i), where);
              compared += batchSize == 1 ? 1 : 0;
              continue;
            }
            if (results.get(i).has("raises")) {
              assertThat(predictions.get(i)).as(where).isNull();
            } else {
              assertThat(predictions.get(i)).as(where).isNotNull();
              agreement.check(predictions.get(i), results.get(i), where);
              compared += batchSize == 1 ? 1 : 0;
            }
          }
        }
      }
    }
    tell(
        path,
        folder.manifest().precision(),
        compared,
        (agreement == null ? "all tokens equal; " : "")
            + "largest difference of a score %.1e".formatted(largestDifference));
  }

  private static void scoreAgrees(Float score, JsonNode expected, String where) {
    float reference = (float) expected.asDouble();
    assertThat(score).as(where).isCloseTo(reference, within(TOLERANCE));
    largestDifference = Math.max(largestDifference, Math.abs(score - reference));
  }

  /**
   * The reference's parameters as a record would give them; of classifications all scores are asked
   * for.
   */
  private static Parameters parameters(TaskType type, JsonNode given) {
    Map<String, Object> parameters = new HashMap<>();
    given
        .properties()
        .forEach(
            entry -> {
              JsonNode value = entry.getValue();
              parameters.put(
                  entry.getKey(),
                  value.isInt()
                      ? Long.valueOf(value.asLong())
                      : JSON.convertValue(value, Object.class));
            });
    if (type.equals(SequenceClassification.TYPE)) {
      parameters.put("top_k", null);
    }
    return type.parameters().parse(parameters);
  }

  private static List<TextEvent> events(JsonNode inputs) {
    List<TextEvent> events = new ArrayList<>();
    for (JsonNode input : inputs) {
      events.add(
          new TextEvent(
              "test-0@0",
              input.path("text").asText(null),
              input.path("text_pair").asText(null),
              input.path("question").asText(null),
              input.path("context").asText(null),
              false,
              null,
              Map.of()));
    }
    return events;
  }

  /**
   * Runs all events in batches of rows in an order of chance, so that short and long ones meet; a
   * null stands for a refusal.
   */
  private static List<Prediction> predict(
      Task task, List<TextEvent> events, Parameters parameters, int batchSize) throws Exception {
    return join(run(task, events, parameters, batchSize));
  }

  private static List<Plan> run(
      Task task, List<TextEvent> events, Parameters parameters, int batchSize) throws Exception {
    List<Plan> plans = new ArrayList<>();
    List<Row> rows = new ArrayList<>();
    for (TextEvent event : events) {
      try {
        Plan plan = task.plan(event, parameters);
        plans.add(plan);
        rows.addAll(plan.rows());
      } catch (RejectedRecordException e) {
        plans.add(null);
      }
    }
    Collections.shuffle(rows, new Random(42));
    for (int start = 0; start < rows.size(); start += batchSize) {
      List<Row> batch = rows.subList(start, Math.min(rows.size(), start + batchSize));
      while (!batch.isEmpty()) {
        task.run(batch);
        batch = batch.stream().filter(row -> !row.done()).toList();
      }
    }
    return plans;
  }

  private static List<Prediction> join(List<Plan> plans) throws Exception {
    List<Prediction> predictions = new ArrayList<>();
    for (Plan plan : plans) {
      predictions.add(plan == null ? null : plan.join());
    }
    return predictions;
  }

  private static void scoresAgree(Prediction prediction, JsonNode expected, String where) {
    assertThat(prediction.tokens()).as(where).isEqualTo(expected.get("tokens").asInt());
    assertThat(prediction.truncated()).as(where).isEqualTo(expected.get("truncated").asBoolean());
    Map<String, Float> scores = new HashMap<>();
    for (Object entry : (List<?>) prediction.fields().get("scores")) {
      Map<?, ?> score = (Map<?, ?>) entry;
      scores.put((String) score.get("label"), (Float) score.get("score"));
    }
    assertThat(scores).as(where).hasSameSizeAs(expected.get("scores"));
    float best = (float) expected.get("scores").get(0).get("score").asDouble();
    for (JsonNode score : expected.get("scores")) {
      scoreAgrees(scores.get(score.get("label").asText()), score.get("score"), where);
    }
    if (expected.get("scores").size() == 1
        || best - expected.get("scores").get(1).get("score").asDouble() > TOLERANCE) {
      assertThat(prediction.fields().get("label"))
          .as(where)
          .isEqualTo(expected.get("scores").get(0).get("label").asText());
    }
  }

  private static void entitiesAgree(Prediction prediction, JsonNode expected, String where) {
    List<?> entities = (List<?>) prediction.fields().get("entities");
    assertThat(entities).as(where).hasSize(expected.get("rows").size());
    for (int i = 0; i < entities.size(); i++) {
      List<Object> row = new ArrayList<>(((Map<?, ?>) entities.get(i)).values());
      rowsAgree(row, expected.get("rows").get(i), where + ", entity " + i);
    }
  }

  private static void textAgrees(
      TextGeneration.Generation generation, JsonNode expected, String where) throws Exception {
    if (expected.has("tie")) { // one as right as the reference may choose otherwise
      return;
    }
    List<Integer> tokens = new ArrayList<>();
    expected.get("tokens").forEach(token -> tokens.add(token.asInt()));
    assertThat(generation.newTokens()).as(where).containsExactly(tokens.toArray(Integer[]::new));
    assertThat(generation.newText()).as(where).isEqualTo(expected.get("text").asText());
    if (expected.has("score")) { // a sum of many logarithms, so held to as many digits
      float reference = expected.get("score").floatValue();
      float difference =
          Math.abs(generation.score() - reference) / Math.max(1, Math.abs(reference));
      assertThat(difference).as(where).isLessThanOrEqualTo(TOLERANCE);
      largestDifference = Math.max(largestDifference, difference);
    }
  }

  private static void answersAgree(Prediction prediction, JsonNode expected, String where) {
    JsonNode rows = expected.get("rows");
    List<?> answers = (List<?>) prediction.fields().get("answers");
    if (rows.isEmpty()) { // where the reference finds no span, ours is an answer without words
      assertThat(prediction.fields())
          .as(where)
          .containsEntry("answer", "")
          .containsEntry("score", 0f);
      return;
    }
    if (answers == null) {
      rowsAgree(
          List.of(
              prediction.fields().get("answer"),
              prediction.fields().get("score"),
              prediction.fields().get("start"),
              prediction.fields().get("end")),
          rows.get(0),
          where);
      return;
    }
    // Which spans without any probability the reference lists is an accident of its sort.
    int probable = 1;
    while (probable < rows.size() && rows.get(probable).get(1).asDouble() > 0) {
      probable++;
    }
    assertThat(answers).as(where).hasSizeBetween(probable, rows.size());
    for (int i = 0; i < probable; i++) {
      List<Object> row = new ArrayList<>(((Map<?, ?>) answers.get(i)).values());
      double score = rows.get(i).get(1).asDouble();
      scoreAgrees((Float) row.get(1), rows.get(i).get(1), where);
      if (isApart(rows, i, score)) {
        rowsAgree(row, rows.get(i), where + ", answer " + i);
      }
    }
  }

  /**
   * Whether the reference's own margin to the answers before and behind is such that their order is
   * no accident.
   */
  private static boolean isApart(JsonNode rows, int index, double score) {
    boolean before = index == 0 || rows.get(index - 1).get(1).asDouble() - score > TOLERANCE;
    boolean behind =
        index + 1 < rows.size() && score - rows.get(index + 1).get(1).asDouble() > TOLERANCE;
    return before && behind;
  }

  private static void rowsAgree(List<Object> row, JsonNode expected, String where) {
    assertThat(row).as(where).hasSameSizeAs(expected);
    for (int i = 0; i < row.size(); i++) {
      if (row.get(i) instanceof Float score) {
        scoreAgrees(score, expected.get(i), where);
      } else {
        // The reference was given U+FFFD for each lone surrogate; ours are the event's own words.
        String value = row.get(i).toString().replaceAll("\\p{Cs}", "\ufffd");
        assertThat(value).as(where + " " + row).isEqualTo(expected.get(i).asText());
      }
    }
  }
}
