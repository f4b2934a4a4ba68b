package org.labelstream.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.labelstream.model.ModelFolder;
import org.labelstream.model.ModelFolder.Verify;
import org.labelstream.model.TruncationSide;

class TextTokenizerTest {

  static final Path FIXTURE =
      Path.of("src/test/resources/parity/distilbert-sequence_classification");

  @TempDir Path temporary;

  /** A copy of the fixture without its sums, so that it may be broken. */
  static Path copy(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(FIXTURE)) {
      for (Path file : files.toList()) {
        Files.copy(file, folder.resolve(file.getFileName()));
      }
    }
    Path manifest = folder.resolve("labelstream.json");
    Files.writeString(manifest, Files.readString(manifest).replace("\"sha256\"", "\"sums\""));
    return folder;
  }

  @ParameterizedTest
  @CsvSource({
    "plain text, plain text",
    "a\ud83d\ude00b, a\ud83d\ude00b",
    "a\ud800b, a\ufffdb",
    "\udc00, \ufffd",
    "\ud800\ud83d\ude00\udc00, \ufffd\ud83d\ude00\ufffd",
    "\udc00\ud800, \ufffd\ufffd",
    "end\ud83d, end\ufffd"
  })
  void aLoneSurrogateIsReplacedOneForOne(String text, String clean) {
    assertThat(TextTokenizer.withoutLoneSurrogates(text)).isEqualTo(clean);
    assertThat(clean.codePointCount(0, clean.length()))
        .isEqualTo(text.codePointCount(0, text.length()));
  }

  @Test
  void aTextWithoutSurrogatesIsNotCopied() {
    String text = "nothing to do";
    assertThat(TextTokenizer.withoutLoneSurrogates(text)).isSameAs(text);
  }

  /** With the token there, a text that is not ASCII ends the process. */
  @Test
  void anAddedTokenOfWhichTheNormalizerLeavesNothingIsRefused() throws IOException {
    ObjectNode json =
        (ObjectNode) new ObjectMapper().readTree(FIXTURE.resolve("tokenizer.json").toFile());
    ((ArrayNode) json.get("added_tokens"))
        .addObject()
        .put("id", json.at("/model/vocab").size())
        .put("content", "\u0007")
        .put("single_word", false)
        .put("lstrip", false)
        .put("rstrip", false)
        .put("normalized", true)
        .put("special", false);

    assertThatThrownBy(
            () -> {
              try (TextTokenizer tokenizer =
                  TextTokenizer.of(json.toString(), false, TruncationSide.RIGHT)) {
                tokenizer.encode("日本", null);
              }
            })
        .hasMessage(
            "the tokenizer's normalizer leaves nothing of the added token \"\\u0007\", by which"
                + " texts would end this process: remove it from added_tokens");
  }

  /** As {@code convert_ids_to_tokens}: what stands in the text is in its spans. */
  @Test
  void thePieceOfAnAddedTokenIsTheVocabularysEntry() throws IOException {
    ObjectNode json =
        (ObjectNode) new ObjectMapper().readTree(FIXTURE.resolve("tokenizer.json").toFile());
    int id = json.at("/model/vocab").size();
    ((ArrayNode) json.get("added_tokens"))
        .addObject()
        .put("id", id)
        .put("content", "COVID-19")
        .put("single_word", false)
        .put("lstrip", true)
        .put("rstrip", false)
        .put("normalized", true)
        .put("special", false);
    try (TextTokenizer tokenizer = TextTokenizer.of(json.toString(), false, TruncationSide.RIGHT)) {
      Tokens tokens =
          tokenizer.encode(
              "good \u00A0 covid-19",
              null,
              TextTokenizer.Detail.PIECES,
              TextTokenizer.Detail.SPANS);

      int last = tokens.length() - 2;
      assertThat(tokens.ids()[last]).isEqualTo(id);
      assertThat(tokens.piece(last)).isEqualTo("COVID-19");
    }
  }

  @Test
  void aTextIsCutAtTheMaximumLengthAndSaysSo() {
    ModelFolder folder = ModelFolder.read(FIXTURE, Verify.REQUIRED);
    try (TextTokenizer tokenizer = TextTokenizer.load(folder)) {
      Tokens empty = tokenizer.encode("", null);
      Tokens surrogate = tokenizer.encode("good \ud800 film", null);
      Tokens longest =
          tokenizer
              .encode("good ".repeat(2_000), null)
              .truncatedTo(folder.maxLength(), TruncationSide.RIGHT);

      assertThat(empty.length()).isEqualTo(2);
      assertThat(empty.truncated()).isFalse();
      assertThat(surrogate.ids()).isEqualTo(tokenizer.encode("good \ufffd film", null).ids());
      assertThat(longest.length()).isEqualTo(folder.maxLength());
      assertThat(longest.truncated()).isTrue();
      assertThat(longest.ids()[longest.length() - 1]).isEqualTo(empty.ids()[1]);
    }
  }

  @ParameterizedTest
  @CsvSource({"'', 1000", "a, 1000", "ab, 1000", "a good film, 1000", "a good film, 2"})
  @Timeout(20)
  void theEndOfATextThatHasFewerTokensThanAskedForIsAllOfIt(String text, int count) {
    ModelFolder folder = ModelFolder.read(FIXTURE, Verify.REQUIRED);
    try (TextTokenizer tokenizer = TextTokenizer.load(folder)) {
      assertThat(tokenizer.encodeEnd(text, count).ids())
          .endsWith(tokenizer.encode(text, null).ids());
    }
  }

  @Test
  void aTokenizerThatCannotBeReadIsNamed() throws IOException {
    ModelFolder folder = ModelFolder.read(copy(temporary), Verify.IF_PRESENT);
    Path file = temporary.resolve("tokenizer.json");
    Files.writeString(file, "{\"version\": 1}");

    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> TextTokenizer.load(folder))
        .withMessageStartingWith(file + " cannot be loaded: ");
  }
}
