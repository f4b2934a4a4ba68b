package org.labelstream.task;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.InstanceOfAssertFactories.type;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.engine.KeyValueCache;
import org.labelstream.engine.LoadedModel;
import org.labelstream.model.InvalidModelException;
import org.labelstream.model.ModelFolder;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;
import org.labelstream.record.TextEvent;
import org.labelstream.schedule.Plan;
import org.labelstream.task.TextGeneration.Generation;

/** What ParityTest, which compares with the Hugging Face pipeline, leaves open. */
class TextGenerationTest {

  private static final Path PARITY = Path.of("src/test/resources/parity");
  private static final Path GPT2 = PARITY.resolve("gpt2-text_generation");
  private static final Path LLAMA = PARITY.resolve("llama-text_generation");
  private static final int POSITIONS = 144;
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final List<String> PROMPTS =
      List.of(
          "Once upon a time",
          "a",
          "The film was long and I slept.",
          "Anna lives in ",
          "Москва",
          "I am 🙂",
          "one two one two one two one",
          "We waited for an hour and the soup was cold.");

  private static LoadedModel gpt2;
  private static LoadedModel llama;

  @TempDir Path temporary;

  @BeforeAll
  static void load() {
    gpt2 = LoadedModel.lease(read(GPT2), DeviceChoice.CPU);
    llama = LoadedModel.lease(read(LLAMA), DeviceChoice.CPU);
  }

  @AfterAll
  static void close() {
    gpt2.close();
    llama.close();
  }

  private static ModelFolder read(Path path) {
    return ModelFolder.read(path, ModelFolder.Verify.IF_PRESENT);
  }

  private static Parameters parsed(Map<String, Object> given) {
    return TextGeneration.TYPE.parameters().parse(given);
  }

  private static Generation plan(
      LoadedModel model, int offset, String prompt, Map<String, Object> given)
      throws RejectedRecordException {
    Task task = TextGeneration.TYPE.factory().create(model);
    return (Generation) task.plan(TextEvent.ofText("texts-0@" + offset, prompt), parsed(given));
  }

  /** Runs texts in one company until all are done. */
  private static void run(LoadedModel model, List<Generation> generations) {
    Task task = TextGeneration.TYPE.factory().create(model);
    for (List<Generation> left = generations; !left.isEmpty(); ) {
      task.run(left);
      left = left.stream().filter(generation -> !generation.done()).toList();
    }
  }

  private static Generation generate(
      LoadedModel model, int offset, String prompt, Map<String, Object> given)
      throws RejectedRecordException {
    Generation generation = plan(model, offset, prompt, given);
    run(model, List.of(generation));
    return generation;
  }

  private static Prediction predict(LoadedModel model, String prompt, Map<String, Object> given)
      throws RejectedRecordException {
    return generate(model, 0, prompt, given).join();
  }

  private static int[] ids(LoadedModel model, String prompt) {
    return model.tokenizer().encode(prompt, null).ids();
  }

  /** The best tokens one after the other, each from a sequence that is read anew as a whole. */
  private static int[] greedy(LoadedModel model, int[] prompt, int count) {
    int[] sequence = prompt;
    for (int i = 0; i < count; i++) {
      try (KeyValueCache cache = new KeyValueCache()) {
        float[] logits =
            model.step(List.of(cache), List.<int[][]>of(new int[][] {sequence})).row(0);
        sequence = Arrays.copyOf(sequence, sequence.length + 1);
        sequence[sequence.length - 1] = Scores.argmax(logits);
      }
    }
    return Arrays.copyOfRange(sequence, prompt.length, sequence.length);
  }

  private static Map<String, Object> with(Map<String, Object> some, Map<String, Object> more) {
    Map<String, Object> all = new HashMap<>(some);
    all.putAll(more);
    return all;
  }

  private static void refused(
      LoadedModel model, String prompt, Map<String, Object> given, DeadLetter letter) {
    assertThatExceptionOfType(RejectedRecordException.class)
        .isThrownBy(() -> predict(model, prompt, given))
        .extracting(RejectedRecordException::letter)
        .isEqualTo(letter);
  }

  @Nested
  class Sampling {

    private static final Map<String, Object> DRAWN =
        Map.of(
            "do_sample", true, "temperature", 0.9, "max_new_tokens", 20, "eos_token_id", List.of());

    private static List<int[]> alone(LoadedModel model, Map<String, Object> given)
        throws RejectedRecordException {
      List<int[]> texts = new ArrayList<>();
      for (int i = 0; i < PROMPTS.size(); i++) {
        texts.add(generate(model, i, PROMPTS.get(i), given).newTokens());
      }
      return texts;
    }

    private static void sameInAnyCompany(LoadedModel model, Map<String, Object> given)
        throws RejectedRecordException {
      List<int[]> alone = alone(model, given);
      Random random = new Random(5);
      for (int round = 0; round < 3; round++) {
        List<Generation> all = new ArrayList<>();
        for (int i = 0; i < PROMPTS.size(); i++) {
          all.add(plan(model, i, PROMPTS.get(i), given));
        }
        Task task = TextGeneration.TYPE.factory().create(model);
        List<Generation> left = new ArrayList<>(all);
        while (!left.isEmpty()) { // some of those that are left, be they begun or not
          Collections.shuffle(left, random);
          task.run(left.subList(0, 1 + random.nextInt(left.size())));
          left.removeIf(Generation::done);
        }
        for (int i = 0; i < all.size(); i++) {
          assertThat(all.get(i).newTokens()).as(PROMPTS.get(i)).isEqualTo(alone.get(i));
        }
      }
    }

    @Test
    void aRecordGetsItsTextInWhateverCompany() throws Exception {
      sameInAnyCompany(gpt2, DRAWN);
      sameInAnyCompany(llama, DRAWN);
    }

    @Test
    void aRecordGetsItsTextAgainAfterARestart() throws Exception {
      List<int[]> before = alone(gpt2, DRAWN);
      Path elsewhere = copy(GPT2, folder -> {});
      write(elsewhere, "README.md", "another version"); // so that it is loaded anew
      try (LoadedModel again = LoadedModel.lease(read(elsewhere), DeviceChoice.CPU)) {
        assertThat(again.tokenizer()).isNotSameAs(gpt2.tokenizer());
        assertThat(alone(again, DRAWN)).usingRecursiveComparison().isEqualTo(before);
      }
    }

    @Test
    void theSameSeedAndPromptGiveTheSameTextWhereverTheRecordStands() throws Exception {
      Map<String, Object> seeded = with(DRAWN, Map.of("seed", 12L));
      int[] text = generate(gpt2, 3, "Once upon a time", seeded).newTokens();

      assertThat(generate(gpt2, 4711, "Once upon a time", seeded).newTokens()).isEqualTo(text);
    }

    @Test
    void otherSeedsAndOtherPlacesGiveOtherTexts() throws Exception {
      Set<String> texts = new HashSet<>();
      for (int i = 0; i < 40; i++) {
        Map<String, Object> seeded = with(DRAWN, Map.of("seed", (long) i));
        texts.add(generate(gpt2, 0, "Once upon a time", seeded).newText());
        texts.add(generate(gpt2, i, "Once upon a time", DRAWN).newText());
      }
      assertThat(texts).hasSize(80);
    }

    @Test
    void firstTokensOfManyRecordsAreAsFrequentAsTheModelSays() throws Exception {
      Map<String, Object> one = Map.of("do_sample", true, "top_k", 0, "max_new_tokens", 1);
      List<Generation> all = new ArrayList<>();
      for (int i = 0; i < 2000; i++) {
        all.add(plan(gpt2, 100_000 + i, "Once upon a time", one));
      }
      float[] logits;
      try (KeyValueCache cache = new KeyValueCache()) {
        int[][] prompt = {ids(gpt2, "Once upon a time")};
        logits = gpt2.step(List.of(cache), List.<int[][]>of(prompt)).row(0);
      }
      int[] counts = new int[logits.length];
      for (int start = 0; start < all.size(); start += 250) {
        run(gpt2, all.subList(start, start + 250));
      }
      all.forEach(generation -> counts[generation.newTokens()[0]]++);

      assertThat(SamplerTest.follows(counts, SamplerTest.softmax(logits)))
          .as(Arrays.toString(counts))
          .isTrue();
    }

    @Test
    void drawingFromTheBestTokenAloneIsTakingIt() throws Exception {
      Map<String, Object> best = with(DRAWN, Map.of("top_k", 1));
      for (String prompt : PROMPTS) {
        assertThat(generate(gpt2, 0, prompt, best).newTokens())
            .as(prompt)
            .isEqualTo(greedy(gpt2, ids(gpt2, prompt), 20));
      }
    }

    @Test
    void beamsThatAreDrawnAreTheSameAgainAndInAnyCompany() throws Exception {
      Map<String, Object> beams = with(DRAWN, Map.of("num_beams", 3, "max_new_tokens", 12));
      sameInAnyCompany(gpt2, beams);
      sameInAnyCompany(llama, beams);
      Set<String> texts = new HashSet<>();
      for (long seed = 0; seed < 10; seed++) {
        Map<String, Object> seeded = with(beams, Map.of("seed", seed, "temperature", 3));
        texts.add(generate(gpt2, 0, "Once upon a time", seeded).newText());
      }
      assertThat(texts).hasSizeGreaterThan(7);
    }

    @Test
    void beamsGoOnWhereFewTokensAreLeftToDraw() throws Exception {
      Map<String, Object> narrow =
          with(DRAWN, Map.of("num_beams", 4, "top_k", 1, "top_p", 0.01, "max_new_tokens", 12));
      assertThat(predict(gpt2, "Once upon a time", narrow).fields())
          .containsEntry("generated_tokens", 12)
          .containsEntry("finish_reason", "length");
    }
  }

  /** A copy of a folder with other files; what is edited has no sum any more. */
  private Path copy(Path fixture, Consumer<ObjectNode> manifest) throws IOException {
    Path folder = Files.createTempDirectory(temporary, "generator");
    try (Stream<Path> files = Files.list(fixture)) {
      for (Path file : files.toList()) {
        Files.copy(file, folder.resolve(file.getFileName()));
      }
    }
    Path file = folder.resolve("labelstream.json");
    ObjectNode content = (ObjectNode) JSON.readTree(file.toFile());
    content.remove("sha256");
    manifest.accept(content);
    JSON.writeValue(file.toFile(), content);
    return folder;
  }

  private static void write(Path folder, String name, String content) throws IOException {
    Files.writeString(folder.resolve(name), content);
  }

  @Nested
  class ItsSettingsComeFrom {

    private static final String OWN =
        "{\"do_sample\": true, \"temperature\": 0.5, \"top_k\": 7, \"top_p\": 0.8,"
            + " \"max_new_tokens\": 9, \"eos_token_id\": 110, \"num_beams\": null}";

    private Path folder;

    @BeforeEach
    void copyAFolder() throws IOException {
      folder = copy(GPT2, manifest -> {});
    }

    private GenerationSettings settings(Map<String, Object> pipeline, Map<String, Object> record)
        throws RejectedRecordException {
      return settings(parsed(pipeline).overriddenBy(parsed(record)), "Once upon a time");
    }

    private GenerationSettings settings(Parameters parameters, String prompt)
        throws RejectedRecordException {
      try (LoadedModel model = LoadedModel.lease(read(folder), DeviceChoice.CPU)) {
        Task task = TextGeneration.TYPE.factory().create(model);
        Plan plan = task.plan(TextEvent.ofText("texts-0@8", prompt), parameters);
        return assertThat(plan).extracting("settings", type(GenerationSettings.class)).actual();
      }
    }

    private void setMaxNewTokens(int most) throws IOException {
      write(
          folder,
          "model-config.yaml",
          "handler: {mode: text_generation, max_new_tokens: " + most + "}");
    }

    @Test
    void theLibraryWhereNobodySaysAnything() {
      assertThat(GenerationSettings.of(parsed(Map.of()), null, List.of(2), "texts-0@8"))
          .isEqualTo(
              new GenerationSettings(
                  256,
                  0,
                  1,
                  false,
                  "texts-0@8".hashCode(),
                  1,
                  50,
                  1,
                  0,
                  1,
                  0,
                  List.of(),
                  1,
                  "false",
                  List.of(2),
                  List.of(),
                  true));
    }

    @Test
    void theCheckpointsOwnFile() throws Exception {
      write(folder, "generation_config.json", OWN);

      GenerationSettings settings = settings(Map.of(), Map.of());

      assertThat(settings.sample()).isTrue();
      assertThat(settings.temperature()).isEqualTo(0.5f);
      assertThat(settings.topK()).isEqualTo(7);
      assertThat(settings.topP()).isEqualTo(0.8f);
      assertThat(settings.maxNewTokens()).isEqualTo(9);
      assertThat(settings.beams()).isEqualTo(1);
      assertThat(settings.eosTokenIds()).as("those of labelstream.json").containsExactly(0);
    }

    @Test
    void torchServeOverTheCheckpointsOwnFileWhereTheFolderWasAnArchive() throws Exception {
      folder = copy(GPT2, manifest -> manifest.put("torchserve", "pretrained"));
      write(folder, "generation_config.json", OWN.replace("true", "false"));

      GenerationSettings settings = settings(Map.of(), Map.of());

      assertThat(settings.sample()).isTrue();
      assertThat(settings.topP()).isEqualTo(0.95f);
      assertThat(settings.topK()).isEqualTo(60);
      assertThat(settings.temperature()).as("not TorchServe's to say").isEqualTo(0.5f);
      int prompt = ids(gpt2, "Once upon a time").length;
      assertThat(settings.maxNewTokens()).as("150, but for its end").isEqualTo(POSITIONS - prompt);
    }

    @Test
    void theUsersFileOverTorchServe() throws Exception {
      folder = copy(GPT2, manifest -> manifest.put("torchserve", "torchscript"));
      write(folder, "generation_config.json", OWN);
      setMaxNewTokens(12);

      GenerationSettings settings = settings(Map.of(), Map.of());

      assertThat(settings.maxNewTokens()).isEqualTo(12);
      assertThat(settings.topK()).isEqualTo(60);
    }

    @Test
    void thePipelineOverAllFilesAndTheRecordOverThePipeline() throws Exception {
      folder = copy(GPT2, manifest -> manifest.put("torchserve", "torchscript"));
      write(folder, "generation_config.json", OWN);
      setMaxNewTokens(12);
      Map<String, Object> pipeline = Map.of("max_new_tokens", 6, "top_k", 3, "seed", 1L);

      GenerationSettings ofPipeline = settings(pipeline, Map.of());
      assertThat(ofPipeline.maxNewTokens()).isEqualTo(6);
      assertThat(ofPipeline.topK()).isEqualTo(3);
      assertThat(ofPipeline.seed()).isEqualTo(1);
      assertThat(ofPipeline.topP()).isEqualTo(0.95f);

      Map<String, Object> record =
          Map.of("max_new_tokens", 4L, "do_sample", false, "eos_token_id", 5L);
      GenerationSettings ofRecord = settings(pipeline, record);
      assertThat(ofRecord.maxNewTokens()).isEqualTo(4);
      assertThat(ofRecord.sample()).isFalse();
      assertThat(ofRecord.eosTokenIds()).containsExactly(5);
      assertThat(ofRecord.topK()).isEqualTo(3);
      assertThat(ofRecord.topP()).isEqualTo(0.95f);
      assertThat(ofRecord.temperature()).isEqualTo(0.5f);
    }

    @Test
    void olderCheckpointsThatBoundPromptAndNewTokensTogether() throws Exception {
      write(folder, "generation_config.json", "{\"max_length\": 30}");
      int prompt = ids(gpt2, "Once upon a time").length;

      assertThat(settings(Map.of(), Map.of()).maxNewTokens()).isEqualTo(30 - prompt);
      assertThat(settings(parsed(Map.of()), "and so on ".repeat(8)).maxNewTokens()).isEqualTo(1);
      assertThat(settings(Map.of("max_new_tokens", 40), Map.of()).maxNewTokens()).isEqualTo(40);
      setMaxNewTokens(12);
      assertThat(settings(Map.of(), Map.of()).maxNewTokens()).isEqualTo(12);
    }

    @Test
    void nothingThatTheTextDoesNotShow() throws Exception {
      write(folder, "generation_config.json", "{\"max_new_tokens\": 9}");
      try (LoadedModel model = LoadedModel.lease(read(folder), DeviceChoice.CPU)) {
        assertThat(predict(model, "Once upon a time", Map.of()).fields())
            .containsEntry("generated_tokens", 9);
        assertThat(predict(model, "Once upon a time", Map.of("max_new_tokens", 3)).fields())
            .containsEntry("generated_tokens", 3);
      }
    }

    @ParameterizedTest
    @CsvSource(
        delimiter = '|',
        value = {
          "\"temperature\": \"warm\" | temperature is \"warm\", but must be a number above 0",
          "\"temperature\": 0        | temperature is 0, but must be a number above 0",
          "\"top_p\": 1.5            | top_p is 1.5, but must be from 0 to 1",
          "\"num_beams\": 65         | num_beams is 65, but must be from 1 to 64",
          "\"do_sample\": \"yes\"    | do_sample is \"yes\", but must be true or false",
          "\"early_stopping\": 3     | early_stopping is 3, but must be true, false or \"never\"",
        })
    void noFileThatIsWrong(String setting, String sentence) throws Exception {
      write(folder, "generation_config.json", "{" + setting + "}");

      try (LoadedModel model = LoadedModel.lease(read(folder), DeviceChoice.CPU)) {
        assertThatExceptionOfType(InvalidModelException.class)
            .isThrownBy(() -> TextGeneration.TYPE.factory().create(model))
            .withMessage(
                folder.resolve("generation_config.json")
                    + " cannot be used: "
                    + sentence
                    + "; correct it, and export again");
      }
    }

    @Test
    void noSettingThatIsNotDoneHereWhichANoticeSays() throws IOException {
      write(
          folder,
          "generation_config.json",
          "{\"typical_p\": 0.9, \"num_beam_groups\": 2, \"suppress_tokens\": [3], \"top_k\": 5}");

      assertThat(read(folder).notices())
          .containsExactlyInAnyOrder(
              notice("typical_p"), notice("num_beam_groups"), notice("suppress_tokens"));
    }

    private String notice(String name) {
      return folder.resolve("generation_config.json")
          + ": "
          + name
          + " is not used: this version cannot do it";
    }

    @ParameterizedTest
    @ValueSource(
        strings = {
          "\"typical_p\": 1.0, \"num_beam_groups\": 1, \"penalty_alpha\": null",
          "\"typical_p\": 1, \"diversity_penalty\": 0, \"guidance_scale\": 1",
          "\"suppress_tokens\": [], \"renormalize_logits\": false, \"use_cache\": true",
        })
    void noNoticeWhereASettingAsksForNothing(String neutral) throws IOException {
      write(folder, "generation_config.json", "{" + neutral + "}");

      assertThat(read(folder).notices()).isEmpty();
    }
  }

  @Nested
  class ItsEnd {

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void isATokenThatEndsTexts(boolean beams) throws Exception {
      int[] tokens = greedy(gpt2, ids(gpt2, "Once upon a time"), 30);
      int end = tokens[14];
      int first = IntStream.range(0, 30).filter(i -> tokens[i] == end).findFirst().orElseThrow();
      Map<String, Object> given = Map.of("max_new_tokens", 30, "eos_token_id", List.of(299, end));

      Generation text =
          generate(
              gpt2, 0, "Once upon a time", beams ? with(given, Map.of("num_beams", 2)) : given);

      if (!beams) {
        assertThat(text.newTokens()).isEqualTo(Arrays.copyOf(tokens, first + 1));
      }
      int[] generated = text.newTokens();
      assertThat(generated[generated.length - 1]).isIn(299, end);
      assertThat(text.join().fields())
          .containsEntry("finish_reason", "eos")
          .containsEntry("generated_tokens", generated.length);
    }

    @Test
    void isTheNumberOfTokens() throws Exception {
      Map<String, Object> fields =
          predict(llama, "Once upon a time", Map.of("max_new_tokens", 7)).fields();

      assertThat(fields.keySet())
          .containsExactly("generated_text", "generated_tokens", "finish_reason");
      assertThat(fields)
          .containsEntry("generated_tokens", 7)
          .containsEntry("finish_reason", "length");
    }

    @Test
    void isATextThatStopsIt() throws Exception {
      Generation whole = generate(llama, 0, "Once upon a time", Map.of("max_new_tokens", 30));
      assertThat(whole.newText()).containsOnlyOnce("ier");
      Map<String, Object> given =
          Map.of("max_new_tokens", 30, "stop_strings", List.of("not there", "ier"));

      Generation stopped = generate(llama, 0, "Once upon a time", given);

      assertThat(stopped.newText())
          .isEqualTo(whole.newText().substring(0, whole.newText().indexOf("ier") + 3));
      assertThat(stopped.join().fields())
          .containsEntry("finish_reason", "stop")
          .containsEntry("generated_tokens", stopped.newTokens().length);
    }

    @Test
    void isATextThatBeganInThePrompt() throws Exception {
      // Of the prompts, those whose last token and first new one can be read on their own.
      int seen = 0;
      for (String prompt : PROMPTS) {
        Generation one = generate(gpt2, 0, prompt, Map.of("max_new_tokens", 1));
        if (!prompt.matches("\\p{ASCII}*") || !one.newText().matches("\\p{ASCII}+")) {
          continue;
        }
        seen++;
        String across = prompt.substring(prompt.length() - 1) + one.newText().charAt(0);
        Map<String, Object> fields =
            predict(gpt2, prompt, Map.of("max_new_tokens", 5, "stop_strings", across)).fields();
        assertThat(fields)
            .as(across)
            .containsEntry("finish_reason", "stop")
            .containsEntry("generated_tokens", 1);
      }
      assertThat(seen).isPositive();
    }

    @Test
    void isNotATextThatThePromptHoldsAlready() throws Exception {
      Map<String, Object> given = Map.of("max_new_tokens", 5, "stop_strings", "upon");

      assertThat(predict(llama, "Once upon a time", given).fields())
          .containsEntry("finish_reason", "length");
    }

    @Test
    void isTheEndOfTheModelsPositions() throws Exception {
      Map<String, Object> given =
          Map.of("max_new_tokens", 100_000, "min_new_tokens", 5_000, "eos_token_id", List.of());
      int prompt = ids(gpt2, "Once upon a time").length;

      Prediction prediction = predict(gpt2, "Once upon a time", given);

      assertThat(prediction.tokens()).isEqualTo(prompt);
      assertThat(prediction.truncated()).isFalse();
      assertThat(prediction.fields())
          .containsEntry("generated_tokens", POSITIONS - prompt)
          .containsEntry("finish_reason", "length");
    }
  }

  @Nested
  class ItsPrompt {

    @Test
    void comesBackWithTheTextUnlessItIsNotWanted() throws Exception {
      Generation text = generate(llama, 0, "Once upon a time", Map.of("max_new_tokens", 9));
      assertThat(text.join().fields())
          .containsEntry("generated_text", "Once upon a time" + text.newText());

      Map<String, Object> without = Map.of("max_new_tokens", 9, "return_full_text", false);
      Prediction prediction = predict(llama, "Once upon a time", without);
      assertThat(prediction.fields()).containsEntry("generated_text", text.newText());
      assertThat(prediction.tokens()).isEqualTo(ids(llama, "Once upon a time").length);
      assertThat(prediction.truncated()).isFalse();
    }

    @Test
    void mayBeEmptyWhereTheModelHasATokenToBeginWith() throws Exception {
      for (LoadedModel model : List.of(gpt2, llama)) {
        int begin = model.folder().manifest().bosTokenId();
        Generation text = generate(model, 0, "", Map.of("max_new_tokens", 9));

        assertThat(text.newTokens()).isEqualTo(greedy(model, new int[] {begin}, 9));
        assertThat(text.join().tokens()).isEqualTo(1);
        assertThat(text.join().fields()).containsEntry("generated_text", text.newText());
        assertThat(text.newText()).isNotEmpty();
      }
    }

    @Test
    void isADeadLetterWhereItIsEmptyAndTheModelHasNone() throws Exception {
      Path folder = copy(GPT2, manifest -> manifest.putNull("bos_token_id"));
      try (LoadedModel model = LoadedModel.lease(read(folder), DeviceChoice.CPU)) {
        refused(
            model,
            "",
            Map.of(),
            new DeadLetter(
                ErrorCode.INVALID_FIELD,
                Stage.ENCODE,
                "the field text is empty, and the model has no token to begin with: send a prompt"));
      }
    }

    @Test
    void isADeadLetterWhereItIsMissing() {
      assertThatExceptionOfType(RejectedRecordException.class)
          .isThrownBy(() -> predict(gpt2, null, Map.of()))
          .extracting(e -> e.letter().code())
          .isEqualTo(ErrorCode.MISSING_FIELD);
    }

    @Test
    void losesItsBeginningWhereItIsTooLong() throws Exception {
      String prompt = "We waited for an hour, and the soup was cold. ".repeat(12);
      int room = POSITIONS - 20;
      for (LoadedModel model : List.of(gpt2, llama)) {
        int[] all = ids(model, prompt);
        assertThat(all).hasSizeGreaterThan(200);
        int[] last = Arrays.copyOfRange(all, all.length - room, all.length);
        if (model == llama) {
          last[0] = all[0];
          assertThat(all[0]).isEqualTo(model.folder().manifest().bosTokenId());
        }

        Generation text =
            generate(model, 0, prompt, Map.of("max_new_tokens", 20, "eos_token_id", List.of()));

        Prediction prediction = text.join();
        assertThat(prediction.truncated()).isTrue();
        assertThat(prediction.tokens()).isEqualTo(room);
        assertThat(text.newTokens()).isEqualTo(greedy(model, last, 20));
        assertThat(prediction.fields())
            .containsEntry("generated_text", prompt + text.newText())
            .containsEntry("generated_tokens", 20);
      }
    }

    @Test
    void isCutOnlyWhereItLeavesNoPosition() throws Exception {
      String letters = "abababab".repeat(40);
      int whole =
          IntStream.range(1, 300)
              .filter(i -> ids(gpt2, letters.substring(0, i)).length == POSITIONS - 1)
              .findFirst()
              .orElseThrow();
      int full =
          IntStream.range(1, 300)
              .filter(i -> ids(gpt2, letters.substring(0, i)).length == POSITIONS)
              .findFirst()
              .orElseThrow();
      Map<String, Object> given = Map.of("max_new_tokens", 5);

      Prediction uncut = predict(gpt2, letters.substring(0, whole), given);
      assertThat(uncut.truncated()).isFalse();
      assertThat(uncut.tokens()).isEqualTo(POSITIONS - 1);
      assertThat(uncut.fields())
          .containsEntry("generated_tokens", 1)
          .containsEntry("finish_reason", "length");

      Prediction cut = predict(gpt2, letters.substring(0, full), given);
      assertThat(cut.truncated()).isTrue();
      assertThat(cut.tokens()).isEqualTo(POSITIONS - 5);
      assertThat(cut.fields()).containsEntry("generated_tokens", 5);
    }

    @Test
    void isADeadLetterWhereTheNewTokensLeaveNoRoomForIt() {
      refused(
          gpt2,
          "and so on ".repeat(100),
          Map.of("max_new_tokens", POSITIONS),
          new DeadLetter(
              ErrorCode.INVALID_PARAMETER,
              Stage.DECODE,
              "in parameters, max_new_tokens is 144, which leaves no room for the prompt among the model's 144 positions: lower it"));
    }

    @Test
    void thatIsTooLongIsCutWhereNobodySaidHowManyNewTokensThereAre() throws Exception {
      Prediction prediction = predict(gpt2, "and so on ".repeat(100), Map.of());

      assertThat(prediction.truncated()).isTrue();
    }
  }

  @Nested
  class ADeadLetterIs {

    @Test
    void aLeastNumberOfTokensAboveTheMost() {
      refused(
          gpt2,
          "a",
          Map.of("min_new_tokens", 6, "max_new_tokens", 5),
          new DeadLetter(
              ErrorCode.INVALID_PARAMETER,
              Stage.DECODE,
              "in parameters, min_new_tokens is 6, but max_new_tokens only 5: raise the one or lower the other"));
    }

    @ParameterizedTest
    @CsvSource({"false, 1", "true, 1", "false, 3", "true, 3"})
    void aTextForWhichNoTokenIsLeft(boolean sample, int beams) throws Exception {
      Map<String, Object> banned =
          Map.of(
              "bad_words_ids",
              IntStream.range(0, 300).mapToObj(List::of).toList(),
              "eos_token_id",
              List.of(),
              "do_sample",
              sample,
              "num_beams",
              beams,
              "max_new_tokens",
              5);
      Generation hopeless = plan(gpt2, 0, "Once upon a time", banned);
      Generation other = plan(gpt2, 1, "a", Map.of("max_new_tokens", 5));

      run(gpt2, List.of(hopeless, other));

      assertThatExceptionOfType(RejectedRecordException.class)
          .isThrownBy(hopeless::join)
          .extracting(RejectedRecordException::letter)
          .isEqualTo(
              new DeadLetter(
                  ErrorCode.INFERENCE_FAILED,
                  Stage.INFERENCE,
                  "the text could not be continued (no token is left to choose): check the checkpoint and its precision, and what bad_words_ids excludes"));
      assertThat(other.newTokens()).isEqualTo(greedy(gpt2, ids(gpt2, "a"), 5));
    }

    @Test
    void notATextThatMayStillEnd() throws Exception {
      Map<String, Object> banned =
          Map.of("bad_words_ids", IntStream.range(0, 300).mapToObj(List::of).toList());

      assertThat(predict(gpt2, "Once upon a time", banned).fields())
          .containsEntry("generated_tokens", 1)
          .containsEntry("finish_reason", "eos");
    }

    @ParameterizedTest
    @CsvSource(
        delimiter = '|',
        value = {
          "max_new_tokens       | 0        | is 0, but must be from 1 to 1000000",
          "max_new_tokens       | 1000001  | is 1000001, but must be from 1 to 1000000",
          "max_new_tokens       | 2.5      | is 2.5, but must be a whole number from 1 to 1000000",
          "max_new_tokens       | \"9\"    | is \"9\", but must be a whole number from 1 to 1000000",
          "max_new_tokens       | null     | is null, but must be a whole number from 1 to 1000000",
          "min_new_tokens       | -1       | is -1, but must be from 0 to 1000000",
          "num_beams            | 0        | is 0, but must be from 1 to 64",
          "num_beams            | 65       | is 65, but must be from 1 to 64",
          "do_sample            | 1        | is 1, but must be true or false",
          "do_sample            | \"true\" | is \"true\", but must be true or false",
          "seed                 | \"x\"    | is \"x\", but must be a whole number of 64 bits, or null",
          "seed                 | 1.0      | is 1.0, but must be a whole number of 64 bits, or null",
          "seed                 | 9223372036854775808 | is a number beyond 64 bits, but must be a whole number of 64 bits, or null",
          "temperature          | 0        | is 0, but must be a number above 0",
          "temperature          | -1.5     | is -1.5, but must be a number above 0",
          "temperature          | {}       | is an object, but must be a number above 0",
          "top_k                | -1       | is -1, but must be from 0 to 2147483647, or null",
          "top_k                | true     | is true, but must be a whole number from 0 to 2147483647, or null",
          "top_p                | 1.01     | is 1.01, but must be from 0 to 1",
          "top_p                | \"all\"  | is \"all\", but must be from 0 to 1",
          "min_p                | -0.1     | is -0.1, but must be from 0 to 1",
          "repetition_penalty   | 0        | is 0, but must be a number above 0",
          "no_repeat_ngram_size | -1       | is -1, but must be from 0 to 1000000",
          "no_repeat_ngram_size | []       | is a list, but must be a whole number from 0 to 1000000",
          "bad_words_ids        | 5        | has 5 where a token id, or a list of them, should stand: write it as generate() takes it",
          "bad_words_ids        | [5]      | has 5 where a token id, or a list of them, should stand: write it as generate() takes it",
          "bad_words_ids        | [[]]     | has a list where a token id, or a list of them, should stand: write it as generate() takes it",
          "bad_words_ids        | [[-1]]   | has -1 where a token id, or a list of them, should stand: write it as generate() takes it",
          "length_penalty       | 101      | is 101, but must be from -100 to 100",
          "early_stopping       | \"ever\" | is \"ever\", but must be true, false or \"never\"",
          "eos_token_id         | -2       | has -2 where a token id, or a list of them, should stand: write it as generate() takes it",
          "eos_token_id         | [\"x\"]  | has \"x\" where a token id, or a list of them, should stand: write it as generate() takes it",
          "stop_strings         | \"\"     | is \"\", but must be a text, or a list of texts",
          "stop_strings         | [\"a\", 3] | is a list, but must be a text, or a list of texts",
          "return_full_text     | 0        | is 0, but must be true or false",
        })
    void aParameterOfAWrongTypeOrOutsideItsRange(String name, String value, String sentence)
        throws Exception {
      Map<String, Object> given = new HashMap<>();
      given.put(name, JSON.readValue(value, Object.class));

      assertThatExceptionOfType(IllegalArgumentException.class)
          .isThrownBy(() -> parsed(given))
          .withMessage(name + " " + sentence);
    }

    @Test
    void aParameterThatThereIsNot() {
      assertThatExceptionOfType(IllegalArgumentException.class)
          .isThrownBy(() -> parsed(Map.of("max_new_token", 5)))
          .withMessage("there is no parameter max_new_token: did you mean max_new_tokens?");
    }
  }
}
