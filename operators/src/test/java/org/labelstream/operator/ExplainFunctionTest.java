package org.labelstream.operator;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.streaming.api.datastream.AsyncDataStream.OutputMode;
import org.apache.flink.streaming.runtime.tasks.mailbox.Mail;
import org.apache.flink.streaming.runtime.tasks.mailbox.TaskMailbox;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.apache.flink.util.InstantiationUtil;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.engine.EngineRuntime;
import org.labelstream.engine.LoadedModel;
import org.labelstream.model.ModelFolder;
import org.labelstream.operator.ExplainSettings.When;
import org.labelstream.operator.ExplainSettings.WhenFull;
import org.labelstream.operator.InferenceSettings.Batching;
import org.labelstream.record.Header;
import org.labelstream.record.Outcome;
import org.labelstream.record.OutputRecord;
import org.labelstream.record.OutputRecord.Destination;
import org.labelstream.record.SourceRecord;
import org.labelstream.schedule.Workers;
import org.labelstream.task.TaskType.Order;

@Timeout(120)
class ExplainFunctionTest {

  private static final Path FIXTURES = Path.of("src/test/resources/explanations");
  private static final Path PARITY = Path.of("src/test/resources/parity");
  private static final ObjectMapper JSON = new ObjectMapper();

  private static final InferenceSettings CLASSES =
      settings("distilbert-sequence_classification-trained");
  private static final InferenceSettings TOKENS =
      settings("distilbert-token_classification-trained");
  private static final InferenceSettings ANSWERS = settings("bert-question_answering-trained");
  private static final ExplainSettings FEW_STEPS = explaining(8, 256, WhenFull.BLOCK);
  private static final OutputRecords OUTPUTS = new OutputRecords("reviews", 1 << 20, 60_000);

  @TempDir Path temporary;

  private final List<Stage<?>> open = new ArrayList<>();

  private static InferenceSettings settings(String folder) {
    return InferenceSettings.of("reviews", FIXTURES.resolve(folder).toString());
  }

  private static ExplainSettings explaining(Integer steps, int queue, WhenFull whenFull) {
    return new ExplainSettings(When.REQUESTED, steps, 1, queue, whenFull);
  }

  /** An async stage as Flink runs it; to be used by the thread that made it. */
  @SuppressWarnings("try") // the harness may be interrupted while it closes
  private static final class Stage<T> extends OneInputStreamOperatorTestHarness<SourceRecord, T> {
    private boolean closed;

    Stage(ModelFunction<T> function, OutputMode mode, TypeSerializer<T> serializer)
        throws Exception {
      super(
          // A copy, as the cluster gets it.
          new ModelOperatorFactory<>(InstantiationUtil.clone(function), mode, null),
          SourceRecordSerializer.INSTANCE);
      setup(serializer);
    }

    Stage<T> read(List<SourceRecord> records) throws Exception {
      for (SourceRecord record : records) {
        processElement(record, record.timestamp());
      }
      return this;
    }

    List<T> finish() throws Exception {
      endInput();
      List<T> results = extractOutputValues();
      close();
      return results;
    }

    @Override
    public void close() throws Exception {
      if (!closed) {
        closed = true;
        super.close();
      }
    }
  }

  private static Stage<OutputRecord> unopened(
      InferenceSettings settings, ExplainSettings explaining, OutputRecords outputs)
      throws Exception {
    return new Stage<>(
        new ExplainFunction(settings, explaining, outputs),
        OutputMode.UNORDERED, // as in a job
        OutputRecordSerializer.INSTANCE);
  }

  private Stage<OutputRecord> stage(InferenceSettings settings, ExplainSettings explaining)
      throws Exception {
    Stage<OutputRecord> stage = unopened(settings, explaining, OUTPUTS);
    open.add(stage);
    stage.open();
    return stage;
  }

  @AfterEach
  void closeWhatIsOpen() throws Exception {
    for (Stage<?> stage : open) {
      stage.close();
    }
  }

  private static SourceRecord record(int offset, String value) {
    return new SourceRecord(
        null, value.getBytes(UTF_8), List.of(), "texts", 0, offset, 1_000 + offset);
  }

  private static List<SourceRecord> texts(int count) {
    List<SourceRecord> records = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      records.add(
          record(
              i,
              "{\"id\": %d, \"text\": \"a good film %s\", \"explain\": true}"
                  .formatted(i, "and so on ".repeat(i % 7))));
    }
    return records;
  }

  private static JsonNode json(OutputRecord record) {
    try {
      return JSON.readTree(record.value());
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  private OutputRecord explained(
      InferenceSettings settings, ExplainSettings explaining, SourceRecord record)
      throws Exception {
    List<OutputRecord> out = stage(settings, explaining).read(List.of(record)).finish();
    assertThat(out).hasSize(1);
    return out.get(0);
  }

  private JsonNode explanation(InferenceSettings settings, String value) throws Exception {
    JsonNode explanation = json(explained(settings, FEW_STEPS, record(0, value)));
    assertThat(explanation.has("error")).as("%s", explanation).isFalse();
    return explanation;
  }

  /** The explanation that there is not: its error, which stands in place of all that it has. */
  private JsonNode error(InferenceSettings settings, String value) throws Exception {
    return errorOf(json(explained(settings, FEW_STEPS, record(0, value))));
  }

  private static JsonNode errorOf(JsonNode explanation) {
    assertThat(names(explanation))
        .containsExactly("id", "pipeline", "task", "model", "version", "error");
    assertThat(names(explanation.get("error"))).containsExactlyInAnyOrder("code", "message");
    return explanation.get("error");
  }

  private static List<String> names(JsonNode object) {
    return object.propertyStream().map(Map.Entry::getKey).toList();
  }

  /** What the labelling stage says of a record. */
  private JsonNode labelled(InferenceSettings settings, String value) throws Exception {
    Stage<Outcome> stage =
        new Stage<>(
            new InferenceFunction(settings, Order.PARTITION),
            OutputMode.ORDERED,
            OutcomeSerializer.INSTANCE);
    open.add(stage);
    stage.open();
    Outcome outcome = stage.read(List.of(record(0, value))).finish().get(0);
    assertThat(outcome).isInstanceOf(Outcome.Labelled.class);
    return JSON.readTree(((Outcome.Labelled) outcome).value()).get("inference").get("reviews");
  }

  private static String event(Map<String, Object> fields) throws IOException {
    return JSON.writeValueAsString(fields);
  }

  private static double[] numbers(JsonNode explanation, String name) {
    return JSON.convertValue(explanation.get(name), double[].class);
  }

  private static double norm(double[] values) {
    double squares = 0;
    for (double value : values) {
      squares += value * value;
    }
    return Math.sqrt(squares);
  }

  /** Does something while no worker is free, so that what is owed stays owed. */
  @SuppressWarnings("try") // it is there to be closed
  private static <T> T whileWorkersAreBusy(Callable<T> something) throws Exception {
    Workers workers;
    try (LoadedModel model =
        LoadedModel.lease(
            ModelFolder.read(Path.of(CLASSES.model()), ModelFolder.Verify.REQUIRED),
            DeviceChoice.CPU)) {
      workers = EngineRuntime.ofProcess().workers(model);
    }
    try (BusyWorkers busy = new BusyWorkers(workers)) {
      return something.call();
    }
  }

  @Nested
  class ARecord {

    @Test
    void saysWhatWasExplainedAndHow() throws Exception {
      JsonNode explanation =
          explanation(CLASSES, "{\"id\": \"e-1\", \"text\": \"a good film\", \"explain\": true}");

      assertThat(names(explanation))
          .containsExactly(
              "id",
              "pipeline",
              "task",
              "model",
              "version",
              "method",
              "predicted",
              "target",
              "score",
              "words",
              "importances",
              "delta",
              "spans",
              "steps",
              "precision");
      assertThat(explanation.get("pipeline").asText()).isEqualTo("reviews");
      assertThat(explanation.get("task").asText()).isEqualTo("sequence_classification");
      assertThat(explanation.get("model").asText())
          .isEqualTo("distilbert-sequence_classification-trained");
      assertThat(explanation.get("version").asText()).matches("[0-9a-f]{8}");
      assertThat(explanation.get("method").asText()).isEqualTo("layer_integrated_gradients");
      assertThat(names(explanation.get("target"))).containsExactly("index", "label");
      assertThat(explanation.get("steps").asInt()).isEqualTo(8);
      assertThat(explanation.get("precision").asText()).isEqualTo("fp32");
      int words = explanation.get("words").size();
      assertThat(explanation.get("words").get(0).asText()).isEqualTo("[CLS]");
      assertThat(explanation.get("importances")).hasSize(words);
      assertThat(explanation.get("spans")).hasSize(words);
      assertThat(explanation.get("spans").get(0).isNull()).isTrue();
      assertThat(explanation.get("spans").get(1)).isEqualTo(JSON.readTree("[0, 1]"));
    }

    @Test
    void ofTwoTextsSaysWhichTokenIsOfWhich() throws Exception {
      JsonNode pair = explanation(CLASSES, "{\"text\": \"a film\", \"text_pair\": \"so good\"}");
      JsonNode answer =
          explanation(ANSWERS, "{\"question\": \"Who?\", \"context\": \"It was Anna.\"}");

      assertThat(fields(pair)).containsExactly("text", "text_pair");
      assertThat(fields(answer)).containsExactly("question", "context");
      assertThat(names(answer))
          .containsSubsequence(
              "words",
              "importances_answer_start",
              "importances_answer_end",
              "delta_start",
              "delta_end",
              "spans",
              "fields",
              "steps",
              "precision")
          .doesNotContain("importances", "delta", "predicted");
      assertThat(names(answer.get("target"))).containsExactly("start", "end", "answer");
    }

    /** The fields of a pair's words, in their order; special tokens are of none. */
    private Set<String> fields(JsonNode explanation) {
      Set<String> fields = new LinkedHashSet<>();
      for (int i = 0; i < explanation.get("words").size(); i++) {
        JsonNode field = explanation.get("fields").get(i);
        assertThat(field.isNull()).isEqualTo(explanation.get("spans").get(i).isNull());
        if (!field.isNull()) {
          fields.add(field.asText());
        }
      }
      return fields;
    }

    @ParameterizedTest
    @CsvSource(
        delimiter = '|',
        value = {
          "\"id\": \"e-\\u00e4\", | \"e-\\u00e4\"",
          "\"id\": 12345678901234567890, | 12345678901234567890",
          "\"id\": null, | \"texts-0@7\"",
          "'' | \"texts-0@7\"",
        })
    void keepsItsIdAsItWas(String id, String raw) throws Exception {
      for (String target : List.of("\"NEUTRAL\"", "99")) {
        OutputRecord out =
            explained(
                CLASSES,
                FEW_STEPS,
                record(7, "{%s \"text\": \"good\", \"target\": %s}".formatted(id, target)));

        assertThat(new String(out.value(), UTF_8)).startsWith("{\"id\":" + raw + ",");
      }
    }

    @Test
    void carriesKeyHeadersAndTimestampOfItsSource() throws Exception {
      for (String value : List.of("a good film", "{\"text\": \"a\", \"target\": 99}")) {
        SourceRecord source =
            new SourceRecord(
                new byte[] {0, -1},
                value.getBytes(UTF_8),
                List.of(
                    Header.of("trace", "1"), Header.of("trace", "2"), new Header("empty", null)),
                "texts",
                3,
                17,
                1_700_000_000_000L);

        OutputRecord out = explained(CLASSES, FEW_STEPS, source);

        assertThat(out.destination()).isEqualTo(Destination.EXPLANATIONS);
        assertThat(out.key()).containsExactly(0, -1);
        assertThat(out.timestamp()).isEqualTo(source.timestamp());
        assertThat(out.sourcePartition()).isEqualTo(3);
        List<Header> headers = new ArrayList<>(source.headers());
        headers.add(Header.of("labelstream.source.topic", "texts"));
        headers.add(Header.of("labelstream.source.partition", "3"));
        headers.add(Header.of("labelstream.source.offset", "17"));
        assertThat(out.headers()).isEqualTo(headers);
      }
    }

    @Test
    void thatIsPlainTextIsExplainedToo() throws Exception {
      assertThat(explanation(CLASSES, "a good film").get("words")).hasSizeGreaterThan(4);
    }

    @Test
    void thatIsTooLongIsExplainedAsFarAsTheModelSawIt() throws Exception {
      JsonNode explanation = explanation(CLASSES, "good ".repeat(1_000));

      assertThat(explanation.get("words")).hasSize(64);
      assertThat(norm(numbers(explanation, "importances"))).isCloseTo(1, within(1e-5));
      int last = explanation.get("spans").get(62).get(1).asInt();
      assertThat(last).isBetween(62, 64 * 5);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 50})
    void withoutAGradientGetsZeros(int steps) throws Exception {
      ExplainSettings explaining = explaining(steps == 0 ? null : steps, 256, WhenFull.BLOCK);
      for (String text : List.of("", "   ", "[PAD]")) {
        OutputRecord out = explained(CLASSES, explaining, record(0, event(Map.of("text", text))));

        JsonNode explanation = json(out);
        assertThat(explanation.has("error")).as("%s", explanation).isFalse();
        assertThat(numbers(explanation, "importances"))
            .hasSizeGreaterThanOrEqualTo(2)
            .containsOnly(0.0);
        assertThat(explanation.get("delta").asDouble()).isZero();
        assertThat(new String(out.value(), UTF_8)).doesNotContain("NaN");
      }
    }

    @Test
    void keepsToItsOwnParameters() throws Exception {
      String event = "{\"text\": \"a good film\", \"parameters\": {\"function_to_apply\": \"%s\"}}";
      InferenceSettings logits = CLASSES.withParameters(Map.of("function_to_apply", "none"));

      float pipelines = (float) explanation(logits, "a good film").get("score").asDouble();
      float own = (float) explanation(CLASSES, event.formatted("none")).get("score").asDouble();
      float other = (float) explanation(logits, event.formatted("softmax")).get("score").asDouble();

      assertThat(own).isEqualTo(pipelines);
      assertThat(other)
          .isEqualTo((float) explanation(CLASSES, "a good film").get("score").asDouble())
          .isNotEqualTo(own);
    }

    /** What labels refuse never comes here; should the rules ever differ, it is answered. */
    @ParameterizedTest
    @CsvSource(
        delimiter = '|',
        quoteCharacter = '\u0001',
        value = {
          "{\"text\": \"a\", \"parameters\": {\"topk\": 1}} | in parameters, there is no parameter topk: did you mean top_k?; where the field is somebody else's, set input.control.parameters: off",
          "{\"broken | the value is not valid JSON",
          "{\"id\": 1} | the field text is missing",
        })
    void thatCannotBeReadIsAnsweredToo(String value, String sentence) throws Exception {
      JsonNode error = error(CLASSES, value);

      assertThat(error.get("code").asText()).isEqualTo("explanation_failed");
      assertThat(error.get("message").asText()).contains(sentence);
    }

    @Test
    void thatIsTooLargeWithItsExplanationSaysSo() throws Exception {
      OutputRecords small = new OutputRecords("reviews", 1_500, 60_000);
      Stage<OutputRecord> stage = unopened(CLASSES, FEW_STEPS, small);
      open.add(stage);
      stage.open();
      SourceRecord heavy =
          new SourceRecord(
              "k".getBytes(UTF_8),
              "good".getBytes(UTF_8),
              List.of(Header.of("heavy", "h".repeat(5_000))),
              "texts",
              0,
              2,
              5);
      List<OutputRecord> out =
          stage.read(List.of(record(0, "good"), record(1, "good ".repeat(60)), heavy)).finish();

      assertThat(out).hasSize(3).allMatch(small::fits);
      Map<String, OutputRecord> byId = new HashMap<>();
      out.forEach(record -> byId.put(json(record).get("id").asText(), record));
      assertThat(json(byId.get("texts-0@0")).has("importances")).isTrue();
      for (String id : List.of("texts-0@1", "texts-0@2")) {
        JsonNode error = errorOf(json(byId.get(id)));
        assertThat(error.get("code").asText()).isEqualTo("explanation_failed");
        assertThat(error.get("message").asText())
            .matches(".*would have \\d+ bytes, but the producer's max.request.size is 1500.*");
      }
      assertThat(byId.get("texts-0@2").key()).isEqualTo("k".getBytes(UTF_8));
      assertThat(byId.get("texts-0@2").headers())
          .extracting(Header::key)
          .containsExactly(
              "labelstream.source.topic",
              "labelstream.source.partition",
              "labelstream.source.offset");
    }
  }

  @Nested
  class ATarget {

    @Test
    void ofAClassIsAnIndexOrALabel() throws Exception {
      JsonNode byIndex = explanation(CLASSES, "{\"text\": \"a good film\", \"target\": 1}");
      JsonNode byLabel =
          explanation(CLASSES, "{\"text\": \"a good film\", \"target\": \"NEUTRAL\"}");

      assertThat(byIndex).isEqualTo(byLabel);
      assertThat(byIndex.get("predicted").get("label"))
          .isEqualTo(labelled(CLASSES, "a good film").get("label"));
      assertThat(byIndex.get("target"))
          .isEqualTo(JSON.readTree("{\"index\": 1, \"label\": \"NEUTRAL\"}"));
    }

    @Test
    void thatIsAbsentIsTheLabelOfTheRecord() throws Exception {
      for (String text : List.of("a good film", "I was bored", "It came on Monday")) {
        JsonNode labelled = labelled(CLASSES, text);
        JsonNode explanation = explanation(CLASSES, text);

        assertThat(explanation.get("target").get("label")).isEqualTo(labelled.get("label"));
        assertThat(explanation.get("predicted").get("label")).isEqualTo(labelled.get("label"));
        assertThat(explanation.get("predicted").get("score")).isEqualTo(explanation.get("score"));
        assertThat(explanation.get("score").asDouble())
            .isCloseTo(labelled.get("score").asDouble(), within(1e-6));
      }
    }

    @Test
    void ofATokenIsAPair() throws Exception {
      JsonNode explanation =
          explanation(TOKENS, "{\"text\": \"Anna is here\", \"target\": [2, 1]}");

      assertThat(explanation.get("target"))
          .isEqualTo(JSON.readTree("{\"token\": 2, \"index\": 1, \"label\": \"I-PER\"}"));
    }

    @Test
    void ofATokenWithoutOneIsTheSurestEntityOfTheRecord() throws Exception {
      int entities = 0;
      for (JsonNode input : JSON.readTree(FIXTURES.resolve("inputs.json").toFile()).get("texts")) {
        String value = event(Map.of("text", input.get("text").asText()));
        JsonNode target = explanation(TOKENS, value).get("target");
        JsonNode surest = null;
        for (JsonNode entity : labelled(TOKENS, value).get("entities")) {
          if (surest == null || entity.get("score").asDouble() > surest.get("score").asDouble()) {
            surest = entity;
          }
        }
        if (surest == null) {
          assertThat(target.get("label").asText()).isEqualTo("O");
        } else {
          entities++;
          assertThat(target.get("token")).isEqualTo(surest.get("index"));
          assertThat(target.get("label")).isEqualTo(surest.get("entity"));
        }
        if (entities == 5) {
          return;
        }
      }
      assertThat(entities).as("texts with entities").isPositive();
    }

    @Test
    void ofATokenByItsLabelAloneIsTheTokenThatIsSurestOfIt() throws Exception {
      JsonNode byLabel = explanation(TOKENS, "{\"text\": \"Anna is here\", \"target\": \"B-LOC\"}");
      int token = byLabel.get("target").get("token").asInt();

      assertThat(byLabel.get("target").get("label").asText()).isEqualTo("B-LOC");
      assertThat(byLabel)
          .isEqualTo(explanation(TOKENS, "{\"text\": \"Anna is here\", \"target\": 4}"));
      for (int i = 1; i < byLabel.get("words").size() - 1; i++) {
        JsonNode other =
            explanation(TOKENS, "{\"text\": \"Anna is here\", \"target\": [%d, 4]}".formatted(i));
        assertThat(other.get("score").asDouble())
            .as("token %d", i)
            .isLessThanOrEqualTo(byLabel.get("score").asDouble());
        if (i == token) {
          assertThat(other).isEqualTo(byLabel);
        }
      }
    }

    @Test
    void ofAnAnswerIsAPairOfTokens() throws Exception {
      JsonNode explanation =
          explanation(
              ANSWERS,
              "{\"question\": \"Who?\", \"context\": \"Anna is here\", \"target\": [4, 5]}");
      JsonNode spans = explanation.get("spans");

      assertThat(explanation.get("target").get("start").asInt()).isEqualTo(4);
      assertThat(explanation.get("target").get("end").asInt()).isEqualTo(5);
      if (explanation.get("fields").get(4).asText().equals("context")) {
        assertThat(explanation.get("target").get("answer").asText())
            .isEqualTo(
                "Anna is here".substring(spans.get(4).get(0).asInt(), spans.get(5).get(1).asInt()));
      }
    }

    @Test
    void ofALongContextIsInTheWindowThatDecided() throws Exception {
      int beyondTheFirst = 0;
      List<String> events = new ArrayList<>();
      for (JsonNode input :
          JSON.readTree(FIXTURES.resolve("inputs.json").toFile()).get("questions")) {
        events.add(
            event(
                Map.of(
                    "question",
                    input.get("question").asText(),
                    "context",
                    (input.get("context").asText() + " ").repeat(4),
                    "parameters",
                    Map.of("max_seq_len", 48, "doc_stride", 8, "align_to_words", false))));
      }
      for (String event : events.subList(0, 12)) {
        JsonNode labelled = labelled(ANSWERS, event);
        JsonNode explanation = explanation(ANSWERS, event);
        JsonNode target = explanation.get("target");
        JsonNode spans = explanation.get("spans");

        assertThat(explanation.get("words")).hasSizeLessThanOrEqualTo(48);
        // Answers that differ in case are one: of its places, the likeliest is explained.
        assertThat(target.get("answer").asText())
            .isEqualToIgnoringCase(labelled.get("answer").asText());
        assertThat(explanation.get("score").asDouble())
            .isCloseTo(labelled.get("score").asDouble(), within(1e-5));
        String answer = labelled.get("answer").asText();
        int start = spans.get(target.get("start").asInt()).get(0).asInt();
        int end = spans.get(target.get("end").asInt()).get(1).asInt();
        int[] context = JSON.readTree(event).get("context").asText().codePoints().toArray();
        assertThat(new String(context, start, end - start)).isEqualToIgnoringCase(answer);
        int first = 0;
        while (!explanation.get("fields").path(first).asText().equals("context")) {
          first++;
        }
        if (spans.get(first).get(0).asInt() > 0) {
          beyondTheFirst++;
        }
      }
      assertThat(beyondTheFirst).as("answers in windows behind the first").isPositive();
    }
  }

  @Nested
  class BadInput {

    @ParameterizedTest
    @CsvSource(
        delimiter = '|',
        value = {
          "3 | the target is class 3, but the model has the classes 0 to 2: name one of them",
          "2147483647 | the target is class 2147483647, but the model has the classes 0 to 2: name one of them",
          "\"POSITIV\" | the target is the label POSITIV, which the model does not have: did you mean POSITIVE?",
          "\"x\" | the target is the label x, which the model does not have: known are NEGATIVE, NEUTRAL, POSITIVE",
          "[1, 2] | the target is a pair, but this task explains a class: give the index of a class, or its label",
        })
    void isToldOfAClass(String target, String sentence) throws Exception {
      JsonNode error = error(CLASSES, "{\"text\": \"a\", \"target\": %s}".formatted(target));

      assertThat(error.get("code").asText()).isEqualTo("invalid_target");
      assertThat(error.get("message").asText()).isEqualTo(sentence);
    }

    @ParameterizedTest
    @CsvSource(
        delimiter = '|',
        value = {
          "[500, 0] | the target is token 500, but the text has 3 tokens, special ones included, counted from 0: name one of them",
          "[3, 0] | the target is token 3, but the text has 3 tokens, special ones included, counted from 0: name one of them",
          "[1, 6] | the target is class 6, but the model has the classes 0 to 5: name one of them",
          "6 | the target is class 6, but the model has the classes 0 to 5: name one of them",
          "\"B-LOK\" | the target is the label B-LOK, which the model does not have: did you mean B-LOC?",
        })
    void isToldOfAToken(String target, String sentence) throws Exception {
      JsonNode error = error(TOKENS, "{\"text\": \"a\", \"target\": %s}".formatted(target));

      assertThat(error.get("code").asText()).isEqualTo("invalid_target");
      assertThat(error.get("message").asText()).isEqualTo(sentence);
    }

    @Test
    void isATextWithoutTokens() throws Exception {
      JsonNode error = error(TOKENS, "{\"text\": \"\"}");

      assertThat(error.get("code").asText()).isEqualTo("invalid_target");
      assertThat(error.get("message").asText()).contains("the text has no tokens");
    }

    @ParameterizedTest
    @CsvSource(
        delimiter = '|',
        value = {
          "1 | the target is a class, but question answering explains a start and an end: give a pair of tokens [start, end], or no target",
          "\"POSITIVE\" | the target is a class, but question answering explains a start and an end: give a pair of tokens [start, end], or no target",
          "[5, 4] | the target is the tokens 5 to 4, but question and context have the tokens 0 to",
          "[1, 500] | the target is the tokens 1 to 500, but question and context have the tokens 0 to",
        })
    void isToldOfAnAnswer(String target, String sentence) throws Exception {
      JsonNode error =
          error(
              ANSWERS,
              "{\"question\": \"Who?\", \"context\": \"Anna\", \"target\": %s}".formatted(target));

      assertThat(error.get("code").asText()).isEqualTo("invalid_target");
      assertThat(error.get("message").asText()).startsWith(sentence);
    }

    @Test
    void isATaskThatHasNoExplanations() throws Exception {
      InferenceSettings writing =
          InferenceSettings.of("reviews", PARITY.resolve("gpt2-text_generation").toString());

      JsonNode error = error(writing, "Once upon a time");

      assertThat(error.get("code").asText()).isEqualTo("explanation_unsupported");
      assertThat(error.get("message").asText())
          .isEqualTo("there are no explanations for this task: do not ask for them");
    }

    @Test
    void isAFolderWithoutTheMethods() throws Exception {
      for (String folder :
          List.of("distilbert-sequence_classification", "distilbert-token_classification-int8")) {
        InferenceSettings without =
            InferenceSettings.of("reviews", PARITY.resolve(folder).toString());

        JsonNode error = error(without, "a good film");

        assertThat(error.get("code").asText()).as("%s", error).isEqualTo("explanation_unsupported");
        assertThat(error.get("message").asText())
            .contains("was exported without the methods that explanations need")
            .contains("export");
      }
    }

    /** A text is quoted in a message, but never as a whole. */
    @Test
    void isToldShortly() throws Exception {
      JsonNode error =
          error(CLASSES, "{\"text\": \"a\", \"target\": \"%s\"}".formatted("P".repeat(100_000)));

      assertThat(error.get("code").asText()).isEqualTo("invalid_target");
      assertThat(error.get("message").asText()).hasSizeLessThan(1_100);
    }
  }

  @Nested
  class AnInt8Folder {

    private static final String NAME = "distilbert-sequence_classification-trained-int8";

    /** Against Captum's figures for the checkpoint, which its twin in full precision is. */
    @Test
    void explainsThroughItsTwin() throws Exception {
      JsonNode expected =
          JSON.readTree(FIXTURES.resolve(NAME.replace("-int8", "") + ".expected.json").toFile());
      JsonNode inputs = JSON.readTree(FIXTURES.resolve("inputs.json").toFile()).get("texts");
      ExplainSettings asCaptum = explaining(50, 256, WhenFull.BLOCK);
      for (int i = 0; i < 3; i++) {
        JsonNode captum = expected.get("results").get(i);
        JsonNode explanation =
            json(
                explained(
                    settings(NAME),
                    asCaptum,
                    record(
                        0,
                        event(
                            Map.of(
                                "text",
                                inputs.get(i).get("text").asText(),
                                "target",
                                captum.get("target").asInt())))));

        assertThat(explanation.get("precision").asText()).isEqualTo("fp32");
        assertThat(explanation.get("model").asText()).isEqualTo(NAME);
        double[] theirs = numbers(captum, "importances");
        double[] difference = numbers(explanation, "importances");
        for (int j = 0; j < difference.length; j++) {
          difference[j] -= theirs[j];
        }
        assertThat(norm(difference)).isLessThanOrEqualTo(1e-3);
        assertThat(explanation.get("delta").asDouble())
            .isCloseTo(captum.get("delta").asDouble(), within(1e-3));
      }
    }

    @Test
    void loadsItsTwinWhenItIsFirstAskedFor() throws Exception {
      Path folder = Files.createDirectory(temporary.resolve(NAME));
      try (Stream<Path> files = Files.list(FIXTURES.resolve(NAME))) {
        for (Path file : files.toList()) {
          Files.copy(file, folder.resolve(file.getFileName()));
        }
      }
      InferenceSettings copy = InferenceSettings.of("reviews", folder.toString());
      Stage<OutputRecord> stage = stage(copy, FEW_STEPS);
      Path twin = folder.resolve("explain.pt");
      byte[] content = Files.readAllBytes(twin);
      Files.delete(twin);

      List<OutputRecord> without =
          stage.read(List.of(record(0, "a good film"), record(1, "another"))).finish();
      Files.write(twin, content);

      assertThat(without)
          .hasSize(2)
          .allSatisfy(
              out -> {
                JsonNode error = errorOf(json(out));
                assertThat(error.get("code").asText()).isEqualTo("explanation_failed");
                assertThat(error.get("message").asText()).contains("cannot be loaded");
              });
      assertThat(explanation(copy, "a good film").has("importances")).isTrue();
    }
  }

  @Nested
  class WhenTooManyAreOwed {

    @Test
    void thoseBeyondAreDroppedAndToldSo() throws Exception {
      Stage<OutputRecord> stage = stage(CLASSES, explaining(8, 3, WhenFull.DROP));
      whileWorkersAreBusy(() -> stage.read(texts(20)));
      List<OutputRecord> out = stage.finish();

      assertThat(out).hasSize(20);
      Map<Integer, JsonNode> byId = new HashMap<>();
      out.forEach(record -> byId.put(json(record).get("id").asInt(-1), json(record)));
      assertThat(byId.keySet())
          .as("the records' own ids")
          .containsExactlyInAnyOrderElementsOf(Stream.iterate(0, i -> i + 1).limit(20).toList());
      for (int i = 0; i < 20; i++) {
        if (i < 3) {
          assertThat(byId.get(i).has("importances")).as("%s", byId.get(i)).isTrue();
        } else {
          JsonNode error = errorOf(byId.get(i));
          assertThat(error.get("code").asText()).isEqualTo("explanation_dropped");
          assertThat(error.get("message").asText())
              .isEqualTo(
                  "3 explanations are owed already: ask for fewer, raise explanations.share or explanations.queue, or set when-full: block");
        }
      }
    }

    @Test
    void thereIsRoomAgainOnceTheyHaveGone() throws Exception {
      Stage<OutputRecord> stage = stage(CLASSES, explaining(8, 2, WhenFull.DROP));
      whileWorkersAreBusy(() -> stage.read(texts(6))); // 4 of them dropped
      long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
      while (stage.extractOutputValues().size() < 6 && System.nanoTime() < deadline) {
        Optional<Mail> answer = stage.getTaskMailbox().tryTake(TaskMailbox.MIN_PRIORITY);
        if (answer.isPresent()) {
          answer.get().run();
        }
      }
      assertThat(stage.extractOutputValues()).hasSize(6);
      stage.read(List.of(record(6, "{\"id\": 6, \"text\": \"a good film\"}")));

      assertThat(stage.finish().stream().map(ExplainFunctionTest::json))
          .filteredOn(explanation -> explanation.has("importances"))
          .hasSize(3);
    }

    @Test
    void nothingIsDroppedWhereLabellingWaits() throws Exception {
      List<OutputRecord> out =
          stage(CLASSES, explaining(8, 3, WhenFull.BLOCK)).read(texts(20)).finish();

      assertThat(out)
          .hasSize(20)
          .allSatisfy(record -> assertThat(json(record).has("importances")).isTrue());
    }
  }

  @Test
  void whatIsOwedAtASnapshotComesOutOnceAfterIt() throws Exception {
    List<SourceRecord> records = texts(12);
    Stage<OutputRecord> before = stage(CLASSES, FEW_STEPS);
    OperatorSubtaskState snapshot =
        whileWorkersAreBusy(
            () -> {
              OperatorSubtaskState state = before.read(records).snapshot(1, 1);
              assertThat(before.extractOutputValues()).isEmpty();
              before.close(); // as when a job fails: no worker has touched them
              return state;
            });

    Stage<OutputRecord> after = unopened(CLASSES, FEW_STEPS, OUTPUTS);
    open.add(after);
    after.initializeState(snapshot);
    after.open();
    after.read(List.of(record(12, "{\"id\": 12, \"text\": \"one more\"}")));

    assertThat(after.finish())
        .hasSize(13)
        .allSatisfy(record -> assertThat(json(record).has("importances")).isTrue())
        .extracting(record -> json(record).get("id").asInt())
        .containsExactlyInAnyOrderElementsOf(Stream.iterate(0, i -> i + 1).limit(13).toList());
  }

  @Test
  void closingWhileExplanationsAreOwedNeitherHangsNorThrows() throws Exception {
    for (int round = 0; round < 3; round++) {
      stage(CLASSES, explaining(200, 256, WhenFull.BLOCK)).read(texts(60)).close();
    }
  }

  @Test
  void severalSlotsExplainAtOnceAndAsOneWould() throws Exception {
    List<SourceRecord> records = texts(25);
    Map<String, JsonNode> single = new HashMap<>();
    for (SourceRecord record : records) {
      JsonNode explanation = json(explained(CLASSES, FEW_STEPS, record));
      single.put(explanation.get("id").asText(), explanation);
    }
    int slots = 3;
    CyclicBarrier start = new CyclicBarrier(slots);
    ExecutorService threads = Executors.newFixedThreadPool(slots);
    try {
      Callable<List<OutputRecord>> slot =
          () -> {
            Stage<OutputRecord> stage = unopened(CLASSES, FEW_STEPS, OUTPUTS);
            try {
              start.await(60, TimeUnit.SECONDS);
              stage.open();
              return stage.read(records).finish();
            } finally {
              stage.close();
            }
          };
      List<Future<List<OutputRecord>>> all = new ArrayList<>();
      for (int i = 0; i < slots; i++) {
        all.add(threads.submit(slot));
      }
      for (Future<List<OutputRecord>> future : all) {
        List<OutputRecord> out = future.get(100, TimeUnit.SECONDS);
        assertThat(out).hasSize(records.size());
        for (OutputRecord record : out) {
          JsonNode explanation = json(record);
          JsonNode alone = single.remove(explanation.get("id").asText());
          assertThat(alone).isNotNull();
          single.put(explanation.get("id").asText(), alone);
          assertThat(explanation.has("error")).as("%s", explanation).isFalse();
          assertThat(explanation.get("words")).isEqualTo(alone.get("words"));
          assertThat(explanation.get("target")).isEqualTo(alone.get("target"));
          assertThat(numbers(explanation, "importances"))
              .containsExactly(numbers(alone, "importances"), within(1e-4));
        }
      }
    } finally {
      threads.shutdownNow();
    }
  }

  /** A budget that says "as many as there are" must not turn over. */
  @Test
  void theLargestBatchBudgetIsOne() throws Exception {
    InferenceSettings greedy =
        new InferenceSettings(
            CLASSES.pipeline(),
            CLASSES.model(),
            CLASSES.device(),
            CLASSES.form(),
            CLASSES.maxValueBytes(),
            CLASSES.tombstones(),
            CLASSES.parameters(),
            CLASSES.timeout(),
            CLASSES.callTimeout(),
            new Batching(
                Integer.MAX_VALUE,
                Batching.DEFAULT.lookAhead(),
                Batching.DEFAULT.maxAge(),
                Batching.DEFAULT.linger()),
            CLASSES.verify(),
            CLASSES.modelSha256(),
            CLASSES.results(),
            Caching.DEFAULT,
            null);

    assertThat(explanation(greedy, "a good film").has("importances")).isTrue();
  }
}
