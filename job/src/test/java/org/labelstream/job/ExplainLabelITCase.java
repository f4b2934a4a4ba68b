package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** scripts/label.sh with {@code --explanations}, {@code --report} and {@code --steps}. */
class ExplainLabelITCase {

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String SENTIMENT = "model-assets/sentiment";

  @TempDir Path folder;
  private Script scripts;

  @BeforeEach
  void keepNativesAcrossTests() {
    scripts = new Script(Path.of("target/label-state").toAbsolutePath());
  }

  @Test
  void explainsAllLinesInTheirOrderAndWritesThePage() throws Exception {
    Path texts = folder.resolve("texts.txt");
    Path explanations = folder.resolve("explanations.jsonl");
    Path report = folder.resolve("page.html");
    List<String> lines = new ArrayList<>();
    for (int i = 0; i < 30; i++) {
      lines.add(i == 7 ? "{\"broken" : "What a wonderful film " + "and so on ".repeat(i % 9) + i);
    }
    lines.add("{\"id\": \"t\", \"text\": \"bad\", \"target\": \"POSITIVE\"}");
    lines.add("{\"id\": \"x\", \"text\": \"bad\", \"target\": 17}");
    lines.add("I would not <script>alert(1)</script> buy it");
    Files.write(texts, lines);

    Script.Result result =
        scripts
            .run(
                "label.sh",
                SENTIMENT,
                texts.toString(),
                "--explanations",
                explanations.toString(),
                "--report",
                report.toString(),
                "--steps",
                "adaptive",
                "--dead-letters",
                folder.resolve("dead.jsonl").toString())
            .succeeded();

    List<String> ids = new ArrayList<>();
    for (String line : result.outLines()) {
      ids.add(JSON.readTree(line).get("id").asText());
    }
    assertThat(ids)
        .hasSize(lines.size() - 1)
        .startsWith(texts + ":1", texts + ":2")
        .contains("t", "x");
    List<String> explained = new ArrayList<>();
    for (String line : Files.readAllLines(explanations)) {
      JsonNode explanation = JSON.readTree(line);
      Schemas.isExplanation(explanation);
      explained.add(explanation.get("id").asText());
      if (explanation.get("id").asText().equals("t")) {
        assertThat(explanation.at("/target/label").asText()).isEqualTo("POSITIVE");
        assertThat(explanation.at("/predicted/label").asText()).isEqualTo("NEGATIVE");
      }
      assertThat(explanation.at("/error/code").asText())
          .isEqualTo(explanation.get("id").asText().equals("x") ? "invalid_target" : "");
    }
    assertThat(explained).isEqualTo(ids);
    String page = Files.readString(report);
    assertThat(page.split("<article", -1)).hasSize(ids.size() + 1);
    assertThat(page).doesNotContain("<script>alert(1)");
    assertThat(result.err()).isEmpty();
    try (Stream<Path> left = Files.list(folder)) {
      assertThat(left).as("files").hasSize(4);
    }
  }

  @Test
  void writesAPageAloneToo() throws Exception {
    Path report = folder.resolve("page.html");

    scripts
        .run(Topics.bytes("good\n"), "label.sh", SENTIMENT, "--report", report.toString())
        .succeeded();

    assertThat(Files.readString(report)).contains("</html>").containsOnlyOnce("<article");
  }

  @Test
  void tellsInASentenceWhatItCannotDoBeforeItDoesAnything() throws Exception {
    for (String steps : List.of("0", "1001", "-3", "2.5", "many")) {
      refuses("--steps is " + steps, "--report", folder + "/p.html", "--steps=" + steps);
    }
    Path nowhere = folder.resolve("no/such/folder/out");
    refuses(nowhere.toString(), "--report", nowhere.toString());
    refuses(nowhere.toString(), "--explanations", nowhere.toString());
    // A folder stands where the file should.
    refuses(folder.toString(), "--report", folder.toString());
    refuses(folder.toString(), "--explanations", folder.toString());
    try (Stream<Path> left = Files.list(folder)) {
      assertThat(left).as("files").isEmpty();
    }
  }

  private void refuses(String part, String... options) throws Exception {
    List<String> arguments = new ArrayList<>(List.of(SENTIMENT));
    arguments.addAll(List.of(options));

    Script.Result result =
        scripts.run(Topics.bytes("good\n"), "label.sh", arguments.toArray(String[]::new));

    assertThat(result.status()).as("%s", arguments).isEqualTo(1);
    assertThat(result.out()).as("%s: no line was labelled", arguments).isEmpty();
    assertThat(result.errLines())
        .as("%s", arguments)
        .singleElement()
        .asString()
        .contains(part)
        .matches(
            line -> !line.startsWith("Labelling has failed") && line.length() > part.length() + 20,
            "a sentence that says what to do");
  }
}
