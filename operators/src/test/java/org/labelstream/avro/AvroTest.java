package org.labelstream.avro;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.avro.Conversions;
import org.apache.avro.LogicalTypes;
import org.apache.avro.Schema;
import org.apache.avro.SchemaBuilder;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;
import org.labelstream.codec.DecodedEvent;
import org.labelstream.codec.EventCodec;
import org.labelstream.codec.EventForm;
import org.labelstream.codec.EventForm.Control;
import org.labelstream.codec.EventForm.Envelope;
import org.labelstream.codec.EventFormat;
import org.labelstream.codec.FieldPath;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.SourceRecord;
import org.labelstream.task.TaskType;
import org.labelstream.task.Tasks;

/** Records that Avro's own library writes, labelled, and read by it again. */
class AvroTest {

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final TaskType TASK = Tasks.named("sequence_classification").orElseThrow();
  private static final Prediction PREDICTION =
      new Prediction(
          Map.of(
              "label",
              "GOOD",
              "score",
              0.1f,
              "scores",
              List.of(Map.of("label", "GOOD", "score", 0.1f))),
          3,
          false);

  private final FakeRegistry registry = new FakeRegistry();

  private static Schema decimal(Schema schema) {
    return LogicalTypes.decimal(10, 2).addToSchema(schema);
  }

  /** Of each type of Avro, and in each that holds others. */
  static final Schema ALL =
      SchemaBuilder.record("Review")
          .namespace("com.shop")
          .prop("owner", "shop")
          .fields()
          .requiredString("text")
          .requiredLong("id")
          .name("whole")
          .type()
          .intType()
          .intDefault(4)
          .requiredFloat("small")
          .requiredDouble("large")
          .requiredBoolean("flag")
          .requiredBytes("raw")
          .optionalString("nothing")
          .name("kind")
          .type(Schema.createEnum("Kind", null, null, List.of("BOOK", "FILM")))
          .noDefault()
          .name("digest")
          .type(Schema.createFixed("Digest", null, null, 4))
          .noDefault()
          .name("price")
          .type(decimal(Schema.create(Schema.Type.BYTES)))
          .noDefault()
          .name("fee")
          .type(decimal(Schema.createFixed("Fee", null, null, 8)))
          .noDefault()
          .name("at")
          .type(LogicalTypes.timestampMillis().addToSchema(Schema.create(Schema.Type.LONG)))
          .noDefault()
          .name("tags")
          .type()
          .array()
          .items()
          .stringType()
          .noDefault()
          .name("counts")
          .type()
          .map()
          .values()
          .longType()
          .noDefault()
          .name("either")
          .type()
          .unionOf()
          .nullType()
          .and()
          .longType()
          .and()
          .floatType()
          .and()
          .doubleType()
          .and()
          .bytesType()
          .and()
          .stringType()
          .and()
          .record("Left")
          .fields()
          .requiredString("left")
          .endRecord()
          .and()
          .record("Right")
          .fields()
          .requiredString("right")
          .endRecord()
          .endUnion()
          .noDefault()
          .endRecord();

  /** Items that take no bytes. */
  static final Schema NOTHINGS =
      SchemaBuilder.record("N")
          .fields()
          .name("many")
          .type()
          .array()
          .items()
          .nullType()
          .noDefault()
          .endRecord();

  /** Within itself as often as one likes. */
  static final Schema CHAIN =
      new Schema.Parser()
          .parse(
              "{\"type\": \"record\", \"name\": \"L\", \"fields\": [{\"name\": \"next\", \"type\":"
                  + " [\"null\", \"L\"]}]}");

  static GenericRecord all(Object either) {
    GenericData.Record record = new GenericData.Record(ALL);
    record.put("text", "Ein \"guter\" Film 😀");
    record.put("id", Long.MAX_VALUE);
    record.put("whole", -7);
    record.put("small", 0.1f);
    record.put("large", Double.NaN);
    record.put("flag", true);
    record.put("raw", ByteBuffer.wrap(new byte[] {0, -1, 127}));
    record.put("kind", new GenericData.EnumSymbol(ALL.getField("kind").schema(), "FILM"));
    record.put(
        "digest", new GenericData.Fixed(ALL.getField("digest").schema(), new byte[] {1, 2, 3, -4}));
    Conversions.DecimalConversion decimals = new Conversions.DecimalConversion();
    Schema price = ALL.getField("price").schema();
    record.put("price", decimals.toBytes(new BigDecimal("-12.30"), price, price.getLogicalType()));
    Schema fee = ALL.getField("fee").schema();
    record.put("fee", decimals.toFixed(new BigDecimal("-0.05"), fee, fee.getLogicalType()));
    record.put("at", 1_800_000_000_123L);
    record.put("tags", List.of("a", "b"));
    record.put("counts", Map.of("x", 1L));
    record.put("either", either);
    return record;
  }

  private EventCodec codec(Envelope envelope, Map<String, String> fields) {
    HashMap<String, FieldPath> paths = new HashMap<>();
    fields.forEach((field, path) -> paths.put(field, FieldPath.parse(path)));
    return new EventCodec(
        "mood-1",
        Set.of("mood-1", "mood_1"),
        new EventForm(EventFormat.AVRO, envelope, paths, Control.DEFAULT),
        1 << 20,
        List.of("text"),
        new AvroReader(registry, 1 << 20));
  }

  private static SourceRecord record(byte[] value) {
    return new SourceRecord(null, value, List.of(), "in", 2, 41, 0);
  }

  private LabelledSchemas schemas(List<String> place) {
    return new LabelledSchemas(
        registry, "out-value", Map.of("mood-1", TASK), Control.DEFAULT.names(), place);
  }

  private static byte[] json(DecodedEvent event) {
    return event.labelled("sequence_classification", "m", "v", PREDICTION);
  }

  private byte[] labelled(byte[] value) throws RejectedRecordException {
    DecodedEvent event = codec(Envelope.NONE, Map.of()).decode(record(value));
    return schemas(List.of()).of(event.writer()).write(json(event));
  }

  private DeadLetter refused(byte[] value) {
    RejectedRecordException e =
        catchThrowableOfType(
            RejectedRecordException.class,
            () -> codec(Envelope.NONE, Map.of()).decode(record(value)));
    assertThat(e).as("a refusal").isNotNull();
    return e.letter();
  }

  @Test
  void eachTypeIsRead() throws Exception {
    byte[] value = registry.written(ALL, all("x"));
    DecodedEvent event = codec(Envelope.NONE, Map.of()).decode(record(value));
    assertThat(event.event().text()).isEqualTo("Ein \"guter\" Film 😀");
    JsonNode json = JSON.readTree(json(event));
    assertThat(json.at("/inference/mood-1/label").asText()).isEqualTo("GOOD");
    ((ObjectNode) json).remove("inference");
    assertThat(json)
        .isEqualTo(
            JSON.readTree(
                """
                {"text": "Ein \\"guter\\" Film 😀", "id": 9223372036854775807, "whole": -7,
                 "small": 0.1, "large": "NaN", "flag": true, "raw": "AP9/", "nothing": null,
                 "kind": "FILM", "digest": "AQID/A==", "price": -12.30, "fee": -0.05,
                 "at": 1800000000123, "tags": ["a", "b"], "counts": {"x": 1}, "either": "x"}
                """));
  }

  @Test
  void allThatCameGoesOutAgain() throws Exception {
    Schema left = ALL.getField("either").schema().getTypes().get(6);
    Schema right = ALL.getField("either").schema().getTypes().get(7);
    GenericData.Record inRight = new GenericData.Record(right);
    inRight.put("right", "r");
    GenericData.Record inLeft = new GenericData.Record(left);
    inLeft.put("left", "l");
    for (Object either : Arrays.asList(null, 5L, 2.5d, 0.1d, 3d, "text", inLeft, inRight)) {
      GenericRecord came = all(either);
      byte[] labelled = labelled(registry.written(ALL, came));
      GenericRecord out = (GenericRecord) registry.read(labelled);
      assertThat(out.getSchema().getFullName()).isEqualTo("com.shop.Review");
      assertThat(out.getSchema().getProp("owner")).isEqualTo("shop");
      // By Avro's own rules of resolution: who reads the first schema reads the second.
      byte[] again = registry.written(ALL, new GenericData().deepCopy(ALL, narrowed(out)));
      assertThat(registry.read(again)).isEqualTo(registry.read(registry.written(ALL, came)));
      GenericRecord result = (GenericRecord) ((GenericRecord) out.get("inference")).get("mood_1");
      assertThat(result.get("label")).hasToString("GOOD");
      assertThat(result.get("score")).isEqualTo(0.1d);
      assertThat(((List<?>) result.get("scores"))).hasSize(1);
      assertThat(result.get("tokens")).isEqualTo(3);
      assertThat(result.get("error")).isNull();
    }
    assertThat(registry.subjects()).contains("out-value");
  }

  private static GenericRecord narrowed(GenericRecord wide) {
    GenericData.Record record = new GenericData.Record(ALL);
    ALL.getFields().forEach(field -> record.put(field.name(), wide.get(field.name())));
    return record;
  }

  @Test
  void everyTasksResultsFitTheirSchema() throws Exception {
    Map<String, Object> answer = Map.of("answer", "a", "score", 0.5f, "start", 0, "end", 1);
    Map<String, Prediction> predictions =
        Map.of(
            "sequence_classification",
            PREDICTION,
            "token_classification",
            new Prediction(
                Map.of(
                    "entities",
                    List.of(
                        Map.of(
                            "entity_group", "PER", "word", "M", "score", 1f, "start", 0, "end", 1),
                        Map.of(
                            "entity", "B-PER", "word", "M", "score", 1f, "index", 1, "start", 0,
                            "end", 1))),
                2,
                true),
            "question_answering",
            new Prediction(
                Map.of(
                    "answer", "a", "score", 0.5f, "start", 0, "end", 1, "answers", List.of(answer)),
                2,
                false),
            "text_generation",
            new Prediction(
                Map.of("generated_text", "g", "generated_tokens", 4, "finish_reason", "stop"),
                2,
                false));
    Schema schema = SchemaBuilder.record("R").fields().requiredString("text").endRecord();
    GenericData.Record came = new GenericData.Record(schema);
    came.put("text", "t");
    byte[] value = registry.written(schema, came);
    for (TaskType type : Tasks.ALL) {
      DecodedEvent event = codec(Envelope.NONE, Map.of()).decode(record(value));
      AvroWriter writer =
          new LabelledSchemas(registry, "s", Map.of("mood-1", type), List.of(), List.of())
              .of(event.writer());
      byte[] json = event.labelled(type.name(), "m", "v", predictions.get(type.name()));
      GenericRecord out = (GenericRecord) registry.read(writer.write(json));
      JsonNode expected = JSON.readTree(json);
      // Avro's own JSON has the same values.
      JsonNode result =
          JSON.readTree(((GenericRecord) out.get("inference")).get("mood_1").toString());
      expected
          .at("/inference/mood-1")
          .properties()
          .forEach(
              field ->
                  assertThat(withoutNulls(result.get(field.getKey())))
                      .as(type.name() + " " + field.getKey())
                      .isEqualTo(field.getValue()));
      assertThat(out.get("id")).hasToString("in-2@41");
    }
  }

  /** What JSON leaves out is null in Avro. */
  private static JsonNode withoutNulls(JsonNode node) {
    node.forEach(
        item -> {
          if (item.isObject()) {
            ((ObjectNode) item).properties().removeIf(field -> field.getValue().isNull());
          }
        });
    return node;
  }

  @Test
  void aChangeOfDebeziumIsLabelledInItsRow() throws Exception {
    Schema row =
        SchemaBuilder.record("Value")
            .namespace("shop.reviews")
            .fields()
            .requiredLong("id")
            .optionalString("body")
            .optionalString("target")
            .endRecord();
    Schema schema =
        SchemaBuilder.record("Envelope")
            .namespace("shop.reviews")
            .fields()
            .name("before")
            .type()
            .unionOf()
            .nullType()
            .and()
            .type(row)
            .endUnion()
            .nullDefault()
            .name("after")
            .type()
            .unionOf()
            .nullType()
            .and()
            .type(row)
            .endUnion()
            .nullDefault()
            .requiredString("op")
            .endRecord();
    GenericData.Record before = new GenericData.Record(row);
    before.put("id", 7L);
    before.put("body", "bad");
    GenericData.Record after = new GenericData.Record(row);
    after.put("id", 7L);
    after.put("body", "good");
    GenericData.Record change = new GenericData.Record(schema);
    change.put("before", before);
    change.put("after", after);
    change.put("op", "u");
    EventCodec codec = codec(Envelope.DEBEZIUM, Map.of("text", "body"));
    DecodedEvent event = codec.decode(record(registry.written(schema, change)));
    assertThat(event.event().text()).isEqualTo("good");
    GenericRecord out =
        (GenericRecord)
            registry.read(schemas(List.of("after")).of(event.writer()).write(json(event)));
    assertThat(((GenericRecord) out.get("before")).get("body")).hasToString("bad");
    assertThat(((GenericRecord) out.get("before")).get("inference")).isNull();
    assertThat(((GenericRecord) out.get("before")).hasField("target")).isFalse();
    GenericRecord labelled = (GenericRecord) out.get("after");
    assertThat(labelled.get("id")).isEqualTo(7L);
    GenericRecord inference = (GenericRecord) labelled.get("inference");
    assertThat(((GenericRecord) inference.get("mood_1")).get("label")).hasToString("GOOD");

    change.put("op", "d");
    change.put("after", null);
    assertThat(codec.decode(record(registry.written(schema, change))).isDeletion()).isTrue();
  }

  @Test
  void aSecondPipelineAddsItsResult() throws Exception {
    Schema schema = SchemaBuilder.record("R").fields().requiredString("text").endRecord();
    GenericData.Record came = new GenericData.Record(schema);
    came.put("text", "t");
    byte[] once = labelled(registry.written(schema, came));
    byte[] twice = labelled(once); // by the same: the earlier result gives way
    assertThat(twice).isEqualTo(once);
    EventCodec other =
        new EventCodec(
            "other",
            Set.of("other"),
            EventForm.of(EventFormat.AVRO),
            1 << 20,
            List.of("text"),
            new AvroReader(registry, 1 << 20));
    DecodedEvent event = other.decode(record(once));
    byte[] both =
        new LabelledSchemas(registry, "s", Map.of("other", TASK), List.of(), List.of())
            .of(event.writer())
            .write(json(event));
    GenericRecord inference =
        (GenericRecord) ((GenericRecord) registry.read(both)).get("inference");
    assertThat(((GenericRecord) inference.get("mood_1")).get("label")).hasToString("GOOD");
    assertThat(((GenericRecord) inference.get("other")).get("label")).hasToString("GOOD");
  }

  @Test
  void aStringIsAText() throws Exception {
    Schema schema = SchemaBuilder.unionOf().nullType().and().stringType().endUnion();
    byte[] value = registry.written(schema, "{\"text\": 5");
    DecodedEvent event = codec(Envelope.NONE, Map.of()).decode(record(value));
    assertThat(event.event().text()).isEqualTo("{\"text\": 5");
    GenericRecord out =
        (GenericRecord) registry.read(schemas(List.of()).of(event.writer()).write(json(event)));
    assertThat(out.get("text")).hasToString("{\"text\": 5");
    assertThat(out.get("id")).hasToString("in-2@41");
  }

  @Test
  void aRequestIsEchoed() throws Exception {
    Schema schema =
        SchemaBuilder.record("R")
            .fields()
            .requiredString("text")
            .name("parameters")
            .type()
            .record("P")
            .fields()
            .requiredInt("top_k")
            .endRecord()
            .noDefault()
            .endRecord();
    GenericData.Record parameters = new GenericData.Record(schema.getField("parameters").schema());
    parameters.put("top_k", 2);
    GenericData.Record came = new GenericData.Record(schema);
    came.put("text", "t");
    came.put("parameters", parameters);
    byte[] value = registry.written(schema, came);
    assertThat(codec(Envelope.NONE, Map.of()).decode(record(value)).event().parameters())
        .isEqualTo(Map.of("top_k", 2L));
    GenericRecord out = (GenericRecord) registry.read(labelled(value));
    assertThat(out.hasField("parameters")).isFalse();
    GenericRecord inference = (GenericRecord) out.get("inference");
    assertThat(((GenericRecord) inference.get("mood_1")).get("request"))
        .hasToString("{\"parameters\":{\"top_k\":2}}");
  }

  @Test
  void whatNoLongerFitsIsNotLetOut() throws Exception {
    DecodedEvent event =
        codec(Envelope.NONE, Map.of()).decode(record(registry.written(ALL, all("x"))));
    AvroWriter writer = schemas(List.of()).of(event.writer());
    assertThat(writer.write(json(event))).isNotEmpty();
    byte[] redacted =
        event.labelled(
            "sequence_classification",
            "m",
            "v",
            PREDICTION,
            text -> text.equals("FILM") ? "[NAME]" : text);
    RejectedRecordException e =
        catchThrowableOfType(RejectedRecordException.class, () -> writer.write(redacted));
    assertThat(e.letter().code()).isEqualTo(ErrorCode.NOT_REDACTED);
    assertThat(e).hasMessageContaining("the field kind");
  }

  record Bad(String what, byte[] value, ErrorCode code, String message) {}

  private static byte[] wire(int id, int... bytes) {
    byte[] value = Arrays.copyOf(WireFormat.header(id), WireFormat.HEADER + bytes.length);
    for (int i = 0; i < bytes.length; i++) {
      value[WireFormat.HEADER + i] = (byte) bytes[i];
    }
    return value;
  }

  static final List<Bad> BAD =
      List.of(
          new Bad("empty", new byte[0], ErrorCode.MALFORMED_AVRO, "does not begin"),
          new Bad("JSON", "{\"text\": 1}".getBytes(UTF_8), ErrorCode.MALFORMED_AVRO, "byte 0"),
          new Bad("an id alone", wire(0), ErrorCode.MALFORMED_AVRO, "ends too early"),
          new Bad("no schema", wire(77, 2, 'a'), ErrorCode.UNKNOWN_SCHEMA, "77"),
          new Bad("too short", wire(0, 20, 'a'), ErrorCode.MALFORMED_AVRO, "ends too early"),
          new Bad("too long", wire(0, 2, 'a', 'b'), ErrorCode.MALFORMED_AVRO, "1 bytes more"),
          new Bad(
              "a claim of 2 GB",
              wire(0, 0xFE, 0xFF, 0xFF, 0xFF, 0x0F),
              ErrorCode.MALFORMED_AVRO,
              "ends too early"),
          new Bad("a negative length", wire(0, 1), ErrorCode.MALFORMED_AVRO, "ends too early"),
          new Bad("no UTF-8", wire(0, 2, 0xFF), ErrorCode.NOT_UTF8, "UTF-8"),
          new Bad(
              "a number without end",
              wire(0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255),
              ErrorCode.MALFORMED_AVRO,
              "Invalid long"),
          new Bad("an array", wire(1, 0), ErrorCode.MALFORMED_AVRO, "of the Avro type array"),
          new Bad("a boolean", wire(2, 2, 7), ErrorCode.MALFORMED_AVRO, "no type 1"),
          new Bad(
              "nothing, 2^30 times",
              wire(3, 0x80, 0x80, 0x80, 0x80, 0x08),
              ErrorCode.TOO_LARGE,
              "as JSON"),
          new Bad("itself, for ever", endless(), ErrorCode.MALFORMED_AVRO, "500 levels"));

  private static byte[] endless() {
    byte[] value = Arrays.copyOf(WireFormat.header(4), 5_000);
    Arrays.fill(value, WireFormat.HEADER, value.length, (byte) 2);
    return value;
  }

  @ParameterizedTest
  @FieldSource("BAD")
  void whatIsMalformedIsADeadLetter(Bad bad) {
    registry.id("s", Schema.create(Schema.Type.STRING));
    registry.id("s", Schema.createArray(Schema.create(Schema.Type.STRING)));
    registry.id("s", Schema.createUnion(Schema.create(Schema.Type.STRING)));
    registry.id("s", NOTHINGS);
    registry.id("s", CHAIN);
    DeadLetter letter = refused(bad.value());
    assertThat(letter.code()).isEqualTo(bad.code());
    assertThat(letter.message()).contains(bad.message());
  }
}
