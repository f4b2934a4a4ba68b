package org.labelstream.model;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The names of a model's classes, from {@code index_to_name.json} in each form that people have:
 * string keys to names, or {@code label_list} as the string of a list, with or without quotes
 * around the names, or as a JSON list.
 */
public final class LabelMapping {

  private final List<String> names;

  private LabelMapping(List<String> names) {
    this.names = List.copyOf(names);
  }

  /**
   * Reads a mapping and holds it against the model.
   *
   * @param classes how many classes the model gives
   * @throws InvalidModelException when it has a gap, repeats an index, or does not fit the number
   *     of classes
   */
  public static LabelMapping read(Path file, int classes) {
    Map<?, ?> content = Document.readMapping(file);
    List<String> names =
        content.containsKey("label_list")
            ? fromLabelList(file, content)
            : fromIndices(file, content);
    if (names.size() != classes) {
      throw new InvalidModelException(
          file
              + " names "
              + names.size()
              + (names.size() == 1 ? " class" : " classes")
              + ", but the model gives "
              + classes
              + (classes == 1 ? " logit" : " logits")
              + ": add or remove names so that the counts agree");
    }
    return new LabelMapping(names);
  }

  /** The name of a class. */
  public String name(int index) {
    return names.get(index);
  }

  /** The class with a name, or -1 where there is none. */
  public int indexOf(String name) {
    return names.indexOf(name);
  }

  /** How many classes there are. */
  public int size() {
    return names.size();
  }

  /** All names, by index. */
  public List<String> names() {
    return names;
  }

  private static List<String> fromIndices(Path file, Map<?, ?> content) {
    Map<Integer, String> byIndex = new TreeMap<>();
    content.forEach(
        (key, value) -> {
          int index = index(file, key);
          if (byIndex.put(index, name(file, value)) != null) {
            throw new InvalidModelException(
                file + " names class " + index + " twice: keep one of the names");
          }
        });
    int expected = 0;
    for (int index : byIndex.keySet()) {
      if (index != expected) {
        throw new InvalidModelException(
            file
                + " has no name for class "
                + expected
                + ", but one for class "
                + index
                + ": the indices must run from 0 without a gap");
      }
      expected++;
    }
    return new ArrayList<>(byIndex.values());
  }

  private static int index(Path file, Object key) {
    try {
      int index = Integer.parseInt(String.valueOf(key).strip());
      if (index >= 0) {
        return index;
      }
    } catch (NumberFormatException e) {
      // told below, with the same words as a negative one
    }
    throw new InvalidModelException(
        file
            + " has the key \""
            + Names.shown(key)
            + "\", which is no index of a class: write {\"0\": \"first name\", \"1\": …}, or {\"label_list\": [\"first name\", …]}");
  }

  private static List<String> fromLabelList(Path file, Map<?, ?> content) {
    Object list = content.get("label_list");
    List<String> names = new ArrayList<>();
    if (list instanceof Iterable<?> items) {
      for (Object item : items) {
        names.add(name(file, item));
      }
      return names;
    }
    if (list instanceof String text && text.strip().startsWith("[") && text.strip().endsWith("]")) {
      String inner = text.strip().substring(1, text.strip().length() - 1);
      for (String item : splitOutsideQuotes(inner)) {
        names.add(name(file, unquoted(item.strip())));
      }
      return names;
    }
    throw new InvalidModelException(
        file
            + " has a label_list that is "
            + Document.describe(list)
            + ": write it as a list, such as \"[O, B-PER, I-PER]\"");
  }

  private static List<String> splitOutsideQuotes(String text) {
    List<String> items = new ArrayList<>();
    StringBuilder item = new StringBuilder();
    char quote = 0;
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      if (quote == 0 && c == ',') {
        items.add(item.toString());
        item.setLength(0);
        continue;
      }
      if (quote == 0 && (c == '\'' || c == '"') && item.toString().isBlank()) {
        quote = c;
      } else if (c == quote) {
        quote = 0;
      }
      item.append(c);
    }
    if (!item.toString().isBlank() || items.isEmpty()) {
      items.add(item.toString());
    }
    return items;
  }

  private static String unquoted(String text) {
    if (text.length() >= 2) {
      char first = text.charAt(0);
      if ((first == '\'' || first == '"') && text.charAt(text.length() - 1) == first) {
        return text.substring(1, text.length() - 1);
      }
    }
    return text;
  }

  private static String name(Path file, Object value) {
    if (value instanceof Number || value instanceof Boolean) {
      return value.toString();
    }
    if (value instanceof String text && !text.isBlank()) {
      return text;
    }
    throw new InvalidModelException(
        file
            + " names a class with "
            + Document.describe(value)
            + ": a name is a text that is not blank");
  }
}
