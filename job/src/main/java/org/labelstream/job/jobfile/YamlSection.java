package org.labelstream.job.jobfile;

import java.math.BigInteger;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeSet;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.util.TimeUtils;
import org.labelstream.job.jobfile.InvalidJobException.Problem;
import org.labelstream.model.Names;
import org.snakeyaml.engine.v2.nodes.MappingNode;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.nodes.NodeTuple;
import org.snakeyaml.engine.v2.nodes.ScalarNode;
import org.snakeyaml.engine.v2.nodes.SequenceNode;
import org.snakeyaml.engine.v2.nodes.Tag;

/**
 * A mapping of the job file whose keys are asked for one by one. What is wrong is noted and not
 * thrown, so that all problems are told at once: a getter gives its default then. {@link #finish}
 * notes the keys that nobody asked for.
 */
final class YamlSection {

  private static final Duration LONGEST = Duration.ofDays(30);

  private final String path;
  private final int line;
  private final Map<String, Node> values = new LinkedHashMap<>();
  private final Map<String, Integer> lines = new HashMap<>();
  private final Collection<String> asked = new TreeSet<>();
  private final List<Problem> problems;

  /**
   * @param path the section's place, such as {@code pipelines[0].input}; empty for the whole file
   * @param node the section, or null where it is absent
   * @param line where it is, or would be
   */
  YamlSection(String path, Node node, int line, List<Problem> problems) {
    this.path = path;
    this.problems = problems;
    this.line = node == null ? line : lineOf(node);
    if (node instanceof MappingNode mapping) {
      for (NodeTuple tuple : mapping.getValue()) {
        String key = tuple.getKeyNode() instanceof ScalarNode scalar ? scalar.getValue() : "?";
        if (values.put(key, tuple.getValueNode()) != null) {
          problem(lineOf(tuple.getKeyNode()), place(key) + " is given twice: keep one of them");
        }
        lines.put(key, lineOf(tuple.getKeyNode()));
      }
    } else if (node != null && !isNull(node)) {
      problem(this.line, (path.isEmpty() ? "the file" : path) + " must hold names with values");
    }
  }

  static int lineOf(Node node) {
    return node.getStartMark().map(mark -> mark.getLine() + 1).orElse(1);
  }

  private static boolean isNull(Node node) {
    return node.getTag().equals(Tag.NULL);
  }

  int line() {
    return line;
  }

  /** Where a key stands, or its section where it is absent. */
  int lineOf(String key) {
    return lines.getOrDefault(key, line);
  }

  boolean has(String key) {
    asked.add(key);
    return values.containsKey(key) && !isNull(values.get(key));
  }

  void problem(int where, String message) {
    problems.add(new Problem(where, message));
  }

  void problem(String key, String message) {
    problem(lineOf(key), place(key) + " " + message);
  }

  private String place(String key) {
    return path.isEmpty() ? key : path + "." + key;
  }

  YamlSection section(String key) {
    asked.add(key);
    return new YamlSection(place(key), values.get(key), line, problems);
  }

  /** A section in whose place the value of one of its keys may stand. */
  YamlSection section(String key, String alone) {
    boolean isAlone = values.get(key) instanceof ScalarNode scalar && !isNull(scalar);
    YamlSection section =
        new YamlSection(place(key), isAlone ? null : values.get(key), lineOf(key), problems);
    asked.add(key);
    if (isAlone) {
      section.values.put(alone, values.get(key));
      section.lines.put(alone, lineOf(key));
    }
    return section;
  }

  List<YamlSection> sections(String key) {
    asked.add(key);
    List<YamlSection> sections = new ArrayList<>();
    Node node = values.get(key);
    if (node instanceof SequenceNode sequence && !sequence.getValue().isEmpty()) {
      for (Node item : sequence.getValue()) {
        sections.add(
            new YamlSection(place(key) + "[" + sections.size() + "]", item, line, problems));
      }
    } else {
      problem(key, "must be a list with at least one item");
    }
    return sections;
  }

  /** A text, or null where it is absent or no text. */
  String text(String key) {
    if (!has(key)) {
      return null;
    }
    if (values.get(key) instanceof ScalarNode scalar) {
      return scalar.getValue();
    }
    problem(key, "must be a single value");
    return null;
  }

  /** A text that must be there. */
  String requiredText(String key) {
    String text = text(key);
    if (!has(key)) {
      problem(line, place(key) + " is missing: add it");
    } else if (text != null && text.isBlank()) {
      problem(key, "is blank: give it a value");
    }
    return text;
  }

  /** Texts, in a list or a single one; none where it is absent or something else. */
  List<String> texts(String key) {
    if (!has(key)) {
      return List.of();
    }
    Node node = values.get(key);
    List<Node> items = node instanceof SequenceNode list ? list.getValue() : List.of(node);
    List<String> texts = new ArrayList<>();
    for (Node item : items) {
      if (item instanceof ScalarNode scalar) {
        texts.add(scalar.getValue());
      } else {
        problem(lineOf(item), place(key) + " must be a text, or a list of texts");
      }
    }
    return texts;
  }

  Integer positive(String key, Integer ifAbsent) {
    String text = text(key);
    if (text == null) {
      return ifAbsent;
    }
    try {
      int number = Integer.parseInt(text.replace("_", ""));
      if (number > 0) {
        return number;
      }
    } catch (NumberFormatException e) {
      // told below, with the same words as a negative one
    }
    problem(key, "is " + text + ", but must be a whole number above 0");
    return ifAbsent;
  }

  boolean flag(String key, boolean ifAbsent) {
    String text = text(key);
    if (text == null || text.equalsIgnoreCase("true") || text.equalsIgnoreCase("false")) {
      return text == null ? ifAbsent : text.equalsIgnoreCase("true");
    }
    problem(key, "is " + text + ", but must be true or false");
    return ifAbsent;
  }

  Duration duration(String key, Duration ifAbsent) {
    String text = text(key);
    if (text == null) {
      return ifAbsent;
    }
    try {
      Duration duration = TimeUtils.parseDuration(text);
      if (duration.compareTo(LONGEST) <= 0) {
        return duration;
      }
      problem(key, "is " + text + ", but may be at most " + LONGEST.toDays() + " days");
      return ifAbsent;
    } catch (IllegalArgumentException | ArithmeticException e) {
      problem(key, "is " + text + ", but must be a time such as 60s, 500ms or 5min");
      return ifAbsent;
    }
  }

  long bytes(String key, long ifAbsent) {
    String text = text(key);
    if (text == null) {
      return ifAbsent;
    }
    try {
      // Flink knows kibibytes as k and kb; users write them as KiB, too.
      return MemorySize.parseBytes(text.strip().replaceFirst("(?i)ib$", ""));
    } catch (IllegalArgumentException e) {
      problem(key, "is " + text + ", but must be a size such as 1MiB or 512KiB");
      return ifAbsent;
    }
  }

  <E extends Enum<E>> E choice(String key, Class<E> type, E ifAbsent) {
    String text = text(key);
    if (text == null) {
      return ifAbsent;
    }
    List<String> words = Arrays.stream(type.getEnumConstants()).map(YamlSection::wordFor).toList();
    int index = words.indexOf(text.toLowerCase(Locale.ROOT));
    if (index >= 0) {
      return type.getEnumConstants()[index];
    }
    problem(
        key,
        "is "
            + text
            + ", but must be one of "
            + String.join(", ", words)
            + Names.nearest(text, words).map(word -> ": did you mean " + word + "?").orElse(""));
    return ifAbsent;
  }

  private static String wordFor(Enum<?> constant) {
    return constant.name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  /** All keys with their values as texts, of a section in which any key may stand. */
  Map<String, String> properties() {
    Map<String, String> properties = new LinkedHashMap<>();
    values.forEach(
        (key, node) -> {
          asked.add(key);
          flatten(key, node, properties);
        });
    return properties;
  }

  private void flatten(String key, Node node, Map<String, String> properties) {
    if (node instanceof ScalarNode scalar) {
      properties.put(key, isNull(node) ? "" : scalar.getValue());
    } else if (node instanceof MappingNode mapping) {
      // As in Flink's own config.yaml, nested keys are the same as dotted ones.
      for (NodeTuple tuple : mapping.getValue()) {
        if (tuple.getKeyNode() instanceof ScalarNode inner) {
          flatten(key + "." + inner.getValue(), tuple.getValueNode(), properties);
        }
      }
    } else if (node instanceof SequenceNode sequence) {
      List<String> items = new ArrayList<>();
      for (Node item : sequence.getValue()) {
        items.add(item instanceof ScalarNode scalar ? scalar.getValue() : "?");
      }
      properties.put(key, String.join(";", items));
    }
  }

  /** All keys with their values as JSON has them, of a section in which any key may stand. */
  Map<String, Object> settings() {
    Map<String, Object> settings = new HashMap<>();
    values.forEach(
        (key, node) -> {
          asked.add(key);
          settings.put(key, value(node));
        });
    return settings;
  }

  private static Object value(Node node) {
    if (node instanceof SequenceNode sequence) {
      return new ArrayList<>(sequence.getValue().stream().map(YamlSection::value).toList());
    }
    if (node instanceof MappingNode mapping) {
      Map<String, Object> members = new LinkedHashMap<>();
      for (NodeTuple tuple : mapping.getValue()) {
        members.put(String.valueOf(value(tuple.getKeyNode())), value(tuple.getValueNode()));
      }
      return members;
    }
    ScalarNode scalar = (ScalarNode) node;
    String text = scalar.getValue();
    if (scalar.getTag().equals(Tag.NULL)) {
      return null;
    }
    if (scalar.getTag().equals(Tag.BOOL)) {
      return Boolean.valueOf(text);
    }
    if (scalar.getTag().equals(Tag.INT) && text.matches("[-+]?[0-9]{1,400}")) {
      BigInteger number = new BigInteger(text);
      return number.bitLength() < Long.SIZE ? (Object) number.longValue() : number;
    }
    if (scalar.getTag().equals(Tag.FLOAT) && text.matches("[-+.0-9eE]{1,400}")) {
      return Double.valueOf(text);
    }
    return text;
  }

  /** Notes the keys that nobody asked for. */
  void finish() {
    for (String key : values.keySet()) {
      if (!asked.contains(key)) {
        problem(
            lineOf(key),
            "there is no " + place(Names.shown(key)) + ": " + Names.didYouMean(key, asked));
      }
    }
  }
}
