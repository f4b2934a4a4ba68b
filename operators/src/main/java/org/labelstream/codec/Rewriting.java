package org.labelstream.codec;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.io.JsonStringEncoder;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.function.UnaryOperator;

/** Finds the texts of a JSON object that are written anew: names, strings, and numbers. */
final class Rewriting {

  /** What takes the place of the bytes from {@code start} to {@code end}. */
  record Edit(int start, int end, byte[] by) {}

  private Rewriting() {}

  /** The edits in all that is carried through, in their order. */
  static List<Edit> of(Content content, UnaryOperator<String> rewriting) {
    List<Edit> edits = new ArrayList<>();
    if (content.edit() != null) {
      edits.add(content.edit());
    }
    if (rewriting.equals(UnaryOperator.<String>identity())) {
      return edits;
    }
    byte[] bytes = content.bytes();
    int from = content.from();
    try (JsonParser parser = JsonObject.JSON.createParser(bytes, from, content.to() - from)) {
      for (JsonToken token = parser.nextToken(); token != null; token = parser.nextToken()) {
        if (token == JsonToken.FIELD_NAME || token.isScalarValue()) {
          String text = parser.getText();
          String changed = rewriting.apply(text);
          int start = from + (int) parser.currentTokenLocation().getByteOffset();
          if (!changed.equals(text)
              && (content.edit() == null || content.edit().start() != start)) {
            edits.add(new Edit(start, end(bytes, start, text), quoted(changed)));
          }
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException("it has been read before", e);
    }
    edits.sort(Comparator.comparingInt(Edit::start));
    return edits;
  }

  /** The byte behind a token. */
  private static int end(byte[] bytes, int start, String text) {
    if (bytes[start] != '"') {
      return start + text.length(); // a number is ASCII
    }
    int at = start + 1;
    while (bytes[at] != '"') {
      at += bytes[at] == '\\' ? 2 : 1;
    }
    return at + 1;
  }

  private static byte[] quoted(String text) {
    String json = '"' + new String(JsonStringEncoder.getInstance().quoteAsString(text)) + '"';
    return json.getBytes(StandardCharsets.UTF_8);
  }
}
