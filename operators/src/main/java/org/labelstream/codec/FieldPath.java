package org.labelstream.codec;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;

/**
 * The way to a field of a nested object, in Kafka Connect's grammar (KIP-821): names with dots
 * between them; a name that holds a dot, or begins with a backtick, stands between backticks, and a
 * backtick before a dot within them has a backslash before it.
 *
 * @param text the path as it was given
 * @param steps the name of each object on the way, and the field's own; at least one
 */
public record FieldPath(String text, ArrayList<String> steps) implements Serializable {

  /** The path of a field at the top, whatever its name holds. */
  static FieldPath of(String name) {
    return new FieldPath(name, new ArrayList<>(List.of(name)));
  }

  /**
   * Reads a path.
   *
   * @throws IllegalArgumentException with the end of a sentence, when it is none
   */
  public static FieldPath parse(String text) {
    ArrayList<String> steps = new ArrayList<>();
    int at = 0;
    while (at < text.length()) {
      at = text.charAt(at) == '`' ? quoted(text, at, steps) : plain(text, at, steps);
    }
    if (text.isEmpty() || text.endsWith(".")) {
      steps.add("");
    }
    if (steps.contains("")) {
      throw new IllegalArgumentException(
          "is \""
              + text
              + "\", in which a name is empty: write names with dots between them, such as"
              + " payload.after.body");
    }
    return new FieldPath(text, steps);
  }

  /** Reads a name up to the next dot, and gives the place behind that. */
  private static int plain(String text, int start, List<String> steps) {
    int dot = text.indexOf('.', start);
    steps.add(text.substring(start, dot < 0 ? text.length() : dot));
    return dot < 0 ? text.length() : dot + 1;
  }

  /** Reads a name up to the backtick that a dot or the end follows. */
  private static int quoted(String text, int open, List<String> steps) {
    StringBuilder name = new StringBuilder();
    int start = open + 1;
    for (int close = text.indexOf('`', start); close >= 0; close = text.indexOf('`', close + 1)) {
      boolean ends = close == text.length() - 1;
      if (!ends && text.charAt(close + 1) != '.') {
        continue; // a part of the name
      }
      if (text.charAt(close - 1) == '\\') {
        if (ends) {
          break;
        }
        name.append(text, start, close - 1).append('`');
        start = close + 1;
        continue;
      }
      steps.add(name.append(text, start, close).toString());
      return ends ? text.length() : close + 2;
    }
    throw new IllegalArgumentException(
        "is "
            + text
            + ", in which the backtick at character "
            + (open + 1)
            + " has no other that closes it: write one before a dot or at the end");
  }

  /** As it is written in messages. */
  @Override
  public String toString() {
    return text;
  }
}
