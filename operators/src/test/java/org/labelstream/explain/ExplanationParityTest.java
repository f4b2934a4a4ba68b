package org.labelstream.explain;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.engine.LoadedModel;
import org.labelstream.model.ModelFolder;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Target;
import org.labelstream.record.TextEvent;
import org.labelstream.schedule.Plan;
import org.labelstream.schedule.Row;
import org.labelstream.task.Task;
import org.labelstream.task.TaskType;
import org.labelstream.task.Tasks;

/**
 * Explanations against Captum's for the same checkpoints, as {@code
 * scripts/exporter/make_explanations.py} recorded them.
 */
class ExplanationParityTest {

  private static final Path FIXTURES = Path.of("src/test/resources/explanations");
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final double TOLERANCE = 1e-3;
  private static final double ADAPTIVE_TOLERANCE = 0.05;

  private static final Map<String, String> TABLE = new TreeMap<>();

  @AfterAll
  static void printTable() {
    System.out.println(
        "| model | texts | fixed: relative L2, delta | adaptive: relative L2, steps |");
    System.out.println("| --- | --- | --- | --- |");
    TABLE.values().forEach(System.out::println);
  }

  static List<Path> folders() throws IOException {
    try (Stream<Path> paths = Files.list(FIXTURES)) {
      return paths
          .filter(Files::isDirectory)
          .filter(path -> !path.toString().endsWith("-int8"))
          .sorted()
          .toList();
    }
  }

  @ParameterizedTest
  @MethodSource("folders")
  void attributionsAreThoseOfCaptum(Path path) throws Exception {
    JsonNode expected =
        JSON.readTree(FIXTURES.resolve(path.getFileName() + ".expected.json").toFile());
    JsonNode results = expected.get("results");
    List<TextEvent> events = events(expected);
    ModelFolder folder = ModelFolder.read(path, ModelFolder.Verify.REQUIRED);
    TaskType type = Tasks.named(folder.manifest().task()).orElseThrow();
    double largest = 0;
    double largestDelta = 0;
    double adaptiveLargest = 0;
    int steps = 0;
    try (LoadedModel model = LoadedModel.lease(folder, DeviceChoice.CPU)) {
      List<Prediction> fixed = explain(type, model, Quadrature.gaussLegendre(50), events, 32);
      List<Prediction> adaptive = explain(type, model, Quadrature.gaussPatterson(), events, 32);
      for (int i = 0; i < events.size(); i++) {
        String where = path.getFileName() + ", text " + i;
        JsonNode reference = results.get(i);
        Map<String, Object> fields = fixed.get(i).fields();
        assertThat(fields.get("words")).as(where).isEqualTo(texts(reference.get("words")));
        assertThat(JSON.<JsonNode>valueToTree(fields.get("spans")))
            .as(where)
            .isEqualTo(reference.get("spans"));
        for (String part : parts(reference)) {
          JsonNode own = part.isEmpty() ? reference : reference.get(part);
          double[] captum = numbers(own.get("importances"));
          double difference = relativeDifference(importances(fields, part), captum);
          assertThat(difference).as(where).isLessThanOrEqualTo(TOLERANCE);
          largest = Math.max(largest, difference);
          double delta = (Float) fields.get(part.isEmpty() ? "delta" : "delta_" + part);
          assertThat(delta).as(where).isCloseTo(own.get("delta").asDouble(), within(TOLERANCE));
          largestDelta = Math.max(largestDelta, Math.abs(delta - own.get("delta").asDouble()));

          Map<String, Object> quick = adaptive.get(i).fields();
          double[] exact =
              own.has("precise") ? numbers(own.get("precise").get("importances")) : null;
          if (exact != null) {
            double off = relativeDifference(importances(quick, part), exact);
            adaptiveLargest = Math.max(adaptiveLargest, off);
          }
          double explained = own.get("value").asDouble() - own.get("baseline").asDouble();
          double quickDelta = (Float) quick.get(part.isEmpty() ? "delta" : "delta_" + part);
          assertThat(Math.abs(quickDelta))
              .as("delta of " + where)
              .isLessThanOrEqualTo(Math.max(0.01 * Math.abs(explained), 1e-3) + 1e-5);
          steps += (Integer) quick.get("steps");
        }
      }
    }
    TABLE.put(
        path.toString(),
        "| %s | %d | %.1e, %.1e | %.3f, %.1f |"
            .formatted(
                path.getFileName(),
                events.size(),
                largest,
                largestDelta,
                adaptiveLargest,
                (double) steps / events.size() / (type.name().startsWith("q") ? 2 : 1)));
    assertThat(adaptiveLargest).isLessThanOrEqualTo(ADAPTIVE_TOLERANCE);
  }

  private static List<String> parts(JsonNode reference) {
    return reference.has("start") ? List.of("start", "end") : List.of("");
  }

  private static double[] importances(Map<String, Object> fields, String part) {
    List<?> values =
        (List<?>) fields.get(part.isEmpty() ? "importances" : "importances_answer_" + part);
    return values.stream().mapToDouble(value -> (Float) value).toArray();
  }

  private static double relativeDifference(double[] ours, double[] theirs) {
    assertThat(ours).hasSameSizeAs(theirs);
    double difference = 0;
    double size = 0;
    for (int i = 0; i < ours.length; i++) {
      difference += (ours[i] - theirs[i]) * (ours[i] - theirs[i]);
      size += theirs[i] * theirs[i];
    }
    return size == 0 ? Math.sqrt(difference) : Math.sqrt(difference / size);
  }

  private static double[] numbers(JsonNode values) {
    return JSON.convertValue(values, double[].class);
  }

  private static List<String> texts(JsonNode values) {
    return List.of(JSON.convertValue(values, String[].class));
  }

  private static List<TextEvent> events(JsonNode expected) throws IOException {
    JsonNode inputs =
        JSON.readTree(FIXTURES.resolve("inputs.json").toFile())
            .get(expected.get("inputs").asText());
    List<TextEvent> events = new ArrayList<>();
    for (int i = 0; i < inputs.size(); i++) {
      JsonNode input = inputs.get(i);
      events.add(
          new TextEvent(
              "test-0@" + i,
              input.path("text").asText(null),
              null,
              input.path("question").asText(null),
              input.path("context").asText(null),
              true,
              target(expected.get("results").get(i).get("target")),
              Map.of()));
    }
    return events;
  }

  private static Target target(JsonNode target) {
    if (target.isInt()) {
      return new Target.Index(target.asInt());
    }
    return target.isArray()
        ? new Target.TokenClass(target.get(0).asInt(), target.get(1).asInt())
        : new Target.TokenClass(target.get("start").asInt(), target.get("end").asInt());
  }

  /** Explains all texts, in batches of rows in an order of chance. */
  private static List<Prediction> explain(
      TaskType type,
      LoadedModel model,
      Quadrature quadrature,
      List<TextEvent> events,
      int batchSize)
      throws RejectedRecordException {
    Task explainer = new LayerIntegratedGradients(type.factory().create(model), model, quadrature);
    List<Plan> plans = new ArrayList<>();
    Map<Plan, List<? extends Row>> open = new LinkedHashMap<>();
    for (TextEvent event : events) {
      Plan plan = explainer.plan(event, type.parameters().parse(Map.of()));
      plans.add(plan);
      open.put(plan, plan.rows());
    }
    Random random = new Random(42); // rows of any texts meet in a batch
    while (!open.isEmpty()) {
      List<Row> rows = new ArrayList<>();
      open.values().forEach(rows::addAll);
      Collections.shuffle(rows, random);
      for (int start = 0; start < rows.size(); start += batchSize) {
        explainer.run(rows.subList(start, Math.min(rows.size(), start + batchSize)));
      }
      for (Plan plan : List.copyOf(open.keySet())) {
        List<? extends Row> next = plan.next();
        if (next.isEmpty()) {
          open.remove(plan);
        } else {
          open.put(plan, next);
        }
      }
    }
    List<Prediction> predictions = new ArrayList<>();
    for (Plan plan : plans) {
      predictions.add(plan.join());
    }
    return predictions;
  }
}
