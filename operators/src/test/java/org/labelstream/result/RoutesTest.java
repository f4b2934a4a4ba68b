package org.labelstream.result;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Result;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;
import org.labelstream.task.FieldType;
import org.labelstream.task.Tasks;

class RoutesTest {

  /** A result of each task, as it is before it is written. */
  private static final Map<String, Prediction> RESULTS =
      Map.of(
          "sequence_classification",
          new Prediction(
              Map.of(
                  "label",
                  "toxic",
                  "score",
                  0.7f,
                  "scores",
                  List.of(
                      Map.of("label", "toxic", "score", 0.7f),
                      Map.of("label", "fine", "score", 0.3f))),
              7,
              false),
          "token_classification",
          new Prediction(
              Map.of(
                  "entities",
                  List.of(
                      Map.of(
                          "entity_group",
                          "PER",
                          "score",
                          0.9f,
                          "word",
                          "Ann",
                          "start",
                          0,
                          "end",
                          3))),
              5,
              true),
          "question_answering",
          new Prediction(
              Map.of("answer", "in Köln", "score", 0.25f, "start", 4, "end", 11), 30, false),
          "text_generation",
          new Prediction(
              Map.of(
                  "generated_text", "and so on", "generated_tokens", 12, "finish_reason", "length"),
              9,
              false));

  private static SourceRecord record(long offset) {
    return new SourceRecord(null, null, List.of(), "texts", 1, offset, 0);
  }

  private static Map<String, FieldType> fields(String task) {
    return Tasks.named(task).orElseThrow().results();
  }

  private static boolean holds(String task, String when) throws RejectedRecordException {
    Routes routes = new Routes(List.of(new RouteSettings(when, 1, "to", false)), fields(task));
    return !routes.choose(record(0), RESULTS.get(task)).topics().isEmpty();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      quoteCharacter = '"',
      value = {
        "sequence_classification ; label == 'toxic' ; true",
        "sequence_classification ; label != 'toxic' ; false",
        "sequence_classification ; label in ['toxic', 'rude'] ; true",
        "sequence_classification ; label.startsWith('to') && label.endsWith('ic') ; true",
        "sequence_classification ; label.contains('x') || false ; true",
        "sequence_classification ; label.matches('^(toxic|rude)$') ; true",
        "sequence_classification ; label < 'u' ; true",
        "sequence_classification ; size(label) == 5 ; true",
        "sequence_classification ; score < 0.75 ; true",
        "sequence_classification ; score <= 0.7 ; true",
        "sequence_classification ; score >= 0.7 ; true",
        "sequence_classification ; score > 0.7 ; false",
        "sequence_classification ; score == 0.7 ; true",
        "sequence_classification ; score < 1 ; true",
        "sequence_classification ; !(score * 2.0 - 0.4 > 1.1) && score + 0.1 < 1.0 ; true",
        "sequence_classification ; score / 2.0 < 0.5 ; true",
        "sequence_classification ; -score < 0.0 ; true",
        "sequence_classification ; scores[0].score - scores[1].score < 0.5 ; true",
        "sequence_classification ; scores.exists(s, s.label == 'fine' && s.score > 0.2) ; true",
        "sequence_classification ; scores.all(s, s.score > 0.5) ; false",
        "sequence_classification ; scores.filter(s, s.score > 0.5).size() == 1 ; true",
        "sequence_classification ; scores.map(s, s.label) == ['toxic', 'fine'] ; true",
        "sequence_classification ; truncated ? false : tokens > 5 ; true",
        "sequence_classification ; tokens % 2 == 1 && tokens / 2 == 3 ; true",
        "sequence_classification ; double(tokens) > score && string(tokens) == '7' ; true",
        "token_classification ; truncated ; true",
        "token_classification ; entities.exists(e, e.entity_group == 'PER') ; true",
        "token_classification ; size(entities) == 0 ; false",
        "token_classification ; entities.exists_one(e, e.score > 0.8 && e.end - e.start == 3) ; true",
        "token_classification ; entities.exists(e, has(e.entity) && e.entity == 'B-PER') ; false",
        "token_classification ; entities.exists(e, e.word == 'Ann') ; true",
        "question_answering ; answer == '' ; false",
        "question_answering ; answer.contains('Köln') && score < 0.5 ; true",
        "question_answering ; end - start == 7 ; true",
        "question_answering ; size(answers) == 0 ; true",
        "text_generation ; finish_reason == 'length' ; true",
        "text_generation ; generated_tokens >= 12 && tokens < 10 ; true",
        "text_generation ; generated_text.size() > 100 ; false",
      })
  void saysWhichResultsGo(String task, String when, boolean holds) throws Exception {
    assertThat(holds(task, when)).isEqualTo(holds);
  }

  /** A result of the model {@code tone}, none of {@code topic}, an error of {@code names}. */
  private static boolean holdsOfSeveral(String when) throws RejectedRecordException {
    Map<String, Map<String, FieldType>> models =
        Map.of(
            "tone", fields("sequence_classification"),
            "topic", fields("sequence_classification"),
            "names", fields("token_classification"));
    Routes.check(when, Routes.fields(models));
    Routes routes = Routes.ofSeveral(List.of(new RouteSettings(when, 1, "to", false)), models);
    Result any = new Result("tone", "t", "m", "v", null, null);
    Result failed = new Result("names", "t", "m", "v", null, null);
    List<Result> results =
        List.of(
            Result.of(any, RESULTS.get("sequence_classification")),
            Result.of(
                failed, new DeadLetter(ErrorCode.TIMEOUT, Stage.INFERENCE, "it took too long")));
    return !routes.choose(record(0), results).topics().isEmpty();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      quoteCharacter = '"',
      value = {
        "tone.label == 'toxic' ; true",
        "tone.score < 0.75 && tone.tokens > 5 ; true",
        "tone.scores[0].score > 0.5 ; true",
        "topic.score < 0.75 ; false",
        "topic.score >= 0.75 ; false",
        "topic.label == '' ; false",
        "topic.score < 0.75 || tone.score < 0.75 ; true",
        "topic.score < 0.75 && tone.score < 0.75 ; false",
        "topic.error == '' ; true",
        "names.entities.size() == 0 ; false",
        "names.error == 'timeout' ; true",
        "tone.error == '' && names.error != '' ; true",
      })
  void namesTheModelOfAFieldWhereThereAreSeveral(String when, boolean holds) throws Exception {
    assertThat(holdsOfSeveral(when)).isEqualTo(holds);
  }

  @ParameterizedTest
  @ValueSource(strings = {"label == 'a'", "tone.lable == 'a'", "tone == 'a'", "other.label == 'a'"})
  void refusesAFieldThatNoneOfSeveralModelsHas(String when) {
    assertThatThrownBy(() -> holdsOfSeveral(when))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("undeclared reference")
        .hasMessageContaining("over names.entities, names.error, ");
  }

  @Test
  void aConditionThatFailsOnWhatIsThereIsTold() {
    assertThatThrownBy(() -> holdsOfSeveral("tone.scores[7].score > 0.5"))
        .isInstanceOf(RejectedRecordException.class);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      quoteCharacter = '"',
      value = {
        "sequence_classification ; scor < 0.5 ; at character 1, undeclared reference to 'scor'",
        "sequence_classification ; score < 0.5 && lable == 'a' ; at character 16, undeclared reference",
        "sequence_classification ; score < ; at character",
        "sequence_classification ; score < 'a' ; at character 7, found no matching overload",
        "sequence_classification ; label = 'toxic' ; at character 7",
        "sequence_classification ; label == 5 ; found no matching overload",
        "sequence_classification ; score ; expected type 'bool' but found 'double'",
        "sequence_classification ; label.matches('(') && entities.size() > 0 ; undeclared reference to 'entities'",
        "sequence_classification ; 'a' + 1 == 'b' ; at character 5",
        "token_classification ; label == 'a' ; undeclared reference to 'label'",
        "question_answering ; entities.size() > 0 ; undeclared reference to 'entities'",
        "text_generation ; score > 0.5 ; undeclared reference to 'score'",
        "text_generation ; System.exit(1) ; undeclared reference to 'System'",
      })
  void refusesWhatIsNoConditionWithThePlaceInIt(String task, String when, String problem) {
    assertThatThrownBy(() -> Routes.check(when, fields(task)))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageStartingWith("is \"" + when + "\", which is no condition: ")
        .hasMessageContaining(problem)
        .hasMessageContaining("over ")
        .hasMessageContaining("tokens, truncated");
  }

  @Test
  void declaresEveryFieldThatResultsHold() {
    RESULTS.forEach(
        (task, result) ->
            assertThat(fields(task)).containsKeys(result.fields().keySet().toArray(String[]::new)));
    assertThat(RESULTS).hasSameSizeAs(Tasks.ALL);
  }

  @Test
  void refusesARecordOnWhichAConditionCannotBeEvaluated() {
    RejectedRecordException e =
        catchThrowableOfType(
            RejectedRecordException.class,
            () -> holds("question_answering", "answers[3].score > 0.5"));
    assertThat(e.letter().code()).isEqualTo(ErrorCode.ROUTE_FAILED);
    assertThat(e.letter().message())
        .startsWith(
            "the route's condition \"answers[3].score > 0.5\" cannot be evaluated on this result: ")
        .doesNotContain("Exception");
  }

  @Test
  void endsWhatWouldTakeForEver() {
    String all = "[1,2,3,4,5,6,7,8,9,10].all(%s, %s)";
    String nested = "true";
    for (String name : List.of("a", "b", "c", "d", "e", "f", "g")) {
      nested = all.formatted(name, nested);
    }
    String when = nested;
    assertThat(
            catchThrowableOfType(
                RejectedRecordException.class, () -> holds("text_generation", when)))
        .isNotNull();
  }

  @Test
  void goesToEachTopicOnceAndIsMovedByAnyThatMoves() throws Exception {
    Routes routes =
        new Routes(
            List.of(
                new RouteSettings("score < 0.8", 1, "review", false),
                new RouteSettings("label == 'toxic'", 1, "blocked", true),
                new RouteSettings("label == 'fine'", 1, "fine", false),
                new RouteSettings("tokens > 1", 1, "review", false)),
            fields("sequence_classification"));
    assertThat(routes.choose(record(0), RESULTS.get("sequence_classification")))
        .isEqualTo(new Routes.Choice(List.of("review", "blocked"), true));
  }

  @Test
  void drawsASampleThatIsTheSameWheneverARecordIsRead() throws Exception {
    Map<Double, Integer> drawn = new HashMap<>();
    List<RouteSettings> settings = new ArrayList<>();
    for (double sample : List.of(0.01, 0.5, 1.0)) {
      settings.add(new RouteSettings(null, sample, "" + sample, false));
    }
    Routes routes = new Routes(settings, Map.of());
    for (int i = 0; i < 20_000; i++) {
      Routes.Choice choice = routes.choose(record(i), new Prediction(Map.of(), 1, false));
      assertThat(
              new Routes(settings, Map.of()).choose(record(i), new Prediction(Map.of(), 1, false)))
          .isEqualTo(choice);
      choice.topics().forEach(topic -> drawn.merge(Double.valueOf(topic), 1, Integer::sum));
    }
    assertThat(drawn.get(0.01)).isBetween(140, 260);
    assertThat(drawn.get(0.5)).isBetween(9_700, 10_300);
    assertThat(drawn.get(1.0)).isEqualTo(20_000);
  }
}
