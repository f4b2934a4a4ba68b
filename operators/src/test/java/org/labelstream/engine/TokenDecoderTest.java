package org.labelstream.engine;

import static org.assertj.core.api.Assertions.assertThat;

import ai.djl.huggingface.tokenizers.jni.LibUtils;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Strings of tokens, against what transformers' tokenizers make of the same tokens. */
class TokenDecoderTest {

  private static final Path REFERENCE = Path.of("src/test/resources/parity/decoders.expected.json");

  @BeforeAll
  static void loadTheLibrary() {
    LibUtils.checkStatus();
  }

  @Test
  void makesOfEachGroupOfTokensWhatTheReferenceMakes() throws Exception {
    int groups = 0;
    for (JsonNode kind : new ObjectMapper().readTree(REFERENCE.toFile()).get("kinds")) {
      TokenDecoder decoder = decoderOf(kind.get("architecture").textValue());
      for (JsonNode group : kind.get("groups")) {
        List<String> tokens = new ArrayList<>();
        group.get(0).forEach(token -> tokens.add(token.textValue()));
        assertThat(List.of(decoder.decode(tokens), decoder.byTheLibrary(tokens)))
            .as(kind.get("architecture") + " " + tokens)
            .containsOnly(group.get(1).textValue());
        groups++;
      }
    }
    assertThat(groups).isGreaterThanOrEqualTo(125);
  }

  private static TokenDecoder decoderOf(String architecture) throws IOException {
    // Decoders that classify were made with another tokenizer than those that generate.
    Path tokenizer =
        Stream.of("token_classification", "text_generation")
            .map(task -> REFERENCE.resolveSibling(architecture + "-" + task))
            .map(folder -> folder.resolve("tokenizer.json"))
            .filter(Files::exists)
            .findFirst()
            .orElseThrow();
    return TokenDecoder.of(Files.readString(tokenizer));
  }

  /** Each as the library documents it. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          null                                                                 | a ##b .    | a ##b .
          {"type": "WordPiece", "prefix": "##", "cleanup": true}               | a ##b .    | ab.
          {"type": "WordPiece", "prefix": "##", "cleanup": false}              | a ##b .    | 'ab .'
          {"type": "WordPiece", "prefix": "@@", "cleanup": true}               | a @@b ##c  | ab ##c
          {"type": "BPEDecoder", "suffix": "</w>"}                             | a b</w> c</w> | ab c
          {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": true} | _a b _c | ab c
          {"type": "Metaspace", "replacement": "_", "prepend_scheme": "never", "split": true} | _a b _c | ' ab c'
          {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "_"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]} | _a <0xC3> <0xA9> _b | aé b
          {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "^", "cleanup": true} | a a <pad> b | ab
          """)
  void runsEachKindAsItStandsInTheTokenizer(String json, String tokens, String text)
      throws IOException {
    TokenDecoder decoder = TokenDecoder.of("{\"decoder\": " + json + "}");

    assertThat(decoder.decode(List.of(tokens.split(" +", -1)))).isEqualTo(text);
    assertThat(decoder.byTheLibrary(List.of(tokens.split(" +", -1)))).isEqualTo(text);
  }
}
