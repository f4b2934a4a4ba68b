package org.labelstream.task;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.engine.LoadedModel;
import org.labelstream.model.ModelFolder;
import org.labelstream.record.TextEvent;

/**
 * The ready models on sentences that were written by hand, outside of what they were trained on.
 */
class ReadyModelsTest {

  private static final Path ROOT = Path.of("..");

  @Test
  void sentimentIsRightOnMostSentencesThatItsAuthorsHadNotSeen() throws Exception {
    ModelFolder folder =
        ModelFolder.read(ROOT.resolve("model-assets/sentiment"), ModelFolder.Verify.REQUIRED);
    List<String> sentences =
        Files.readAllLines(ROOT.resolve("scripts/ready_models/sentiment_heldout.tsv"));
    assertThat(sentences).hasSize(100);
    int right = 0;
    try (LoadedModel model = LoadedModel.lease(folder, DeviceChoice.CPU)) {
      Task task = SequenceClassification.TYPE.factory().create(model);
      Parameters none = SequenceClassification.TYPE.parameters().parse(Map.of());
      List<Plan> plans = new ArrayList<>();
      for (String sentence : sentences) {
        Plan plan = task.plan(TextEvent.ofText("t-0@0", sentence.split("\t", 2)[1]), none);
        task.run(plan.rows());
        plans.add(plan);
      }
      for (int i = 0; i < sentences.size(); i++) {
        if (sentences.get(i).startsWith(plans.get(i).join().fields().get("label") + "\t")) {
          right++;
        }
      }
    }
    System.out.printf("sentiment: %d of %d held-out sentences%n", right, sentences.size());
    assertThat(right).isGreaterThanOrEqualTo(85);
  }
}
