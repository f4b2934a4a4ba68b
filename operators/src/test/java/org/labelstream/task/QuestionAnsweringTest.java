package org.labelstream.task;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;
import static org.assertj.core.api.InstanceOfAssertFactories.STRING;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.engine.LoadedModel;
import org.labelstream.model.ModelFolder;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.TextEvent;
import org.labelstream.schedule.Plan;
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

  @Test
  void theBestSpansAreThoseOfASortOfAll() throws Exception {
    Random random = new Random(3);
    for (int round = 0; round < 300; round++) {
      int length = 1 + random.nextInt(40);
      float[] logits = new float[2 * length];
      boolean[] desired = new boolean[length];
      for (int i = 0; i < length; i++) {
        desired[i] = random.nextInt(5) > 0;
        logits[2 * i] = random.nextInt(3); // many equal
        logits[2 * i + 1] = random.nextInt(300) - 150;
      }
      Spans spans = Spans.of(logits, desired);
      int maxLength = 1 + random.nextInt(50);
      List<Spans.Span> all = new ArrayList<>();
      for (int start = 0; start < length; start++) {
        for (int end = start; end < Math.min(length, start + maxLength); end++) {
          all.add(new Spans.Span(start, end, spans.start()[start] * spans.end()[end]));
        }
      }
      all.sort(Comparator.comparingDouble(Spans.Span::score).reversed());
      int count = 1 + random.nextInt(30);
      assertThat(spans.best(count, maxLength))
          .isEqualTo(all.subList(0, Math.min(count, all.size())));
    }
  }

  /** Which of the two it is decides what the sender can do. */
  @Test
  void aQuestionThatIsTooLongAndAStrideThatIsAreToldApart() throws Exception {
    ModelFolder folder =
        ModelFolder.read(
            Path.of("src/test/resources/parity/bert-question_answering"),
            ModelFolder.Verify.REQUIRED);
    try (LoadedModel model = LoadedModel.lease(folder, DeviceChoice.CPU)) {
      Task task = QuestionAnswering.TYPE.factory().create(model);
      String context = "The film was long. I slept well! ".repeat(40);
      assertThatThrownBy(() -> plan(task, "Who slept? ".repeat(40), context, Map.of()))
          .isInstanceOf(RejectedRecordException.class)
          .hasMessageContaining("the question is too long to stand beside a part of its context")
          .hasMessageContaining("shorten it")
          .extracting(Throwable::getMessage, STRING)
          .doesNotContain("doc_stride");
      assertThatThrownBy(() -> plan(task, "Who slept?", context, Map.of("doc_stride", 60L)))
          .isInstanceOf(RejectedRecordException.class)
          .hasMessageContaining("in parameters, doc_stride")
          .hasMessageContaining("stride of 60 tokens leaves no room")
          .extracting(Throwable::getMessage, STRING)
          .doesNotContain("question is too long");
      assertThatThrownBy(
              () -> plan(task, "Who slept?", context.repeat(40), Map.of("doc_stride", 50L)))
          .isInstanceOf(RejectedRecordException.class)
          .hasMessageContaining("in parameters, doc_stride")
          .hasMessageContaining("windows of this text");
    }
  }

  private static Plan plan(Task task, String question, String context, Map<String, Object> given)
      throws RejectedRecordException {
    return task.plan(
        new TextEvent("t-0@0", null, null, question, context, false, null, Map.of()),
        QuestionAnswering.TYPE.parameters().parse(given));
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
