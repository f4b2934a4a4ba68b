package org.labelstream.engine;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.stream.JsonReader;
import java.io.IOException;
import java.io.StringReader;
import java.util.HashMap;
import java.util.Map;

/**
 * The tokens that were added to a tokenizer's vocabulary. Of these the library tells what it found
 * in the text: in lower case, or with the blanks around it. Hugging Face's pipelines show the
 * vocabulary's own entry, as of every other token.
 */
final class AddedTokens {

  private final Map<Integer, String> byId = new HashMap<>();

  private AddedTokens() {}

  /** Those of what a {@code tokenizer.json} holds. */
  static AddedTokens of(String json) throws IOException {
    AddedTokens tokens = new AddedTokens();
    try (JsonReader reader = new JsonReader(new StringReader(json))) {
      reader.beginObject();
      while (reader.hasNext()) {
        if (reader.nextName().equals("added_tokens")) {
          for (JsonElement each : JsonParser.parseReader(reader).getAsJsonArray()) {
            JsonObject token = each.getAsJsonObject();
            tokens.byId.put(token.get("id").getAsInt(), token.get("content").getAsString());
          }
        } else {
          reader.skipValue();
        }
      }
    }
    return tokens;
  }

  /** Puts the entries of added tokens in place of what was found in the text. */
  String[] inPlace(String[] pieces, int[] ids) {
    for (int i = 0; i < pieces.length; i++) {
      pieces[i] = byId.getOrDefault(ids[i], pieces[i]);
    }
    return pieces;
  }
}
