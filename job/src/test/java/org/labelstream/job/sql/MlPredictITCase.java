package org.labelstream.job.sql;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.ModelDescriptor;
import org.apache.flink.table.api.Schema;
import org.apache.flink.table.api.Table;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.types.ColumnList;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;
import org.apache.flink.util.ExceptionUtils;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.labelstream.engine.EngineRuntime;
import org.labelstream.job.file.LineSource;
import org.labelstream.operator.Caching;
import org.labelstream.operator.ExplainSettings.When;
import org.labelstream.operator.InferenceSettings;
import org.labelstream.operator.InferenceSettings.Batching;
import org.labelstream.operator.ModelOperatorFactory;
import org.labelstream.operator.OutcomeRouter;
import org.labelstream.operator.OutputRecords;
import org.labelstream.operator.RecordTypes;
import org.labelstream.record.OutputRecord;
import org.labelstream.store.ModelFetcher;
import org.labelstream.task.TaskType;

/** {@code ML_PREDICT} against the same models behind the DataStream job. */
class MlPredictITCase {

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final List<String> TEXTS =
      List.of("a good film", "a terrible film", "it was there", "so so", "never again, awful");

  @TempDir Path folder;

  private final StreamExecutionEnvironment streams =
      StreamExecutionEnvironment.createLocalEnvironment(1);
  private final StreamTableEnvironment env = StreamTableEnvironment.create(streams);

  /** A score's last digit depends on who is in its batch, so here each row is alone. */
  private static final String ALONE = ", 'batch.look-ahead' = '1'";

  private static String folder(String model) {
    return Path.of("../model-assets/" + model).toAbsolutePath().normalize().toString();
  }

  private void create(String asset, String input, String output, String more) {
    env.executeSql(
        "CREATE TEMPORARY MODEL m INPUT ("
            + input
            + ") OUTPUT ("
            + output
            + ") WITH ('provider' = 'labelstream', 'model' = '"
            + folder(asset)
            + "'"
            + more
            + ")");
  }

  @SuppressWarnings("try") // nothing interrupts a test
  private List<Row> select(String columns, String descriptor) throws Exception {
    List<Row> rows = new ArrayList<>();
    try (CloseableIterator<Row> results =
        env.executeSql(
                "SELECT "
                    + columns
                    + " FROM ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR("
                    + descriptor
                    + "))")
            .collect()) {
      results.forEachRemaining(rows::add);
    }
    return rows;
  }

  private void texts(List<String> texts) {
    env.createTemporaryView(
        "t",
        env.fromValues(
            DataTypes.ROW(DataTypes.FIELD("txt", DataTypes.STRING())),
            texts.stream().map(Row::of).toArray(Object[]::new)));
  }

  /** Many texts, in this order: values are as many sources beside each other. */
  private void lines(List<String> lines) {
    env.createTemporaryView("t", env.fromDataStream(streams.fromData(lines)).as("txt"));
  }

  /** What the DataStream job's operators give, in the order of the lines. */
  @SuppressWarnings("try") // nothing interrupts a test
  private List<JsonNode> labelled(String asset, Map<String, Object> parameters, List<String> lines)
      throws Exception {
    InferenceSettings of = InferenceSettings.of("p", folder(asset));
    InferenceSettings settings =
        new InferenceSettings(
            of.pipeline(),
            of.model(),
            of.device(),
            of.form(),
            of.maxValueBytes(),
            of.tombstones(),
            new HashMap<>(parameters),
            of.timeout(),
            of.callTimeout(),
            new Batching(null, 1, of.batch().maxAge(), of.batch().linger()),
            of.verify(),
            of.modelSha256(),
            of.results(),
            Caching.DEFAULT,
            null);
    Path in = Files.write(folder.resolve("in.txt"), lines);
    List<JsonNode> results = new ArrayList<>();
    try (CloseableIterator<OutputRecord> records =
        ModelOperatorFactory.infer(
                StreamExecutionEnvironment.createLocalEnvironment(1)
                    .fromSource(
                        new LineSource(List.of(in.toString()), 1 << 20),
                        WatermarkStrategy.noWatermarks(),
                        "lines"),
                settings,
                TaskType.Order.PARTITION)
            .process(
                new OutcomeRouter(
                    new OutputRecords("p", Long.MAX_VALUE, Long.MAX_VALUE / 2), When.NEVER))
            .returns(RecordTypes.OUTPUT_RECORD)
            .executeAndCollect()) {
      while (records.hasNext()) {
        results.add(JSON.readTree(records.next().value()).at("/inference/p"));
      }
    }
    return results;
  }

  @Test
  void classifiesAsTheDataStreamJob() throws Exception {
    List<String> lines = new ArrayList<>();
    for (int i = 0; i < 500; i++) {
      lines.add(TEXTS.get(i % TEXTS.size()) + " " + i);
    }
    lines(lines);
    create(
        "sentiment",
        "text STRING",
        "label STRING, score DOUBLE, tokens INT, truncated BOOLEAN, version STRING, error_code STRING",
        ALONE);
    List<Row> rows = select("txt, label, score, tokens, truncated, version, error_code", "txt");
    List<Row> expected = new ArrayList<>();
    List<JsonNode> labelled = labelled("sentiment", Map.of(), lines);
    for (int i = 0; i < lines.size(); i++) {
      JsonNode result = labelled.get(i);
      expected.add(
          Row.of(
              lines.get(i),
              result.get("label").asText(),
              result.get("score").asDouble(),
              result.get("tokens").asInt(),
              result.get("truncated").asBoolean(),
              result.get("version").asText(),
              null));
    }
    assertThat(rows.stream().map(MlPredictITCase::fields))
        .hasSize(500)
        .containsExactlyElementsOf(expected.stream().map(MlPredictITCase::fields).toList());
  }

  private static List<Object> fields(Row row) {
    List<Object> fields = new ArrayList<>();
    for (int i = 0; i < row.getArity(); i++) {
      fields.add(row.getField(i));
    }
    return fields;
  }

  @Test
  void findsEntitiesAsTheDataStreamJob() throws Exception {
    List<String> lines = new ArrayList<>();
    for (int i = 0; i < 500; i++) {
      lines.add("Angela Merkel met " + i + " people of Siemens in Berlin.");
    }
    lines(lines);
    create(
        "entities",
        "text STRING",
        "entities ARRAY<ROW<entity_group STRING, word STRING, score DOUBLE, `start` INT, `end` INT>>",
        ", 'aggregation_strategy' = 'simple'" + ALONE);
    List<String> found = new ArrayList<>();
    for (Row row : select("txt, entities", "txt")) {
      found.add(
          row.getField(0)
              + ": "
              + Arrays.stream((Row[]) row.getField(1)).map(entity -> fields(entity)).toList());
    }
    List<String> expected = new ArrayList<>();
    for (JsonNode result : labelled("entities", Map.of("aggregation_strategy", "simple"), lines)) {
      List<List<Object>> entities = new ArrayList<>();
      for (JsonNode entity : result.get("entities")) {
        entities.add(
            List.of(
                entity.get("entity_group").asText(),
                entity.get("word").asText(),
                entity.get("score").asDouble(),
                entity.get("start").asInt(),
                entity.get("end").asInt()));
      }
      assertThat(entities).isNotEmpty();
      expected.add(lines.get(expected.size()) + ": " + entities);
    }
    assertThat(found).hasSize(500).containsExactlyElementsOf(expected);
  }

  @Test
  void answersAsTheDataStreamJobWithColumnsInAnyOrder() throws Exception {
    List<Row> rows = new ArrayList<>();
    List<String> lines = new ArrayList<>();
    for (int i = 0; i < 500; i++) {
      String context = "The capital of France is Paris, which has " + i + " bridges.";
      String question =
          i % 2 == 0 ? "What is the capital of France?" : "How many bridges are there?";
      rows.add(Row.of(context, question));
      lines.add(JSON.writeValueAsString(Map.of("context", context, "question", question)));
    }
    env.createTemporaryView(
        "t",
        env.fromValues(
            DataTypes.ROW(
                DataTypes.FIELD("c", DataTypes.STRING()), DataTypes.FIELD("q", DataTypes.STRING())),
            rows.toArray()));
    create(
        "answers",
        "context STRING, question STRING",
        "answer STRING, score FLOAT, `start` BIGINT, `end` INT, answers ARRAY<ROW<answer STRING>>",
        ", 'top_k' = '2'" + ALONE);
    List<List<Object>> expected = new ArrayList<>();
    for (JsonNode result : labelled("answers", Map.of("top_k", 2), lines)) {
      expected.add(
          List.of(
              rows.get(expected.size()).getField(0),
              result.get("answer").asText(),
              (float) result.get("score").asDouble(),
              result.get("start").asLong(),
              result.get("end").asInt(),
              result.get("answers").size()));
    }
    assertThat(select("c, answer, score, `start`, `end`, CARDINALITY(answers)", "c, q"))
        .hasSize(500)
        .extracting(MlPredictITCase::fields)
        .containsExactlyInAnyOrderElementsOf(expected);
  }

  @Test
  void goesOnWithAPromptAsTheDataStreamJob() throws Exception {
    List<String> lines = new ArrayList<>();
    for (int i = 0; i < 500; i++) {
      lines.add("Once upon a time there were " + i);
    }
    lines(lines);
    create(
        "writer",
        "prompt STRING",
        "generated_text STRING, generated_tokens INT, finish_reason STRING",
        ", 'max_new_tokens' = '5', 'do_sample' = 'false', 'return_full_text' = 'false'" + ALONE);
    List<List<Object>> expected = new ArrayList<>();
    for (JsonNode result :
        labelled(
            "writer",
            Map.of("max_new_tokens", 5, "do_sample", false, "return_full_text", false),
            lines)) {
      expected.add(
          List.of(
              lines.get(expected.size()),
              result.get("generated_text").asText(),
              result.get("generated_tokens").asInt(),
              result.get("finish_reason").asText()));
    }
    assertThat(select("txt, generated_text, generated_tokens, finish_reason", "txt"))
        .hasSize(500)
        .extracting(MlPredictITCase::fields)
        .containsExactlyElementsOf(expected);
  }

  @Test
  void aMapOfScoresHoldsAllLabels() throws Exception {
    texts(List.of("a good film"));
    create("sentiment", "text STRING", "scores MAP<STRING, DOUBLE>", ", 'top_k' = 'null'");
    Map<?, ?> scores = (Map<?, ?>) select("scores", "txt").get(0).getField(0);
    assertThat(scores.values().stream().mapToDouble(score -> (double) score).sum())
        .isBetween(0.999, 1.001);
  }

  @Test
  void aNullGivesNullsAndABadRowSaysWhy() throws Exception {
    List<String> rows = new ArrayList<>();
    rows.add(null);
    rows.add("a good film");
    rows.add("secret ".repeat(200_000));
    texts(rows);
    create(
        "sentiment",
        "text STRING",
        "label STRING, score DOUBLE, error_code STRING, error_message STRING",
        "");
    List<Row> results = select("label, score, error_code, error_message", "txt");
    assertThat(fields(results.get(0))).containsOnlyNulls().hasSize(4);
    assertThat(results.get(1).getField(0)).isNotNull();
    assertThat(results.get(2).getField(0)).isNull();
    assertThat(results.get(2).getField(2)).isEqualTo("too_large");
    assertThat((String) results.get(2).getField(3)).contains("1400000").doesNotContain("secret");
  }

  @Test
  void aBadRowIsDroppedWhereThatIsAskedFor() throws Exception {
    texts(List.of("secret ".repeat(200_000), "a good film"));
    create("sentiment", "text STRING", "label STRING", ", 'on-error' = 'drop'");
    assertThat(select("label", "txt")).hasSize(1);
  }

  @Test
  void aBadRowFailsTheJobWhereThatIsAskedForAndNoTextIsTold() {
    texts(List.of("secret ".repeat(200_000)));
    create("sentiment", "text STRING", "label STRING", ", 'on-error' = 'fail'");
    assertThatThrownBy(() -> select("label", "txt"))
        .hasStackTraceContaining("could not label a row (too_large)")
        .satisfies(
            e -> assertThat(ExceptionUtils.stringifyException(e)).doesNotContain("secret secret"));
  }

  @Test
  void aColumnMayHaveAnyTypeThatHoldsItsValues() throws Exception {
    env.createTemporaryView(
        "t",
        env.fromValues(
            DataTypes.ROW(DataTypes.FIELD("txt", DataTypes.VARCHAR(20).notNull())),
            Row.of("a good film")));
    create(
        "sentiment",
        "text VARCHAR(20) NOT NULL",
        "label VARCHAR(3) NOT NULL, version CHAR(70), tokens DECIMAL(12, 2) NOT NULL, score FLOAT NOT NULL",
        ", 'on-error' = 'drop'");
    Row row = select("label, version, tokens, score", "txt").get(0);
    assertThat(row.getField(0)).isEqualTo("POS");
    assertThat((String) row.getField(1)).hasSize(70).matches("[0-9a-f]+ +");
    assertThat(row.getField(2)).isEqualTo(new BigDecimal("5.00"));
    assertThat((float) row.getField(3)).isBetween(0.5f, 1f);
  }

  @Test
  void anExplanationComesWithItsLabelWhereItsColumnsAreDeclared() throws Exception {
    texts(List.of("a good film"));
    create(
        "sentiment",
        "text STRING",
        "label STRING, score DOUBLE, words ARRAY<STRING>, importances ARRAY<FLOAT>, delta FLOAT",
        "");
    Row row = select("label, score, words, importances, delta", "txt").get(0);
    assertThat(row.getField(0)).isEqualTo("POSITIVE");
    assertThat((String[]) row.getField(2)).contains("good", "film");
    double squares = 0;
    for (Float importance : (Float[]) row.getField(3)) {
      squares += importance * importance;
    }
    assertThat(squares).isBetween(0.999, 1.001);
    assertThat((float) row.getField(4)).isBetween(-1f, 1f);
  }

  /** Long rows take the model longer than those behind them, which are done first. */
  @Test
  void rowsOfAnyLengthLeaveInTheOrderOfTheInput() throws Exception {
    List<String> lines = new ArrayList<>();
    for (int i = 0; i < 120; i++) {
      lines.add(i + " and it was good".repeat(i % 40 == 0 ? 100 : i % 7));
    }
    lines(lines);
    create("sentiment", "text STRING", "label STRING, error_code STRING", "");
    env.getConfig().set("table.exec.async-ml-predict.max-concurrent-operations", "256");
    env.getConfig().set("table.exec.async-ml-predict.output-mode", "ALLOW_UNORDERED");
    assertThat(labelledTexts()).hasSameElementsAs(lines).isNotEqualTo(lines);
    env.getConfig().set("table.exec.async-ml-predict.output-mode", "ORDERED");
    assertThat(labelledTexts()).isEqualTo(lines);
  }

  private List<String> labelledTexts() throws Exception {
    List<String> texts = new ArrayList<>();
    for (Row row : select("txt, label, error_code", "txt")) {
      assertThat(row.getField(1)).as("%s", row).isNotNull();
      texts.add((String) row.getField(0));
    }
    return texts;
  }

  private static final List<Object> NOTHING = List.of(Map.of(), Map.of(), 0L, 0L);

  /** What this process holds: models, their folders, memory for texts, workers. */
  private static List<Object> held() {
    return List.of(
        Map.copyOf((Map<?, ?>) field(EngineRuntime.ofProcess(), "models.loaded")),
        Map.copyOf((Map<?, ?>) field(ModelFetcher.instance(), "entries")),
        EngineRuntime.ofProcess().inFlight().reserved(),
        Thread.getAllStackTraces().keySet().stream()
            .filter(thread -> thread.getName().startsWith("labelstream-worker-"))
            .count());
  }

  private static Object field(Object of, String path) {
    Object[] found = new Object[1];
    assertThat(of).extracting(path).satisfies(value -> found[0] = value);
    return found[0];
  }

  @ParameterizedTest
  @ValueSource(strings = {"label STRING", "label STRING, words ARRAY<STRING>"})
  void aQueryThatIsCancelledLeavesNothing(String output) throws Exception {
    env.executeSql(
        "CREATE TABLE t (txt STRING) WITH ('connector' = 'datagen', 'fields.txt.length' = '500')");
    env.executeSql("CREATE TABLE nowhere (label STRING) WITH ('connector' = 'blackhole')");
    create("sentiment", "text STRING", output, "");
    await(() -> held().equals(NOTHING));
    for (int round = 0; round < 3; round++) {
      JobClient job =
          env.executeSql(
                  "INSERT INTO nowhere SELECT label FROM ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(txt))")
              .getJobClient()
              .orElseThrow();
      await(() -> EngineRuntime.ofProcess().inFlight().reserved() > 0);
      assertThat(held()).as("while it runs").doesNotContainAnyElementsOf(NOTHING);
      job.cancel().get();
      job.getJobExecutionResult().exceptionally(cancelled -> null).get();
      await(() -> held().equals(NOTHING));
      assertThat(held()).as("after round %d", round).isEqualTo(NOTHING);
    }
  }

  /** Until it is so, or a minute is over. */
  private static void await(BooleanSupplier what) throws InterruptedException {
    long deadline = System.nanoTime() + Duration.ofMinutes(1).toNanos();
    while (!what.getAsBoolean() && System.nanoTime() < deadline) {
      Thread.sleep(20);
    }
  }

  @Test
  @SuppressWarnings("try") // nothing interrupts a test
  void theTableApiPredictsWithoutSql() throws Exception {
    texts(List.of("a good film"));
    env.createTemporaryModel(
        "m",
        ModelDescriptor.forProvider("labelstream")
            .inputSchema(Schema.newBuilder().column("text", DataTypes.STRING()).build())
            .outputSchema(Schema.newBuilder().column("label", DataTypes.STRING()).build())
            .option("model", folder("sentiment"))
            .build());
    Table labelled =
        env.fromModel("m")
            .predict(
                env.from("t"), ColumnList.of("txt"), Map.of("max-concurrent-operations", "256"));
    try (CloseableIterator<Row> rows = labelled.execute().collect()) {
      assertThat(rows.next().getField("label")).isEqualTo("POSITIVE");
    }
  }

  @Test
  void allThatIsWrongWithAStatementIsToldAtOnce() {
    texts(List.of("a good film"));
    create(
        "answers",
        "question INT, contxt STRING",
        "anwser STRING, score STRING, `start` INT NOT NULL, answers ARRAY<ROW<anser STRING>>",
        ", 'topk' = '2', 'device' = 'tpu', 'batch.max-tokens' = 'many', 'doc_stride' = '-1'");
    env.createTemporaryView(
        "t2",
        env.fromValues(
            DataTypes.ROW(
                DataTypes.FIELD("a", DataTypes.INT()), DataTypes.FIELD("b", DataTypes.STRING())),
            Row.of(1, "x")));
    assertThatThrownBy(
            () -> env.executeSql("SELECT * FROM ML_PREDICT(TABLE t2, MODEL m, DESCRIPTOR(a, b))"))
        .satisfies(
            e -> {
              Throwable cause = e;
              while (cause.getCause() != null) {
                cause = cause.getCause();
              }
              assertThat(cause).isInstanceOf(ValidationException.class);
              assertThat(cause.getMessage())
                  .startsWith("Model m cannot be used: ")
                  .contains("INPUT column question is INT, but must be STRING")
                  .contains("no INPUT column contxt for question_answering: did you mean context?")
                  .contains("needs the INPUT column context")
                  .contains("no OUTPUT column anwser of question_answering: did you mean answer?")
                  .contains("OUTPUT column score is STRING, but must be DOUBLE or FLOAT")
                  .contains("OUTPUT column start is NOT NULL")
                  .contains("no field anser in OUTPUT column answers: did you mean answer?")
                  .contains("answers is filled where top_k is given")
                  .contains("no option topk: did you mean top_k?")
                  .contains("option device is 'tpu', but must be one of auto, cpu, gpu")
                  .contains("option batch.max-tokens is 'many', but must be a whole number")
                  .contains("option doc_stride is -1");
            });
  }

  @Test
  void aModelThatIsNotThereIsTold() {
    texts(List.of("a good film"));
    create("no-such-model", "text STRING", "label STRING", "");
    assertThatThrownBy(() -> select("label", "txt"))
        .hasStackTraceContaining("Model m cannot be used: ")
        .hasStackTraceContaining("no-such-model");
  }
}
