package org.labelstream.engine;

import ai.djl.huggingface.tokenizers.jni.TokenizersLibrary;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import com.google.gson.stream.JsonReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;

/**
 * Makes a string of tokens, as {@code convert_tokens_to_string} of transformers' fast tokenizers
 * does: by the decoder of {@code tokenizer.json}, run by the library as it stands there.
 *
 * <p>The library decodes ids, and a group may hold texts that have none: an unknown token's source,
 * or words that were made of tokens before. So the decoder is put into a tokenizer whose vocabulary
 * is these texts.
 */
public final class TokenDecoder {

  private static final TokenizersLibrary LIB = TokenizersLibrary.LIB;

  private final JsonElement decoder;
  private final Form form;

  private TokenDecoder(JsonElement decoder) {
    this.decoder = decoder;
    this.form = Form.of(decoder);
  }

  /** The forms that most tokenizers have, which are quicker done here than handed over. */
  private enum Form {
    /** {@code tokenizers/src/decoders/wordpiece.rs}, prefix {@code ##}, with cleaning. */
    WORD_PIECE,
    /** {@code tokenizers/src/pre_tokenizers/byte_level.rs}: each character stands for a byte. */
    BYTE_LEVEL,
    /** None: tokens with blanks between them. */
    BLANKS,
    OTHER;

    static Form of(JsonElement decoder) {
      if (decoder.isJsonNull()) {
        return BLANKS;
      }
      JsonObject options = decoder.getAsJsonObject();
      return switch (options.get("type").getAsString()) {
        case "ByteLevel" -> BYTE_LEVEL; // its options are the pre-tokenizer's
        case "WordPiece" ->
            new JsonPrimitive("##").equals(options.get("prefix"))
                    && new JsonPrimitive(true).equals(options.get("cleanup"))
                ? WORD_PIECE
                : OTHER;
        default -> OTHER;
      };
    }
  }

  /** The decoder of what a {@code tokenizer.json} holds. */
  static TokenDecoder of(String json) throws IOException {
    JsonElement decoder = JsonNull.INSTANCE;
    try (JsonReader reader = new JsonReader(new StringReader(json))) {
      reader.beginObject();
      while (reader.hasNext()) {
        if (reader.nextName().equals("decoder")) {
          decoder = JsonParser.parseReader(reader);
        } else {
          reader.skipValue();
        }
      }
    }
    return new TokenDecoder(decoder);
  }

  /** The text of some tokens; where there is no decoder, with blanks between them. */
  public String decode(List<String> tokens) {
    return switch (form) {
      case WORD_PIECE -> ofWordPieces(tokens);
      case BYTE_LEVEL -> ofBytes(tokens);
      case BLANKS -> String.join(" ", tokens);
      case OTHER -> byTheLibrary(tokens);
    };
  }

  private static String ofWordPieces(List<String> tokens) {
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < tokens.size(); i++) {
      String token = tokens.get(i);
      if (i > 0) {
        token = token.startsWith("##") ? token.substring(2) : " " + token;
      }
      // The library's own clean-up knows one contraction more than transformers'.
      text.append(cleanUpTokenization(token).replace(" do not", " don't"));
    }
    return text.toString();
  }

  private static String ofBytes(List<String> tokens) {
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

  /** What any decoder makes of them; tens of microseconds. */
  String byTheLibrary(List<String> tokens) {
    JsonObject vocabulary = new JsonObject();
    long[] ids = new long[tokens.size()];
    for (int i = 0; i < ids.length; i++) {
      String token = tokens.get(i);
      if (!vocabulary.has(token)) {
        vocabulary.addProperty(token, vocabulary.size());
      }
      ids[i] = vocabulary.get(token).getAsLong();
    }
    long handle = TokenizerPart.create("decoder", decoder, vocabulary);
    try {
      return LIB.decode(handle, ids, false);
    } finally {
      LIB.deleteTokenizer(handle);
    }
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
