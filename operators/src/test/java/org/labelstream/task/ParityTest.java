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
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.engine.LoadedModel;
import org.labelstream.model.ModelFolder;
import org.labelstream.record.Prediction;
import org.labelstream.record.TextEvent;

/**
 * Predictions against those of the Hugging Face pipelines for the same checkpoints, as {@code
 * scripts/exporter/make_fixtures.py} recorded them.
 */
class ParityTest {

  private static final Path FIXTURES = Path.of("src/test/resources/parity");
  private static final float TOLERANCE = 1e-4f;
  private static final ObjectMapper JSON = new ObjectMapper();

  static List<Path> folders() throws IOException {
    try (Stream<Path> paths = Files.list(FIXTURES)) {
      return paths
          .filter(path -> path.getFileName().toString().contains("sequence_classification"))
          .filter(Files::isDirectory)
          .sorted()
          .toList();
    }
  }

  @ParameterizedTest
  @MethodSource("folders")
  void classifiesAsTheReferenceDoes(Path path) throws Exception {
    JsonNode texts = JSON.readTree(FIXTURES.resolve("texts.json").toFile());
    JsonNode expected =
        JSON.readTree(FIXTURES.resolve(path.getFileName() + ".expected.json").toFile());
    ModelFolder folder = ModelFolder.read(path, ModelFolder.Verify.REQUIRED);
    try (LoadedModel model = LoadedModel.lease(folder, DeviceChoice.CPU)) {
      Task task = SequenceClassification.TYPE.factory().create(model);
      for (JsonNode reference : expected.get("cases")) {
        List<TextEvent> events = events(texts.get(reference.get("inputs").asText()));
        JsonNode results = reference.get("results");
        assertThat(events).hasSameSizeAs(results).hasSizeGreaterThanOrEqualTo(5);
        Map<String, Object> parameters = new HashMap<>();
        reference
            .get("parameters")
            .properties()
            .forEach(entry -> parameters.put(entry.getKey(), entry.getValue().asText()));
        parameters.put("top_k", null);
        for (int batchSize : new int[] {1, 7, 1000}) {
          List<Prediction> predictions =
              predict(
                  task,
                  events,
                  SequenceClassification.TYPE.parameters().parse(parameters),
                  batchSize);
          for (int i = 0; i < events.size(); i++) {
            agree(
                predictions.get(i),
                results.get(i),
                reference.get("name") + ", text " + i + ", batches of " + batchSize);
          }
        }
      }
    }
  }

  private static List<TextEvent> events(JsonNode inputs) {
    List<TextEvent> events = new ArrayList<>();
    for (JsonNode input : inputs) {
      events.add(
          new TextEvent(
              input.get("text").textValue(),
              input.path("text_pair").asText(null),
              null,
              null,
              false,
              null,
              Map.of()));
    }
    return events;
  }

  /** Runs all events in batches of rows in an order of chance, so that short and long ones meet. */
  private static List<Prediction> predict(
      Task task, List<TextEvent> events, Parameters parameters, int batchSize) throws Exception {
    List<Plan> plans = new ArrayList<>();
    List<Row> rows = new ArrayList<>();
    for (TextEvent event : events) {
      Plan plan = task.plan(event, parameters);
      plans.add(plan);
      rows.addAll(plan.rows());
    }
    Collections.shuffle(rows, new Random(42));
    for (int start = 0; start < rows.size(); start += batchSize) {
      task.run(rows.subList(start, Math.min(rows.size(), start + batchSize)));
    }
    List<Prediction> predictions = new ArrayList<>();
    for (Plan plan : plans) {
      assertThat(plan.rows()).allMatch(Row::done);
      predictions.add(plan.join());
    }
    return predictions;
  }

  private static void agree(Prediction prediction, JsonNode expected, String where) {
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
      assertThat(scores.get(score.get("label").asText()))
          .as(where)
          .isCloseTo((float) score.get("score").asDouble(), within(TOLERANCE));
    }
    if (expected.get("scores").size() == 1
        || best - expected.get("scores").get(1).get("score").asDouble() > TOLERANCE) {
      assertThat(prediction.fields().get("label"))
          .as(where)
          .isEqualTo(expected.get("scores").get(0).get("label").asText());
    }
  }
}
