package org.labelstream.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.assertj.core.api.ThrowableAssertAlternative;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ModelConfigTest {

  @TempDir Path folder;
  private Path file;

  @BeforeEach
  void nameTheFile() {
    file = folder.resolve("model-config.yaml");
  }

  private ModelConfig read(String content) throws IOException {
    Files.writeString(file, content);
    return ModelConfig.read(file);
  }

  private ThrowableAssertAlternative<InvalidModelException> refused(String content) {
    return assertThatExceptionOfType(InvalidModelException.class).isThrownBy(() -> read(content));
  }

  @Test
  void readsTheHandlersSection() throws IOException {
    assertThat(
            read(
                """
                # TorchServe's own example
                handler:
                    mode: sequence_classification
                    model_name: "distilbert-base-uncased"
                    max_length: 150
                    num_labels: "2"
                    do_lower_case: true
                    embedding_name: distilbert
                    captum_explanation: false
                    save_mode: pretrained
                    max_new_tokens: 50
                """))
        .isEqualTo(
            new ModelConfig(
                "sequence_classification",
                150,
                2,
                "distilbert-base-uncased",
                50,
                true,
                "distilbert",
                false,
                List.of()));
  }

  @Test
  void leavesOutWhatTheFileDoesNotSay() throws IOException {
    assertThat(read("handler: {}"))
        .isEqualTo(new ModelConfig(null, null, null, null, null, null, null, null, List.of()));
    assertThat(read("handler: {max_length: null, mode: }").maxLength()).isNull();
  }

  @Test
  void tellsWhereTorchServesOtherKeysHaveTheirPlace() throws IOException {
    ModelConfig config =
        read(
            """
            minWorkers: 1
            maxWorkers: 1
            batchSize: 4
            maxBatchDelay: 100
            responseTimeout: 120
            deviceType: "gpu"
            torchrun: {nproc-per-node: 4}
            pt2: {compile: {enable: true}}
            handler:
              mode: text_classification
              BetterTransformer: true
              model_parallel: false
            """);

    assertThat(config.notices())
        .hasSize(10)
        .allMatch(notice -> notice.startsWith(file + ": "))
        .contains(
            file
                + ": maxBatchDelay is not used here: the job file's batch.linger says how long a batch may wait",
            file
                + ": BetterTransformer is not used here: the exporter chooses the attention kernels");
  }

  @ParameterizedTest
  @CsvSource({
    "max_lenght: 3, max_lenght, max_length",
    "Mode: x, Mode, mode",
    "num_label: 3, num_label, num_labels",
    "captum_explanations: true, captum_explanations, captum_explanation",
    "batchsize: 3, batchsize, batchSize"
  })
  void namesTheNearestKeyToAnUnknownOne(String line, String key, String nearest) {
    refused("handler:\n  " + line)
        .withMessage(file + " has the unknown key " + key + ": did you mean " + nearest + "?");
  }

  @Test
  void namesTheHandlerToOneWhoMistypedIt() {
    refused("handlr:\n  mode: x")
        .withMessage(file + " has the unknown key handlr: did you mean handler?");
  }

  @Test
  void namesAllKeysWhereNoneIsNear() {
    refused("handler:\n  zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz: 1")
        .withMessageStartingWith(
            file + " has the unknown key zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz: known are ")
        .withMessageContaining("max_length");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "max_length: 0 | the value 0 | max_length | a whole number above 0",
        "max_length: -5 | the value -5 | max_length | a whole number above 0",
        "max_length: many | the text \"many\" | max_length | a whole number above 0",
        "max_length: 1.5 | the value 1.5 | max_length | a whole number above 0",
        "max_length: 99999999999 | the value 99999999999 | max_length | a whole number above 0",
        "max_new_tokens: [1] | a list | max_new_tokens | a whole number above 0",
        "num_labels: {a: 1} | a mapping | num_labels | a whole number above 0",
        "do_lower_case: 'yes' | the text \"yes\" | do_lower_case | true or false",
        "captum_explanation: 1 | the value 1 | captum_explanation | true or false",
        "mode: 3 | the value 3 | mode | a text",
        "embedding_name: [a] | a list | embedding_name | a text",
      })
  void saysWhichValueIsWrong(String line, String found, String key, String expected) {
    refused("handler:\n  " + line)
        .withMessage(file + " has " + found + " for handler." + key + ": it must be " + expected);
  }

  @Test
  void saysThatThereIsNoHandlersSection() {
    refused("batchSize: 1")
        .withMessage(file + " has no handler section: write handler: with mode: below it");
    refused("handler: 3")
        .withMessage(file + " should have names with values under handler, but has the value 3");
    refused("").withMessage(file + " must hold names with values, but holds nothing");
  }

  @Nested
  class AHostileFile {

    @Test
    void ofAliasesIsRefused() {
      StringBuilder bomb = new StringBuilder("a: &a [x, x, x, x, x, x, x, x, x]\n");
      for (char c = 'b'; c < 'k'; c++) {
        String before = "*" + (char) (c - 1);
        bomb.append("%c: &%c [%s]%n".formatted(c, c, (before + ", ").repeat(8) + before));
      }
      refused(bomb.toString())
          .withMessageStartingWith(file + " cannot be read")
          .withMessageContaining("aliases");
    }

    @ParameterizedTest
    @ValueSource(
        strings = {
          "handler: !!java.io.File /etc/passwd",
          "handler: !!javax.script.ScriptEngineManager [!!java.net.URLClassLoader [[!!java.net.URL [\"http://localhost/\"]]]]",
          "handler: !<tag:yaml.org,2002:java.lang.Runtime> {}",
          "? *a\n: &a {}",
          "&a [*a]: 1",
          "handler: *nobody",
          "handler: {mode: x",
          "a: 1\na: 2",
          "handler:\n\tmode: x",
          "handler: \u0000",
          "%YAML 9.9\n---\nhandler: {}",
          "--- {}\n--- {}"
        })
    void isRefusedWithASentence(String content) {
      refused(content)
          .withMessageStartingWith(file + " cannot be read")
          .withMessageContaining("correct it");
    }

    @Test
    void ofDeepNestingIsRefused() {
      for (String opening : List.of("[", "{a: ", "- ")) {
        refused(opening.repeat(200_000)).withMessageStartingWith(file + " cannot be read");
      }
    }

    @Test
    void thatIsHugeIsRefused() {
      refused("#".repeat(9_000_000))
          .withMessage(
              file + " has more than 8 MiB, which such a file never needs: is it another file?");
    }
  }
}
