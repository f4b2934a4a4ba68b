package org.labelstream.codec;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import java.io.IOException;

/**
 * A walk over the members of a JSON object that knows which bytes each of them has. Values that
 * nobody asks for are skipped and not converted, so they can be copied as they were written: {@code
 * 1e400}, {@code 0.10}, and integers of any length.
 */
final class JsonObject {

  /** The bytes of a member: {@code nameStart} to {@code valueEnd} is all of it. */
  record Member(String name, int nameStart, int valueStart, int valueEnd) {}

  /** Sees each member of an object. */
  interface Visitor {
    /**
     * Called with the parser at the value's first token. May read the value, leaving the parser at
     * its last token; what it leaves is skipped.
     *
     * @param valueStart the value's first byte
     */
    void value(String name, JsonParser parser, int valueStart) throws IOException;

    /** Called once the member's last byte is known. */
    void member(Member member);
  }

  /** How deep a value may be nested: a walk over it must not exhaust the stack. */
  static final int MAX_DEPTH = 500;

  /**
   * Bounds that bite are the size of a value, checked before, and the depth. Encodings are not
   * guessed: the caller has found the bytes to be UTF-8, and bytes that look like UTF-16 are text
   * with NULs.
   */
  static final JsonFactory JSON =
      JsonFactory.builder()
          .disable(JsonFactory.Feature.CHARSET_DETECTION)
          .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
          .disable(StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION)
          // An emoji is written as it is, not as two escapes.
          .enable(JsonWriteFeature.COMBINE_UNICODE_SURROGATES_IN_UTF8)
          .streamReadConstraints(
              StreamReadConstraints.builder()
                  .maxNestingDepth(MAX_DEPTH)
                  .maxNumberLength(Integer.MAX_VALUE)
                  .maxStringLength(Integer.MAX_VALUE)
                  .maxNameLength(Integer.MAX_VALUE)
                  .build())
          .build();

  private JsonObject() {}

  /**
   * Walks over an object; the parser stands at its opening brace, and afterwards at its closing
   * one.
   *
   * @param bytes what the parser reads
   * @param base the place in {@code bytes} of the parser's first byte
   */
  static void walk(byte[] bytes, int base, JsonParser parser, Visitor visitor) throws IOException {
    String name = null;
    int nameStart = 0;
    int valueStart = 0;
    while (true) {
      JsonToken token = parser.nextToken();
      int start = base + (int) parser.currentTokenLocation().getByteOffset();
      if (name != null) {
        visitor.member(new Member(name, nameStart, valueStart, endBefore(bytes, start)));
      }
      if (token != JsonToken.FIELD_NAME) {
        return; // the closing brace: the parser itself has no other way on
      }
      name = parser.currentName();
      nameStart = start;
      parser.nextToken();
      valueStart = base + (int) parser.currentTokenLocation().getByteOffset();
      visitor.value(name, parser, valueStart);
      parser.skipChildren();
    }
  }

  /**
   * Where the value ends that is followed by white space, perhaps a comma, white space, and the
   * token at {@code next}.
   */
  private static int endBefore(byte[] bytes, int next) {
    int end = skipBlanksBack(bytes, next);
    return bytes[end - 1] == ',' ? skipBlanksBack(bytes, end - 1) : end;
  }

  private static int skipBlanksBack(byte[] bytes, int end) {
    int last = end;
    while (isBlank(bytes[last - 1])) {
      last--;
    }
    return last;
  }

  static boolean isBlank(byte b) {
    return b == ' ' || b == '\n' || b == '\r' || b == '\t';
  }
}
