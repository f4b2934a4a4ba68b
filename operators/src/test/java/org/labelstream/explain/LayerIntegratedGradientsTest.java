package org.labelstream.explain;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.io.IOException;
import java.lang.reflect.Field;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.DoubleUnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.engine.EmbeddingPath;
import org.labelstream.engine.LoadedModel;
import org.labelstream.engine.Tokens;
import org.labelstream.model.ModelFolder;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.TextEvent;
import org.labelstream.schedule.BatchPolicy;
import org.labelstream.schedule.Batcher;
import org.labelstream.schedule.Plan;
import org.labelstream.schedule.Row;
import org.labelstream.task.Task;
import org.labelstream.task.TaskType;
import org.labelstream.task.Tasks;

/** What must hold of explanations whatever the model; Captum's figures are another test's. */
class LayerIntegratedGradientsTest {

  private static final Path FIXTURES = Path.of("src/test/resources/explanations");

  static List<Path> folders() throws IOException {
    try (Stream<Path> paths = Files.list(FIXTURES)) {
      return paths.filter(Files::isDirectory).filter(path -> !isInt8(path)).sorted().toList();
    }
  }

  private static boolean isInt8(Path path) {
    return path.toString().endsWith("-int8");
  }

  /** Explains with the module of a folder. */
  private static final class Explainer implements AutoCloseable {
    private final LoadedModel model;
    private final LoadedModel gradients;
    private final TaskType type;
    private final Task task;

    Explainer(Path path, Quadrature quadrature) {
      ModelFolder folder = ModelFolder.read(path, ModelFolder.Verify.REQUIRED);
      type = Tasks.named(folder.manifest().task()).orElseThrow();
      model = LoadedModel.lease(folder, DeviceChoice.CPU);
      gradients = model.leaseForGradients();
      task = new LayerIntegratedGradients(type.factory().create(model), gradients, quadrature);
    }

    Plan plan(String text) throws RejectedRecordException {
      TextEvent event =
          type.name().equals("question_answering")
              ? new TextEvent("t-0@0", null, null, "Who?", text, true, null, Map.of())
              : TextEvent.ofText("t-0@0", text);
      return task.plan(event, type.parameters().parse(Map.of()));
    }

    Map<String, Object> explain(String text) throws RejectedRecordException {
      Plan plan = plan(text);
      for (List<? extends Row> rows = plan.rows(); !rows.isEmpty(); rows = plan.next()) {
        task.run(rows);
      }
      return plan.join().fields();
    }

    @Override
    public void close() {
      gradients.close();
      model.close();
    }
  }

  private static List<double[]> importances(Map<String, Object> fields) {
    List<double[]> all = new ArrayList<>();
    fields.forEach(
        (name, values) -> {
          if (name.startsWith("importances")) {
            all.add(((List<?>) values).stream().mapToDouble(value -> (Float) value).toArray());
          }
        });
    assertThat(all).isNotEmpty();
    return all;
  }

  private static double norm(double[] values) {
    double squares = 0;
    for (double value : values) {
      squares += value * value;
    }
    return Math.sqrt(squares);
  }

  private static final List<String> TEXTS =
      List.of(
          "Anna",
          "It was a good film, and nobody in Paris was bored",
          "😀 \u202E אבג",
          "and so on ".repeat(40));

  @ParameterizedTest
  @MethodSource("folders")
  void importancesHaveTheNormOneOrAreZero(Path folder) throws Exception {
    try (Explainer explainer = new Explainer(folder, Quadrature.gaussLegendre(5))) {
      for (String text : TEXTS) {
        for (double[] importances : importances(explainer.explain(text))) {
          assertThat(norm(importances)).as("%s: %s", folder, text).isCloseTo(1, within(1e-5));
        }
      }
      if (folder.toString().contains("sequence")) {
        assertThat(importances(explainer.explain("")).get(0)).containsOnly(0);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("folders")
  void textsThatShareBatchesAreExplainedAsAlone(Path folder) throws Exception {
    try (Explainer explainer = new Explainer(folder, Quadrature.gaussLegendre(6))) {
      List<Plan> plans = new ArrayList<>();
      List<Row> rows = new ArrayList<>();
      for (String text : TEXTS) {
        plans.add(explainer.plan(text));
        rows.addAll(plans.get(plans.size() - 1).rows());
      }
      while (!rows.isEmpty()) {
        Collections.shuffle(rows, new Random(1));
        explainer.task.run(rows);
        rows.clear();
        for (Plan plan : plans) {
          rows.addAll(plan.next());
        }
      }
      for (int i = 0; i < plans.size(); i++) {
        List<double[]> together = importances(plans.get(i).join().fields());
        List<double[]> alone = importances(explainer.explain(TEXTS.get(i)));
        for (int part = 0; part < alone.size(); part++) {
          assertThat(together.get(part)).containsExactly(alone.get(part), within(1e-5));
        }
      }
    }
  }

  /** The rows go through the same batcher as those of labels, so its budget bounds the memory. */
  @ParameterizedTest
  @CsvSource({"512, 8", "64, 1", "16, 1"})
  void aTextOfTheModelsFullLengthTakesNoMoreThanTheBudgetAtOnce(int maxTokens, int most)
      throws Exception {
    Path folder = FIXTURES.resolve("distilbert-sequence_classification-trained");
    BatchPolicy policy = new BatchPolicy(maxTokens, 128, Duration.ofSeconds(1), Duration.ZERO);
    try (Explainer explainer = new Explainer(folder, Quadrature.gaussLegendre(50))) {
      Plan plan = explainer.plan("good ".repeat(5_000));
      int steps = 0;
      for (List<? extends Row> rows = plan.rows(); !rows.isEmpty(); rows = plan.next()) {
        Batcher<Row> batcher = new Batcher<>(policy, Row::length, System::nanoTime);
        batcher.addAll(List.copyOf(rows));
        for (List<Row> batch = batcher.poll(); !batch.isEmpty(); batch = batcher.poll()) {
          assertThat(batch).hasSizeLessThanOrEqualTo(most).allMatch(row -> row.length() == 64);
          explainer.task.run(batch);
          steps += batch.size();
        }
      }
      Prediction explanation = plan.join();
      assertThat(steps)
          .as("rows of the label, of both ends, and of 50 steps")
          .isEqualTo(1 + 2 + 50);
      assertThat(explanation.truncated()).isTrue();
      assertThat((List<?>) explanation.fields().get("words")).hasSize(64);
    }
  }

  /**
   * An integral along a path of one token, with gradients of a function that is known; a model with
   * such ones is hard to find.
   */
  private static PathIntegral integrate(DoubleUnaryOperator logit, DoubleUnaryOperator slope)
      throws ReflectiveOperationException {
    Tokens token =
        new Tokens(
            new int[] {7},
            new byte[1],
            new byte[1],
            new String[] {"a"},
            new int[1],
            new int[] {1},
            new int[1]);
    PathIntegral integral =
        new PathIntegral(
            new EmbeddingPath(token, token.replacedBy(0), 0), Quadrature.gaussPatterson());
    int ends = 0;
    for (List<Row> rows = integral.rows(); !rows.isEmpty(); rows = integral.refine()) {
      for (Row row : rows) {
        if (row.getClass().getSimpleName().equals("End")) {
          set(row, "logit", (float) logit.applyAsDouble(ends++));
          set(row, "done", true);
        } else {
          double alpha = (double) field(row, "alpha").get(row);
          set(
              row,
              "slope",
              new EmbeddingPath.Slope(
                  (float) logit.applyAsDouble(alpha),
                  new float[] {(float) slope.applyAsDouble(alpha)}));
        }
      }
    }
    return integral;
  }

  private static Field field(Row row, String name) throws ReflectiveOperationException {
    Field field = row.getClass().getDeclaredField(name);
    field.setAccessible(true);
    return field;
  }

  private static void set(Row row, String name, Object value) throws ReflectiveOperationException {
    field(row, name).set(row, value);
  }

  @ParameterizedTest
  @CsvSource({"1, 7", "6, 7", "20, 15", "40, 15", "90, 31"})
  void adaptiveStepsEndAtARuleOfTheFamilyWhereTheGradientIsSmooth(int power, int steps)
      throws Exception {
    PathIntegral integral = integrate(x -> Math.pow(x, power), x -> power * Math.pow(x, power - 1));

    assertThat(integral.attributions()[0]).isCloseTo(1, within(0.01));
    assertThat(integral.delta()).isCloseTo(0, within(0.01));
    assertThat(integral.steps()).isEqualTo(steps);
  }

  @ParameterizedTest
  @ValueSource(doubles = {40, 90, 400})
  void adaptiveStepsGatherWhereTheGradientIsSteep(double steepness) throws Exception {
    DoubleUnaryOperator logit = x -> Math.tanh(steepness * (x - 0.4));
    PathIntegral integral =
        integrate(logit, x -> steepness * (1 - Math.pow(Math.tanh(steepness * (x - 0.4)), 2)));

    assertThat(integral.attributions()[0]).isCloseTo(2, within(0.02));
    assertThat(integral.steps()).isLessThan(200);
  }

  @Test
  void adaptiveStepsGetOverAJumpWhereItIs() throws Exception {
    PathIntegral integral = integrate(x -> Math.max(0, x - 0.3), x -> x < 0.3 ? 0 : 1);

    assertThat(integral.attributions()[0]).isCloseTo(0.7, within(0.007));
    assertThat(integral.steps()).isLessThan(200);
  }

  @Test
  void adaptiveStepsEndWhereNoneAreEnough() throws Exception {
    Random random = new Random(1);
    for (DoubleUnaryOperator slope :
        List.<DoubleUnaryOperator>of(
            x -> random.nextGaussian() * 10, x -> 1, x -> 1 / (x - 1.0 / 3))) {
      // Nothing comes to this change.
      PathIntegral integral = integrate(x -> 1e3 * x, slope);

      assertThat(integral.steps()).isBetween(900, 1_000);
    }
  }

  @Test
  void adaptiveStepsEndWhereAGradientIsNoNumber() throws Exception {
    assertThat(integrate(x -> x, x -> Double.NaN).steps()).isLessThanOrEqualTo(15);
  }

  @Test
  void withoutAGradientTheFirstRuleIsEnough() throws Exception {
    PathIntegral integral = integrate(x -> 5, x -> 0);

    assertThat(integral.steps()).isEqualTo(7);
    assertThat(integral.attributions()).containsExactly(0);
    assertThat(integral.delta()).isZero();
  }
}
