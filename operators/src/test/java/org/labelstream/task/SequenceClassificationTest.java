package org.labelstream.task;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.engine.LoadedModel;
import org.labelstream.engine.Tokens;
import org.labelstream.model.ModelFolder;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.TextEvent;
import org.labelstream.schedule.Plan;

/** What goes beyond the Hugging Face pipeline, which ParityTest compares with. */
class SequenceClassificationTest {

  private static final Path BERT =
      Path.of("src/test/resources/parity/bert-sequence_classification");
  private static final String LONG = "The film was long. I slept well! ".repeat(60);

  private static Prediction predict(LoadedModel model, TextEvent event, Map<String, Object> given)
      throws Exception {
    Task task = SequenceClassification.TYPE.factory().create(model);
    Plan plan = task.plan(event, SequenceClassification.TYPE.parameters().parse(given));
    task.run(plan.rows());
    return plan.join();
  }

  private static float score(Prediction prediction, String label) {
    return ((List<?>) prediction.fields().get("scores"))
        .stream()
            .map(entry -> (Map<?, ?>) entry)
            .filter(entry -> entry.get("label").equals(label))
            .map(entry -> (Float) entry.get("score"))
            .findFirst()
            .orElseThrow();
  }

  @Test
  void withAStrideALongTextGetsTheMeanOfItsWindowsAndIsSeenWhole() throws Exception {
    ModelFolder folder = ModelFolder.read(BERT, ModelFolder.Verify.REQUIRED);
    try (LoadedModel model = LoadedModel.lease(folder, DeviceChoice.CPU)) {
      Map<String, Object> all = Map.of("top_k", 3L, "stride", 8L);
      Prediction whole = predict(model, TextEvent.ofText("t-0@0", LONG), all);
      assertThat(whole.truncated()).isFalse();

      List<Tokens> windows = model.tokenizer().encode(LONG, null).windows(0, folder.maxLength(), 8);
      assertThat(windows).hasSizeGreaterThan(3);
      for (int label = 0; label < 3; label++) {
        float mean = 0;
        for (Tokens window : windows) {
          mean += Scores.softmax(model.forward(List.of(window)).row(0))[label] / windows.size();
        }
        assertThat(score(whole, folder.labels().name(label))).isCloseTo(mean, within(1e-5f));
      }
      Prediction cut = predict(model, TextEvent.ofText("t-0@0", LONG), Map.of());
      assertThat(cut.truncated()).isTrue();
      assertThat(cut.tokens()).isEqualTo(folder.maxLength());
    }
  }

  @Test
  void aStrideThatLeavesNoRoomIsRefusedWithASentence() throws Exception {
    ModelFolder folder = ModelFolder.read(BERT, ModelFolder.Verify.REQUIRED);
    try (LoadedModel model = LoadedModel.lease(folder, DeviceChoice.CPU)) {
      assertThatThrownBy(
              () -> predict(model, TextEvent.ofText("t-0@0", LONG), Map.of("stride", 64L)))
          .isInstanceOf(RejectedRecordException.class)
          .hasMessageContaining("stride of 64 tokens leaves no room")
          .hasMessageContaining("lower it");
    }
  }

  @Test
  void aStrideThatMakesThousandsOfWindowsIsRefusedBeforeTheyAreMade() throws Exception {
    ModelFolder folder = ModelFolder.read(BERT, ModelFolder.Verify.REQUIRED);
    try (LoadedModel model = LoadedModel.lease(folder, DeviceChoice.CPU)) {
      TextEvent hostile = TextEvent.ofText("t-0@0", "a ".repeat(100_000));
      assertThatThrownBy(() -> predict(model, hostile, Map.of("stride", 61L)))
          .isInstanceOf(RejectedRecordException.class)
          .hasMessageContaining("would make 99939 windows")
          .hasMessageContaining("lower it");
    }
  }
}
