package org.labelstream.task;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.labelstream.task.QuestionAnswering.Spans;

class QuestionAnsweringTest {

  /** The small example that PARITY names, from transformers' tests of decode_spans. */
  @Test
  void theSpansOfThePublishedExampleHaveItsScores() throws Exception {
    int[] mask = {0, 1, 1, 1, 0, 0, 0, 1};
    float[] start = {5, 9, 9, 9, 1, 2, .5f, 0};
    float[] end = {5, 9, 9, 9, .1f, .2f, 2, 0};
    float[] logits = new float[2 * mask.length];
    boolean[] desired = new boolean[mask.length];
    for (int i = 0; i < mask.length; i++) {
      logits[2 * i] = start[i];
      logits[2 * i + 1] = end[i];
      desired[i] = mask[i] == 0;
    }
    Spans spans = Spans.of(logits, desired);
    assertThat(spans.nullScore()).isCloseTo(.86967, within(1e-5));
    List<String> best = new ArrayList<>();
    List<Double> scores = new ArrayList<>();
    for (Spans.Span span : spans.best(6, 15)) {
      best.add(span.start() + "," + span.end());
      scores.add(span.score());
    }
    assertThat(best).containsExactly("5,6", "4,6", "6,6", "5,5", "4,5", "4,4");
    double[] expected = {.0021557, .00079304, .000481, .00035633, .00013109, .00011861};
    for (int i = 0; i < expected.length; i++) {
      assertThat(scores.get(i)).isCloseTo(expected[i], within(1e-6));
    }
  }

  @Test
  void noSpanIsLongerThanAsked() throws Exception {
    Spans spans =
        Spans.of(
            new float[40],
            new boolean[] {
              true, true, true, true, true, true, true, true, true, true,
              true, true, true, true, true, true, true, true, true, true
            });
    assertThat(spans.best(1_000, 3)).allMatch(span -> span.end() - span.start() < 3);
    assertThat(spans.best(1_000, 10_000)).hasSize(20 * 21 / 2);
  }

  @ParameterizedTest
  @CsvSource({
    "top_k, 1073741824, from 1 to 1000",
    "max_answer_len, 2147483647, from 1 to 10000",
    "doc_stride, -1, from 0 to",
    "top_k, 0, from 1 to"
  })
  void parametersThatWouldTakeAWorkersDayAreRefused(String name, long value, String message) {
    assertThatThrownBy(() -> QuestionAnswering.TYPE.parameters().parse(Map.of(name, value)))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining(name)
        .hasMessageContaining(message);
  }
}
