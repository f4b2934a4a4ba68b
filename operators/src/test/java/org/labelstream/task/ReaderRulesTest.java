package org.labelstream.task;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatNoException;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.labelstream.model.InvalidModelException;
import org.labelstream.model.ModelFolder;
import org.labelstream.model.ModelFolder.Verify;

/**
 * The list of what a model folder may hold, to which the exporter's own reader is held as well
 * ({@code scripts/exporter/tests/test_reader.py}).
 */
class ReaderRulesTest {

  private static final Path RESOURCES = Path.of("src/test/resources");
  private static final Path FOLDER = RESOURCES.resolve("parity/distilbert-sequence_classification");
  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir Path folder;

  private static Stream<JsonNode> rules(String kind) throws IOException {
    JsonNode rules = JSON.readTree(RESOURCES.resolve("reader-rules.json").toFile()).get(kind);
    assertThat(rules).isNotEmpty();
    return StreamSupport.stream(rules.spliterator(), false);
  }

  static Stream<JsonNode> folders() throws IOException {
    return rules("folders");
  }

  static Stream<JsonNode> settings() throws IOException {
    return rules("settings");
  }

  @ParameterizedTest
  @MethodSource
  void folders(JsonNode rule) throws IOException {
    try (Stream<Path> files = Files.list(FOLDER)) {
      for (Path file : files.toList()) {
        Files.copy(file, folder.resolve(file.getFileName()));
      }
    }
    Path file = folder.resolve(rule.get("file").textValue());
    String content = Files.readString(file);
    if (rule.has("content")) {
      content = rule.get("content").textValue();
    } else {
      assertThat(content).contains(rule.get("from").textValue());
      content = content.replace(rule.get("from").textValue(), rule.get("to").textValue());
    }
    Files.writeString(file, content);

    if (rule.get("reads").booleanValue()) {
      assertThatNoException().isThrownBy(() -> ModelFolder.read(folder, Verify.IF_PRESENT));
    } else {
      assertThatExceptionOfType(InvalidModelException.class)
          .isThrownBy(() -> ModelFolder.read(folder, Verify.IF_PRESENT));
    }
  }

  @ParameterizedTest
  @MethodSource
  void settings(JsonNode rule) {
    Map<String, Object> given = JSON.convertValue(rule.get("given"), new TypeReference<>() {});
    if (rule.get("reads").booleanValue()) {
      assertThatNoException().isThrownBy(() -> GenerationSettings.SPECS.parse(given));
    } else {
      assertThatExceptionOfType(IllegalArgumentException.class)
          .isThrownBy(() -> GenerationSettings.SPECS.parse(given));
    }
  }
}
