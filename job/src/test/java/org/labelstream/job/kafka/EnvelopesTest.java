package org.labelstream.job.kafka;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import io.cloudevents.core.message.Encoding;
import io.cloudevents.jackson.JsonFormat;
import io.cloudevents.kafka.CloudEventDeserializer;
import io.cloudevents.kafka.CloudEventSerializer;
import io.debezium.data.Envelope;
import java.net.URI;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.json.JsonConverter;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.labelstream.codec.DecodedEvent;
import org.labelstream.codec.EventCodec;
import org.labelstream.codec.EventForm;
import org.labelstream.codec.EventForm.Control;
import org.labelstream.codec.EventFormat;
import org.labelstream.codec.FieldPath;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Header;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.SourceRecord;

/** Records that Debezium's and the CloudEvents' own libraries write, and read again. */
class EnvelopesTest {

  private static final ObjectMapper JSON = new ObjectMapper();

  private static EventCodec codec(EventForm.Envelope envelope, Map<String, String> fields) {
    HashMap<String, FieldPath> paths = new HashMap<>();
    fields.forEach((field, path) -> paths.put(field, FieldPath.parse(path)));
    return new EventCodec(
        "mood",
        new EventForm(EventFormat.AUTO, envelope, paths, Control.DEFAULT),
        1 << 20,
        List.of("text"));
  }

  private static byte[] labelled(DecodedEvent event) {
    return event.labelled("t", "m", "v", new Prediction(Map.of("label", "GOOD"), 3, false));
  }

  private static DeadLetter refused(EventCodec codec, byte[] value, Header... headers) {
    RejectedRecordException e =
        catchThrowableOfType(
            RejectedRecordException.class,
            () -> codec.decode(new SourceRecord(null, value, List.of(headers), "t", 0, 5, 0)));
    assertThat(e).as("a refusal").isNotNull();
    return e.letter();
  }

  private static SourceRecord record(byte[] value, Header... headers) {
    return new SourceRecord(null, value, List.of(headers), "t", 0, 5, 0);
  }

  @Nested
  class ADebeziumChange {

    private static final Schema ROW =
        SchemaBuilder.struct()
            .name("shop.reviews.Value")
            .optional()
            .field("id", Schema.INT64_SCHEMA)
            .field("body", Schema.OPTIONAL_STRING_SCHEMA)
            .build();

    private static final Schema SOURCE =
        SchemaBuilder.struct().name("source").field("table", Schema.STRING_SCHEMA).build();

    private static final Envelope ENVELOPE =
        Envelope.defineSchema()
            .withName("shop.reviews.Envelope")
            .withRecord(ROW)
            .withSource(SOURCE)
            .build();

    private final EventCodec codec =
        codec(EventForm.Envelope.DEBEZIUM, Map.of("text", "body", "id", "id"));

    private static JsonConverter converter(boolean schemas) {
      JsonConverter converter = new JsonConverter();
      converter.configure(Map.of("schemas.enable", schemas, "converter.type", "value"));
      return converter;
    }

    private static byte[] written(boolean schemas, Struct change) {
      return converter(schemas).fromConnectData("shop.reviews", ENVELOPE.schema(), change);
    }

    private static Struct row(String body) {
      return new Struct(ROW).put("id", 7L).put("body", body);
    }

    private static Struct source() {
      return new Struct(SOURCE).put("table", "reviews");
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void isReadFromTheRowAfterItAndLabelledThere(boolean schemas) throws Exception {
      List<Struct> changes =
          List.of(
              ENVELOPE.create(row("a good film"), source(), Instant.EPOCH),
              ENVELOPE.update(row("a bad film"), row("a good film"), source(), Instant.EPOCH),
              ENVELOPE.read(row("a good film"), source(), Instant.EPOCH));
      for (Struct change : changes) {
        byte[] value = written(schemas, change);
        DecodedEvent event = codec.decode(record(value));
        assertThat(event.event().text()).isEqualTo("a good film");

        byte[] out = labelled(event);
        JsonNode after = JSON.readTree(out).at(schemas ? "/payload/after" : "/after");
        assertThat(after.at("/inference/mood/label").asText()).isEqualTo("GOOD");
        assertThat(after.get("id").asLong()).isEqualTo(7);
        // What reads the envelope goes on reading it.
        Struct again = (Struct) converter(true).toConnectData("t", written(true, change)).value();
        assertThat(again.getStruct("after").getString("body")).isEqualTo("a good film");
        if (schemas) {
          Struct read = (Struct) converter(true).toConnectData("t", out).value();
          assertThat(read.getStruct("after").getString("body")).isEqualTo("a good film");
        }
        assertThat(
                JSON.readTree(event.explained("t", "m", "v", Map.of("error", Map.of()))).get("id"))
            .isEqualTo(JSON.readTree("7"));
      }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void thatDeletesIsADeletion(boolean schemas) throws Exception {
      Struct change = ENVELOPE.delete(row("a good film"), source(), Instant.EPOCH);
      assertThat(codec.decode(record(written(schemas, change))).isDeletion()).isTrue();
    }

    @Test
    void thatTruncatesIsRefused() {
      byte[] value = written(true, ENVELOPE.truncate(source(), Instant.EPOCH));
      assertThat(refused(codec, value))
          .isEqualTo(
              new DeadLetter(
                  ErrorCode.INVALID_FIELD,
                  org.labelstream.record.Stage.DECODE,
                  "payload.op is t, and only c, u, r and d come with a row: leave out such changes"
                      + " (skipped.operations of the connector)"));
    }

    @ParameterizedTest
    @CsvSource(
        delimiter = '|',
        value = {
          "{} | MISSING_FIELD | there is no op,",
          "{\"payload\": {}} | MISSING_FIELD | there is no payload.op,",
          "{\"payload\": {\"op\": 1}} | MISSING_FIELD | there is no payload.op,",
          "{\"payload\": {\"op\": \"c\"}} | MISSING_FIELD | there is no payload.after,",
          "{\"payload\": {\"op\": \"c\", \"after\": null}} | MISSING_FIELD | there is no payload.after,",
          "{\"op\": \"c\", \"after\": 5} | INVALID_FIELD | after is no object",
          "{\"op\": \"x\", \"after\": {}} | INVALID_FIELD | op is none that is known",
          "{\"op\": \"c\", \"after\": {}} | MISSING_FIELD | there is no after.body,",
          "{\"payload\": {\"op\": \"c\", \"after\": {\"body\": null}}} | MISSING_FIELD | payload.after.body is null",
          "{\"payload\": {\"op\": \"c\", \"after\": {\"body\": 5}}} | INVALID_FIELD | the field payload.after.body must be a string",
          "{\"payload\": {\"op\": \"c\", \"after\": {\"body\": \"a\", \"body\": \"b\"}}} | MALFORMED_JSON | payload.after.body occurs twice",
          "{\"op\": \"c\", \"op\": \"c\"} | MALFORMED_JSON | op occurs twice",
          "{\"op\": \"c\" | MALFORMED_JSON | not valid JSON",
          "{\"op\": \"c\", \"after\": {\"body\": \"a\"}} 5 | MALFORMED_JSON | more after the object",
          "text | MALFORMED_JSON | a change of Debezium is one",
        })
    void thatIsMalformedIsRefusedByThePathThatIsMissing(
        String value, ErrorCode code, String message) {
      DeadLetter letter = refused(codec, value.getBytes(UTF_8));
      assertThat(letter.message()).contains(message);
      assertThat(letter.code()).isEqualTo(code);
    }
  }

  @Nested
  class ACloudEvent {

    private final EventCodec codec = codec(EventForm.Envelope.CLOUDEVENTS, Map.of());

    private static CloudEventBuilder event() {
      return CloudEventBuilder.v1()
          .withId("A\"1")
          .withSource(URI.create("/reviews"))
          .withType("org.example.review")
          .withExtension("tenant", "t1");
    }

    private static SourceRecord written(CloudEvent event, Encoding encoding) {
      CloudEventSerializer serializer = new CloudEventSerializer();
      Map<String, Object> settings = new LinkedHashMap<>();
      settings.put(CloudEventSerializer.ENCODING_CONFIG, encoding);
      if (encoding == Encoding.STRUCTURED) {
        settings.put(CloudEventSerializer.EVENT_FORMAT_CONFIG, JsonFormat.CONTENT_TYPE);
      }
      serializer.configure(settings, false);
      Headers headers = new RecordHeaders();
      byte[] value = serializer.serialize("t", headers, event);
      List<Header> ours = new ArrayList<>();
      headers.forEach(header -> ours.add(new Header(header.key(), header.value())));
      return new SourceRecord(null, value, ours, "t", 0, 5, 0);
    }

    private static CloudEvent read(SourceRecord record, byte[] value) {
      Headers headers = new RecordHeaders();
      record.headers().forEach(header -> headers.add(header.key(), header.value()));
      return new CloudEventDeserializer().deserialize("t", headers, value);
    }

    @Test
    void inBothModesIsReadFromItsDataAndLabelledThere() throws Exception {
      CloudEvent event =
          event()
              .withData("application/json", "{\"text\": \"good\", \"n\": 0.10}".getBytes(UTF_8))
              .build();
      for (Encoding encoding : List.of(Encoding.BINARY, Encoding.STRUCTURED)) {
        SourceRecord record = written(event, encoding);
        DecodedEvent decoded = codec.decode(record);
        assertThat(decoded.event().text()).isEqualTo("good");

        CloudEvent out = read(record, labelled(decoded));
        assertThat(out.getId()).isEqualTo("A\"1");
        assertThat(out.getExtension("tenant")).isEqualTo("t1");
        JsonNode data = JSON.readTree(out.getData().toBytes());
        assertThat(data.at("/inference/mood/label").asText()).isEqualTo("GOOD");
        assertThat(data.get("text").asText()).isEqualTo("good");
        assertThat(JSON.readTree(decoded.explained("t", "m", "v", Map.of())).get("id").asText())
            .isEqualTo("A\"1");
      }
    }

    @Test
    void ofTextBecomesOneOfAnObject() throws Exception {
      CloudEvent event = event().withData("text/plain", "{good} film".getBytes(UTF_8)).build();
      SourceRecord record = written(event, Encoding.BINARY);
      DecodedEvent decoded = codec.decode(record);
      assertThat(decoded.event().text()).isEqualTo("{good} film");
      JsonNode data = JSON.readTree(labelled(decoded));
      assertThat(data.get("text").asText()).isEqualTo("{good} film");
      assertThat(data.get("id").asText()).isEqualTo("A\"1");

      String structured =
          "{\"specversion\": \"1.0\", \"id\": \"A\", \"source\": \"/s\", \"type\": \"t\", \"data\": \"good\\n\"}";
      decoded = codec.decode(record(structured.getBytes(UTF_8)));
      assertThat(decoded.event().text()).isEqualTo("good\n");
      assertThat(JSON.readTree(labelled(decoded)).at("/data/text").asText()).isEqualTo("good\n");

      record =
          record(
              structured
                  .replace("\"data\"", "\"datacontenttype\": \"text/plain\", \"data\"")
                  .getBytes(UTF_8),
              Header.of("content-type", "application/cloudevents+json"));
      CloudEvent out = read(record, labelled(codec.decode(record)));
      assertThat(out.getDataContentType()).isEqualTo("application/json");
      assertThat(JSON.readTree(out.getData().toBytes()).get("text").asText()).isEqualTo("good\n");
    }

    @ParameterizedTest
    @CsvSource(
        delimiter = '|',
        value = {
          "{} | MISSING_FIELD | there is no specversion",
          "{\"specversion\": \"1.0\"} | MISSING_FIELD | there is no id",
          "{\"specversion\": \"1.0\", \"id\": \"1\", \"source\": \"\"} | MISSING_FIELD | there is no source",
          "{\"specversion\": \"1.0\", \"id\": \"1\", \"source\": \"s\"} | MISSING_FIELD | there is no type",
          "{\"specversion\": \"1.0\", \"id\": \"1\", \"source\": \"s\", \"type\": \"t\"} | MISSING_FIELD | there is no data",
          "{\"specversion\": \"1.0\", \"id\": \"1\", \"source\": \"s\", \"type\": \"t\", \"data\": \"x\", \"data_base64\": \"AA==\"} | MALFORMED_JSON | both data and data_base64",
          "{\"specversion\": \"1.0\", \"id\": \"1\", \"source\": \"s\", \"type\": \"t\", \"data\": 5} | INVALID_FIELD | data must be",
          "{\"specversion\": \"1.0\", \"id\": \"1\", \"source\": \"s\", \"type\": \"t\", \"data\": {\"body\": \"x\"}} | MISSING_FIELD | there is no data.text",
          "text | MALFORMED_JSON | a CloudEvent in structured mode is one",
        })
    void thatIsMalformedIsRefusedByThePathThatIsMissing(
        String value, ErrorCode code, String message) {
      DeadLetter letter = refused(codec, value.getBytes(UTF_8));
      assertThat(letter.message()).contains(message);
      assertThat(letter.code()).isEqualTo(code);
    }

    private static String ofBytes(String type, byte[] data) {
      return ofBase64(type, "\"" + Base64.getEncoder().encodeToString(data) + "\"");
    }

    private static String ofBase64(String type, String encoded) {
      return "{\"data_base64\" : "
          + encoded
          + ", \"specversion\": \"1.0\", \"id\": \"A\\\"1\", \"source\": \"/s\", \"type\": \"t\""
          + (type == null ? "" : ", \"datacontenttype\": \"" + type + "\"")
          + "}";
    }

    @Test
    void ofBytesIsReadAsTheJsonOrTextThatTheyAre() throws Exception {
      CloudEvent json =
          event()
              // Of another type than JSON, so that its own library writes base64.
              .withData(
                  "application/octet-stream", "{\"text\": \"gut\\n\", \"n\": 0.10}".getBytes(UTF_8))
              .build();
      SourceRecord record = written(json, Encoding.STRUCTURED);
      assertThat(new String(record.value(), UTF_8)).contains("data_base64");
      DecodedEvent decoded = codec.decode(record);
      assertThat(decoded.event().text()).isEqualTo("gut\n");

      byte[] value = labelled(decoded);
      assertThat(new String(value, UTF_8)).contains("0.10").doesNotContain("data_base64");
      CloudEvent out = read(record, value);
      assertThat(out.getId()).isEqualTo("A\"1");
      assertThat(out.getExtension("tenant")).isEqualTo("t1");
      assertThat(out.getDataContentType()).isEqualTo("application/json");
      JsonNode data = JSON.readTree(out.getData().toBytes());
      assertThat(data.at("/inference/mood/label").asText()).isEqualTo("GOOD");
      assertThat(data.get("text").asText()).isEqualTo("gut\n");

      Map<String, String> texts = new LinkedHashMap<>();
      texts.put(ofBytes(null, "très \"bon\"".getBytes(UTF_8)), "très \"bon\"");
      texts.put(ofBytes("text/plain", "{good} film".getBytes(UTF_8)), "{good} film");
      texts.put(ofBytes("application/json", "\"good\"".getBytes(UTF_8)), "good");
      texts.put(ofBytes(null, "[good] film".getBytes(UTF_8)), "[good] film");
      texts.put(ofBytes("text/plain", new byte[0]), "");
      for (Map.Entry<String, String> text : texts.entrySet()) {
        decoded = codec.decode(record(text.getKey().getBytes(UTF_8)));
        assertThat(decoded.event().text()).isEqualTo(text.getValue());
        JsonNode tree = JSON.readTree(labelled(decoded));
        assertThat(tree.at("/data/text").asText()).isEqualTo(text.getValue());
        assertThat(tree.get("id").asText()).isEqualTo("A\"1");
      }
    }

    @Test
    void ofOtherBytesIsRefused() {
      Map<String, String> refused = new LinkedHashMap<>();
      refused.put(ofBase64(null, "5"), "data_base64 is not a text");
      refused.put(ofBase64(null, "\"AA*=\""), "data_base64 is not base64");
      refused.put(ofBase64(null, "\"A\""), "data_base64 is not base64");
      refused.put(ofBase64(null, "null"), "data_base64 is not a text");
      refused.put(
          ofBytes(null, "très".getBytes(ISO_8859_1)), "what data_base64 holds is not UTF-8");
      refused.put(ofBytes(null, new byte[] {0, 1, 2, 3}), "what data_base64 holds begins with");
      refused.put(ofBytes(null, new byte[] {1, 2, 3}), "what data_base64 holds is no text");
      refused.put(ofBytes(null, "[1]".getBytes(UTF_8)), "data must be an object or a text");
      // What the bytes say ends within them.
      refused.put(
          ofBytes(null, "{\"text\": \"a\"}, \"id\": \"2\"".getBytes(UTF_8)),
          "what data_base64 holds is not valid JSON");
      refused.put(
          ofBytes("application/json", "{\"text\": }".getBytes(UTF_8)),
          "what data_base64 holds is not valid JSON");
      refused.put(ofBytes(null, "{\"body\": \"a\"}".getBytes(UTF_8)), "there is no data.text");
      for (Map.Entry<String, String> event : refused.entrySet()) {
        assertThat(refused(codec, event.getKey().getBytes(UTF_8)).message())
            .as(event.getKey())
            .startsWith(event.getValue());
      }
    }

    @Test
    void inABatchOrWithoutAnAttributeInItsHeadersIsRefused() {
      byte[] value = "[]".getBytes(UTF_8);
      assertThat(
              refused(codec, value, Header.of("content-type", "application/cloudevents-batch+json"))
                  .message())
          .contains("one to a record");
      assertThat(
              refused(
                      codec,
                      value,
                      Header.of("ce_specversion", "1.0"),
                      Header.of("ce_id", "1"),
                      Header.of("ce_source", "s"))
                  .message())
          .isEqualTo("there is no header ce_type, which every CloudEvent has: send it");
    }
  }
}
