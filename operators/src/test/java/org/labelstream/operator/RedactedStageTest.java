package org.labelstream.operator;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.regex.Pattern;
import org.apache.flink.streaming.api.datastream.AsyncDataStream.OutputMode;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.core.LogEvent;
import org.apache.logging.log4j.core.LoggerContext;
import org.apache.logging.log4j.core.appender.AbstractAppender;
import org.apache.logging.log4j.core.config.Configurator;
import org.apache.logging.log4j.core.config.Property;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.labelstream.operator.ExplainSettings.When;
import org.labelstream.operator.ExplainSettings.WhenFull;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Header;
import org.labelstream.record.Outcome;
import org.labelstream.record.OutputRecord;
import org.labelstream.record.SourceRecord;
import org.labelstream.result.RedactSettings;
import org.labelstream.result.Redaction;
import org.labelstream.result.ResultSettings;
import org.labelstream.task.TaskType.Order;

/** What a model finds does not come out, in whatever way it is asked to find it. */
@Timeout(180)
class RedactedStageTest {

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int TEXTS = 2_000;

  private static final InferenceSettings SETTINGS =
      InferenceSettings.of("entities", Path.of("../model-assets/entities").toString())
          .withResults(
              new ResultSettings(
                  new ArrayList<>(),
                  new RedactSettings(
                      new LinkedHashMap<>(
                          Map.of("PER", "[NAME]", "LOC", "[PLACE]", "ORG", "[FIRM]")),
                      true)));

  private static final List<String> NAMES =
      List.of("Maria Keller", "John Smith", "Anna", "Paul Weber", "Sofia", "Ngozi Okafor", "Lee");
  private static final List<String> PLACES = List.of("Berlin", "Paris", "New York", "Lagos");
  private static final List<String> SENTENCES =
      List.of(
          "%s lives in %s.",
          "Yesterday %s travelled to %s by train",
          "I met %s, who works in %s, and later %1$s again",
          "%s of %s said nothing");

  @SuppressWarnings("try") // the harness may be interrupted while it closes
  private static List<Outcome> label(InferenceSettings settings, List<SourceRecord> records)
      throws Exception {
    try (OneInputStreamOperatorTestHarness<SourceRecord, Outcome> stage =
        new OneInputStreamOperatorTestHarness<>(
            new ModelOperatorFactory<>(
                new InferenceFunction(settings, Order.PARTITION), OutputMode.ORDERED, null),
            SourceRecordSerializer.INSTANCE)) {
      stage.setup(OutcomeSerializer.INSTANCE);
      stage.open();
      for (SourceRecord record : records) {
        stage.processElement(record, 0);
      }
      stage.endInput();
      return stage.extractOutputValues();
    }
  }

  private static SourceRecord record(int offset, String text, String name, String strategy)
      throws Exception {
    Map<String, Object> value = new LinkedHashMap<>();
    value.put("text", text);
    value.put("from", "mail of " + name);
    value.put("thread", List.of(Map.of("quoted", text)));
    value.put("parameters", Map.of("aggregation_strategy", strategy));
    value.put("explain", true);
    value.put("target", "B-PER");
    return new SourceRecord(
        null,
        JSON.writeValueAsBytes(value),
        List.of(Header.of("sender", name)),
        "texts",
        0,
        offset,
        0);
  }

  /** What is logged meanwhile, by our own classes with all their details. */
  private static final class Heard extends AbstractAppender implements AutoCloseable {
    private final List<String> lines = Collections.synchronizedList(new ArrayList<>());

    Heard() {
      super("heard", null, null, true, Property.EMPTY_ARRAY);
      start();
      Configurator.setRootLevel(Level.INFO);
      Configurator.setLevel("org.labelstream", Level.DEBUG);
      LoggerContext.getContext(false).getRootLogger().addAppender(this);
    }

    @Override
    public void append(LogEvent event) {
      StringWriter line = new StringWriter();
      line.append(event.getLoggerName())
          .append(' ')
          .append(event.getMessage().getFormattedMessage());
      if (event.getThrown() != null) {
        event.getThrown().printStackTrace(new PrintWriter(line));
      }
      lines.add(line.toString());
    }

    @Override
    public void close() {
      Configurator.reconfigure();
    }
  }

  @Test
  void noEntityThatTheModelFoundIsAnywhere() throws Exception {
    Random random = new Random(13);
    List<String> texts = new ArrayList<>();
    List<SourceRecord> records = new ArrayList<>();
    for (int i = 0; i < TEXTS; i++) {
      String name = NAMES.get(random.nextInt(NAMES.size()));
      String place = PLACES.get(random.nextInt(PLACES.size()));
      texts.add(SENTENCES.get(random.nextInt(SENTENCES.size())).formatted(name, place));
      String strategy = List.of("none", "simple", "first", "max").get(i % 4);
      records.add(record(i, texts.get(i), name, strategy));
    }
    // What becomes a dead letter is in the logs no more than what does not.
    List<SourceRecord> refused = new ArrayList<>();
    for (String name : NAMES) {
      refused.add(record(0, (name + " lives in Berlin. ").repeat(300), name, "first"));
      refused.add(SourceRecord.of(records.get(0), ("{\"text\": \"" + name).getBytes(UTF_8)));
    }

    List<Outcome> outcomes;
    List<OutputRecord> explanations;
    String log;
    try (Heard heard = new Heard()) {
      outcomes = label(SETTINGS, records);
      assertThat(label(SETTINGS, refused)).hasOnlyElementsOfType(Outcome.Failed.class);
      explanations =
          explain(outcomes.stream().map(outcome -> ((Outcome.Labelled) outcome).source()).toList());
      LogManager.getLogger(InferenceFunction.class).debug("the end");
      log = String.join("\n", heard.lines);
    }

    assertThat(log).contains("Loaded", "the end");
    for (String name : NAMES) {
      assertThat(log).doesNotContainPattern("\\b" + Pattern.quote(name) + "\\b");
    }
    assertThat(outcomes).hasSize(TEXTS);
    assertThat(explanations).hasSize(TEXTS);
    Map<String, String> explained = new HashMap<>();
    for (OutputRecord explanation : explanations) {
      JsonNode tree = JSON.readTree(explanation.value());
      assertThat(tree.has("importances")).as(tree.toString()).isTrue();
      explained.put(tree.get("id").asText(), said(explanation.value(), explanation.headers()));
    }
    int found = 0;
    for (int i = 0; i < TEXTS; i++) {
      Outcome.Labelled out = (Outcome.Labelled) outcomes.get(i);
      String all =
          said(out.value(), out.source().headers()) + explained.get("texts-0@" + i) + " " + log;
      JsonNode result = JSON.readTree(out.value()).at("/inference/entities");
      for (JsonNode entity : result.get("entities")) {
        String label = entity.path("entity_group").asText(entity.path("entity").asText());
        if (label.endsWith("MISC")) {
          continue;
        }
        String name =
            texts.get(i).substring(entity.get("start").asInt(), entity.get("end").asInt());
        assertThat(all).as(texts.get(i)).doesNotContainPattern("\\b" + Pattern.quote(name) + "\\b");
        found++;
      }
      assertThat(result.get("redacted")).isEqualTo(JSON.readTree(out.value()).get("text"));
    }
    assertThat(found).isGreaterThan(TEXTS);
  }

  private static String said(byte[] value, List<Header> headers) {
    StringBuilder all = new StringBuilder(new String(value, UTF_8));
    for (Header header : headers) {
      // How the router tells an explanation what to blot out: it does not leave the job.
      if (!header.key().equals(Redaction.HEADER)) {
        all.append(' ').append(new String(header.value(), UTF_8));
      }
    }
    return all.append('\n').toString();
  }

  @SuppressWarnings("try") // the harness may be interrupted while it closes
  private static List<OutputRecord> explain(List<SourceRecord> records) throws Exception {
    try (OneInputStreamOperatorTestHarness<SourceRecord, OutputRecord> stage =
        new OneInputStreamOperatorTestHarness<>(
            new ModelOperatorFactory<>(
                new ExplainFunction(
                    SETTINGS,
                    new ExplainSettings(When.ALWAYS, 1, 1, 100, WhenFull.BLOCK),
                    new OutputRecords("entities", Long.MAX_VALUE, Long.MAX_VALUE / 2)),
                OutputMode.ORDERED,
                null),
            SourceRecordSerializer.INSTANCE)) {
      stage.setup(OutputRecordSerializer.INSTANCE);
      stage.open();
      for (SourceRecord record : records) {
        stage.processElement(record, 0);
      }
      stage.endInput();
      return stage.extractOutputValues();
    }
  }

  @Test
  void norInItsExplanation() throws Exception {
    String text = "Maria Keller lives in Berlin, said Keller of MARIA KELLER.";
    SourceRecord record =
        new SourceRecord(
            null,
            JSON.writeValueAsBytes(
                Map.of("id", "Maria Keller 7", "text", text, "target", "B-PER", "explain", true)),
            List.of(Header.of("sender", "Maria Keller"), Header.of(Redaction.HEADER, "0 1 LOC")),
            "texts",
            0,
            1,
            0);
    Outcome.Labelled labelled = (Outcome.Labelled) label(SETTINGS, List.of(record)).get(0);
    OutputRecord explained = explain(List.of(labelled.source())).get(0);

    JsonNode tree = JSON.readTree(explained.value());
    assertThat(tree.has("importances")).as(tree.toString()).isTrue();
    assertThat(tree.get("id").asText()).isEqualTo("[NAME] 7");
    assertThat(tree.get("words").size()).isEqualTo(tree.get("spans").size());
    assertThat(tree.get("words").toString()).contains("[NAME]", "[PLACE]", "lives");
    String all = tree.toString();
    for (Header header : explained.headers()) {
      all += " " + new String(header.value(), UTF_8);
      assertThat(header.key()).isNotEqualTo(Redaction.HEADER);
    }
    // Nor any piece of a name.
    assertThat(all.toLowerCase(Locale.ROOT)).doesNotContain("mari", "kell", "##ria", "berl");
  }

  @Test
  void anExplanationOfWhichNothingIsKnownIsNone() throws Exception {
    OutputRecord explained = explain(List.of(record(0, "Anna came", "Anna", "first"))).get(0);
    assertThat(JSON.readTree(explained.value()).at("/error/message").asText())
        .startsWith("the record was labelled before redact was set");
  }

  private static Outcome.Failed refused(InferenceSettings settings, String value) throws Exception {
    SourceRecord record =
        new SourceRecord(null, value.getBytes(UTF_8), List.of(), "texts", 0, 0, 0);
    return (Outcome.Failed) label(settings, List.of(record)).get(0);
  }

  @Test
  void whatTheModelDidNotSeeToItsEndIsADeadLetter() throws Exception {
    assertThat(refused(SETTINGS, "Anna lives in Berlin. ".repeat(500)).letter().code())
        .isEqualTo(ErrorCode.NOT_REDACTED);
    InferenceSettings windows =
        SETTINGS.withParameters(
            new HashMap<>(Map.of("stride", 8, "aggregation_strategy", "simple")));
    SourceRecord record =
        new SourceRecord(
            null,
            "Anna lives in Berlin. ".repeat(500).getBytes(UTF_8),
            List.of(),
            "texts",
            0,
            0,
            0);
    assertThat(label(windows, List.of(record)).get(0)).isInstanceOf(Outcome.Labelled.class);
  }

  @Test
  void noRecordKeepsItsEntitiesFromBeingRedacted() throws Exception {
    assertThat(
            refused(
                    SETTINGS,
                    "{\"text\": \"Anna\", \"parameters\": {\"ignore_labels\": [\"PER\"]}}")
                .letter()
                .message())
        .isEqualTo(
            "in parameters, ignore_labels would keep entities from being redacted: remove it");
  }
}
