package org.labelstream.operator;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.streaming.api.datastream.AsyncDataStream.OutputMode;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.labelstream.operator.PipelineModel.Condition;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Outcome;
import org.labelstream.record.SourceRecord;
import org.labelstream.result.RedactSettings;
import org.labelstream.result.ResultSettings;
import org.labelstream.result.RouteSettings;
import org.labelstream.task.TaskType.Order;

/** Several models on one text: one stage does what the stages of each would. */
@Timeout(180)
class SeveralModelsTest {

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Path PARITY = Path.of("src/test/resources/parity");
  private static final Path ASSETS = Path.of("../model-assets");
  private static final int TEXTS = 1_000;

  private static final PipelineModel SENTIMENT = model("sentiment", ASSETS.resolve("sentiment"));
  private static final PipelineModel ENTITIES = model("entities", ASSETS.resolve("entities"));
  private static final PipelineModel ANSWERS = model("answers", ASSETS.resolve("answers"));

  /** Two models with one tokenizer, of which one asks for more than the other. */
  private static final PipelineModel CLASSES =
      model("classes", PARITY.resolve("distilbert-sequence_classification"));

  private static final PipelineModel TOKENS =
      model("tokens", PARITY.resolve("distilbert-token_classification"));

  private static PipelineModel model(String name, Path folder) {
    return new PipelineModel(name, InferenceSettings.of("all", folder.toString()), null);
  }

  private static PipelineModel when(PipelineModel model, String other, String... labels) {
    return new PipelineModel(
        model.name(), model.settings(), new Condition(other, new ArrayList<>(List.of(labels))));
  }

  private static List<PipelineModel> with(ResultSettings results, PipelineModel... models) {
    List<PipelineModel> all = new ArrayList<>();
    for (PipelineModel model : models) {
      all.add(new PipelineModel(model.name(), model.settings().withResults(results), model.when()));
    }
    return all;
  }

  private static SourceRecord record(int offset, String value) {
    return new SourceRecord(null, value.getBytes(UTF_8), List.of(), "texts", 0, offset, 0);
  }

  /** The stage as Flink runs it. */
  @SuppressWarnings("try") // the harness may be interrupted while it closes
  private static final class Stage
      extends OneInputStreamOperatorTestHarness<SourceRecord, Outcome> {
    private final InferenceFunction function;

    Stage(InferenceFunction function) throws Exception {
      super(
          new ModelOperatorFactory<>(function, OutputMode.ORDERED, null),
          SourceRecordSerializer.INSTANCE);
      this.function = function;
      setup(OutcomeSerializer.INSTANCE);
    }

    static Stage of(List<PipelineModel> models) throws Exception {
      return new Stage(new InferenceFunction(models, Order.PARTITION));
    }

    void read(List<SourceRecord> records) throws Exception {
      for (SourceRecord record : records) {
        processElement(record, 0);
      }
    }

    long tokenizations() {
      return function.metrics.tokenizations.getCount();
    }
  }

  @SuppressWarnings("try")
  private static List<Outcome> label(List<PipelineModel> models, String... values)
      throws Exception {
    List<SourceRecord> records = new ArrayList<>();
    for (String value : values) {
      records.add(record(records.size(), value));
    }
    try (Stage stage = Stage.of(models)) {
      stage.open();
      stage.read(records);
      stage.endInput();
      return stage.extractOutputValues();
    }
  }

  private static JsonNode inference(Outcome outcome) throws Exception {
    assertThat(outcome).isInstanceOf(Outcome.Labelled.class);
    return JSON.readTree(((Outcome.Labelled) outcome).value()).get("inference");
  }

  private static JsonNode inference(List<PipelineModel> models, String value) throws Exception {
    return inference(label(models, value).get(0));
  }

  private static List<String> names(JsonNode object) {
    return object.propertyStream().map(Map.Entry::getKey).toList();
  }

  /** The same but for the last digits, which the company in a batch decides. */
  private static void isTheSame(JsonNode one, JsonNode other) {
    if (one.isFloatingPointNumber()) {
      assertThat(one.asDouble()).isCloseTo(other.asDouble(), within(1e-5));
    } else if (one.isContainerNode()) {
      assertThat(one.size()).isEqualTo(other.size());
      for (int i = 0; one.isArray() && i < one.size(); i++) {
        isTheSame(one.get(i), other.get(i));
      }
      assertThat(names(one)).isEqualTo(names(other));
      names(one).forEach(name -> isTheSame(one.get(name), other.get(name)));
    } else {
      assertThat(one).isEqualTo(other);
    }
  }

  private static String text(int i) {
    String text = "Maria from Berlin saw a " + (i % 3 == 0 ? "good" : "terrible") + " film " + i;
    return text + " and so on".repeat(i % 50 == 0 ? 300 : (i * 7919) % 13);
  }

  @Test
  @SuppressWarnings("try")
  void aThousandTextsGetWhatThePipelinesOfTheModelsGiveAndAreTokenizedOnceForEachTokenizer()
      throws Exception {
    List<PipelineModel> models = List.of(SENTIMENT, ENTITIES, CLASSES, TOKENS);
    List<SourceRecord> records = new ArrayList<>();
    for (int i = 0; i < TEXTS; i++) {
      records.add(record(i, "{\"id\": %d, \"text\": \"%s\"}".formatted(i, text(i))));
    }

    List<Outcome> together;
    try (Stage stage = Stage.of(models)) {
      stage.open();
      stage.read(records);
      stage.endInput();
      together = stage.extractOutputValues();
      assertThat(stage.tokenizations()).isEqualTo(3 * TEXTS);
    }

    assertThat(together).hasSize(TEXTS);
    for (Outcome outcome : together) {
      assertThat(names(inference(outcome)))
          .containsExactly("sentiment", "entities", "classes", "tokens");
    }
    for (PipelineModel model : models) {
      InferenceSettings own = InferenceSettings.of(model.name(), model.settings().model());
      try (Stage stage = Stage.of(PipelineModel.only(own))) {
        stage.open();
        stage.read(records);
        stage.endInput();
        List<Outcome> alone = stage.extractOutputValues();
        assertThat(stage.tokenizations()).isEqualTo(TEXTS);
        for (int i = 0; i < TEXTS; i++) {
          isTheSame(
              inference(together.get(i)).get(model.name()),
              inference(alone.get(i)).get(model.name()));
        }
      }
    }
  }

  @Test
  void aTextThatIsReadInWindowsByOneAndCutByTheOtherIsTheSameForBoth() throws Exception {
    String value =
        "{\"text\": \"%s\", \"text_pair\": \"%s\", \"parameters\": %s}"
            .formatted(
                "good film ".repeat(100),
                "so and so",
                "{\"classes\": {\"stride\": 8}, \"tokens\": {\"aggregation_strategy\": \"simple\"}}");

    JsonNode together = inference(List.of(CLASSES, TOKENS), value);
    assertThat(together.at("/tokens/request/parameters/classes/stride").asInt()).isEqualTo(8);

    isTheSame(
        without(together.get("classes")),
        without(
            inference(
                    PipelineModel.only(CLASSES.settings()),
                    value.replaceAll("\\{\"classes.*", "{\"stride\": 8}}"))
                .get("all")));
    assertThat(together.at("/classes/truncated").asBoolean()).isFalse();
    isTheSame(
        without(together.get("tokens")),
        without(
            inference(
                    PipelineModel.only(TOKENS.settings()),
                    value.replaceAll("\\{\"classes.*", "{\"aggregation_strategy\": \"simple\"}}"))
                .get("all")));
    assertThat(together.at("/tokens/truncated").asBoolean()).isTrue();
  }

  private static JsonNode without(JsonNode result) {
    ((ObjectNode) result).remove("request");
    return result;
  }

  @Test
  void oneThatFailsLeavesItsErrorAndTheOthersStand() throws Exception {
    JsonNode inference = inference(List.of(SENTIMENT, ANSWERS, TOKENS), "a good film");

    assertThat(inference.at("/sentiment/label").asText()).isEqualTo("POSITIVE");
    assertThat(names(inference.get("answers")))
        .containsExactly("task", "model", "version", "error");
    assertThat(inference.at("/answers/error/code").asText()).isEqualTo("missing_field");
    assertThat(inference.at("/answers/error/message").asText())
        .startsWith("the field question is missing");
    assertThat(inference.at("/tokens/entities").isArray()).isTrue();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "{\"question\": \"who?\"} | MISSING_FIELD | the field text is missing",
        "{\"text\": 5} | INVALID_FIELD | the field text must be a string",
        "{\"text\": \"a\", \"parameters\": {\"top_k\": 2}} | INVALID_PARAMETER | in parameters, there is no model top_k",
        "{\"text\": \"a\", \"parameters\": {\"sentimnt\": {}}} | INVALID_PARAMETER | did you mean sentiment",
        "{\"text\": \"a\", \"parameters\": {\"sentiment\": 2}} | INVALID_PARAMETER | sentiment is no object",
        "{\"text\": | MALFORMED_JSON | not valid JSON",
      })
  void whereNoneHasAnythingToSayTheRecordIsADeadLetter(String value, ErrorCode code, String message)
      throws Exception {
    Outcome.Failed failed = (Outcome.Failed) label(List.of(SENTIMENT, ANSWERS), value).get(0);

    assertThat(failed.letter().code()).isEqualTo(code);
    assertThat(failed.letter().message()).contains(message);
  }

  @Test
  void aRecordsOwnParametersAreThoseOfTheModelThatTheyNameAndMayBeWrongForItAlone()
      throws Exception {
    JsonNode inference =
        inference(
            List.of(SENTIMENT, CLASSES, TOKENS),
            "{\"text\": \"good\", \"parameters\": {\"classes\": {\"top_k\": 3}, \"tokens\": {\"topk\": 1}}}");

    assertThat(inference.at("/classes/scores")).hasSize(3);
    assertThat(inference.get("sentiment").has("scores")).isFalse();
    assertThat(inference.at("/tokens/error/code").asText()).isEqualTo("invalid_parameter");
    assertThat(inference.at("/tokens/error/message").asText()).doesNotContain("input.control");
  }

  @Test
  void aChainRunsOnlyWhatWasAskedFor() throws Exception {
    List<PipelineModel> chain =
        List.of(
            SENTIMENT,
            when(CLASSES, "sentiment", "POSITIVE"),
            when(TOKENS, "classes", "NEGATIVE", "NEUTRAL", "POSITIVE"),
            when(ENTITIES, "sentiment", "NEGATIVE"));

    List<Outcome> outcomes =
        label(
            chain,
            "a good film",
            "a terrible film",
            "{\"text\": \"a good film\", \"parameters\": {\"classes\": {\"stride\": -1}}}",
            "{\"text\": \"a good film\", \"parameters\": {\"sentiment\": {\"stride\": -1}}}");

    assertThat(names(inference(outcomes.get(0)))).containsExactly("sentiment", "classes", "tokens");
    assertThat(names(inference(outcomes.get(1)))).containsExactly("sentiment", "entities");
    assertThat(names(inference(outcomes.get(2)))).containsExactly("sentiment", "classes");
    assertThat(inference(outcomes.get(2)).at("/classes/error/code").asText())
        .isEqualTo("invalid_parameter");
    // What the others wait for has failed, so none has anything to say.
    assertThat(outcomes.get(3)).isInstanceOf(Outcome.Failed.class);
  }

  @Test
  void aConditionThatCannotHoldStopsTheJob() {
    assertThatThrownBy(() -> label(List.of(TOKENS, when(CLASSES, "tokens", "PER")), "a"))
        .hasStackTraceContaining("asks tokens for a label, but that is for token_classification");
    assertThatThrownBy(() -> label(List.of(SENTIMENT, when(CLASSES, "sentiment", "GOOD")), "a"))
        .hasStackTraceContaining("names GOOD, which is no label of sentiment");
  }

  @Test
  @SuppressWarnings("try")
  void recordsInFlightAtASnapshotAreEachLabelledOnceAfterIt() throws Exception {
    List<PipelineModel> chain = List.of(SENTIMENT, when(CLASSES, "sentiment", "POSITIVE"), TOKENS);
    List<SourceRecord> records = new ArrayList<>();
    for (int i = 0; i < 150; i++) {
      records.add(record(i, text(i)));
    }
    List<Outcome> all;
    OperatorSubtaskState snapshot;
    try (Stage before = Stage.of(chain)) {
      before.open();
      before.read(records);
      snapshot = before.snapshot(1, 1);
      all = new ArrayList<>(before.extractOutputValues());
    }
    assertThat(all).hasSizeLessThan(records.size());
    try (Stage after = Stage.of(chain)) {
      after.initializeState(snapshot);
      after.open();
      after.endInput();
      all.addAll(after.extractOutputValues());
    }

    assertThat(all.stream().map(Outcome::source).toList()).isEqualTo(records);
    for (Outcome outcome : all) {
      assertThat(names(inference(outcome))).contains("sentiment", "tokens");
    }
  }

  private static ResultSettings redacting(String... labels) {
    LinkedHashMap<String, String> by = new LinkedHashMap<>();
    for (String label : labels) {
      by.put(label, "[" + label + "]");
    }
    return new ResultSettings(new ArrayList<>(), new RedactSettings(by, true));
  }

  @Test
  void whatAnyOfThemFindsIsRedacted() throws Exception {
    ResultSettings results = redacting("PER", "LOC", "MISC");
    String text = "Maria Keller lives in Berlin and sees films";

    Outcome.Labelled one = (Outcome.Labelled) label(with(results, ENTITIES), text).get(0);
    Outcome.Labelled out =
        (Outcome.Labelled) label(with(results, SENTIMENT, ENTITIES, TOKENS), text).get(0);

    // The fixture takes most words for something.
    assertThat(JSON.readTree(one.value()).get("text").asText())
        .isEqualTo("[PER] lives in [LOC] and sees films");
    String value = new String(out.value(), UTF_8);
    assertThat(value).doesNotContain("Maria").doesNotContain("Berlin").doesNotContain("films");
    assertThat(inference(out).at("/entities/redacted"))
        .isEqualTo(inference(out).at("/tokens/redacted"))
        .isEqualTo(JSON.readTree(value).get("text"));
    assertThat(inference(out).at("/sentiment/label").asText()).isIn("POSITIVE", "NEGATIVE");
  }

  @Test
  void whatOneOfThemHasNotSeenIsADeadLetter() throws Exception {
    ResultSettings results = redacting("PER");
    String broken = "{\"text\": \"Maria\", \"parameters\": {\"tokens\": {\"stride\": -1}}}";
    String ignoring =
        "{\"text\": \"Maria\", \"parameters\": {\"tokens\": {\"ignore_labels\": []}}}";

    List<Outcome> outcomes =
        label(
            with(results, SENTIMENT, ENTITIES, TOKENS),
            broken,
            ignoring,
            "Maria and so on ".repeat(25));
    outcomes.addAll(
        label(with(results, SENTIMENT, when(ENTITIES, "sentiment", "NEGATIVE")), "good film"));

    assertThat(outcomes).hasSize(4);
    for (Outcome outcome : outcomes) {
      assertThat(((Outcome.Failed) outcome).letter().code()).isEqualTo(ErrorCode.NOT_REDACTED);
    }
    assertThat(((Outcome.Failed) outcomes.get(0)).letter().message())
        .startsWith("the model tokens failed on the text, so what tokens would have found")
        .contains("stride");
  }

  @Test
  void conditionsOfRoutesNameTheModels() throws Exception {
    ArrayList<RouteSettings> routes = new ArrayList<>();
    routes.add(new RouteSettings("sentiment.label == 'POSITIVE'", 1, "good", false));
    routes.add(new RouteSettings("classes.score >= 0.0", 1, "classified", false));
    routes.add(new RouteSettings("answers.error == 'missing_field'", 1, "unasked", false));

    List<Outcome> outcomes =
        label(
            with(
                new ResultSettings(routes, null),
                SENTIMENT,
                when(CLASSES, "sentiment", "NEGATIVE"),
                ANSWERS),
            "a good film",
            "a terrible film");

    assertThat(((Outcome.Labelled) outcomes.get(0)).routes()).containsExactly("good", "unasked");
    assertThat(((Outcome.Labelled) outcomes.get(1)).routes())
        .containsExactly("classified", "unasked");
  }
}
