package org.labelstream.engine;

import ai.djl.huggingface.tokenizers.jni.TokenizersLibrary;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.stream.JsonReader;
import java.io.IOException;
import java.io.StringReader;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.labelstream.model.Names;

/**
 * The tokens that were added to a tokenizer's vocabulary. Of these the library tells what it found
 * in the text: in lower case, or with the blanks around it. Hugging Face's pipelines show the
 * vocabulary's own entry, as of every other token.
 */
final class AddedTokens {

  private static final TokenizersLibrary LIB = TokenizersLibrary.LIB;

  private final Map<Integer, String> byId = new HashMap<>();

  private AddedTokens() {}

  /**
   * Those of what a {@code tokenizer.json} holds.
   *
   * @throws IllegalArgumentException when the tokenizer's normalizer leaves nothing of one
   */
  static AddedTokens of(String json) throws IOException {
    AddedTokens tokens = new AddedTokens();
    List<String> normalized = new ArrayList<>();
    JsonElement normalizer = JsonNull.INSTANCE;
    try (JsonReader reader = new JsonReader(new StringReader(json))) {
      reader.beginObject();
      while (reader.hasNext()) {
        switch (reader.nextName()) {
          case "added_tokens" -> {
            for (JsonElement each : JsonParser.parseReader(reader).getAsJsonArray()) {
              JsonObject token = each.getAsJsonObject();
              String content = token.get("content").getAsString();
              tokens.byId.put(token.get("id").getAsInt(), content);
              if (token.has("normalized") && token.get("normalized").getAsBoolean()) {
                normalized.add(content);
              }
            }
          }
          case "normalizer" -> normalizer = JsonParser.parseReader(reader);
          default -> reader.skipValue();
        }
      }
    }
    if (!normalizer.isJsonNull() && !normalized.isEmpty()) {
      requireThatSomethingIsLeft(normalized, normalizer);
    }
    return tokens;
  }

  /**
   * The library looks for a normalized token in the normalized text, and one of which nothing is
   * left is found everywhere, in the middle of characters too: it then ends the process.
   */
  private static void requireThatSomethingIsLeft(List<String> contents, JsonElement normalizer) {
    JsonObject vocabulary = new JsonObject();
    vocabulary.addProperty("", 0); // what a text has that is in no vocabulary
    long handle = TokenizerPart.create("normalizer", normalizer, vocabulary);
    try {
      for (String content : contents) {
        long encoding = LIB.encode(handle, content, false);
        try {
          if (LIB.getTokenIds(encoding).length == 0) {
            throw new IllegalArgumentException(
                "the tokenizer's normalizer leaves nothing of the added token \""
                    + Names.shown(content)
                    + "\", by which texts would end this process: remove it from added_tokens");
          }
        } finally {
          LIB.deleteEncoding(encoding);
        }
      }
    } finally {
      LIB.deleteTokenizer(handle);
    }
  }

  /** Puts the entries of added tokens in place of what was found in the text. */
  String[] inPlace(String[] pieces, int[] ids) {
    for (int i = 0; i < pieces.length; i++) {
      pieces[i] = byId.getOrDefault(ids[i], pieces[i]);
    }
    return pieces;
  }
}
