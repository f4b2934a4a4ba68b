package org.labelstream.job.report;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ReportWriterTest {

  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir Path folder;
  private Path file;

  @BeforeEach
  void name() {
    file = folder.resolve("page.html");
  }

  /**
   * A sound explanation, with fields replaced as {@code {"words": …}} says; null takes one away.
   */
  private static byte[] explanation(String changes) throws Exception {
    ObjectNode explanation =
        (ObjectNode)
            JSON.readTree(
                """
                {"id": "e-1", "pipeline": "sentiment", "task": "sequence_classification", "model": "sentiment",
                 "version": "3f9c0e12", "method": "layer_integrated_gradients", "target": {"index": 1, "label": "POSITIVE"},
                 "score": 0.9987, "words": ["[CLS]", "good", "[SEP]"], "importances": [0.0, 1.0, 0.0], "delta": 0.0012,
                 "spans": [null, [0, 4], null], "steps": 50}
                """);
    for (Map.Entry<String, JsonNode> change : JSON.readTree(changes).properties()) {
      explanation.set(change.getKey(), change.getValue());
      if (change.getValue().isNull()) {
        explanation.remove(change.getKey());
      }
    }
    return JSON.writeValueAsBytes(explanation);
  }

  private String page(byte[]... records) throws IOException {
    try (ReportWriter report = new ReportWriter(file, "Title")) {
      for (byte[] record : records) {
        report.add(record);
      }
    }
    return Files.readString(file);
  }

  @Test
  void everyFieldIsShown() throws Exception {
    assertThat(
            page(
                explanation(
                    "{\"predicted\": {\"label\": \"NEUTRAL\", \"score\": 0.5}, \"precision\": \"fp32\"}")))
        .contains(
            ">e-1<",
            ">NEUTRAL<",
            ">0.5000<",
            ">POSITIVE<",
            ">0.9987<",
            ">index 1<",
            ">+1.00<",
            ">0.0012<",
            ">sentiment<",
            ">sequence_classification<",
            ">3f9c0e12<",
            ">layer_integrated_gradients<",
            ">50<",
            "title=\"good +1.0000\"",
            ">precision<",
            ">fp32<",
            "1 explanation.");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{\"id\": \"$\"}",
        "{\"pipeline\": \"$\"}",
        "{\"$\": \"a\"}",
        "{\"words\": [\"$\", \"$\", \"$\"]}",
        "{\"words\": [\"##$\", \"a\", \"##$\"], \"spans\": null}",
        "{\"target\": \"$\"}",
        "{\"target\": {\"label\": \"$\", \"$\": \"$\"}}",
        "{\"predicted\": {\"label\": \"$\"}}",
        "{\"error\": {\"code\": \"$\", \"message\": \"$\"}}"
      })
  void everyTextIsEscaped(String changes) throws Exception {
    String plain = page(explanation(changes.replace("$", "zz")));
    String hostile = page(explanation(changes.replace("$", "zz<script>'\\\"`&quot;</style>")));
    assertThat(hostile).contains("zz&lt;script&gt;&#39;&quot;");
    // With what was escaped put back to the harmless text, the pages are one.
    assertThat(hostile.replace("zz&lt;script&gt;&#39;&quot;&#x60;&amp;quot;&lt;/style&gt;", "zz"))
        .isEqualTo(plain);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{\"words\": null} | it has neither words nor error",
        "{\"words\": \"good\"} | words is not a list",
        "{\"words\": [1, 2, 3]} | words is not a list of strings",
        "{\"importances\": [0.5]} | importances has 1 numbers, but there are 3 words",
        "{\"importances\": [0.5, \"x\", 1]} | importances is not a number",
        "{\"importances\": null} | it has neither importances_answer_start nor error",
        "{\"delta\": null} | delta is missing",
        "{\"score\": \"high\"} | score is not a number",
        "{\"spans\": [null, [0], null]} | spans is not a list of [start, end] and null",
        "{\"spans\": [null]} | spans has 1 entries, but there are 3 words",
      })
  void anExplanationThatIsNotWholeSaysWhatIsWrong(String changes, String sentence)
      throws Exception {
    byte[] record = explanation(changes);
    assertThatThrownBy(() -> page(record))
        .isInstanceOf(InvalidExplanationException.class)
        .hasMessage(sentence);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{\"id\":",
        "no JSON",
        "[]",
        "17",
        "{} {}",
        "{\"delta\": NaN}",
        "",
        "{\"a\": \"\\uD800",
        "\u0000"
      })
  void whatIsNoJsonObjectIsSaidToBeNone(String value) {
    InvalidExplanationException e =
        catchThrowableOfType(InvalidExplanationException.class, () -> page(value.getBytes(UTF_8)));
    assertThat(e.getMessage())
        .startsWith("this is not")
        .contains("JSON")
        .endsWith("give the records of an explanations topic, one a line")
        .doesNotContain("\n", "Source:");
  }

  @Test
  void nestingWithoutEndIsRefusedToo() {
    byte[] nested = "[".repeat(1_000_000).getBytes(UTF_8);
    assertThatThrownBy(() -> page(nested)).isInstanceOf(InvalidExplanationException.class);
  }

  @Test
  void aRecordThatIsRefusedLeavesThePageAsItWas() throws Exception {
    String without = page(explanation("{}"), explanation("{\"id\": \"e-2\"}"));
    try (ReportWriter report = new ReportWriter(file, "Title")) {
      report.add(explanation("{}"));
      assertThatThrownBy(() -> report.add(explanation("{\"delta\": null}")))
          .isInstanceOf(InvalidExplanationException.class);
      report.add(explanation("{\"id\": \"e-2\"}"));
    }
    assertThat(file).hasContent(without);
  }

  @Test
  void aTokenBeyondTheTextAndATextOfZerosAreShown() throws Exception {
    assertThat(
            page(
                explanation(
                    "{\"target\": {\"token\": 99, \"index\": 0}, \"importances\": [0, 0, 0]}"),
                explanation("{\"words\": [], \"importances\": [], \"spans\": []}")))
        .contains("token 99, index 0")
        .doesNotContain("NaN", "Infinity", "null");
  }

  @Test
  void thePageIsThereOnlyWhenItIsWhole() throws Exception {
    Files.writeString(file, "the one before");
    ReportWriter report = new ReportWriter(file, "Title");
    report.add(
        explanation("{\"error\": {\"code\": \"explanation_failed\", \"message\": \"it broke\"}}"));
    assertThat(file).hasContent("the one before");
    report.close();
    assertThat(Files.readString(file)).contains("it broke").endsWith("</html>\n");
    assertThat(folder)
        .isDirectoryContaining("glob:**/page.html")
        .isDirectoryNotContaining("glob:**.part");
    assertThat(report.summary()).isEqualTo("1 explanation, 1 of which could not be made");
    report.close();
    assertThatThrownBy(() -> report.add(explanation("{}"))).hasMessageContaining("has been closed");
  }

  @Test
  void aFolderThatIsNotThereIsTold() {
    assertThatThrownBy(() -> new ReportWriter(folder.resolve("none/page.html"), "Title"))
        .isInstanceOf(NoSuchFileException.class);
  }
}
