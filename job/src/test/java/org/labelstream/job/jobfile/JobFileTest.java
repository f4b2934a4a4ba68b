package org.labelstream.job.jobfile;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.apache.flink.core.fs.FileStatus;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.core.fs.FileSystemFactory;
import org.apache.flink.core.fs.local.LocalFileSystem;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.labelstream.avro.AvroSettings;
import org.labelstream.codec.EventForm;
import org.labelstream.codec.EventFormat;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.job.jobfile.JobSpec.PipelineSpec;
import org.labelstream.job.jobfile.JobSpec.Start;
import org.labelstream.model.ModelFolder;
import org.labelstream.operator.ExplainSettings;
import org.labelstream.operator.ExplainSettings.When;
import org.labelstream.operator.ExplainSettings.WhenFull;
import org.labelstream.operator.PipelineModel;
import org.labelstream.operator.PipelineModel.Condition;
import org.labelstream.operator.Tombstones;
import org.labelstream.result.RedactSettings;
import org.labelstream.result.RouteSettings;
import org.labelstream.task.TaskType.Order;

class JobFileTest {

  /** The example of the documentation, with every key that there is. */
  private static final String FULL =
      """
      name: support-texts
      pipelines:
        - name: sentiment
          model: model-assets/sentiment
          device: auto
          input:        {topic: texts, format: auto, start: committed, until: never, max-value-bytes: 1MiB, tombstones: dead-letter}
          output:       {topic: labels}
          explanations: {topic: explanations, when: requested, steps: 50, share: 0.2, queue: 256, when-full: block}
          dead-letters: {topic: dead-letters, max-share: off}
          parameters:   {top_k: 2}
          order: partition
          timeout: 60s
          batch: {max-tokens: auto, look-ahead: 128, max-age: 1s, linger: 0ms}
          parallelism: 2
          verify: if-present
          model-sha256: %s
      kafka:
        common:   {bootstrap.servers: "localhost:9092"}
        consumer: {group.id: support}
        producer: {}
      delivery: at-least-once
      flink: {execution.checkpointing.interval: 10s}
      """
          .formatted(sha256("model-assets/sentiment"));

  private static String sha256(String model) {
    return ModelFolder.read(Path.of("..", model), ModelFolder.Verify.REQUIRED).sha256();
  }

  private static JobSpec read(String text) {
    return JobFile.read("job.yaml", text, model -> "../" + model);
  }

  /** The example with another model, which is not pinned. */
  private static String of(String model) {
    return FULL.replace("model-assets/sentiment", model).replaceFirst(" *model-sha256: .*\n", "");
  }

  /** A job file with a line more in its one pipeline. */
  private static String withInPipeline(String line) {
    return FULL.replace("    verify: if-present\n", "    verify: if-present\n    " + line + "\n");
  }

  @Test
  void keepsNoOrderOfGeneratedTextsUnlessAsked() {
    String generator = of("operators/src/test/resources/parity/gpt2-text_generation");
    String unasked = generator.replace("    order: partition\n", "");

    assertThat(read(generator).pipelines().get(0).order()).isEqualTo(Order.PARTITION);
    assertThat(read(unasked).pipelines().get(0).order()).isEqualTo(Order.NONE);
    assertThat(read(FULL.replace("    order: partition\n", "")).pipelines().get(0).order())
        .isEqualTo(Order.PARTITION);
  }

  @Test
  void readsTheShareOfDeadLettersThatEndsTheJob() {
    assertThat(read(FULL).pipelines().get(0).maxDeadLetters()).isEqualTo(1);
    String share = FULL.replace("max-share: off", "max-share: 0.1");
    assertThat(read(share).pipelines().get(0).maxDeadLetters()).isEqualTo(0.1);
  }

  @Test
  void readsHowToExplain() {
    String asked =
        FULL.replace("when: requested, steps: 50", "when: always, steps: adaptive")
            .replace(
                "share: 0.2, queue: 256, when-full: block", "share: 1, queue: 7, when-full: drop");
    assertThat(read(asked).pipelines().get(0).explaining())
        .isEqualTo(new ExplainSettings(When.ALWAYS, null, 1, 7, WhenFull.DROP));
    String never = FULL.replace("requested", "never");
    assertThat(read(never).pipelines().get(0).explaining().when()).isEqualTo(When.NEVER);
    String none = FULL.replaceFirst("(?m)^ *explanations:.*\\n", "");
    assertThat(read(none).pipelines().get(0).explaining()).isNull();
  }

  @Test
  void saysThatAModelCannotBeExplained() {
    JobSpec job = read(of("operators/src/test/resources/parity/bert-sequence_classification"));
    assertThat(job.notices())
        .containsExactly(
            "../operators/src/test/resources/parity/bert-sequence_classification has no methods for"
                + " explanations, so each that is asked for is refused: export the checkpoint"
                + " again, or remove explanations.");
  }

  @Test
  void tellsWhatIsWrongWithExplanations() {
    String wrong =
        FULL.replace("steps: 50, share: 0.2, queue: 256", "steps: 0, share: 1.5, queue: none")
            .replace("topic: explanations,", "topic: texts,");
    assertThatThrownBy(() -> read(wrong))
        .hasMessageContaining("steps is 0, but must be a whole number from 1 to 1000, or adaptive")
        .hasMessageContaining("share is 1.5, but must be a number above 0 and at most 1")
        .hasMessageContaining("queue")
        .hasMessageContaining("is the input's topic");
  }

  @Test
  void readsEveryKey() {
    JobSpec job = read(FULL);
    assertThat(job.name()).isEqualTo("support-texts");
    assertThat(job.exactlyOnce()).isFalse();
    assertThat(job.flink()).containsEntry("execution.checkpointing.interval", "10s");
    assertThat(job.consumer())
        .containsEntry("bootstrap.servers", "localhost:9092")
        .containsEntry("group.id", "support");
    assertThat(job.producer()).containsOnlyKeys("bootstrap.servers");
    assertThat(job.notices()).isEmpty();
    PipelineSpec pipeline = job.pipelines().get(0);
    assertThat(pipeline.name()).isEqualTo("sentiment");
    assertThat(pipeline.inputTopic()).isEqualTo("texts");
    assertThat(pipeline.outputTopic()).isEqualTo("labels");
    assertThat(pipeline.deadLetterTopic()).isEqualTo("dead-letters");
    assertThat(pipeline.explanationTopic()).isEqualTo("explanations");
    assertThat(pipeline.explaining())
        .isEqualTo(new ExplainSettings(When.REQUESTED, 50, 0.2, 256, WhenFull.BLOCK));
    assertThat(pipeline.start()).isEqualTo(new Start.Committed());
    assertThat(pipeline.bounded()).isFalse();
    assertThat(pipeline.order()).isEqualTo(Order.PARTITION);
    assertThat(pipeline.parallelism()).isEqualTo(2);
    assertThat(pipeline.settings().device()).isEqualTo(DeviceChoice.AUTO);
    assertThat(pipeline.settings().form().format()).isEqualTo(EventFormat.AUTO);
    assertThat(pipeline.settings().maxValueBytes()).isEqualTo(1 << 20);
    assertThat(pipeline.settings().tombstones()).isEqualTo(Tombstones.DEAD_LETTER);
    assertThat(pipeline.settings().parameters()).containsEntry("top_k", 2L);
    assertThat(pipeline.settings().timeout()).isEqualTo(Duration.ofMinutes(1));
    assertThat(pipeline.settings().batch().maxTokens()).isNull();
    assertThat(pipeline.settings().batch().lookAhead()).isEqualTo(128);
    assertThat(pipeline.settings().modelSha256()).isEqualTo(sha256("model-assets/sentiment"));
  }

  private static EventForm form(String input) {
    return read(FULL.replace("format: auto", input)).pipelines().get(0).settings().form();
  }

  @Test
  void readsWhereTheFieldsStand() {
    assertThat(form("format: json")).isEqualTo(EventForm.of(EventFormat.JSON));
    assertThat(form("control: {parameters: settings, explain: off, target: OFF}").control())
        .isEqualTo(new EventForm.Control("settings", null, null));
    EventForm form =
        form("envelope: cloudevents, fields: {text: a.`b.c`, id: text}, control: {explain: why}");
    assertThat(form.envelope()).isEqualTo(EventForm.Envelope.CLOUDEVENTS);
    assertThat(form.fields().get("text").steps()).containsExactly("a", "b.c");
    assertThat(form.fields().get("id").steps()).containsExactly("text");
  }

  @Test
  void readsWhichCharsetValuesAreIn() {
    assertThat(form("format: auto").charset()).isEqualTo("UTF-8");
    assertThat(form("charset: utf-16le").charset()).isEqualTo("UTF-16LE");
    assertThatThrownBy(() -> form("charset: utf-17"))
        .isInstanceOf(InvalidJobException.class)
        .hasMessageContaining("charset is utf-17, but must be a charset that Java has");
  }

  @Test
  void tellsOfFieldsThatNoModelReads() {
    assertThat(
            read(FULL.replace("format: auto", "fields: {question: q, text: a, id: b}")).notices())
        .containsExactly(
            "input.fields of sentiment says where question stands, but sequence_classification"
                + " reads only text and text_pair: question is only carried through.");
    assertThat(read(FULL.replace("format: auto", "fields: {text_pair: q, text: a}")).notices())
        .isEmpty();
  }

  @Test
  void passesOnTheTombstonesOfDebezium() {
    for (String given : List.of("", "tombstones: dead-letter")) {
      JobSpec job = read(FULL.replace("tombstones: dead-letter", "envelope: debezium, " + given));
      assertThat(job.pipelines().get(0).settings().tombstones())
          .isEqualTo(given.isEmpty() ? Tombstones.FORWARD : Tombstones.DEAD_LETTER);
    }
  }

  @Test
  void readsWhatBecomesOfResults() {
    JobSpec job =
        read(
            withInPipeline(
                "routes: [{when: \"score < 0.75\", topic: review}, {sample: 0.01, topic: audit},"
                    + " {when: \"label == 'NEGATIVE'\", topic: review, move: true}]"));
    assertThat(job.pipelines().get(0).settings().results().routes())
        .containsExactly(
            new RouteSettings("score < 0.75", 1, "review", false),
            new RouteSettings(null, 0.01, "audit", false),
            new RouteSettings("label == 'NEGATIVE'", 1, "review", true));
    assertThat(job.pipelines().get(0).routeTopics()).containsExactly("review", "audit");

    RedactSettings redact =
        read(redacting("{PER: \"[NAME]\", LOC: \"\", replace: true}"))
            .pipelines()
            .get(0)
            .settings()
            .results()
            .redact();
    assertThat(redact.replace()).isTrue();
    assertThat(redact.labels()).isEqualTo(Map.of("PER", "[NAME]", "LOC", ""));
  }

  /** A job file over a model that finds entities. */
  private static String redacting(String redact) {
    return of("model-assets/entities")
        .replaceFirst("(?m)^ *explanations:.*\\n", "")
        .replace("parameters:   {top_k: 2}", "redact: " + redact);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "{when: \"scor < 0.75\", topic: r} | line 16: pipelines\\[0\\].routes\\[0\\].when is \"scor < 0.75\", which is no condition: at character 1, undeclared reference to 'scor'.* over label, score, scores, tokens, truncated",
        "{when: score, topic: r} | expected type 'bool'",
        "{topic: labels} | as another topic of the pipeline",
        "{topic: texts} | as another topic of the pipeline",
        "{topic: dead-letters} | as another topic of the pipeline",
        "{topic: explanations} | as another topic of the pipeline",
        "{topic: r, move: true} | leaves nothing for the output's topic",
        "{topic: r, move: maybe} | move is maybe, but must be true or false",
        "{topic: r, sample: 2} | sample is 2, but must be a number above 0 and at most 1",
        "{topic: r, if: a} | there is no pipelines\\[0\\].routes\\[0\\].if",
        "{when: \"score < 1\"} | topic is missing",
      })
  void refusesARouteThatLeadsNowhere(String route, String problem) {
    assertThatThrownBy(() -> read(withInPipeline("routes: [" + route.replace("\"", "'") + "]")))
        .isInstanceOf(InvalidJobException.class)
        .message()
        .containsPattern(problem);
  }

  private static String avro(String registry, String input, String output) {
    return FULL.replace("format: auto", "format: " + input)
            .replace("{topic: labels}", "{topic: labels, format: " + output + "}")
        + registry;
  }

  @Test
  void readsWhereSchemasAre() {
    JobSpec job = read(avro("schema-registry: http://localhost:8081", "avro", "avro"));
    AvroSettings avro = job.pipelines().get(0).settings().avro();
    assertThat(avro.subject()).isEqualTo("labels-value");
    assertThat(job.registry().properties())
        .containsExactlyEntriesOf(Map.of("url", "http://localhost:8081"));
    job = read(avro("schema-registry: {url: https://r, bearer.auth.token: a}", "avro", "json"));
    assertThat(job.pipelines().get(0).settings().avro().subject()).isNull();
    assertThat(job.registry().properties()).containsEntry("bearer.auth.token", "a");
    job = read(avro("schema-registry: http://localhost:8081", "text", "avro"));
    assertThat(job.pipelines().get(0).settings().avro().subject()).isEqualTo("labels-value");
    job = read(avro("schema-registry: http://localhost:8081", "auto", "json"));
    assertThat(job.pipelines().get(0).settings().avro()).isNull();
    assertThat(job.registry()).isNull();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "name2: x | avro | json | input.format is avro, but there is no schema-registry",
        "name2: x | text | avro | output.format is avro, but there is no schema-registry",
        "schema-registry: http://r | auto | avro | input.format is neither avro nor text",
        "schema-registry: http://r | json | avro | input.format is neither avro nor text",
        "schema-registry: http://r | avro | xml | output.format is xml, but must be one of json, avro",
        "schema-registry: r:8081 | avro | avro | schema-registry.url is r:8081, but must be of the form",
        "schema-registry: {uri: http://r} | avro | json | schema-registry.uri is not known: did you mean url",
        "schema-registry: {uri: http://r} | avro | json | schema-registry.url is missing",
        "schema-registry: [a] | avro | json | schema-registry must hold names with values",
        "schema-registry: http://r | avro, charset: UTF-16 | json | input.charset stands beside format avro",
      })
  void refusesSchemasThatAreNowhere(String registry, String input, String output, String problem) {
    assertThatThrownBy(() -> read(avro(registry, input, output)))
        .isInstanceOf(InvalidJobException.class)
        .hasMessageContaining(problem);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "{PERS: x} | redact.PERS is no label of this model: did you mean PER",
        "{} | redact names no label",
        "{PER: x, replace: maybe} | must be true or false",
        "{PER: x}, parameters: {ignore_labels: [O]} | would keep entities from being redacted",
      })
  void refusesWhatCannotBeRedacted(String redact, String problem) {
    String text = redacting(redact.replace("}, parameters:", "}\n    parameters:"));
    assertThatThrownBy(() -> read(text))
        .isInstanceOf(InvalidJobException.class)
        .message()
        .containsPattern(problem);
  }

  @Test
  void redactsOnlyEntities() {
    assertThatThrownBy(() -> read(withInPipeline("redact: {PER: x, replace: true}")))
        .hasMessageContaining("redact needs a model that finds entities, and this one is for");
  }

  /** A pipeline with several models. */
  private static final String SEVERAL =
      """
      name: several
      pipelines:
        - name: all
          models:
            - name: sentiment
              model: model-assets/sentiment
              parameters: {top_k: 2}
            - name: entities
              model: model-assets/entities
              device: cpu
              batch: {max-tokens: 512}
              when: {model: sentiment, label: [POSITIVE]}
            - {name: answers, model: model-assets/answers, verify: if-present, when: {model: sentiment, label: NEGATIVE}}
          verify: required
          batch: {look-ahead: 99}
          input: {topic: texts}
          output: {topic: labels}
          dead-letters: {topic: dead}
          routes: [{when: "sentiment.score < 0.75 && entities.error == ''", topic: review}]
          redact: {PER: "[NAME]"}
      kafka: {common: {bootstrap.servers: "h:1", group.id: g}}
      """;

  @Test
  void readsSeveralModels() {
    JobSpec job = read(SEVERAL);

    assertThat(job.notices()).isEmpty();
    PipelineSpec pipeline = job.pipelines().get(0);
    assertThat(pipeline.name()).isEqualTo("all");
    assertThat(pipeline.order()).isEqualTo(Order.PARTITION);
    assertThat(pipeline.models())
        .extracting(PipelineModel::name)
        .containsExactly("sentiment", "entities", "answers");
    assertThat(pipeline.models())
        .extracting(PipelineModel::when)
        .containsExactly(
            null,
            new Condition("sentiment", new ArrayList<>(List.of("POSITIVE"))),
            new Condition("sentiment", new ArrayList<>(List.of("NEGATIVE"))));
    assertThat(pipeline.models())
        .extracting(model -> model.settings().pipeline())
        .containsOnly("all");
    assertThat(pipeline.models())
        .extracting(model -> model.settings().verify())
        .containsExactly(
            ModelFolder.Verify.REQUIRED,
            ModelFolder.Verify.REQUIRED,
            ModelFolder.Verify.IF_PRESENT);
    assertThat(pipeline.models())
        .extracting(model -> model.settings().batch().lookAhead())
        .containsExactly(99, null, 99);
    assertThat(pipeline.models())
        .extracting(model -> model.settings().modelSha256())
        .containsExactly(
            sha256("model-assets/sentiment"),
            sha256("model-assets/entities"),
            sha256("model-assets/answers"));
    assertThat(pipeline.models().get(0).settings().parameters()).containsEntry("top_k", 2L);
    assertThat(pipeline.models().get(1).settings().parameters()).isEmpty();
    assertThat(pipeline.models().get(1).settings().device()).isEqualTo(DeviceChoice.CPU);
    assertThat(
            read(SEVERAL.replace("model-assets/answers", "model-assets/writer"))
                .pipelines()
                .get(0)
                .order())
        .isEqualTo(Order.NONE);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "model: sentiment, label: [POSITIVE] | model: sentimnt, label: [POSITIVE] | line 12: pipelines\\[0\\].models\\[1\\].when.model is sentimnt, but there is no model of that name: did you mean sentiment",
        "model: sentiment, label: [POSITIVE] | model: answers, label: [POSITIVE] | line 12: .*when.model is answers, which does not stand before this model.*: put it further up",
        "model: sentiment, label: [POSITIVE] | model: entities, label: [POSITIVE] | when.model is entities, which does not stand before this model",
        "model: sentiment, label: [POSITIVE] | model: sentiment, label: [GOOD, NEGATIV] | line 12: .*when.label names GOOD, which is no label of sentiment: .*NEGATIVE",
        "model: sentiment, label: [POSITIVE] | model: sentiment, label: [GOOD, NEGATIV] | line 12: .*when.label names NEGATIV, which is no label of sentiment: did you mean NEGATIVE",
        "model: sentiment, label: NEGATIVE | model: entities, label: PER | line 13: .*when.label asks entities for a label, but that is for token_classification, which has no single one",
        "model: sentiment, label: [POSITIVE] | model: sentiment | line 12: when names no label",
        "model: sentiment, label: [POSITIVE] | label: [POSITIVE] | line 12: .*when.model is missing",
        "model: sentiment, label: [POSITIVE] | model: sentiment, label: [{a: b}] | when.label must be a text, or a list of texts",
        "model: sentiment, label: [POSITIVE] | model: sentiment, labels: [POSITIVE] | there is no pipelines\\[0\\].models\\[1\\].when.labels: did you mean label",
        "name: entities | name: sentiment | line 8: .*name is sentiment, as that of another model",
        "name: entities | name: my-model | line 8: .*name is my-model, but may hold only letters, digits and underscores",
        "name: entities | nmae: entities | models\\[1\\].name is missing",
        "model: model-assets/entities | model: model-assets | line 9: pipelines\\[0\\].models\\[1\\].model cannot be used",
        "parameters: {top_k: 2} | parameters: {topk: 2} | line 7: .*did you mean top_k",
        "device: cpu | timeout: 3s | there is no pipelines\\[0\\].models\\[1\\].timeout",
        "input: {topic: texts} | input: {topic: texts}, model: model-assets/sentiment | model stands beside models, of which each has its own",
        "input: {topic: texts} | input: {topic: texts}, parameters: {top_k: 2} | parameters stands beside models",
        "input: {topic: texts} | input: {topic: texts}, explanations: {topic: why} | explanations stands beside models, and only a pipeline with one model explains",
        "sentiment.score < | score < | undeclared reference to 'score'.* over answers.answer, ",
        "sentiment.score < | sentiment.label < | found no matching overload",
        "{PER: | {MISC: | redact.MISC is no label of these models",
      })
  void refusesModelsThatCannotWorkTogether(String right, String wrong, String problem) {
    assertThat(SEVERAL).contains(right);
    String text =
        SEVERAL
            .replace(right, wrong)
            .replaceFirst("(input: \\{topic: texts\\}), ", "$1\n    "); // a line more
    assertThatThrownBy(() -> read(text))
        .isInstanceOf(InvalidJobException.class)
        .message()
        .containsPattern(problem);
  }

  @Test
  void tellsAllProblemsOfSeveralModelsAtOnce() {
    String wrong =
        SEVERAL
            .replace("label: [POSITIVE]", "label: [GOOD, BAD]")
            .replace("model: sentiment, label: NEGATIVE", "model: nobody, label: A")
            .replace("{top_k: 2}", "{topk: 2}");
    assertThatThrownBy(() -> read(wrong)).hasMessageContaining("has 4 problems");
  }

  @ParameterizedTest
  @ValueSource(strings = {"[]", "[{name: a, model: model-assets/sentiment}]", "5", "{name: a}"})
  void refusesModelsThatAreNotSeveral(String models) {
    String text = of("model-assets/sentiment").replaceFirst("model: .*", "models: " + models);
    assertThatThrownBy(() -> read(text))
        .isInstanceOf(InvalidJobException.class)
        .hasMessageContaining("pipelines[0].models ");
  }

  @Test
  void leavesOutWhatHasADefault() {
    JobSpec job =
        read(
            """
            name: small
            pipelines:
              - {name: a, model: model-assets/sentiment, input: {topic: t}, output: {topic: l}, dead-letters: {topic: d}}
            kafka: {common: {bootstrap.servers: "h:1", group.id: g}}
            """);
    assertThat(job.notices()).isEmpty();
    assertThat(job.pipelines().get(0).parallelism()).isNull();
    assertThat(job.pipelines().get(0).settings().timeout()).isEqualTo(Duration.ofMinutes(1));
  }

  @Test
  void takesTheSumOfAModelThatIsNotPinned() {
    assertThat(read(of("model-assets/answers")).pipelines().get(0).settings().modelSha256())
        .isEqualTo(sha256("model-assets/answers"));
  }

  @Test
  void takesAPinInCapitals() {
    String sum = sha256("model-assets/sentiment");
    assertThat(
            read(FULL.replace(sum, sum.toUpperCase(Locale.ROOT)))
                .pipelines()
                .get(0)
                .settings()
                .modelSha256())
        .isEqualTo(sum);
  }

  @Test
  void refusesAModelThatIsNotThePinnedOne() {
    String sum = sha256("model-assets/sentiment");
    String other = "0123abcd".repeat(8);
    assertThatThrownBy(() -> read(FULL.replace(sum, other)))
        .isInstanceOf(InvalidJobException.class)
        .hasMessage(
            "job.yaml, line 16: pipelines[0].model-sha256 is %s, but ../model-assets/sentiment has %s: put back the folder that was pinned, or pin this one",
            other, sum);
    assertThatThrownBy(() -> read(FULL.replace(sum, sum.substring(0, 8))))
        .isInstanceOf(InvalidJobException.class)
        .hasMessage(
            "job.yaml, line 16: pipelines[0].model-sha256 is %s, but must be the 64 hex digits of the folder's SHA-256, which docs/model-folder.md computes",
            sum.substring(0, 8));
  }

  @Nested
  class ARemoteModel {

    private static final String WORKS = "works:/model-assets/sentiment";

    private JobSpec readRemote(String model, String pin) {
      return JobFile.read(
          "job.yaml",
          FULL.replace("model-assets/sentiment", model)
              .replaceFirst("model-sha256: .*", pin == null ? "" : "model-sha256: " + pin),
          address -> address);
    }

    @Test
    void thatCanBeReadFromHereIsCheckedAndItsSumTravels() {
      JobSpec job = readRemote(WORKS, null);

      assertThat(job.notices()).isEmpty();
      assertThat(job.pipelines().get(0).settings().modelSha256())
          .isEqualTo(sha256("model-assets/sentiment"));
      assertThatThrownBy(() -> readRemote(WORKS, "0123abcd".repeat(8)))
          .hasMessageStartingWith("job.yaml, line 16: pipelines[0].model-sha256 is 0123abcd");
    }

    @Test
    void thatIsNotThereIsRefused() {
      assertThatThrownBy(() -> readRemote("works:/nowhere", null))
          .isInstanceOf(InvalidJobException.class)
          .hasMessageMatching(
              "job.yaml, line 4: pipelines\\[0\\].model cannot be used: the model folder works:/nowhere cannot be fetched \\(.*\\): check the address");
    }

    @Test
    void thatCannotBeReachedFromHereIsLeftToTheTaskManagersWithItsPin() {
      String pin = "0123abcd".repeat(8);
      for (String given : new String[] {null, pin}) {
        JobSpec job = readRemote("nosuchscheme://m/sentiment", given);
        assertThat(job.pipelines().get(0).settings().modelSha256()).isEqualTo(given);
        assertThat(job.notices())
            .singleElement()
            .asString()
            .startsWith(
                "nosuchscheme://m/sentiment is remote and cannot be read from here: each TaskManager fetches and checks it when the job starts there.");
      }
    }
  }

  /** A store for tests: {@code works:/path} is the path in this repository. */
  public static final class Store extends LocalFileSystem {

    /** Found by Flink. */
    public static final class Factory implements FileSystemFactory {
      @Override
      public String getScheme() {
        return "works";
      }

      @Override
      public FileSystem create(URI address) {
        return new Store();
      }
    }

    @Override
    public File pathToFile(org.apache.flink.core.fs.Path path) {
      File file = super.pathToFile(path);
      return file.exists() ? file : Path.of("..", path.getPath()).toFile();
    }

    @Override
    public FileStatus[] listStatus(org.apache.flink.core.fs.Path folder) throws IOException {
      FileStatus[] files = super.listStatus(folder);
      if (files == null) {
        throw new FileNotFoundException("no such key: " + folder);
      }
      return files;
    }
  }

  @ParameterizedTest
  @CsvSource({
    "'2026-01-31T12:00:00Z', '2026-01-31T12:00:00Z'",
    "'2026-01-31T12:00:00+02:00', '2026-01-31T10:00:00Z'"
  })
  void startsAtATime(String text, String instant) {
    JobSpec job = read(FULL.replace("start: committed", "start: \"" + text + "\""));
    assertThat(job.pipelines().get(0).start()).isEqualTo(new Start.At(Instant.parse(instant)));
  }

  @Test
  void tellsAllProblemsAtOnceEachWithItsLineAndTheNearestKnownName() {
    String wrong =
        FULL.replace("name: sentiment", "nmae: sentiment")
            .replace("format: auto", "format: jsn")
            .replace("max-value-bytes: 1MiB", "max-value-bytes: big")
            .replace("parameters:   {top_k: 2}", "parameters:   {topk: 2}")
            .replace("timeout: 60s", "timeout: soon")
            .replace("linger: 0ms", "linger: 2s")
            .replace("delivery: at-least-once", "delivery: at-most-once")
            .replace("{group.id: support}", "{}");
    assertThatThrownBy(() -> read(wrong))
        .isInstanceOf(InvalidJobException.class)
        .extracting(Throwable::getMessage)
        .asString()
        .satisfies(
            message -> {
              assertThat(message.lines().findFirst()).contains("job.yaml has 9 problems:");
              assertThat(message.lines())
                  .anyMatch(line -> line.matches(".*line 3: .*nmae.*did you mean name\\?"))
                  .anyMatch(line -> line.matches(".*line 3: .*name is missing.*"))
                  .anyMatch(line -> line.matches(".*line 6: .*jsn.*did you mean json\\?"))
                  .anyMatch(line -> line.matches(".*line 6: .*max-value-bytes is big.*1MiB.*"))
                  .anyMatch(line -> line.matches(".*line 10: .*topk.*did you mean top_k\\?"))
                  .anyMatch(line -> line.matches(".*line 12: .*timeout is soon.*60s.*"))
                  .anyMatch(line -> line.matches(".*line 13: .*linger.*max-age.*"))
                  .anyMatch(line -> line.matches(".*line 21: .*at-most-once.*"))
                  .anyMatch(line -> line.matches(".*group.id is missing.*"));
            });
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "topic: labels} | topic: texts} | reads? what it writes",
        "model: model-assets/sentiment | model: model-assets | has no labelstream.json",
        "name: support-texts | name: a/b | letters, digits",
        "max-share: off | max-share: 1.5 | must be a number above 0 and at most 1",
        "start: committed | start: yesterday | committed, earliest, latest, or a time",
        "until: never | until: noon | never or latest",
        "parallelism: 2 | parallelism: 0 | above 0",
        "max-tokens: auto | max-tokens: -1 | above 0",
        "producer: {} | producer: {max.request.size: 2MiB} | whole number of bytes",
        "topic: labels} | topic: my labels} | Kafka allows only",
        "timeout: 60s | timeout: 200000d | at most 30 days",
        "producer: {} | producer: {transactional.id: mine} | set by Labelstream",
        "order: partition | order: partitions | did you mean partition",
        "topic: dead-letters, | tpic: dead-letters, | topic is missing",
        "name: support-texts | name: [a, b] | single value",
        "device: auto | device: cuda | auto, cpu, gpu",
        "topic: dead-letters, | topic: labels, | is the output's topic",
        "topic: explanations, | topic: labels, | could not tell them apart",
        "producer: {} | producer: {compression.type: lz5} | line 20: kafka.producer.compression.type is refused by Kafka: .*lz5",
        "producer: {} | producer: {delivery.timeout.ms: 1000} | delivery.timeout.ms is 1000, but must be at least .* 30005",
        "consumer: {group.id: support} | consumer: {group.id: support, fetch.min.bytes: few} | line 19: kafka.consumer.fetch.min.bytes is refused by Kafka",
        "execution.checkpointing.interval: 10s | execution.checkpointing.intervall: 10s | line 22: .* did you mean execution.checkpointing.interval",
        "format: auto | fields: {text: a..b} | line 6: pipelines\\[0\\].input.fields.text is .*a..b.*, in which a name is empty",
        "format: auto | fields: {text: \"`a\"} | the backtick at character 1 has no other",
        "format: auto | fields: {text: a.b, id: a.b.c} | one field cannot be both",
        "format: auto | fields: {txt: a} | did you mean text",
        "format: auto | fields: {text: inference.x} | inference holds results",
        "format: auto | format: text, fields: {text: a} | format is text",
        "format: auto | envelope: debesium | did you mean debezium",
        "format: auto | control: {explain: text} | the field text would be read for two things",
        "format: auto | control: {explain: x, target: x} | give input.control.target another name",
        "parameters:   {top_k: 2} | parameters:   &p {top_k: *p} | line 10: \\*p stands within the value that it names",
      })
  void refusesWhatCannotWork(String right, String wrong, String message) {
    assertThat(FULL).contains(right);
    assertThatThrownBy(() -> read(FULL.replace(right, wrong)))
        .isInstanceOf(InvalidJobException.class)
        .message()
        .containsPattern(message)
        .startsWith("job.yaml");
  }

  @Test
  void tellsAllThatKafkaRefuses() {
    String wrong =
        FULL.replace("producer: {}", "producer: {enable.idempotence: false, acks: 1}")
            .replace("at-least-once", "exactly-once");
    assertThatThrownBy(() -> read(wrong))
        .hasMessageContaining("kafka.producer is refused by Kafka: ")
        .hasMessageContaining("idempotence");
    assertThatThrownBy(
            () ->
                read(
                    FULL.replace("producer: {}", "producer: {acks: some, linger.ms: -1}")
                        .replace("common:   {", "common:   {security.protocol: SASLSSL, ")))
        .hasMessageContaining("kafka.producer.acks is refused by Kafka")
        .hasMessageContaining("kafka.producer.linger.ms is refused by Kafka")
        .hasMessageContaining("job.yaml has 3 problems")
        .hasMessageContaining("line 18: kafka.common.security.protocol is refused by Kafka");
  }

  @Test
  void leavesToTheClusterWhatOnlyItKnows() {
    String there =
        FULL.replace(
                "producer: {}",
                "producer: {linger.ms: \"${env:LINGER}\", partitioner.class: com.example.Theirs,"
                    + " interceptor.classes: com.example.Audit}")
            .replace("interval: 10s}", "interval: 10s, s3.access-key: x, my.plugin.option: y}");

    assertThat(read(there).producer()).containsEntry("linger.ms", "${env:LINGER}");
  }

  @Test
  void refusesWhatIsNestedTooDeep() {
    String deep = "[".repeat(20_000) + "]".repeat(20_000);
    assertThatThrownBy(
            () -> read(FULL.replace("parameters:   {top_k: 2}", "parameters: {a: " + deep + "}")))
        .isInstanceOf(InvalidJobException.class)
        .hasMessageStartingWith("job.yaml, line 10: ")
        .hasMessageContaining("nested more than 50 deep");
  }

  @Test
  void refusesAKeyThatIsGivenTwice() {
    assertThatThrownBy(() -> read(withInPipeline("order: key")))
        .isInstanceOf(InvalidJobException.class)
        .hasMessageContaining("line 16")
        .hasMessageContaining("order is given twice");
  }

  @Test
  void refusesTwoPipelinesOfOneName() {
    String pipeline = FULL.substring(FULL.indexOf("  - name"), FULL.indexOf("kafka:"));
    assertThatThrownBy(() -> read(FULL.replace("kafka:\n", pipeline + "kafka:\n")))
        .isInstanceOf(InvalidJobException.class)
        .hasMessageContaining("as that of another pipeline");
  }

  @ParameterizedTest
  @CsvSource({"''", "'# nothing'", "'just text'", "'[1, 2]'", "'a: [b'", "'!!java.io.File [x]'"})
  void refusesWhatIsNoJobFile(String text) {
    assertThatThrownBy(() -> read(text))
        .isInstanceOf(InvalidJobException.class)
        .hasMessageStartingWith("job.yaml");
  }
}
