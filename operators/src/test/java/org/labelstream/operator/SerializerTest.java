package org.labelstream.operator;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIOException;

import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.flink.api.common.serialization.SerializerConfigImpl;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshotSerializationUtil;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataInputViewStreamWrapper;
import org.apache.flink.core.memory.DataOutputSerializer;
import org.apache.flink.core.memory.DataOutputViewStreamWrapper;
import org.apache.flink.util.InstantiationUtil;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Header;
import org.labelstream.record.Outcome;
import org.labelstream.record.OutputRecord;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;

class SerializerTest {

  private static final Path STORED = Path.of("src/test/resources/serializers");

  private static final SourceRecord FULL =
      new SourceRecord(
          "key".getBytes(UTF_8),
          "{\"text\": \"ü😀\"}".getBytes(UTF_8),
          List.of(
              Header.of("trace", "1"),
              new Header("trace", null),
              new Header("ключ", new byte[] {0, -1})),
          "texts",
          3,
          1L << 40,
          1_700_000_000_123L);
  private static final SourceRecord BARE =
      new SourceRecord(null, null, List.of(), "", SourceRecord.NO_PARTITION, 0, -1);
  private static final SourceRecord EMPTY =
      new SourceRecord(
          new byte[0], new byte[0], List.of(new Header("", new byte[0])), "t", 0, 0, 0);
  private static final SourceRecord LARGE =
      new SourceRecord(
          new byte[100_000],
          new byte[3_000_000],
          List.of(Header.of("h".repeat(70_000), "v".repeat(70_000))),
          "t",
          Integer.MAX_VALUE,
          Long.MAX_VALUE,
          Long.MIN_VALUE);

  private static final Outcome FAILED =
      new Outcome.Failed(
          FULL, new DeadLetter(ErrorCode.TIMEOUT, Stage.INFERENCE, "too slow: é 😀"));

  static final List<SourceRecord> SOURCE_RECORDS = List.of(FULL, BARE, EMPTY, LARGE);

  static Stream<Outcome> outcomes() {
    return Stream.concat(
        SOURCE_RECORDS.stream()
            .flatMap(
                source ->
                    Stream.of(
                        new Outcome.Labelled(source, null, false),
                        new Outcome.Labelled(source, null, true, List.of("review"), false),
                        new Outcome.Labelled(source, "{}".getBytes(UTF_8), false),
                        new Outcome.Labelled(source, "{}".getBytes(UTF_8), true))),
        Stream.of(ErrorCode.values())
            .map(code -> new Outcome.Failed(FULL, new DeadLetter(code, Stage.OUTPUT, code + "…"))));
  }

  static Stream<OutputRecord> outputRecords() {
    return SOURCE_RECORDS.stream()
        .flatMap(
            source ->
                Stream.of(
                        OutputRecord.Destination.LABELS,
                        OutputRecord.Destination.DEAD_LETTERS,
                        OutputRecord.Destination.EXPLANATIONS,
                        OutputRecord.Destination.route("review"))
                    .map(
                        destination ->
                            new OutputRecord(
                                destination,
                                source.key(),
                                source.value(),
                                source.headers(),
                                source.timestamp(),
                                source.partition())));
  }

  private static <T> byte[] write(TypeSerializer<T> serializer, T value) throws IOException {
    DataOutputSerializer out = new DataOutputSerializer(16);
    serializer.serialize(value, out);
    return out.getCopyOfBuffer();
  }

  private static <T> T read(TypeSerializer<T> serializer, byte[] bytes) throws IOException {
    DataInputDeserializer in = new DataInputDeserializer(bytes);
    T value = serializer.deserialize(in);
    assertThat(in.available()).as("what was not read").isZero();
    return value;
  }

  private static <T> void comesBack(TypeSerializer<T> serializer, T value) throws Exception {
    byte[] bytes = write(serializer, value);
    assertThat(read(serializer, bytes)).isEqualTo(value).hasSameHashCodeAs(value);
    assertThat(serializer.deserialize(value, new DataInputDeserializer(bytes))).isEqualTo(value);

    DataOutputSerializer copied = new DataOutputSerializer(16);
    serializer.copy(new DataInputDeserializer(bytes), copied);
    assertThat(copied.getCopyOfBuffer()).isEqualTo(bytes);
    assertThat(serializer.copy(value)).isSameAs(value);
    assertThat(serializer.copy(value, value)).isSameAs(value);
  }

  @ParameterizedTest
  @FieldSource("SOURCE_RECORDS")
  void sourceRecordsComeBack(SourceRecord value) throws Exception {
    comesBack(SourceRecordSerializer.INSTANCE, value);
  }

  @ParameterizedTest
  @MethodSource("outcomes")
  void outcomesComeBack(Outcome value) throws Exception {
    comesBack(OutcomeSerializer.INSTANCE, value);
  }

  @ParameterizedTest
  @MethodSource("outputRecords")
  void outputRecordsComeBack(OutputRecord value) throws Exception {
    comesBack(OutputRecordSerializer.INSTANCE, value);
  }

  @Test
  void recordsOneAfterTheOtherComeBack() throws Exception {
    DataOutputSerializer out = new DataOutputSerializer(16);
    for (SourceRecord value : SOURCE_RECORDS) {
      SourceRecordSerializer.INSTANCE.serialize(value, out);
    }
    DataInputDeserializer in = new DataInputDeserializer(out.getCopyOfBuffer());
    for (SourceRecord value : SOURCE_RECORDS) {
      assertThat(SourceRecordSerializer.INSTANCE.deserialize(in)).isEqualTo(value);
    }
  }

  static Stream<TypeSerializer<?>> serializers() {
    return Stream.of(
        SourceRecordSerializer.INSTANCE,
        OutcomeSerializer.INSTANCE,
        OutputRecordSerializer.INSTANCE);
  }

  @ParameterizedTest
  @MethodSource("serializers")
  <T> void snapshotsRestoreTheirSerializer(TypeSerializer<T> serializer) throws Exception {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (DataOutputViewStreamWrapper out =
        new DataOutputViewStreamWrapper(new DataOutputStream(bytes))) {
      TypeSerializerSnapshotSerializationUtil.writeSerializerSnapshot(
          out, serializer.snapshotConfiguration());
    }
    TypeSerializerSnapshot<T> restored;
    try (DataInputViewStreamWrapper in =
        new DataInputViewStreamWrapper(
            new DataInputStream(new java.io.ByteArrayInputStream(bytes.toByteArray())))) {
      restored =
          TypeSerializerSnapshotSerializationUtil.readSerializerSnapshot(
              in, getClass().getClassLoader());
    }

    assertThat(restored.restoreSerializer()).isEqualTo(serializer);
    assertThat(
            serializer
                .snapshotConfiguration()
                .resolveSchemaCompatibility(restored)
                .isCompatibleAsIs())
        .isTrue();
  }

  @ParameterizedTest
  @MethodSource("serializers")
  void serializersTravelWithTheJob(TypeSerializer<?> serializer) throws Exception {
    assertThat((TypeSerializer<?>) InstantiationUtil.clone(serializer)).isEqualTo(serializer);
    assertThat(serializer.duplicate()).isEqualTo(serializer);
    assertThat(serializer.isImmutableType()).isTrue();
    assertThat(serializer.getLength()).isEqualTo(-1);
  }

  @Test
  void typesNameTheirOwnSerializers() {
    SerializerConfigImpl config = new SerializerConfigImpl();
    assertThat(RecordTypes.SOURCE_RECORD.createSerializer(config))
        .isSameAs(SourceRecordSerializer.INSTANCE);
    assertThat(RecordTypes.OUTCOME.createSerializer(config)).isSameAs(OutcomeSerializer.INSTANCE);
    assertThat(RecordTypes.OUTPUT_RECORD.createSerializer(config))
        .isSameAs(OutputRecordSerializer.INSTANCE);
  }

  @ParameterizedTest
  @MethodSource("serializers")
  void saysThatAFormIsUnknown(TypeSerializer<?> serializer) {
    int newest =
        serializer instanceof OutcomeSerializer
            ? 3
            : serializer instanceof OutputRecordSerializer ? 2 : 1;
    for (int form : new int[] {0, newest + 1, 255}) {
      assertThatIOException()
          .isThrownBy(
              () -> serializer.deserialize(new DataInputDeserializer(new byte[] {(byte) form, 0})))
          .withMessage(
              "A stored record has form "
                  + form
                  + ", but this version of Labelstream reads forms 1 to "
                  + newest
                  + ": restore it with the version that wrote it, or a newer one.");
    }
  }

  /**
   * What earlier versions wrote, in hex. The files were written once, by {@link #main}, and are
   * never written again: they stand for the savepoints that users have. A new form gets new files
   * beside these.
   */
  private static Map<String, Object> storedForms() {
    return Map.of(
        "source-record-v1-full.hex",
        FULL,
        "source-record-v1-bare.hex",
        BARE,
        "source-record-v1-empty.hex",
        EMPTY,
        "outcome-v1-labelled.hex",
        new Outcome.Labelled(FULL, "{}".getBytes(UTF_8), false),
        "outcome-v1-tombstone.hex",
        new Outcome.Labelled(BARE, null, false),
        "outcome-v1-failed.hex",
        FAILED,
        "outcome-v2-to-explain.hex",
        new Outcome.Labelled(FULL, "{}".getBytes(UTF_8), true),
        "outcome-v3-routed.hex",
        new Outcome.Labelled(FULL, "{}".getBytes(UTF_8), false, List.of("review", "audit"), true),
        "output-record-v2-route.hex",
        new OutputRecord(OutputRecord.Destination.route("review"), null, null, List.of(), -1, 2),
        "output-record-v1.hex",
        new OutputRecord(
            OutputRecord.Destination.DEAD_LETTERS,
            FULL.key(),
            FULL.value(),
            FULL.headers(),
            FULL.timestamp(),
            FULL.partition()));
  }

  @SuppressWarnings("unchecked")
  private static TypeSerializer<Object> serializerOf(String name) {
    TypeSerializer<?> serializer =
        name.startsWith("source-record")
            ? SourceRecordSerializer.INSTANCE
            : name.startsWith("outcome")
                ? OutcomeSerializer.INSTANCE
                : OutputRecordSerializer.INSTANCE;
    return (TypeSerializer<Object>) serializer;
  }

  static Stream<String> storedNames() {
    return storedForms().keySet().stream().sorted();
  }

  @ParameterizedTest
  @MethodSource("storedNames")
  void whatAnEarlierVersionWroteIsRead(String name) throws Exception {
    byte[] stored = HexFormat.of().parseHex(Files.readString(STORED.resolve(name)).strip());

    assertThat(read(serializerOf(name), stored)).isEqualTo(storedForms().get(name));
  }

  /** Writes the stored forms that are not there yet; run in the folder of this module. */
  public static void main(String[] args) throws IOException {
    Files.createDirectories(STORED);
    for (Map.Entry<String, Object> form : storedForms().entrySet()) {
      Path file = STORED.resolve(form.getKey());
      if (!Files.exists(file)) {
        byte[] bytes = write(serializerOf(form.getKey()), form.getValue());
        Files.writeString(file, HexFormat.of().formatHex(bytes) + "\n");
      }
    }
  }
}
