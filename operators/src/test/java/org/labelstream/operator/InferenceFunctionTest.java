package org.labelstream.operator;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.runtime.execution.SuppressRestartsException;
import org.apache.flink.streaming.api.datastream.AsyncDataStream.OutputMode;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.apache.flink.util.InstantiationUtil;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.labelstream.codec.EventForm;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.engine.LoadedModel;
import org.labelstream.model.ModelFolder;
import org.labelstream.operator.InferenceSettings.Batching;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Outcome;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;
import org.labelstream.result.ResultSettings;
import org.labelstream.schedule.LaneSettings;
import org.labelstream.store.RemoteFileSystem;
import org.labelstream.task.TaskType.Order;

@Timeout(120)
class InferenceFunctionTest {

  private static final Path PARITY = Path.of("src/test/resources/parity");
  private static final String MODEL =
      PARITY.resolve("distilbert-sequence_classification").toString();
  private static final InferenceSettings SETTINGS = InferenceSettings.of("reviews", MODEL);
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir Path temporary;

  private final List<AsyncStage> open = new ArrayList<>();

  /** The async stage of one pipeline, as Flink runs it. */
  @SuppressWarnings("try") // the harness may be interrupted while it closes
  private static final class AsyncStage
      extends OneInputStreamOperatorTestHarness<SourceRecord, Outcome> {
    private boolean closed;

    AsyncStage(InferenceSettings settings, Integer capacity) throws Exception {
      super(
          new ModelOperatorFactory<>(
              // A copy, as the cluster gets it.
              InstantiationUtil.clone(new InferenceFunction(settings, Order.PARTITION)),
              OutputMode.ORDERED,
              capacity),
          SourceRecordSerializer.INSTANCE);
      setup(OutcomeSerializer.INSTANCE);
    }

    void read(SourceRecord record) throws Exception {
      processElement(record, record.timestamp());
    }

    List<Outcome> finish() throws Exception {
      endInput();
      List<Outcome> outcomes = extractOutputValues();
      close();
      return outcomes;
    }

    @Override
    public void close() throws Exception {
      if (!closed) {
        closed = true;
        super.close();
      }
    }
  }

  private AsyncStage stage(InferenceSettings settings) throws Exception {
    return stage(settings, null);
  }

  private AsyncStage stage(InferenceSettings settings, Integer capacity) throws Exception {
    AsyncStage stage = new AsyncStage(settings, capacity);
    open.add(stage);
    return stage;
  }

  @BeforeEach
  void resetTheStore() {
    RemoteFileSystem.reset();
  }

  @AfterEach
  void closeWhatIsOpen() throws Exception {
    for (AsyncStage stage : open) {
      stage.close();
    }
  }

  private static SourceRecord record(int offset, byte[] value) {
    return new SourceRecord(null, value, List.of(), "texts", 0, offset, 1_000 + offset);
  }

  private static SourceRecord record(int offset, String value) {
    return record(offset, value.getBytes(UTF_8));
  }

  private static List<SourceRecord> texts(int count) {
    List<SourceRecord> records = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      records.add(record(i, "good film " + "and so on ".repeat((i * 7919) % 23) + i));
    }
    return records;
  }

  private List<Outcome> label(InferenceSettings settings, List<SourceRecord> records)
      throws Exception {
    AsyncStage stage = stage(settings);
    stage.open();
    for (SourceRecord record : records) {
      stage.read(record);
    }
    return stage.finish();
  }

  private Outcome label(InferenceSettings settings, SourceRecord record) throws Exception {
    List<Outcome> outcomes = label(settings, List.of(record));
    assertThat(outcomes).hasSize(1);
    assertThat(outcomes.get(0).source()).isEqualTo(record);
    return outcomes.get(0);
  }

  private JsonNode result(InferenceSettings settings, String value) throws Exception {
    return result(label(settings, record(0, value)), settings.pipeline());
  }

  private static JsonNode result(Outcome outcome, String pipeline) throws IOException {
    assertThat(outcome).isInstanceOf(Outcome.Labelled.class);
    return JSON.readTree(((Outcome.Labelled) outcome).value()).get("inference").get(pipeline);
  }

  private static List<SourceRecord> sources(List<Outcome> outcomes) {
    return outcomes.stream().map(Outcome::source).toList();
  }

  @Nested
  class ARecord {

    @Test
    void getsItsLabelFromTheModel() throws Exception {
      JsonNode result = result(SETTINGS, "{\"id\": \"e-1\", \"text\": \"a good film\"}");

      assertThat(result.propertyStream().map(Map.Entry::getKey).toList())
          .containsExactly("task", "model", "version", "label", "score", "tokens", "truncated");
      assertThat(result.get("task").asText()).isEqualTo("sequence_classification");
      assertThat(result.get("model").asText()).isEqualTo("distilbert-sequence_classification");
      assertThat(result.get("version").asText()).matches("[0-9a-f]{8}");
      assertThat(result.get("label").asText()).isIn("NEGATIVE", "NEUTRAL", "POSITIVE");
      assertThat(result.get("score").asDouble()).isBetween(1 / 3.0, 1.0);
      assertThat(result.get("truncated").asBoolean()).isFalse();
    }

    @Test
    void saysWhereTheModelDidNotSeeAllOfIt() throws Exception {
      JsonNode result = result(SETTINGS, "good ".repeat(1_000));

      assertThat(result.get("truncated").asBoolean()).isTrue();
      assertThat(result.get("tokens").asInt()).isEqualTo(64);
    }

    @Test
    void thatIsOddIsLabelledToo() throws Exception {
      List<SourceRecord> odd =
          List.of(
              record(0, ""),
              record(1, "😀😀 \u202E אבג"),
              record(2, "{\"text\": \"\\ud800\"}"),
              record(3, "{\"text\": \"\", \"text_pair\": \"\"}"),
              record(4, "{\"text\": \"\\u0000\"}"),
              record(5, "word".repeat(50_000)));

      assertThat(label(SETTINGS, odd)).hasSize(6).allMatch(Outcome.Labelled.class::isInstance);
    }

    @Test
    void withSettingsOfItsOwnOverridesThePipelines() throws Exception {
      InferenceSettings two =
          SETTINGS.withParameters(Map.of("top_k", 2, "function_to_apply", "sigmoid"));

      JsonNode defaults = result(two, "a good film");
      JsonNode one = result(two, "{\"text\": \"a good film\", \"parameters\": {\"top_k\": 1}}");
      JsonNode all =
          result(
              two,
              "{\"text\": \"a good film\", \"parameters\": {\"top_k\": null, \"function_to_apply\": \"softmax\"}}");

      assertThat(defaults.get("scores")).hasSize(2);
      assertThat(one.get("scores")).hasSize(1);
      assertThat(one.get("score")).isEqualTo(defaults.get("score"));
      assertThat(all.get("scores")).hasSize(3);
      double sum = 0;
      for (JsonNode score : all.get("scores")) {
        sum += score.get("score").asDouble();
      }
      assertThat(sum).isCloseTo(1, org.assertj.core.data.Offset.offset(1e-5));
      assertThat(one.get("request")).isEqualTo(JSON.readTree("{\"parameters\": {\"top_k\": 1}}"));
    }

    @ParameterizedTest
    @CsvSource(
        delimiter = '|',
        value = {
          "{\"top_k\": 0} | top_k is 0, but must be from 1 to 2147483647, or null",
          "{\"top_k\": 99999999999999999999} | top_k is a number beyond 64 bits, but must be from 1 to 2147483647, or null",
          "{\"top_k\": \"two\"} | top_k is \"two\", but must be a whole number from 1 to 2147483647, or null",
          "{\"top_k\": 1.5} | top_k is 1.5, but must be a whole number from 1 to 2147483647, or null",
          "{\"topk\": 1} | there is no parameter topk: did you mean top_k?; where the field is somebody else's, set input.control.parameters: off",
          "{\"function_to_apply\": \"relu\"} | function_to_apply is \"relu\", but must be one of default, softmax, sigmoid, none",
        })
    void withWrongSettingsIsADeadLetter(String parameters, String sentence) throws Exception {
      Outcome outcome =
          label(SETTINGS, record(0, "{\"text\": \"a\", \"parameters\": " + parameters + "}"));

      assertThat(((Outcome.Failed) outcome).letter())
          .isEqualTo(
              new DeadLetter(
                  ErrorCode.INVALID_PARAMETER, Stage.DECODE, "in parameters, " + sentence));
    }

    @ParameterizedTest
    @CsvSource(
        delimiter = '|',
        quoteCharacter = '\u0001',
        value = {
          "{\"broken | MALFORMED_JSON",
          "{\"id\": 1} | MISSING_FIELD",
          "{\"text\": null} | MISSING_FIELD",
          "{\"text\": 1} | INVALID_FIELD",
          "{\"text\": \"a\", \"parameters\": []} | INVALID_PARAMETER",
        })
    void thatCannotBeReadIsADeadLetter(String value, ErrorCode code) throws Exception {
      DeadLetter letter = ((Outcome.Failed) label(SETTINGS, record(0, value))).letter();

      assertThat(letter.code()).isEqualTo(code);
      assertThat(letter.stage()).isEqualTo(Stage.DECODE);
      assertThat(letter.message()).isNotBlank();
    }

    @Test
    void withoutAValueIsADeadLetterOrPassedOn() throws Exception {
      SourceRecord tombstone = new SourceRecord(new byte[] {1}, null, List.of(), "texts", 0, 7, 5);

      assertThat(((Outcome.Failed) label(SETTINGS, tombstone)).letter().code())
          .isEqualTo(ErrorCode.NULL_VALUE);
      assertThat(label(with(SETTINGS, Tombstones.FORWARD, SETTINGS.timeout()), tombstone))
          .isEqualTo(new Outcome.Labelled(tombstone, null, false));
    }

    @Test
    void isInExactlyOneOutcomeAndInItsPlace() throws Exception {
      List<SourceRecord> records = new ArrayList<>();
      for (int i = 0; i < 600; i++) {
        records.add(
            switch (i % 7) {
              case 3 -> record(i, "{\"broken");
              case 4 -> record(i, (byte[]) null);
              case 5 -> record(i, new byte[] {-1, (byte) i});
              case 6 -> record(i, "{\"text\": \"it was good\", \"n\": " + i + "}");
              default -> texts(i + 1).get(i);
            });
      }

      List<Outcome> outcomes = label(SETTINGS, records);

      assertThat(sources(outcomes)).isEqualTo(records);
      for (int i = 0; i < outcomes.size(); i++) {
        assertThat(outcomes.get(i) instanceof Outcome.Failed)
            .as("record %d", i)
            .isEqualTo(i % 7 >= 3 && i % 7 <= 5);
      }
    }
  }

  private static InferenceSettings with(
      InferenceSettings settings, Tombstones tombstones, Duration timeout) {
    return new InferenceSettings(
        settings.pipeline(),
        settings.model(),
        DeviceChoice.CPU,
        EventForm.DEFAULT,
        settings.maxValueBytes(),
        tombstones,
        settings.parameters(),
        timeout,
        LaneSettings.CALL_TIMEOUT,
        new Batching(64, 16, Duration.ofSeconds(1), Duration.ofMillis(1)),
        settings.verify(),
        settings.modelSha256(),
        settings.results(),
        Caching.DEFAULT,
        null);
  }

  @Test
  void aRecordThatWaitsInAFullQueueIsLabelledToo() throws Exception {
    AsyncStage stage = stage(with(SETTINGS, Tombstones.DEAD_LETTER, SETTINGS.timeout()), 3);
    stage.open();
    List<SourceRecord> records = texts(50);
    for (SourceRecord record : records) {
      stage.read(record);
    }

    assertThat(sources(stage.finish())).isEqualTo(records);
  }

  @Test
  void recordsInFlightAtASnapshotAreEachLabelledOnceAfterIt() throws Exception {
    List<SourceRecord> records = texts(150);
    AsyncStage before = stage(SETTINGS);
    before.open();
    for (SourceRecord record : records) {
      before.read(record);
    }
    OperatorSubtaskState snapshot = before.snapshot(1, 1);
    List<Outcome> emitted = before.extractOutputValues();
    before.close();

    AsyncStage after = stage(SETTINGS);
    after.initializeState(snapshot);
    after.open();
    SourceRecord next = record(150, "one more");
    after.read(next);

    List<SourceRecord> all = new ArrayList<>(sources(emitted));
    all.addAll(sources(after.finish()));
    List<SourceRecord> expected = new ArrayList<>(records);
    expected.add(next);
    assertThat(emitted).hasSizeLessThan(records.size());
    assertThat(all).isEqualTo(expected);
  }

  @Test
  void closingWhileRecordsAreInFlightNeitherHangsNorThrows() throws Exception {
    for (int round = 0; round < 5; round++) {
      AsyncStage stage = stage(SETTINGS);
      stage.open();
      for (SourceRecord record : texts(200)) {
        stage.read(record);
      }
      stage.close();
    }
  }

  @Test
  void severalAtOnceShareOneModelAndCloseInAnyOrder() throws Exception {
    ModelFolder folder = ModelFolder.read(Path.of(MODEL), ModelFolder.Verify.REQUIRED);
    for (List<Integer> order : List.of(List.of(0, 1, 2), List.of(2, 1, 0), List.of(1, 2, 0))) {
      List<AsyncStage> stages = new ArrayList<>();
      for (int i = 0; i < 3; i++) {
        AsyncStage stage = stage(SETTINGS);
        stage.open();
        stages.add(stage);
      }
      try (LoadedModel first = LoadedModel.lease(folder, DeviceChoice.CPU);
          LoadedModel second = LoadedModel.lease(folder, DeviceChoice.CPU)) {
        assertThat(first.tokenizer()).isSameAs(second.tokenizer());
      }
      List<SourceRecord> records = texts(60);
      for (SourceRecord record : records) {
        for (AsyncStage stage : stages) {
          stage.read(record);
        }
      }
      for (int i : order) {
        List<Outcome> outcomes = stages.get(i).finish();
        assertThat(sources(outcomes)).isEqualTo(records);
        assertThat(outcomes).allMatch(Outcome.Labelled.class::isInstance);
      }
    }
  }

  @Nested
  class AModelThatCannotBeUsed {

    private void stopsTheJob(InferenceSettings settings, String sentence) throws Exception {
      AsyncStage stage = stage(settings);
      Throwable e = catchThrowable(stage::open);

      assertThat(e).isInstanceOf(SuppressRestartsException.class);
      assertThat(e.getCause()).hasMessage("Pipeline reviews cannot start: " + sentence);
      stage.close(); // as Flink does after a failed open
    }

    private Path copy() throws IOException {
      return copy(Path.of(MODEL));
    }

    private Path copy(Path model) throws IOException {
      Path folder = Files.createDirectory(temporary.resolve("copy"));
      try (Stream<Path> files = Files.list(model)) {
        for (Path file : files.toList()) {
          Files.copy(file, folder.resolve(file.getFileName()));
        }
      }
      return folder;
    }

    private void rewrite(Path file, String from, String to) throws IOException {
      Files.writeString(file, Files.readString(file).replace(from, to));
    }

    @Test
    void stopsTheJobWhereItIsMissing() throws Exception {
      Path nowhere = temporary.resolve("nowhere");

      stopsTheJob(
          InferenceSettings.of("reviews", nowhere.toString()),
          nowhere + " does not exist: name a model folder, such as scripts/export_model.py writes");
    }

    @Test
    void stopsTheJobWhereAFileIsMissing() throws Exception {
      Path folder = copy();
      Files.delete(folder.resolve("tokenizer.json"));

      stopsTheJob(
          InferenceSettings.of("reviews", folder.toString()),
          folder
              + " has no tokenizer.json: the folder is incomplete; export the checkpoint again with scripts/export_model.py");
    }

    @Test
    void stopsTheJobWhereItsTaskIsUnknown() throws Exception {
      Path folder = copy();
      rewrite(folder.resolve("labelstream.json"), "sequence_classification", "image_captioning");
      rewrite(folder.resolve("model-config.yaml"), "  mode:", "  # mode:");

      stopsTheJob(
          InferenceSettings.of("reviews", folder.toString()),
          folder
              + " is for the task image_captioning, which this version does not have: it has sequence_classification, token_classification, question_answering, text_generation");
    }

    @Test
    void stopsTheJobWhereTheModuleIsNone() throws Exception {
      Path folder = copy();
      Files.writeString(folder.resolve("model.pt"), "nothing");
      rewrite(folder.resolve("labelstream.json"), "\"sha256\"", "\"sums\"");
      AsyncStage stage = stage(InferenceSettings.of("reviews", folder.toString()));

      assertThat(catchThrowable(stage::open))
          .isInstanceOf(SuppressRestartsException.class)
          .rootCause()
          .isNotNull();
      stage.close();
    }

    @Test
    void stopsTheJobWhereTheModelGivesAnotherNumberOfLogits() throws Exception {
      Path folder = copy();
      rewrite(folder.resolve("labelstream.json"), "\"num_labels\": 3", "\"num_labels\": 2");
      rewrite(folder.resolve("model-config.yaml"), "num_labels: 3", "num_labels: 2");
      Files.writeString(folder.resolve("index_to_name.json"), "{\"0\": \"A\", \"1\": \"B\"}");
      rewrite(folder.resolve("labelstream.json"), "\"sha256\"", "\"sums\"");

      stopsTheJob(
          InferenceSettings.of("reviews", folder.toString()),
          "the model of "
              + folder
              + " gives 3 logits, but its folder has num_labels: 2: export the checkpoint again");
    }

    @Test
    void stopsTheJobWhereTheModelGivesNoNumbers() throws Exception {
      Path folder = copy();
      withoutNumbers(folder.resolve("model.pt"));
      rewrite(folder.resolve("labelstream.json"), "\"sha256\"", "\"sums\"");

      stopsTheJob(
          InferenceSettings.of("reviews", folder.toString()),
          "the model of "
              + folder
              + " gives no numbers (NaN) for a short text: its weights are damaged: export the checkpoint again");
    }

    /** Makes every weight a NaN: the tensors of a module are files of a zip archive. */
    private void withoutNumbers(Path module) throws IOException {
      ByteArrayOutputStream changed = new ByteArrayOutputStream();
      try (ZipFile archive = new ZipFile(module.toFile());
          ZipOutputStream out = new ZipOutputStream(changed)) {
        for (ZipEntry entry : Collections.list(archive.entries())) {
          byte[] content = archive.getInputStream(entry).readAllBytes();
          if (entry.getName().matches(".*/(data|constants)/[0-9]+") && isOfFloats(content)) {
            Arrays.fill(content, (byte) 0xFF); // as float32, a NaN
          }
          CRC32 sum = new CRC32();
          sum.update(content);
          ZipEntry stored = new ZipEntry(entry.getName());
          stored.setMethod(ZipEntry.STORED);
          stored.setSize(content.length);
          stored.setCrc(sum.getValue());
          out.putNextEntry(stored);
          out.write(content);
        }
      }
      Files.write(module, changed.toByteArray());
    }

    /** Whole numbers are none: as floats they are next to 0. */
    private static boolean isOfFloats(byte[] content) {
      FloatBuffer floats = ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
      return IntStream.range(0, Math.min(16, floats.limit()))
          .anyMatch(i -> Math.abs(floats.get(i)) > 1e-6 && Math.abs(floats.get(i)) < 10);
    }

    @ParameterizedTest
    @CsvSource({
      "layers, cannot label a short text",
      "heads, cannot label a short text",
      "bos_token_id, 'knows 300 tokens, and its folder has bos_token_id: 1000'",
    })
    void stopsTheJobWhereAGeneratorIsNotAsItsFolderSays(String field, String sentence)
        throws Exception {
      Path folder = copy(Path.of("src/test/resources/parity/gpt2-text_generation"));
      Path manifest = folder.resolve("labelstream.json");
      Files.writeString(
          manifest,
          Files.readString(manifest)
              .replaceFirst("\"" + field + "\": [0-9]+", "\"" + field + "\": 1000"));
      AsyncStage stage = stage(InferenceSettings.of("stories", folder.toString()));

      Throwable e = catchThrowable(stage::open);

      assertThat(e).isInstanceOf(SuppressRestartsException.class);
      assertThat(e.getCause()).hasMessageContaining(sentence);
      stage.close();
    }

    @Test
    void stopsTheJobWhereThePipelinesSettingsAreWrong() throws Exception {
      stopsTheJob(
          SETTINGS.withParameters(new HashMap<>(Map.of("top_k", 0))),
          "top_k is 0, but must be from 1 to 2147483647, or null");
    }

    @Test
    void stopsTheJobWhereABatchCannotBe() throws Exception {
      InferenceSettings settings =
          new InferenceSettings(
              "reviews",
              MODEL,
              DeviceChoice.AUTO,
              EventForm.DEFAULT,
              1_000,
              Tombstones.DEAD_LETTER,
              new HashMap<>(),
              Duration.ofSeconds(1),
              LaneSettings.CALL_TIMEOUT,
              new Batching(0, 16, Duration.ofSeconds(1), Duration.ZERO),
              ModelFolder.Verify.REQUIRED,
              null,
              ResultSettings.DEFAULT,
              Caching.DEFAULT,
              null);

      stopsTheJob(settings, "max-tokens is 0, but a batch holds at least 1 token: raise it");
    }

    @Test
    void stopsTheJobWhereTheManifestNamesAModuleElsewhere() throws Exception {
      Path folder = copy();
      Files.copy(folder.resolve("model.pt"), temporary.resolve("x"));
      rewrite(folder.resolve("labelstream.json"), "\"task\":", "\"explain\": \"../x\", \"task\":");

      stopsTheJob(
          InferenceSettings.of("reviews", folder.toString()),
          folder.resolve("labelstream.json")
              + " names the file \"../x\" under explain, but may only name files of its own folder, without a path and not hidden: the file is the exporter's to write; export the checkpoint again");
    }

    static List<String> files() throws IOException {
      try (Stream<Path> files = Files.list(Path.of(MODEL))) {
        return files.map(file -> file.getFileName().toString()).sorted().toList();
      }
    }

    @ParameterizedTest
    @MethodSource("files")
    void stopsTheJobWhereAByteOfAnyFileHasChangedSinceTheSubmission(String name) throws Exception {
      Path folder = copy();
      String submitted = ModelFolder.read(folder, ModelFolder.Verify.REQUIRED).sha256();
      InferenceSettings settings =
          InferenceSettings.of("reviews", folder.toString()).withModelSha256(submitted);
      result(settings, "it can be read as it is");
      byte[] bytes = Files.readAllBytes(folder.resolve(name));
      int place = bytes.length - 1;
      if (name.endsWith(".json") || name.endsWith(".yaml")) {
        assertThat(bytes[place]).isEqualTo((byte) '\n');
        bytes[place] = ' '; // which says the same, so that no reader of it complains
      } else {
        bytes[place] ^= 1;
      }
      Files.write(folder.resolve(name), bytes);

      boolean summed =
          List.of("model.pt", "tokenizer.json", "tokenizer_config.json", "config.json")
              .contains(name);
      AsyncStage stage = stage(settings);
      assertThat(catchThrowable(stage::open))
          .isInstanceOf(SuppressRestartsException.class)
          .cause()
          .hasMessageStartingWith(
              "Pipeline reviews cannot start: "
                  + (summed
                      ? folder.resolve(name) + " is not the file that was exported"
                      : folder
                          + " is not the model folder of this job: its SHA-256 begins with "
                          + ModelFolder.read(folder, ModelFolder.Verify.IF_PRESENT).version()
                          + ", that of the job (taken when it was submitted, or pinned by model-sha256) with "
                          + submitted.substring(0, 8)
                          + ". Submit the job again, or put the same folder on every TaskManager"));
      stage.close();
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "tokenizer.json", "labelstream.json"})
    void restartsTheJobWhereWhatWasThereAtTheSubmissionIsAwayForAMoment(String name)
        throws Exception {
      Path folder = copy();
      InferenceSettings settings =
          InferenceSettings.of("reviews", folder.toString())
              .withModelSha256(ModelFolder.read(folder, ModelFolder.Verify.REQUIRED).sha256());
      Path away = Files.move(folder.resolve(name), temporary.resolve("away"));
      AsyncStage stage = stage(settings);

      assertThat(catchThrowable(stage::open))
          .isInstanceOf(IOException.class)
          .hasMessageStartingWith("Pipeline reviews: " + folder)
          .hasMessageContaining(name.isEmpty() ? " does not exist" : " has no " + name);
      stage.close();

      Files.move(away, folder.resolve(name));
      assertThat(result(settings, "it is back").get("model").asText()).isEqualTo("copy");
    }

    @Test
    void stopsTheJobWhereItsAddressIsWrong() throws Exception {
      Files.createDirectory(temporary.resolve("empty"));
      String address = RemoteFileSystem.address(temporary.resolve("empty"));
      stopsTheJob(
          InferenceSettings.of("reviews", address),
          "the model folder "
              + address
              + " cannot be fetched (there is nothing there): check the address");

      AsyncStage stage = stage(InferenceSettings.of("reviews", "nosuchscheme://m/reviews"));
      assertThat(catchThrowable(stage::open))
          .isInstanceOf(SuppressRestartsException.class)
          .cause()
          .hasMessageContaining("that Flink has the plugin");
      stage.close();
    }

    @Test
    void restartsTheJobWhereItsStoreDoesNotAnswer() throws Exception {
      RemoteFileSystem.fault =
          (name, in, buffer, offset, length) -> {
            throw new IllegalStateException(
                "the client has given up",
                new RuntimeException(new SocketTimeoutException("Read timed out")));
          };
      AsyncStage stage =
          stage(InferenceSettings.of("reviews", RemoteFileSystem.address(Path.of(MODEL))));

      assertThat(catchThrowable(stage::open))
          .isInstanceOf(IOException.class)
          .isNotInstanceOf(SuppressRestartsException.class)
          .hasMessageContaining("the client has given up");
      stage.close();
    }

    @Test
    void isFetchedOnceForAllStagesOfAProcess() throws Exception {
      InferenceSettings remote =
          InferenceSettings.of("reviews", RemoteFileSystem.address(Path.of(MODEL)));
      for (int i = 0; i < 3; i++) {
        stage(remote).open();
      }

      assertThat(RemoteFileSystem.READ).containsExactlyInAnyOrderElementsOf(files());
      assertThat(result(remote, "good").get("model").asText())
          .isEqualTo("distilbert-sequence_classification");
      assertThat(RemoteFileSystem.READ).hasSize(files().size());
    }

    @Test
    void mayHaveATokenizerWithoutSpecialTokens() throws Exception {
      Path folder = copy();
      Path file = folder.resolve("tokenizer.json");
      ObjectNode tokenizer = (ObjectNode) JSON.readTree(file.toFile());
      JSON.writeValue(file.toFile(), tokenizer.putNull("post_processor"));
      rewrite(folder.resolve("labelstream.json"), "\"sha256\"", "\"sums\"");
      InferenceSettings settings = InferenceSettings.of("reviews", folder.toString());

      List<Outcome> outcomes = label(settings, List.of(record(0, ""), record(1, "good")));

      assertThat(((Outcome.Failed) outcomes.get(0)).letter())
          .isEqualTo(
              new DeadLetter(
                  ErrorCode.INVALID_FIELD,
                  Stage.ENCODE,
                  "the field text has no tokens, and this model's tokenizer adds none of its own: send a text with words"));
      assertThat(result(outcomes.get(1), "reviews").get("tokens").asInt()).isPositive();
    }

    @Test
    void isReadThroughAUriToo() throws Exception {
      Path folder = Files.createDirectory(temporary.resolve("with space"));
      try (Stream<Path> files = Files.list(Path.of(MODEL))) {
        for (Path file : files.toList()) {
          Files.copy(file, folder.resolve(file.getFileName()));
        }
      }

      InferenceSettings byUri = InferenceSettings.of("reviews", folder.toUri().toString());
      assertThat(result(byUri, "good").get("model").asText()).isEqualTo("with space");
    }
  }
}
