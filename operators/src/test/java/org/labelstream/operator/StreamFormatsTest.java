package org.labelstream.operator;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.Charset;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.GZIPOutputStream;
import org.apache.flink.streaming.api.datastream.AsyncDataStream.OutputMode;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.labelstream.codec.EventForm;
import org.labelstream.codec.EventForm.Control;
import org.labelstream.codec.EventForm.Envelope;
import org.labelstream.codec.EventFormat;
import org.labelstream.codec.FieldPath;
import org.labelstream.record.Outcome;
import org.labelstream.record.SourceRecord;
import org.labelstream.task.TaskType.Order;

/**
 * One value of each form that real topics hold: it is labelled, or its dead letter says which
 * setting reads it, and then that setting does.
 */
@Timeout(120)
class StreamFormatsTest {

  private static final String GOOD = "What a wonderful film";

  private static final InferenceSettings SETTINGS =
      InferenceSettings.of(
          "reviews",
          Path.of("src/test/resources/parity/distilbert-sequence_classification").toString());

  private static final EventForm AS_TEXT = EventForm.of(EventFormat.TEXT);

  /**
   * A value of some form.
   *
   * @param refused what its dead letter says, or null where it is labelled
   * @param reading how it is read all the same, or null where nothing does
   */
  private record Form(String name, byte[] value, String refused, EventForm reading) {}

  private static final List<Form> FORMS = new ArrayList<>();

  private static void labelled(String name, String value) {
    FORMS.add(new Form(name, value.getBytes(UTF_8), null, null));
  }

  private static void refused(String name, byte[] value, String refused, EventForm reading) {
    FORMS.add(new Form(name, value, refused, reading));
  }

  private static void refused(String name, String value, String refused, EventForm reading) {
    refused(name, value.getBytes(UTF_8), refused, reading);
  }

  private static EventForm text(String path) {
    return new EventForm(
        EventFormat.AUTO,
        Envelope.NONE,
        new HashMap<>(Map.of("text", FieldPath.parse(path))),
        Control.DEFAULT);
  }

  private static EventForm control(String parameters, String explain) {
    return new EventForm(
        EventFormat.AUTO,
        Envelope.NONE,
        new HashMap<>(),
        new Control(parameters, explain, "target"));
  }

  private static EventForm envelope(Envelope envelope) {
    return new EventForm(EventFormat.AUTO, envelope, new HashMap<>(), Control.DEFAULT);
  }

  private static EventForm charset(String charset) {
    return new EventForm(
        EventFormat.AUTO, Envelope.NONE, new HashMap<>(), Control.DEFAULT, charset);
  }

  private static byte[] bytes(String before, String text, Charset charset) {
    byte[] start = before.getBytes(ISO_8859_1);
    byte[] rest = text.getBytes(charset);
    ByteArrayOutputStream all = new ByteArrayOutputStream();
    all.writeBytes(start);
    all.writeBytes(rest);
    return all.toByteArray();
  }

  private static byte[] gzip(String text) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (GZIPOutputStream zip = new GZIPOutputStream(out)) {
      zip.write(text.getBytes(UTF_8));
    } catch (IOException e) {
      throw new AssertionError(e);
    }
    return out.toByteArray();
  }

  private static String json(String name, String value) {
    return "{\"" + name + "\": " + value + "}";
  }

  private static String good(String more) {
    return "{\"text\": \"" + GOOD + "\", " + more + "}";
  }

  static {
    String quoted = "\"" + GOOD + "\"";
    String length = String.valueOf((char) GOOD.length());
    String zigzag = String.valueOf((char) (2 * GOOD.length()));

    labelled("text", GOOD);
    labelled("JSON string", quoted);
    labelled("JSON in a JSON string", "\"{\\\"text\\\": \\\"good\\\"}\"");
    labelled("JSON number", "42");
    labelled("JSON true", "true");
    labelled("JSON null", "null");
    labelled("text with a byte order mark", "\uFEFF" + GOOD);
    labelled("JSON with a byte order mark", "\uFEFF" + json("text", quoted));
    labelled("JSON and a line feed", json("text", quoted) + "\n");
    labelled("a NUL", "What a \0 wonderful film");
    labelled("an empty text", json("text", "\"\""));
    labelled("a flat Debezium row", good("\"id\": 1, \"__op\": \"c\", \"__deleted\": \"false\""));
    labelled("another's target", good("\"target\": \"sales\""));
    labelled("another's context", good("\"context\": {\"user\": 1}"));
    labelled("another's question", good("\"question\": 5"));

    String registry = "format: text";
    refused("registry, JSON", bytes("\0\0\0\0\1", json("text", quoted), UTF_8), registry, AS_TEXT);
    refused("registry, Avro", bytes("\0\0\0\0\7" + zigzag, GOOD, UTF_8), registry, AS_TEXT);
    refused(
        "registry, a large id",
        bytes("\0\0\1\u0087\u008A" + zigzag, GOOD, ISO_8859_1),
        "begins with a byte 0",
        null);
    refused("registry, Protobuf", bytes("\0\0\0\0\3\0\n" + length, GOOD, UTF_8), registry, AS_TEXT);
    refused("Protobuf", bytes("\n" + length, GOOD, UTF_8), registry, AS_TEXT);
    Map<String, String> marks =
        Map.of(
            "UTF-16LE", "\u00FF\u00FE",
            "UTF-16BE", "\u00FE\u00FF",
            "UTF-32LE", "\u00FF\u00FE\0\0",
            "UTF-32BE", "\0\0\u00FE\u00FF");
    marks.forEach(
        (name, mark) -> {
          Charset charset = Charset.forName(name);
          String setting = "input.charset: " + name + ",";
          refused(name, bytes("", GOOD, charset), setting, charset(name));
          refused(name + ", JSON", bytes("", good("\"n\": 1"), charset), setting, charset(name));
          refused(name + " with a mark", bytes(mark, GOOD, charset), setting, charset(name));
        });
    refused(
        "Latin-1",
        "Un film très génial".getBytes(ISO_8859_1),
        "input.charset",
        charset("ISO-8859-1"));
    refused("gzip", gzip(GOOD), "compression.type", null);
    refused("CBOR", bytes("\u00A1dtextu", GOOD, UTF_8), "send UTF-8", null);

    refused("array", "[" + json("text", quoted) + "]", "send each of its items", AS_TEXT);
    refused("lines", json("text", "\"a\"") + "\n" + json("text", "\"b\""), "one JSON", AS_TEXT);
    refused("single quotes", "{'text': 'a'}", "format: text", AS_TEXT);
    refused("template", "{{first_name}} loved it", "format: text", AS_TEXT);
    refused("a brace", "{sigh} What a film", "format: text", AS_TEXT);
    refused("NaN", good("\"score\": NaN"), "NaN is no JSON value", AS_TEXT);

    refused("null", json("text", "null"), "input.fields", null);
    refused("number", json("text", "5"), "input.fields", AS_TEXT);
    refused("list", json("text", "[\"a\"]"), "input.fields", AS_TEXT);
    refused("Text", json("Text", quoted), "input.fields", text("Text"));
    refused("message", json("message", quoted), "input.fields", text("message"));
    refused("a.b", json("a.b", quoted), "input.fields", text("`a.b`"));
    refused(
        "Debezium",
        json("payload", "{\"before\": null, \"after\": {\"body\": \"good\"}, \"op\": \"c\"}"),
        "input.fields",
        text("payload.after.body"));
    refused(
        "Debezium with a schema",
        "{\"schema\": {\"type\": \"struct\"}, "
            + "\"payload\": {\"after\": {\"text\": \"good\"}, \"op\": \"u\"}}",
        "input.envelope",
        envelope(Envelope.DEBEZIUM));
    String event =
        "{\"specversion\": \"1.0\", \"id\": \"A1\", \"source\": \"/s\", \"type\": \"t\", ";
    refused(
        "CloudEvent",
        event + "\"data\": {\"text\": \"good\"}}",
        "input.envelope",
        envelope(Envelope.CLOUDEVENTS));
    refused(
        "CloudEvent of text",
        event + "\"data\": \"good\"}",
        "input.envelope",
        envelope(Envelope.CLOUDEVENTS));

    refused("id", good("\"id\": {\"a\": 1}"), "input.fields.id", idElsewhere());
    refused("ids", good("\"id\": 1, \"id\": 2"), "send it once", null);
    refused("inference", good("\"inference\": \"n/a\""), "rename it", null);
    refused(
        "parameters",
        good("\"parameters\": \"fast\""),
        "input.control.parameters: off",
        control(null, "explain"));
    refused(
        "parameters of others",
        good("\"parameters\": {\"color\": \"red\"}"),
        "input.control.parameters: off",
        control("settings", "explain"));
    refused(
        "explain",
        good("\"explain\": \"yes\""),
        "input.control.explain: off",
        control("parameters", null));
  }

  private static EventForm idElsewhere() {
    return new EventForm(
        EventFormat.AUTO,
        Envelope.NONE,
        new HashMap<>(Map.of("id", FieldPath.parse("id.a"))),
        Control.DEFAULT);
  }

  @SuppressWarnings("try") // the harness may be interrupted while it closes
  private static List<Outcome> label(EventForm form, List<byte[]> values) throws Exception {
    try (OneInputStreamOperatorTestHarness<SourceRecord, Outcome> stage =
        new OneInputStreamOperatorTestHarness<>(
            new ModelOperatorFactory<>(
                new InferenceFunction(SETTINGS.withForm(form), Order.PARTITION),
                OutputMode.ORDERED,
                null),
            SourceRecordSerializer.INSTANCE)) {
      stage.setup(OutcomeSerializer.INSTANCE);
      stage.open();
      for (byte[] value : values) {
        stage.processElement(new SourceRecord(null, value, List.of(), "t", 0, 0, 0), 0);
      }
      stage.endInput();
      return stage.extractOutputValues();
    }
  }

  @Test
  void isLabelledOrSaysWhichSettingReadsIt() throws Exception {
    List<Outcome> outcomes = label(EventForm.DEFAULT, FORMS.stream().map(Form::value).toList());

    assertThat(outcomes).hasSameSizeAs(FORMS);
    for (int i = 0; i < FORMS.size(); i++) {
      Form form = FORMS.get(i);
      if (form.refused() == null) {
        assertThat(outcomes.get(i)).as(form.name()).isInstanceOf(Outcome.Labelled.class);
      } else {
        assertThat(outcomes.get(i)).as(form.name()).isInstanceOf(Outcome.Failed.class);
        assertThat(((Outcome.Failed) outcomes.get(i)).letter().message())
            .as(form.name())
            .contains(form.refused());
      }
    }
  }

  @Test
  void isReadWithThatSetting() throws Exception {
    Map<EventForm, List<Form>> read = new HashMap<>();
    for (Form form : FORMS) {
      if (form.reading() != null) {
        read.computeIfAbsent(form.reading(), reading -> new ArrayList<>()).add(form);
      }
    }
    for (Map.Entry<EventForm, List<Form>> entry : read.entrySet()) {
      List<Outcome> outcomes =
          label(entry.getKey(), entry.getValue().stream().map(Form::value).toList());
      for (int i = 0; i < outcomes.size(); i++) {
        assertThat(outcomes.get(i))
            .as(entry.getValue().get(i).name())
            .isInstanceOf(Outcome.Labelled.class);
        new ObjectMapper().readTree(((Outcome.Labelled) outcomes.get(i)).value());
      }
    }
  }
}
