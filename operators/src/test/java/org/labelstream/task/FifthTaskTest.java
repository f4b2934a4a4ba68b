package org.labelstream.task;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.engine.Encodings;
import org.labelstream.engine.LoadedModel;
import org.labelstream.model.ModelFolder;
import org.labelstream.record.Prediction;
import org.labelstream.record.TextEvent;
import org.labelstream.schedule.Plan;
import org.labelstream.schedule.Row;

/** A new task is one class, such as the one here, and its line in {@link Tasks}. */
class FifthTaskTest {

  /** Raw logits of a text: trivial, and all that a task needs. */
  private static final class RawLogits implements Task {
    static final TaskType TYPE =
        new TaskType("raw_logits", ParameterSpecs.none(), Map.of(), RawLogits::new);

    private final LoadedModel model;

    RawLogits(LoadedModel model) {
      this.model = model;
    }

    @Override
    public Plan plan(TextEvent event, Parameters parameters, Encodings encodings) {
      EncodedRow row = new EncodedRow(encodings.encode(model, event.text(), null));
      return new Plan() {
        @Override
        public List<? extends Row> rows() {
          return List.of(row);
        }

        @Override
        public Prediction join() {
          return new Prediction(Map.of("logit", row.logits()[0]), row.length(), false);
        }
      };
    }

    @Override
    public void run(List<? extends Row> batch) {
      EncodedRow.run(model, batch);
    }
  }

  @Test
  void givesAPrediction() throws Exception {
    ModelFolder folder =
        ModelFolder.read(
            Path.of("src/test/resources/parity/bert-sequence_classification"),
            ModelFolder.Verify.REQUIRED);
    try (LoadedModel model = LoadedModel.lease(folder, DeviceChoice.CPU)) {
      Task task = RawLogits.TYPE.factory().create(model);
      Plan plan =
          task.plan(TextEvent.ofText("t-0@0", "good"), RawLogits.TYPE.parameters().parse(Map.of()));
      task.run(plan.rows());
      assertThat(plan.join().fields().get("logit")).isInstanceOf(Float.class);
    }
  }
}
