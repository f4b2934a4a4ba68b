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
}
