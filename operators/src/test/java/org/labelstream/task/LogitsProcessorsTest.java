package org.labelstream.task;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.StreamSupport;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Scores against those of transformers' own processors, as {@code
 * scripts/exporter/fixture_processors.py} recorded them.
 */
class LogitsProcessorsTest {

  private static final ObjectMapper JSON = new ObjectMapper();

  private static JsonNode fixture() throws IOException {
    return JSON.readTree(new File("src/test/resources/parity/processors.expected.json"));
  }

  static List<JsonNode> cases() throws IOException {
    return StreamSupport.stream(fixture().get("cases").spliterator(), false).toList();
  }

  @ParameterizedTest
  @MethodSource("cases")
  void scoresAreThoseOfTheReference(JsonNode reference) throws IOException {
    JsonNode fixture = fixture();
    int[] tokens = JSON.convertValue(fixture.get("tokens"), int[].class);
    Map<String, Object> given = new HashMap<>(Map.of("top_k", 0, "eos_token_id", List.of(0)));
    boolean samples = false;
    for (Map.Entry<String, JsonNode> entry : reference.get("parameters").properties()) {
      given.put(entry.getKey(), JSON.convertValue(entry.getValue(), Object.class));
      samples |= List.of("temperature", "top_k", "top_p", "min_p").contains(entry.getKey());
    }
    given.put("do_sample", samples);
    GenerationSettings settings =
        GenerationSettings.of(GenerationSettings.SPECS.parse(given), null, List.of(), "test-0@0");
    LogitsProcessors processors = new LogitsProcessors(settings, fixture.get("prompt").asInt());

    for (int row = 0; row < fixture.get("logits").size(); row++) {
      float[] scores = scores(fixture.get("logits").get(row));
      processors.process(scores, tokens);
      float[] expected = scores(reference.get("scores").get(row));
      for (int i = 0; i < scores.length; i++) {
        if (Float.isInfinite(expected[i])) {
          assertThat(scores[i]).as("row %d, token %d", row, i).isEqualTo(expected[i]);
        } else {
          assertThat(scores[i])
              .as("row %d, token %d", row, i)
              .isCloseTo(expected[i], within(1e-4f));
        }
      }
    }
  }

  private static float[] scores(JsonNode row) {
    float[] scores = new float[row.size()];
    for (int i = 0; i < scores.length; i++) {
      scores[i] = row.get(i).isNull() ? Float.NEGATIVE_INFINITY : row.get(i).floatValue();
    }
    return scores;
  }
}
