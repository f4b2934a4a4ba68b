package org.labelstream.model;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.labelstream.model.ModelFolder.Verify;

class ModelFolderTest {

  private static final Path FIXTURE =
      Path.of("src/test/resources/parity/distilbert-sequence_classification");

  @TempDir Path temporary;
  private Path folder;

  @BeforeEach
  void copyAFolder() throws IOException {
    folder = Files.createDirectory(temporary.resolve("reviews"));
    try (Stream<Path> files = Files.list(FIXTURE)) {
      for (Path file : files.toList()) {
        Files.copy(file, folder.resolve(file.getFileName()));
      }
    }
  }

  private ModelFolder read() {
    return ModelFolder.read(folder, Verify.IF_PRESENT);
  }

  private void refused(String sentence) {
    refused(Verify.IF_PRESENT, sentence);
  }

  private void refused(Verify verify, String sentence) {
    assertThatExceptionOfType(InvalidModelException.class)
        .isThrownBy(() -> ModelFolder.read(folder, verify))
        .withMessage(sentence);
  }

  private void write(String name, String content) throws IOException {
    Files.writeString(folder.resolve(name), content);
  }

  private void replace(String name, String from, String to) throws IOException {
    String content = Files.readString(folder.resolve(name));
    assertThat(content).contains(from);
    write(name, content.replace(from, to));
  }

  private void replaceFirst(String name, String pattern, String to) throws IOException {
    String content = Files.readString(folder.resolve(name));
    assertThat(content).containsPattern(pattern);
    write(name, content.replaceFirst(pattern, to));
  }

  private String sumOf(String name) throws IOException {
    try {
      return sha256(Files.readAllBytes(folder.resolve(name)));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }

  private String sha256(byte[] bytes) throws NoSuchAlgorithmException {
    return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
  }

  @ParameterizedTest
  @EnumSource
  void readsASoundFolder(Verify verify) {
    ModelFolder read = ModelFolder.read(folder, verify);

    assertThat(read.path()).isEqualTo(folder);
    assertThat(read.name()).isEqualTo("reviews");
    assertThat(read.manifest().task()).isEqualTo("sequence_classification");
    assertThat(read.manifest().inputs()).containsExactly("input_ids", "attention_mask");
    assertThat(read.manifest().numLabels()).isEqualTo(3);
    assertThat(read.labels().names()).containsExactly("NEGATIVE", "NEUTRAL", "POSITIVE");
    assertThat(read.maxLength()).isEqualTo(64);
    assertThat(read.config().notices()).isEmpty();
  }

  @Test
  void isNamedByItsFolderHoweverThatIsWritten() {
    assertThat(ModelFolder.read(folder.resolve("../reviews/."), Verify.REQUIRED).name())
        .isEqualTo("reviews");
  }

  @Test
  void takesTheUsersMaximumLengthWhereItIsSmaller() throws IOException {
    replace("model-config.yaml", "max_length: 64", "max_length: 32");

    assertThat(read().maxLength()).isEqualTo(32);
  }

  @Nested
  class ItsVersion {

    @Test
    void isWhatSha256sumGives() throws Exception {
      StringBuilder lines = new StringBuilder();
      try (Stream<Path> files = Files.list(folder)) {
        for (Path file : files.sorted().toList()) {
          lines.append(sha256(Files.readAllBytes(file))).append("  ").append(file.getFileName());
          lines.append('\n');
        }
      }

      ModelFolder read = read();
      assertThat(read.sha256()).isEqualTo(sha256(lines.toString().getBytes(UTF_8)));
      assertThat(read.version()).hasSize(8).isEqualTo(read.sha256().substring(0, 8));
    }

    @ParameterizedTest
    @ValueSource(
        strings = {"README.md", "index_to_name.json", "model-config.yaml", "labelstream.json"})
    void changesWithEachFileThatMayBeEdited(String name) throws IOException {
      String before = read().sha256();
      write(name, Files.readString(folder.resolve(name)) + "\n");

      assertThat(ModelFolder.read(folder, Verify.REQUIRED).sha256()).isNotEqualTo(before);
    }

    @Test
    void staysWhereTheFolderLiesElsewhereOrHasHiddenFiles() throws IOException {
      String version = read().version();
      write(".DS_Store", "whatever");

      assertThat(read().version())
          .isEqualTo(version)
          .isEqualTo(ModelFolder.read(FIXTURE, Verify.REQUIRED).version());
    }

    @Test
    void changesWithTheNamesAndNothingElseDoes() throws IOException {
      ModelFolder before = read();
      write("index_to_name.json", "{\"label_list\": [\"schlecht\", \"mittel\", \"gut 😀\"]}");

      ModelFolder after = ModelFolder.read(folder, Verify.REQUIRED);

      assertThat(after.labels().names()).containsExactly("schlecht", "mittel", "gut 😀");
      assertThat(after.version()).isNotEqualTo(before.version());
      assertThat(after.manifest()).isEqualTo(before.manifest());
      assertThat(after.config()).isEqualTo(before.config());
      assertThat(after.name()).isEqualTo(before.name());
    }

    @Test
    void isThatOfTheFilesBehindALink() throws IOException {
      Path link = Files.createSymbolicLink(temporary.resolve("current"), folder);

      ModelFolder linked = ModelFolder.read(link, Verify.REQUIRED);

      assertThat(linked.version()).isEqualTo(read().version());
      assertThat(linked.name()).isEqualTo("current");
    }

    @Test
    void countsFilesThatAreLinks() throws IOException {
      String version = read().version();
      Path elsewhere = temporary.resolve("blob");
      Files.move(folder.resolve("model.pt"), elsewhere);
      Files.createSymbolicLink(folder.resolve("model.pt"), elsewhere);

      assertThat(read().version()).isEqualTo(version);
    }
  }

  @Nested
  class IsRefusedWhere {

    @ParameterizedTest
    @ValueSource(
        strings = {
          "labelstream.json",
          "model.pt",
          "tokenizer.json",
          "tokenizer_config.json",
          "config.json",
          "model-config.yaml",
          "index_to_name.json"
        })
    void aFileIsMissing(String name) throws IOException {
      Files.delete(folder.resolve(name));

      refused(
          folder
              + " has no "
              + name
              + ": the folder is incomplete; export the checkpoint again with scripts/export_model.py");
    }

    @Test
    void itIsNotThereOrNoFolder() throws IOException {
      folder = temporary.resolve("nowhere");
      refused(
          folder + " does not exist: name a model folder, such as scripts/export_model.py writes");

      Files.createFile(folder);
      refused(
          folder + " is not a folder: name a model folder, such as scripts/export_model.py writes");
    }

    @ParameterizedTest
    @ValueSource(strings = {"model.pt", "tokenizer.json", "config.json", "tokenizer_config.json"})
    void aByteHasChangedSinceTheExport(String name) throws Exception {
      byte[] bytes = Files.readAllBytes(folder.resolve(name));
      String before = sha256(bytes);
      bytes[bytes.length / 2] ^= 1;
      Files.write(folder.resolve(name), bytes);

      refused(
          folder.resolve(name)
              + " is not the file that was exported (its SHA-256 is "
              + sha256(bytes)
              + ", labelstream.json says "
              + before
              + "): copy the folder again, or export the checkpoint again");
    }

    @Test
    void sumsAreRequiredAndThereAreNone() throws IOException {
      replace("labelstream.json", "\"sha256\"", "\"other\"");

      assertThat(read().labels().size()).isEqualTo(3);
      refused(
          Verify.REQUIRED,
          folder.resolve("labelstream.json")
              + " has no SHA-256 sum of model.pt, tokenizer.json, config.json, and verify is required: export the checkpoint again, or set verify: if-present");
    }

    @ParameterizedTest
    @ValueSource(strings = {"model.pt", "tokenizer.json", "config.json"})
    void sumsAreRequiredAndOneIsMissing(String name) throws IOException {
      replace("labelstream.json", "\"" + name + "\": \"", "\"README.md\": \"");
      write("README.md", "");
      String sum = ModelFolderTest.this.sumOf("README.md");
      replaceFirst("labelstream.json", "(\"README.md\": \")[0-9a-f]+", "$1" + sum);

      assertThat(read().labels().size()).isEqualTo(3);
      refused(
          Verify.REQUIRED,
          folder.resolve("labelstream.json")
              + " has no SHA-256 sum of "
              + name
              + ", and verify is required: export the checkpoint again, or set verify: if-present");
    }

    @ParameterizedTest
    @ValueSource(strings = {"explain.pt", "generation_config.json"})
    void sumsAreRequiredAndAFileWasPutIn(String name) throws IOException {
      write(name, "{}");
      replace("labelstream.json", "\"task\":", "\"explain\": \"explain.pt\",\n  \"task\":");
      write("explain.pt", "{}");
      if (name.equals("generation_config.json")) {
        replace("labelstream.json", "\"explain\": \"explain.pt\",", "");
      }

      refused(
          Verify.REQUIRED,
          folder.resolve("labelstream.json")
              + " has no SHA-256 sum of "
              + name
              + ", and verify is required: export the checkpoint again, or set verify: if-present");
    }

    @Test
    void theModuleForExplanationsIsMissing() throws IOException {
      replace("labelstream.json", "\"task\":", "\"explain\": \"explain.pt\",\n  \"task\":");

      refused(
          folder
              + " has no explain.pt: the folder is incomplete; export the checkpoint again with scripts/export_model.py");
    }

    @ParameterizedTest
    @ValueSource(
        strings = {
          "../outside.pt",
          "sub/explain.pt",
          "..",
          ".hidden.pt",
          "C:explain.pt",
          "sub\\\\explain.pt",
          "/outside.pt",
          "nul\\u0000.pt",
          ""
        })
    void theManifestNamesAFileElsewhere(String name) throws IOException {
      Files.copy(folder.resolve("model.pt"), folder.resolve("../outside.pt"));
      Files.createDirectory(folder.resolve("sub"));
      Files.copy(folder.resolve("model.pt"), folder.resolve("sub/explain.pt"));
      Files.copy(folder.resolve("model.pt"), folder.resolve(".hidden.pt"));
      String manifest = Files.readString(folder.resolve("labelstream.json"));

      replace("labelstream.json", "\"task\":", "\"explain\": \"" + name + "\",\n  \"task\":");
      refused(namesAFile(name, "explain"));

      write("labelstream.json", manifest);
      replace("labelstream.json", "\"config.json\":", "\"" + name + "\":");
      refused(namesAFile(name, "sha256"));
    }

    private String namesAFile(String written, String key) {
      String name = written.replace("\\\\", "\\").replace("\\u0000", "\0");
      return folder.resolve("labelstream.json")
          + " names the file \""
          + name
          + "\" under "
          + key
          + ", but may only name files of its own folder, without a path and not hidden: the file is the exporter's to write; export the checkpoint again";
    }

    @Test
    void theSumsAreNone() throws IOException {
      replaceFirst("labelstream.json", "(?s)\"sha256\": \\{.*?\\}", "\"sha256\": \"none\"");

      refused(
          folder.resolve("labelstream.json")
              + " should have sums by file name for sha256, but has the text \"none\": the file is the exporter's to write; export the checkpoint again");
    }

    @Test
    void anotherVersionWroteIt() throws IOException {
      replace("labelstream.json", "\"format\": 1", "\"format\": 2");

      refused(
          folder.resolve("labelstream.json")
              + " has format 2, but this version reads format 1: export the checkpoint again, or use the version that wrote the folder");
    }

    @ParameterizedTest
    @CsvSource(
        delimiter = '|',
        value = {
          "\"num_labels\": 3      | \"num_labels\": \"3\"   | a whole number from 0 to 1048576 | num_labels | the text \"3\"",
          "\"num_labels\": 3      | \"num_labels\": -1      | a whole number from 0 to 1048576 | num_labels | the value -1",
          "\"max_length\": 64     | \"max_length\": 6.5     | a whole number from 1 to 16777216 | max_length | the value 6.5",
          "\"max_length\": 64     | \"n\": 1                | a whole number from 1 to 16777216 | max_length | nothing",
          "\"pad_token_id\": 0    | \"pad_token_id\": 99999999999 | a whole number from 0 to 16777216 | pad_token_id | the value 99999999999",
          "\"precision\": \"fp32\" | \"precision\": 32      | a text          | precision  | the value 32",
          "\"task\":              | \"n\":                  | a text          | task       | nothing",
          "\"inputs\":            | \"n\":                  | a list of names | inputs     | nothing",
        })
    void theManifestIsWrong(String from, String to, String expected, String key, String found)
        throws IOException {
      replace("labelstream.json", from, to);

      refused(
          folder.resolve("labelstream.json")
              + " should have "
              + expected
              + " for "
              + key
              + ", but has "
              + found
              + ": the file is the exporter's to write; export the checkpoint again");
    }

    @ParameterizedTest
    @CsvSource(
        delimiter = '|',
        value = {
          "mode: sequence_classification | mode: token_classification | mode: token_classification, but the model was exported for sequence_classification",
          "num_labels: 3 | num_labels: 2 | num_labels: 2, but the model's head gives 3",
          "max_length: 64 | max_length: 65 | max_length: 65, but the model takes at most 64",
          "do_lower_case: true | do_lower_case: false | do_lower_case: false, but of tokenizer.json it is true that it lower-cases: true",
          "embedding_name: distilbert.embeddings | embedding_name: bert.embeddings | embedding_name: bert.embeddings, but the model was exported with distilbert.embeddings",
        })
    void theUsersSettingsContradictTheExport(String from, String to, String sentence)
        throws IOException {
      replace("model-config.yaml", from, to);

      refused(
          folder.resolve("model-config.yaml")
              + " says "
              + sentence
              + ": correct the file, or export the checkpoint again");
    }

    @Test
    void theNamesDoNotFitTheHead() throws IOException {
      write("index_to_name.json", "{\"0\": \"A\", \"1\": \"B\"}");

      refused(
          folder.resolve("index_to_name.json")
              + " names 2 classes, but the model gives 3 logits: add or remove names so that the counts agree");
    }
  }

  @Test
  void knowsWhetherAFileIsStillWhatItRead() throws Exception {
    ModelFolder read = read();
    String before = sumOf("model.pt");
    read.requireUnchanged("model.pt");
    write("model.pt", "other");

    assertThatExceptionOfType(InvalidModelException.class)
        .isThrownBy(() -> read.requireUnchanged("model.pt"))
        .withMessage(
            "%s has changed since the job started (its SHA-256 was %s and is %s): put back the folder, or submit the job again",
            folder.resolve("model.pt"), before, sumOf("model.pt"));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "mode: text-classification",
        "mode: Sequence-Classification",
        "mode: text_classification",
        "# no mode at all"
      })
  void takesTheTasksOtherNames(String mode) throws IOException {
    replace("model-config.yaml", "mode: sequence_classification", mode);

    assertThat(read().manifest().task()).isEqualTo("sequence_classification");
  }

  @Test
  void takesTheModelsNameForItsEmbeddings() throws IOException {
    replace("model-config.yaml", "distilbert.embeddings", "distilbert");

    assertThat(read().config().embeddingName()).isEqualTo("distilbert");
  }

  @Test
  void carriesTheNoticesOfTheUsersSettings() throws IOException {
    replace("model-config.yaml", "handler:", "batchSize: 8\nhandler:");

    assertThat(read().config().notices())
        .isEqualTo(
            List.of(
                folder.resolve("model-config.yaml")
                    + ": batchSize is not used here: batches are bounded in tokens by the job file's batch.max-tokens"));
  }
}
