package org.labelstream.model;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What a checkpoint asks for and is not done is told, by the list that the exporter has too. */
class GenerationConfigTest {

  @TempDir Path folder;

  static Stream<JsonNode> rules() throws IOException {
    JsonNode rules =
        new ObjectMapper()
            .readTree(Path.of("src/test/resources/reader-rules.json").toFile())
            .get("not_done");
    assertThat(rules).isNotEmpty();
    return StreamSupport.stream(rules.spliterator(), false);
  }

  @ParameterizedTest
  @MethodSource("rules")
  void tellsWhatIsNotDone(JsonNode rule) throws IOException {
    Path file =
        Files.writeString(folder.resolve(GenerationConfig.FILE), rule.get("given").toString());

    assertThat(GenerationConfig.read(file).notices())
        .hasSize(rule.get("told").booleanValue() ? 1 : 0)
        .allMatch(notice -> notice.endsWith("is not used: this version cannot do it"));
  }
}
