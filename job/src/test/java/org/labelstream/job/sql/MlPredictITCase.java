package org.labelstream.job.sql;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.labelstream.job.file.LinePipeline;
import org.labelstream.operator.InferenceSettings;

/** {@code ML_PREDICT} against the same models behind the DataStream job. */
class MlPredictITCase {

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final List<String> TEXTS =
      List.of("a good film", "a terrible film", "it was there", "so so", "never again, awful");

  @TempDir Path folder;

  private final TableEnvironment env =
      TableEnvironment.create(EnvironmentSettings.newInstance().inStreamingMode().build());

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

  /** What the DataStream job's operators give, in the order of the lines. */
  private List<JsonNode> labelled(String asset, List<String> lines) throws Exception {
    Path in = Files.write(folder.resolve("in.txt"), lines);
    Path out = folder.resolve("out.jsonl");
    java.io.PrintStream stdout = System.out;
    try (java.io.PrintStream captured = new java.io.PrintStream(out.toFile(), "UTF-8")) {
      System.setOut(captured);
      LinePipeline.run(
          InferenceSettings.of("p", folder(asset)),
          List.of(in.toString()),
          folder.resolve("dead.jsonl"),
          null,
          50);
    } finally {
      System.setOut(stdout);
    }
    List<JsonNode> results = new ArrayList<>();
    for (String line : Files.readAllLines(out)) {
      results.add(JSON.readTree(line).at("/inference/p"));
    }
    return results;
  }

  @Test
  void classifiesAsTheDataStreamJob() throws Exception {
    List<String> lines = new ArrayList<>();
    for (int i = 0; i < 500; i++) {
      lines.add(TEXTS.get(i % TEXTS.size()) + " " + i);
    }
    texts(lines);
    create(
        "sentiment",
        "text STRING",
        "label STRING, score DOUBLE, tokens INT, truncated BOOLEAN, version STRING, error_code STRING",
        "");
    List<Row> rows = select("txt, label, score, tokens, truncated, version, error_code", "txt");
    List<Row> expected = new ArrayList<>();
    List<JsonNode> labelled = labelled("sentiment", lines);
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
  void findsEntities() throws Exception {
    String text = "Angela Merkel met Barack Obama in Berlin.";
    texts(List.of(text));
    create(
        "entities",
        "text STRING",
        "entities ARRAY<ROW<entity_group STRING, word STRING, score DOUBLE, `start` INT, `end` INT>>",
        ", 'aggregation_strategy' = 'simple'");
    Row[] entities = (Row[]) select("entities", "txt").get(0).getField(0);
    assertThat(entities).isNotEmpty();
    for (Row entity : entities) {
      assertThat(entity.getField(0)).isNotNull();
      assertThat((double) entity.getField(2)).isBetween(0.1, 1.0);
      assertThat(text.substring((int) entity.getField(3), (int) entity.getField(4)))
          .isEqualToIgnoringCase((String) entity.getField(1));
    }
  }

  @Test
  void answersAQuestionOverTwoColumnsInAnyOrder() throws Exception {
    env.createTemporaryView(
        "t",
        env.fromValues(
            DataTypes.ROW(
                DataTypes.FIELD("c", DataTypes.STRING()), DataTypes.FIELD("q", DataTypes.STRING())),
            Row.of("The capital of France is Paris.", "What is the capital of France?")));
    create(
        "answers",
        "context STRING, question STRING",
        "answer STRING, score FLOAT, `start` BIGINT, `end` INT, answers ARRAY<ROW<answer STRING>>",
        ", 'top_k' = '2'");
    Row row = select("answer, score, `start`, `end`, answers", "c, q").get(0);
    assertThat(
            "The capital of France is Paris."
                .substring((int) (long) row.getField(2), (int) row.getField(3)))
        .isEqualTo(row.getField(0));
    assertThat((Row[]) row.getField(4)).hasSize(2);
  }

  @Test
  void goesOnWithAPrompt() throws Exception {
    texts(List.of("Once upon a time"));
    create(
        "writer",
        "prompt STRING",
        "generated_text STRING, generated_tokens INT, finish_reason STRING",
        ", 'max_new_tokens' = '5', 'do_sample' = 'false', 'return_full_text' = 'false'");
    Row row = select("generated_text, generated_tokens, finish_reason", "txt").get(0);
    assertThat(row.getField(1)).isEqualTo(5);
    assertThat((String) row.getField(0)).isNotEmpty();
    assertThat(row.getField(2)).isEqualTo("length");
  }

  @Test
  void aMapOfScoresHoldsAllLabels() throws Exception {
    texts(List.of("a good film"));
    create("sentiment", "text STRING", "scores MAP<STRING, DOUBLE>", ", 'top_k' = 'null'");
    java.util.Map<?, ?> scores = (java.util.Map<?, ?>) select("scores", "txt").get(0).getField(0);
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
            e ->
                assertThat(org.apache.flink.util.ExceptionUtils.stringifyException(e))
                    .doesNotContain("secret secret"));
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
