package org.labelstream.job.sql;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;

import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.types.Row;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Statements that cannot work, through Flink's planner: what the SQL client prints of them, which
 * is the innermost message, is one sentence that says what is wrong and what to write.
 */
class BadStatementsTest {

  private static final Pattern ASSET = Pattern.compile("@(\\w+)");

  private static final TableEnvironment ENV =
      TableEnvironment.create(EnvironmentSettings.inStreamingMode());

  static {
    ENV.createTemporaryView(
        "t",
        ENV.fromValues(
            DataTypes.ROW(
                DataTypes.FIELD("txt", DataTypes.STRING()),
                DataTypes.FIELD("num", DataTypes.INT())),
            Row.of("a good film", 1)));
  }

  /** In {@code with}, {@code @name} is one of the ready models. */
  @ParameterizedTest(name = "{0}")
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      textBlock =
          """
          no model             | text STRING | label STRING | 'on-error'='null' | txt | there is no option model: add 'model' = '<a model folder>'
          blank model          | text STRING | label STRING | 'model'=' ' | txt | there is no option model: add
          missing folder       | text STRING | label STRING | 'model'='no/such/folder' | txt | no/such/folder does not exist
          not a model folder   | text STRING | label STRING | 'model'='src' | txt | src
          unknown scheme       | text STRING | label STRING | 'model'='s4://bucket/model' | txt | s4
          another folder       | text STRING | label STRING | 'model'='@sentiment', 'model-sha256'='00' | txt | option model-sha256 is '00', but must be the 64 hex digits of the folder's SHA-256
          unknown option       | text STRING | label STRING | 'model'='@sentiment', 'topk'='2' | txt | there is no option topk: did you mean top_k?
          misspelt option      | text STRING | label STRING | 'model'='@sentiment', 'batch.max-token'='2' | txt | there is no option batch.max-token: did you mean batch.max-tokens?
          on-error             | text STRING | label STRING | 'model'='@sentiment', 'on-error'='ignore' | txt | option on-error is 'ignore', but must be one of null, drop, fail
          device               | text STRING | label STRING | 'model'='@sentiment', 'device'='tpu' | txt | option device is 'tpu', but must be one of auto, cpu, gpu
          not a number         | text STRING | label STRING | 'model'='@sentiment', 'batch.max-tokens'='many' | txt | option batch.max-tokens is 'many', but must be a whole number
          too small a number   | text STRING | label STRING | 'model'='@sentiment', 'batch.max-tokens'='0' | txt | in batch, max-tokens
          not a time           | text STRING | label STRING | 'model'='@sentiment', 'batch.max-age'='soon' | txt | option batch.max-age is 'soon', but must be a time, such as 100 ms
          parameter's word     | text STRING | entities ARRAY<ROW<word STRING>> | 'model'='@entities', 'aggregation_strategy'='simplest' | txt | option aggregation_strategy is
          parameter's bound    | text STRING | label STRING | 'model'='@sentiment', 'stride'='-1' | txt | option stride is -1
          another task's       | text STRING | label STRING | 'model'='@sentiment', 'max_answer_len'='3' | txt | there is no option max_answer_len: known are
          input's type         | text INT | label STRING | 'model'='@sentiment' | num | INPUT column text is INT, but must be STRING
          unknown input        | text STRING, text_par STRING | label STRING | 'model'='@sentiment' | txt, txt | there is no INPUT column text_par for sequence_classification: did you mean text_pair?
          needs two inputs     | question STRING | answer STRING | 'model'='@answers' | txt | question_answering needs the INPUT column context: add context STRING
          unknown output       | text STRING | lable STRING | 'model'='@sentiment' | txt | there is no OUTPUT column lable of sequence_classification: did you mean label?
          another task's output | text STRING | label STRING | 'model'='@entities' | txt | there is no OUTPUT column label of token_classification:
          text as number       | text STRING | label INT | 'model'='@sentiment' | txt | OUTPUT column label is INT, but must be STRING, VARCHAR or CHAR
          number as text       | text STRING | score STRING | 'model'='@sentiment' | txt | OUTPUT column score is STRING, but must be DOUBLE or FLOAT
          too small a type     | text STRING | tokens SMALLINT | 'model'='@sentiment' | txt | OUTPUT column tokens is SMALLINT, but must be INT, BIGINT, DOUBLE or DECIMAL(10, 0)
          too small a decimal  | text STRING | tokens DECIMAL(10, 2) | 'model'='@sentiment' | txt | OUTPUT column tokens is DECIMAL(10, 2), but must be
          may be null          | text STRING | label STRING NOT NULL | 'model'='@sentiment' | txt | OUTPUT column label is NOT NULL, but is null of a row that has no text
          list as text         | text STRING | entities STRING | 'model'='@entities' | txt | OUTPUT column entities is STRING, but must be ARRAY<ROW<
          unknown field        | text STRING | entities ARRAY<ROW<entity_grp STRING>> | 'model'='@entities' | txt | there is no field entity_grp in OUTPUT column entities: did you mean entity_group?
          field's type         | text STRING | entities ARRAY<ROW<score INT>> | 'model'='@entities' | txt | OUTPUT column entities.score is INT, but must be DOUBLE or FLOAT
          scores without top_k | text STRING | scores MAP<STRING, DOUBLE> | 'model'='@sentiment' | txt | OUTPUT column scores is filled where top_k is given: add 'top_k' = '3', or 'top_k' = 'null' for all
          map of answers       | question STRING, context STRING | answers MAP<STRING, DOUBLE> | 'model'='@answers', 'top_k'='2' | txt, txt | OUTPUT column answers is MAP<STRING, DOUBLE>, but must be ARRAY<ROW<
          words as text        | text STRING | words STRING | 'model'='@sentiment' | txt | OUTPUT column words is STRING, but must be ARRAY<STRING>
          no explanations      | text STRING | importances ARRAY<FLOAT> | 'model'='@writer' | txt | there is no OUTPUT column importances of text_generation: known are
          """)
  void isRefusedInASentence(
      String name, String input, String output, String with, String columns, String expected) {
    assertThat(refusal(input, output, "'provider'='labelstream', " + with, columns))
        .startsWith("Model m cannot be used: ")
        .contains(expected)
        .doesNotContain("\n")
        .endsWith(".");
  }

  /** What Flink says before it asks the provider. */
  @ParameterizedTest(name = "{0}")
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      textBlock =
          """
          provider             | text STRING | label STRING | 'provider'='labelstrem', 'model'='@sentiment' | txt | labelstrem
          unknown column       | text STRING | label STRING | 'provider'='labelstream', 'model'='@sentiment' | text | text
          column of a number   | text STRING | label STRING | 'provider'='labelstream', 'model'='@sentiment' | num | num
          too few columns      | text STRING, text_pair STRING | label STRING | 'provider'='labelstream', 'model'='@sentiment' | txt | 2
          """)
  void isRefusedByFlink(
      String name, String input, String output, String with, String columns, String expected) {
    assertThat(refusal(input, output, with, columns)).contains(expected);
  }

  private static String refusal(String input, String output, String with, String columns) {
    String options =
        ASSET
            .matcher(with)
            .replaceAll(
                asset ->
                    Matcher.quoteReplacement(
                        Path.of("../model-assets", asset.group(1)).toString()));
    ENV.executeSql("DROP TEMPORARY MODEL IF EXISTS m");
    ENV.executeSql(
        "CREATE TEMPORARY MODEL m INPUT (%s) OUTPUT (%s) WITH (%s)"
            .formatted(input, output, options));
    Throwable refusal =
        catchThrowable(
            () ->
                ENV.explainSql(
                    "SELECT * FROM ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(%s))"
                        .formatted(columns)));
    assertThat(refusal).isNotNull();
    Throwable innermost = refusal;
    while (innermost.getCause() != null) {
      innermost = innermost.getCause();
    }
    assertThat(innermost.getMessage().lines().findFirst().orElseThrow()).doesNotContain("\tat ");
    return innermost.getMessage();
  }
}
