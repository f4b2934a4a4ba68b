package org.labelstream.engine;

import ai.djl.huggingface.tokenizers.jni.TokenizersLibrary;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;

/** One part of a {@code tokenizer.json}, run by the library as it stands there and by itself. */
final class TokenizerPart {

  private TokenizerPart() {}

  /**
   * A tokenizer of that part and a vocabulary of whole texts.
   *
   * @param name {@code normalizer} or {@code decoder}
   * @param vocabulary the ids of texts; any other text has none
   * @return its handle, to be given to {@code deleteTokenizer}
   */
  static long create(String name, JsonElement part, JsonObject vocabulary) {
    JsonObject model = new JsonObject();
    model.addProperty("type", "WordLevel");
    model.add("vocab", vocabulary);
    model.addProperty("unk_token", "");
    JsonObject tokenizer = new JsonObject();
    tokenizer.addProperty("version", "1.0");
    tokenizer.add(name, part);
    tokenizer.add("model", model);
    return TokenizersLibrary.LIB.createTokenizerFromString(tokenizer.toString());
  }
}
