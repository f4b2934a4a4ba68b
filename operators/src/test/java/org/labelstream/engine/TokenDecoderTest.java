package org.labelstream.engine;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Strings of tokens, against what transformers' tokenizers make of the same tokens. */
class TokenDecoderTest {

  private static final Path REFERENCE = Path.of("src/test/resources/parity/decoders.expected.json");

  @Test
  void makesOfEachGroupOfTokensWhatTheReferenceMakes() throws Exception {
    int groups = 0;
    for (JsonNode kind : new ObjectMapper().readTree(REFERENCE.toFile()).get("kinds")) {
      TokenDecoder decoder =
          switch (kind.get("decoder").asText()) {
            case "WordPiece" -> TokenDecoder.WORD_PIECE;
            case "Metaspace" -> TokenDecoder.METASPACE;
            case "ByteLevel" -> TokenDecoder.BYTE_LEVEL;
            default -> null; // only generators have it, whose ids the library decodes
          };
      if (decoder == null) {
        continue;
      }
      for (JsonNode group : kind.get("groups")) {
        List<String> tokens = new ArrayList<>();
        group.get(0).forEach(token -> tokens.add(token.textValue()));
        assertThat(decoder.decode(tokens))
            .as(kind.get("architecture") + " " + tokens)
            .isEqualTo(group.get(1).textValue());
        groups++;
      }
    }
    assertThat(groups).isGreaterThanOrEqualTo(75);
  }
}
