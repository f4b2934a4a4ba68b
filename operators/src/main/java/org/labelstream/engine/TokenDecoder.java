package org.labelstream.engine;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import org.labelstream.model.Manifest;

/**
 * Makes a string of tokens, as {@code convert_tokens_to_string} of transformers' fast tokenizers
 * does: by the decoder of {@code tokenizer.json} over tokens as texts. The library's own decoding
 * takes ids, and a group may hold texts that have none: an unknown token's source, or words that
 * were made of tokens before.
 */
public enum TokenDecoder {

  /** {@code tokenizers/src/decoders/wordpiece.rs}, prefix {@code ##}, with cleaning. */
  WORD_PIECE {
    @Override
    public String decode(List<String> tokens) {
      StringBuilder text = new StringBuilder();
      for (int i = 0; i < tokens.size(); i++) {
        String token = tokens.get(i);
        if (i > 0) {
          token = token.startsWith("##") ? token.substring(2) : " " + token;
        }
        text.append(cleaned(token));
      }
      return text.toString();
    }
  },

  /**
   * {@code tokenizers/src/pre_tokenizers/metaspace.rs}: the mark is a blank, and nothing in the
   * first token.
   */
  METASPACE {
    @Override
    public String decode(List<String> tokens) {
      StringBuilder text = new StringBuilder();
      for (int i = 0; i < tokens.size(); i++) {
        text.append(tokens.get(i).replace("▁", i == 0 ? "" : " "));
      }
      return text.toString();
    }
  },

  /** {@code tokenizers/src/pre_tokenizers/byte_level.rs}: each character stands for a byte. */
  BYTE_LEVEL {
    @Override
    public String decode(List<String> tokens) {
      ByteArrayOutputStream bytes = new ByteArrayOutputStream();
      for (String token : tokens) {
        int[] values = token.codePoints().map(ByteAlphabet::byteOf).toArray();
        if (Arrays.stream(values).allMatch(value -> value >= 0)) {
          Arrays.stream(values).forEach(bytes::write);
        } else {
          bytes.writeBytes(token.getBytes(StandardCharsets.UTF_8));
        }
      }
      return bytes.toString(StandardCharsets.UTF_8);
    }
  },

  /** No decoder: tokens with blanks between them. */
  BLANKS {
    @Override
    public String decode(List<String> tokens) {
      return String.join(" ", tokens);
    }
  };

  /** The text of some tokens. */
  public abstract String decode(List<String> tokens);

  /**
   * The decoder of a model's tokenizer.
   *
   * @throws EngineException when it is of another kind
   */
  public static TokenDecoder of(Manifest manifest) {
    if (manifest.decoder() == null) {
      return BLANKS;
    }
    return switch (manifest.decoder()) {
      case "WordPiece" -> WORD_PIECE;
      case "Metaspace" -> METASPACE;
      case "ByteLevel" -> BYTE_LEVEL;
      default ->
          throw new EngineException(
              "the tokenizer's decoder is of the kind "
                  + manifest.decoder()
                  + ", which token classification does not know: known are WordPiece, Metaspace and ByteLevel");
    };
  }

  /** The tokenizers library's own clean-up knows one contraction more than transformers'. */
  private static String cleaned(String token) {
    return cleanUpTokenization(token).replace(" do not", " don't");
  }

  /**
   * A text without the blanks before punctuation and contractions, as {@code clean_up_tokenization}
   * of {@code transformers/tokenization_utils_base.py} gives it.
   */
  public static String cleanUpTokenization(String text) {
    return text.replace(" .", ".")
        .replace(" ?", "?")
        .replace(" !", "!")
        .replace(" ,", ",")
        .replace(" ' ", "'")
        .replace(" n't", "n't")
        .replace(" 'm", "'m")
        .replace(" 's", "'s")
        .replace(" 've", "'ve")
        .replace(" 're", "'re");
  }

  /**
   * GPT-2's characters for bytes ({@code bytes_to_unicode}): printable ones stand for themselves,
   * the others for those from 256 on.
   */
  private static final class ByteAlphabet {
    private static final int[] BYTES = new int[512];

    static {
      Arrays.fill(BYTES, -1);
      int next = 256;
      for (int b = 0; b < 256; b++) {
        boolean printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        BYTES[printable ? b : next++] = b;
      }
    }

    static int byteOf(int character) {
      return character < BYTES.length ? BYTES[character] : -1;
    }
  }
}
