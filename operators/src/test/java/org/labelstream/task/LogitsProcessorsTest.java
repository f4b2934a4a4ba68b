package org.labelstream.task;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
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

  /** top_k, top_p and min_p with sorts of everything, as the reference has them. */
  private static void bySorting(float[] scores, GenerationSettings settings, int kept) {
    if (settings.topK() > 0 && settings.topK() < scores.length) {
      float[] sorted = scores.clone();
      Arrays.sort(sorted);
      float least = sorted[scores.length - Math.max(settings.topK(), kept)];
      for (int i = 0; i < scores.length; i++) {
        scores[i] = scores[i] < least ? Float.NEGATIVE_INFINITY : scores[i];
      }
    }
    if (settings.topP() < 1) {
      List<Integer> ascending = ascending(scores);
      float[] probabilities = Scores.softmax(scores);
      float dropped = 0;
      for (int token : ascending.subList(0, Math.max(0, ascending.size() - kept))) {
        dropped += probabilities[token];
        if (dropped > 1 - settings.topP()) {
          break;
        }
        scores[token] = Float.NEGATIVE_INFINITY;
      }
    }
    if (settings.minP() > 0) {
      List<Integer> ascending = ascending(scores);
      float[] probabilities = Scores.softmax(scores);
      float least = Scores.max(probabilities) * settings.minP();
      for (int token : ascending.subList(0, Math.max(0, ascending.size() - kept))) {
        if (probabilities[token] < least) {
          scores[token] = Float.NEGATIVE_INFINITY;
        }
      }
    }
  }

  private static List<Integer> ascending(float[] scores) {
    return IntStream.range(0, scores.length)
        .boxed()
        .filter(token -> scores[token] != Float.NEGATIVE_INFINITY)
        .sorted(Comparator.comparing(token -> scores[token]))
        .toList();
  }

  @ParameterizedTest
  @CsvSource({
    "0, 0.95, 0, 1", "60, 0.95, 0, 1", "1, 0.5, 0, 1", "5, 1, 0.2, 1", "0, 1, 0.01, 1",
    "0, 0.3, 0.9, 1", "700, 0.999, 0.001, 4", "50, 0.9, 0.05, 4", "0, 0.05, 1, 4", "3, 0.01, 1, 4"
  })
  void whatIsSelectedIsWhatASortOfAllSelects(int topK, double topP, double minP, int beams) {
    GenerationSettings settings =
        GenerationSettings.of(
            GenerationSettings.SPECS.parse(
                Map.of(
                    "do_sample",
                    true,
                    "top_k",
                    topK,
                    "top_p",
                    topP,
                    "min_p",
                    minP,
                    "num_beams",
                    beams,
                    "eos_token_id",
                    List.of(0, 1))),
            null,
            List.of(),
            "test-0@0");
    int kept = beams == 1 ? 1 : 3;
    Random random = new Random(7);
    for (int round = 0; round < 60; round++) {
      float[] scores = new float[round % 3 == 0 ? 8_000 : 5 + random.nextInt(900)];
      int kind = random.nextInt(5);
      for (int i = 0; i < scores.length; i++) {
        scores[i] =
            switch (kind) {
              case 0 -> (float) random.nextGaussian() * 3;
              case 1 -> random.nextInt(4); // many equal
              case 2 -> (float) random.nextGaussian() * 200; // most without any probability
              case 3 -> 1e-7f * i % 3e-6f; // differ, with equal probabilities
              default -> random.nextInt(3) == 0 ? Float.NEGATIVE_INFINITY : random.nextFloat();
            };
      }
      float[] expected = scores.clone();
      bySorting(expected, settings, kept);
      new LogitsProcessors(settings, 1).process(scores, new int[] {2});
      assertThat(scores).as("round %d, kind %d", round, kind).isEqualTo(expected);
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
