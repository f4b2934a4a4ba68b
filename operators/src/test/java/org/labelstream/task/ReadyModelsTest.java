package org.labelstream.task;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.engine.LoadedModel;
import org.labelstream.model.ModelFolder;
import org.labelstream.record.Prediction;
import org.labelstream.record.TextEvent;
import org.labelstream.schedule.Plan;

/**
 * The ready models on sentences that were written by hand, by authors who had not seen what they
 * were trained on.
 */
class ReadyModelsTest {

  private static final Path ROOT = Path.of("..");
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Pattern ENTITY = Pattern.compile("\\[([^\\]]+)\\]\\((PER|ORG|LOC)\\)");

  private static ModelFolder folder(String name) {
    return ModelFolder.read(
        ROOT.resolve("model-assets").resolve(name), ModelFolder.Verify.REQUIRED);
  }

  private static List<String> heldOut(String file) throws IOException {
    return Files.readAllLines(ROOT.resolve("scripts/ready_models").resolve(file)).stream()
        .filter(line -> !line.startsWith("#"))
        .toList();
  }

  private static List<Prediction> predict(
      String model, TaskType type, Map<String, Object> parameters, List<TextEvent> events)
      throws Exception {
    try (LoadedModel loaded = LoadedModel.lease(folder(model), DeviceChoice.CPU)) {
      Task task = type.factory().create(loaded);
      List<Prediction> predictions = new ArrayList<>();
      for (TextEvent event : events) {
        Plan plan = task.plan(event, type.parameters().parse(parameters));
        while (plan.rows().stream().anyMatch(row -> !row.done())) {
          task.run(plan.rows());
        }
        predictions.add(plan.join());
      }
      return predictions;
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"sentiment", "entities", "answers", "writer"})
  void isSmallEnoughForARepositoryAndHasItsCard(String name) throws IOException {
    ModelFolder folder = folder(name);
    long bytes = 0;
    try (var files = Files.list(folder.path())) {
      for (Path file : files.toList()) {
        bytes += Files.size(file);
      }
    }
    assertThat(bytes).isLessThan(6_000_000);
    assertThat(folder.path().resolve("README.md"))
        .content()
        .contains("How good it is", "Its limits");
  }

  @Test
  void sentimentIsRightOnMostSentences() throws Exception {
    List<String> sentences = heldOut("sentiment_heldout.tsv");
    assertThat(sentences).hasSize(100);
    List<TextEvent> events =
        sentences.stream().map(s -> TextEvent.ofText("t-0@0", s.split("\t", 2)[1])).toList();
    List<Prediction> predictions =
        predict("sentiment", SequenceClassification.TYPE, Map.of(), events);
    int right = 0;
    for (int i = 0; i < sentences.size(); i++) {
      if (sentences.get(i).startsWith(predictions.get(i).fields().get("label") + "\t")) {
        right++;
      }
    }
    System.out.printf("sentiment: %d of %d held-out sentences%n", right, sentences.size());
    assertThat(right).isGreaterThanOrEqualTo(85);
  }

  @Test
  void entitiesFindsMostNamesAndTheirKinds() throws Exception {
    List<String> sentences = heldOut("entities_heldout.txt");
    assertThat(sentences).hasSize(50);
    List<Set<String>> expected = new ArrayList<>();
    List<TextEvent> events = new ArrayList<>();
    for (String sentence : sentences) {
      StringBuilder text = new StringBuilder();
      Set<String> entities = new HashSet<>();
      Matcher marked = ENTITY.matcher(sentence);
      while (marked.find()) {
        marked.appendReplacement(text, "");
        int start = text.codePointCount(0, text.length());
        text.append(marked.group(1));
        entities.add(marked.group(2) + " " + start + " " + text.codePointCount(0, text.length()));
      }
      marked.appendTail(text);
      expected.add(entities);
      events.add(TextEvent.ofText("t-0@0", text.toString()));
    }
    List<Prediction> predictions =
        predict(
            "entities", TokenClassification.TYPE, Map.of("aggregation_strategy", "first"), events);
    int right = 0;
    int found = 0;
    int there = 0;
    for (int i = 0; i < sentences.size(); i++) {
      there += expected.get(i).size();
      for (Object given : (List<?>) predictions.get(i).fields().get("entities")) {
        Map<?, ?> entity = (Map<?, ?>) given;
        found++;
        String name =
            entity.get("entity_group") + " " + entity.get("start") + " " + entity.get("end");
        right += expected.get(i).contains(name) ? 1 : 0;
      }
    }
    double f1 = 2.0 * right / (found + there);
    System.out.printf(
        "entities: F1 %.3f on %d held-out sentences (%d of %d found, %d given)%n",
        f1, sentences.size(), right, there, found);
    assertThat(f1).isGreaterThanOrEqualTo(0.80);
  }

  @Test
  void answersKnowsWhoLeadsTesla() throws Exception {
    String context = "Elon Musk is the CEO of Tesla.";
    Map<String, Object> fields =
        predict(
                "answers",
                QuestionAnswering.TYPE,
                Map.of(),
                List.of(question("Who is CEO of Tesla?", context)))
            .get(0)
            .fields();
    assertThat(fields).containsEntry("answer", "Elon Musk");
    assertThat(context.substring((Integer) fields.get("start"), (Integer) fields.get("end")))
        .isEqualTo("Elon Musk");
  }

  /** A small model: the bound keeps it from becoming worse, and its card says how good that is. */
  @Test
  void answersIsRightOnHalfOfTheQuestions() throws Exception {
    List<JsonNode> pairs = new ArrayList<>();
    for (String line : heldOut("answers_heldout.jsonl")) {
      pairs.add(JSON.readTree(line));
    }
    assertThat(pairs).hasSize(50);
    List<TextEvent> events =
        pairs.stream()
            .map(p -> question(p.get("question").asText(), p.get("context").asText()))
            .toList();
    List<Prediction> predictions = predict("answers", QuestionAnswering.TYPE, Map.of(), events);
    int right = 0;
    for (int i = 0; i < pairs.size(); i++) {
      String answer = normalized((String) predictions.get(i).fields().get("answer"));
      for (JsonNode accepted : pairs.get(i).get("answers")) {
        if (normalized(accepted.asText()).equals(answer)) {
          right++;
          break;
        }
      }
    }
    System.out.printf("answers: %d of %d held-out questions exactly%n", right, pairs.size());
    assertThat(right).isGreaterThanOrEqualTo(25);
  }

  /** As the SQuAD evaluation compares answers. */
  private static String normalized(String answer) {
    return answer
        .toLowerCase(Locale.ROOT)
        .replaceAll("\\p{Punct}", "")
        .replaceAll("\\b(a|an|the)\\b", " ")
        .strip()
        .replaceAll("\\s+", " ");
  }

  private static TextEvent question(String question, String context) {
    return new TextEvent("t-0@0", null, null, question, context, false, null, Map.of());
  }

  @Test
  void writerTellsStoriesThatEnd() throws Exception {
    List<String> prompts = List.of("Once upon a time", "The little fox", "One day, Anna", "");
    List<Prediction> stories =
        predict(
            "writer",
            TextGeneration.TYPE,
            Map.of(),
            prompts.stream().map(prompt -> TextEvent.ofText("t-0@0", prompt)).toList());
    for (int i = 0; i < prompts.size(); i++) {
      String story = (String) stories.get(i).fields().get("generated_text");
      assertThat(stories.get(i).fields()).as(story).containsEntry("finish_reason", "eos");
      assertThat(story).startsWith(prompts.get(i)).matches("(?s).*[.!?\"]");
      assertThat(story.split(" ")).hasSizeGreaterThan(20);
    }
  }
}
