package org.labelstream.avro;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.avro.Schema;
import org.apache.avro.SchemaBuilder;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.labelstream.Corpus;
import org.labelstream.codec.DecodedEvent;
import org.labelstream.codec.EventCodec;
import org.labelstream.codec.EventForm;
import org.labelstream.codec.EventFormat;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.SourceRecord;
import org.labelstream.task.Tasks;

/** Whatever bytes stand behind a schema's id, they are a record, in and out, or a dead letter. */
public class AvroReaderFuzzTest {

  private static final FakeRegistry REGISTRY = new FakeRegistry();

  /** The first byte of an input says which. */
  private static final List<Schema> SCHEMAS =
      List.of(
          AvroTest.ALL,
          Schema.create(Schema.Type.STRING),
          new Schema.Parser()
              .parse(
                  "{\"type\": \"record\", \"name\": \"L\", \"fields\": [{\"name\": \"text\", \"type\":"
                      + " [\"null\", \"string\"]}, {\"name\": \"next\", \"type\": [\"null\", \"L\"]}]}"),
          Schema.createMap(Schema.create(Schema.Type.STRING)),
          SchemaBuilder.record("N")
              .fields()
              .requiredString("text")
              .name("many")
              .type()
              .array()
              .items()
              .nullType()
              .noDefault()
              .endRecord());

  private static final EventCodec CODEC =
      new EventCodec(
          "mood",
          Set.of("mood"),
          EventForm.of(EventFormat.AVRO),
          1 << 20,
          Set.of("text"),
          new AvroReader(REGISTRY, 1 << 16));

  private static final LabelledSchemas LABELLED =
      new LabelledSchemas(
          REGISTRY,
          "s",
          Map.of("mood", Tasks.named("sequence_classification").orElseThrow()),
          List.of("parameters", "explain", "target"),
          List.of());

  private static final ObjectMapper JSON = new ObjectMapper();

  @TestFactory
  Stream<DynamicTest> theCorpus() throws IOException {
    return Corpus.of(AvroReaderFuzzTest.class, AvroReaderFuzzTest::fuzzerTestOneInput);
  }

  /** Under the name that Jazzer calls. */
  public static void fuzzerTestOneInput(byte[] input) throws IOException {
    if (input.length == 0) {
      return;
    }
    int id = REGISTRY.id("in", SCHEMAS.get(Math.floorMod(input[0], SCHEMAS.size())));
    byte[] value = Arrays.copyOf(WireFormat.header(id), WireFormat.HEADER + input.length - 1);
    System.arraycopy(input, 1, value, WireFormat.HEADER, input.length - 1);
    DecodedEvent event;
    try {
      event = CODEC.decode(new SourceRecord(null, value, List.of(), "texts", 3, 41, 0));
    } catch (RejectedRecordException e) {
      check(!e.getMessage().isBlank() && !e.getMessage().contains("null)"), e.getMessage());
      return;
    }
    byte[] json =
        event.labelled(
            "sequence_classification", "m", "1", new Prediction(Map.of("label", "A"), 7, true));
    check(JSON.readTree(json).at("/inference/mood/label").asText().equals("A"), "the result");
    try {
      check(REGISTRY.read(LABELLED.of(event.writer()).write(json)) != null, "what comes out");
    } catch (RejectedRecordException e) {
      // A map has no place for a result.
      check(e.getMessage().startsWith("the event is no record"), e.getMessage());
    }
  }

  private static void check(boolean holds, String what) {
    if (!holds) {
      throw new AssertionError(what);
    }
  }
}
