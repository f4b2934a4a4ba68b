package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The schemas themselves; what comes through Kafka is held against them where it comes out. */
class SchemasTest {

  private static final ObjectMapper JSON = new ObjectMapper();

  private static JsonNode json(String text) throws Exception {
    return JSON.readTree(text);
  }

  @Test
  void theDemosSamplesAreInputEvents() throws Exception {
    for (String topic : List.of("texts", "news", "questions", "prompts")) {
      for (String line :
          Files.readAllLines(Script.ROOT.resolve("scripts/demo/" + topic + ".txt"))) {
        if (line.endsWith("}")) {
          Schemas.isInputEvent(json(line));
        }
      }
    }
  }

  @Test
  void whatTheDecoderRefusesIsNoInputEvent() throws Exception {
    Schemas.isNoInputEvent(json("{\"text\": 17}"));
    Schemas.isNoInputEvent(json("{\"id\": 1.5, \"text\": \"a\"}"));
    Schemas.isNoInputEvent(json("{\"text\": \"a\", \"explain\": \"yes\"}"));
    Schemas.isNoInputEvent(json("{\"text\": \"a\", \"target\": [1]}"));
    Schemas.isNoInputEvent(json("{\"text\": \"a\", \"parameters\": 2}"));
    Schemas.isNoInputEvent(json("[\"a\"]"));
  }

  @Test
  void theyRefuseWhatIsNotWhole() {
    assertThatThrownBy(() -> Schemas.isLabelledRecord(json("{\"id\": \"1\", \"inference\": {}}")))
        .isInstanceOf(AssertionError.class);
    assertThatThrownBy(
            () ->
                Schemas.isLabelledRecord(
                    json(
                        "{\"id\": \"1\", \"inference\": {\"a\": {\"task\": \"sequence_classification\", \"model\": \"m\", \"version\": \"3f9c0e12\", \"tokens\": 3, \"truncated\": false}}}")))
        .isInstanceOf(AssertionError.class);
    assertThatThrownBy(
            () -> Schemas.areDeadLetterHeaders(Map.of("labelstream.error.code", "unheard_of")))
        .isInstanceOf(AssertionError.class);
  }

  private static final String EXPLANATION =
      "{\"id\": \"1\", \"pipeline\": \"a\", \"task\": \"%s\", \"model\": \"m\", \"version\": \"3f9c0e12\", %s}";
  private static final String DONE =
      "\"method\": \"layer_integrated_gradients\", \"predicted\": {\"label\": \"A\", \"score\": 0.9}, \"score\": 0.9, \"words\": [\"[CLS]\", \"a\"], \"spans\": [null, [0, 1]], \"steps\": 7, \"precision\": \"fp32\", \"target\": %s, ";
  private static final String OF_CLASS = "{\"index\": 0, \"label\": \"A\"}";
  private static final String OF_TOKEN = "{\"token\": 1, \"index\": 0, \"label\": \"A\"}";
  private static final String IMPORTANCES = "\"importances\": [0.0, 1.0], \"delta\": 0.0";

  private static void isExplanation(String task, String rest) throws Exception {
    Schemas.isExplanation(json(EXPLANATION.formatted(task, rest)));
  }

  private static void isNoExplanation(String task, String rest) {
    assertThatThrownBy(() -> isExplanation(task, rest)).isInstanceOf(AssertionError.class);
  }

  @Test
  void anExplanationHasWhatItsTaskAsksForOrAnError() throws Exception {
    String error = "\"error\": {\"code\": \"%s\", \"message\": \"so it is\"}";
    isExplanation("text_generation", error.formatted("explanation_unsupported"));
    isExplanation("sequence_classification", DONE.formatted(OF_CLASS) + IMPORTANCES);
    isExplanation("token_classification", DONE.formatted(OF_TOKEN) + IMPORTANCES);

    isNoExplanation("sequence_classification", error.formatted("timeout"));
    isNoExplanation(
        "sequence_classification", "\"words\": [], " + error.formatted("invalid_target"));
    isNoExplanation("text_generation", DONE.formatted(OF_CLASS) + IMPORTANCES);
    isNoExplanation("sequence_classification", DONE.formatted(OF_TOKEN) + IMPORTANCES);
    isNoExplanation("token_classification", DONE.formatted(OF_CLASS) + IMPORTANCES);
    isNoExplanation("question_answering", DONE.formatted(OF_CLASS) + IMPORTANCES);
    isNoExplanation(
        "sequence_classification",
        DONE.formatted(OF_CLASS) + "\"importances\": [0.0, \"NaN\"], \"delta\": 0.0");
    isNoExplanation("sequence_classification", DONE.formatted(OF_CLASS) + "\"delta\": 0.0");
  }
}
