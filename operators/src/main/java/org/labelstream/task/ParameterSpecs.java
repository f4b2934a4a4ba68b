package org.labelstream.task;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.labelstream.model.Names;

/**
 * The settings that a task takes, each with its type and range; checks what users give. Immutable.
 */
public final class ParameterSpecs {

  /** Checks one value and brings it into its type. */
  private interface Check {
    Object apply(String name, Object value);
  }

  private static final int MAX_TOKEN_IDS = 64;
  private static final int MAX_ENTRIES = 1_000;

  private final Map<String, Check> checks;

  private ParameterSpecs(Map<String, Check> checks) {
    this.checks = checks;
  }

  /** No settings. */
  public static ParameterSpecs none() {
    return new ParameterSpecs(Map.of());
  }

  /** These, and a whole number of at least {@code min}, or null. */
  public ParameterSpecs orNullInteger(String name, int min) {
    return orNull(
        name, (given, value) -> wholeNumber(given, value, min, Integer.MAX_VALUE, ", or null"));
  }

  /** These, and a whole number from {@code min} to {@code max}. */
  public ParameterSpecs integer(String name, int min, int max) {
    return with(name, (given, value) -> wholeNumber(given, value, min, max, ""));
  }

  private static int wholeNumber(String name, Object value, int min, int max, String orElse) {
    if (value instanceof Long || value instanceof Integer) {
      long number = ((Number) value).longValue();
      if (number >= min && number <= max) {
        return (int) number;
      }
    }
    boolean whole = value instanceof Number && !(value instanceof Double);
    throw new IllegalArgumentException(
        name
            + " is "
            + describe(value)
            + ", but must be "
            + (whole ? "" : "a whole number ")
            + "from "
            + min
            + " to "
            + max
            + orElse);
  }

  /** These, and a whole number of 64 bits, or null. */
  public ParameterSpecs orNullLong(String name) {
    return orNull(
        name,
        (given, value) -> {
          if (value instanceof Long) {
            return value;
          }
          if (value instanceof Integer number) {
            return number.longValue();
          }
          throw new IllegalArgumentException(
              given
                  + " is "
                  + describe(value)
                  + ", but must be a whole number of 64 bits, or null");
        });
  }

  /** These, and a number from {@code min} to {@code max}, or null. */
  public ParameterSpecs number(String name, double min, double max) {
    return number(name, min, max, "from " + plain(min) + " to " + plain(max));
  }

  /** These, and a number above zero, or null. */
  public ParameterSpecs positiveNumber(String name) {
    return number(name, Float.MIN_NORMAL, Float.MAX_VALUE, "a number above 0");
  }

  private ParameterSpecs number(String name, double min, double max, String range) {
    return orNull(
        name,
        (given, value) -> {
          if (value instanceof Number number
              && number.doubleValue() >= min
              && number.doubleValue() <= max) {
            return number.doubleValue();
          }
          throw new IllegalArgumentException(
              given + " is " + describe(value) + ", but must be " + range);
        });
  }

  private static String plain(double number) {
    return number == Math.rint(number) ? Long.toString((long) number) : Double.toString(number);
  }

  /** These, and a token id or a list of different ones, or null; as a list of Integer. */
  public ParameterSpecs tokenIds(String name) {
    return orNull(
        name,
        (given, value) -> {
          List<?> list = value instanceof List<?> several ? several : List.of(value);
          checkCount(given, list.size(), MAX_TOKEN_IDS);
          return ids(given, list).stream().distinct().toList();
        });
  }

  /** A list costs its record's neighbours time and memory, so none is endless. */
  private static void checkCount(String name, int count, int most) {
    if (count > most) {
      throw new IllegalArgumentException(
          name + " has " + count + " entries, but may have at most " + most + ": shorten it");
    }
  }

  /** These, and a list of lists of token ids, or null; as a list of lists of Integer. */
  public ParameterSpecs tokenSequences(String name) {
    return orNull(
        name,
        (given, value) -> {
          if (!(value instanceof List<?> sequences)) {
            throw noTokenIds(given, value);
          }
          checkCount(given, sequences.size(), MAX_ENTRIES);
          List<List<Integer>> read = new ArrayList<>();
          for (Object sequence : sequences) {
            if (!(sequence instanceof List<?> list) || list.isEmpty()) {
              throw noTokenIds(given, sequence);
            }
            checkCount(given, list.size(), MAX_TOKEN_IDS);
            read.add(ids(given, list));
          }
          return read;
        });
  }

  private static List<Integer> ids(String name, List<?> values) {
    List<Integer> ids = new ArrayList<>();
    for (Object value : values) {
      boolean whole = value instanceof Integer || value instanceof Long;
      long id = whole ? ((Number) value).longValue() : -1;
      if (id < 0 || id > Integer.MAX_VALUE) {
        throw noTokenIds(name, value);
      }
      ids.add((int) id);
    }
    return ids;
  }

  private static IllegalArgumentException noTokenIds(String name, Object value) {
    return new IllegalArgumentException(
        name
            + " has "
            + describe(value)
            + " where a token id, or a list of them, should stand: write it as generate() takes it");
  }

  /** These, and a text or a list of texts, or null; as a list of String. */
  public ParameterSpecs textOrTexts(String name) {
    return orNull(
        name,
        (given, value) -> {
          List<?> texts = value instanceof List<?> list ? list : List.of(value);
          checkCount(given, texts.size(), MAX_TOKEN_IDS);
          if (texts.stream().allMatch(text -> text instanceof String s && !s.isEmpty())) {
            return texts;
          }
          throw new IllegalArgumentException(
              given + " is " + describe(value) + ", but must be a text, or a list of texts");
        });
  }

  /** These, and true, false, or a word that stands for neither. */
  public ParameterSpecs flagOr(String name, String word) {
    return with(
        name,
        (given, value) -> {
          if (value instanceof Boolean || word.equals(value)) {
            return String.valueOf(value);
          }
          throw new IllegalArgumentException(
              given + " is " + describe(value) + ", but must be true, false or \"" + word + "\"");
        });
  }

  /** The names of these settings. */
  public Set<String> names() {
    return Collections.unmodifiableSet(checks.keySet());
  }

  /** These, and true or false. */
  public ParameterSpecs flag(String name) {
    return with(
        name,
        (given, value) -> {
          if (value instanceof Boolean) {
            return value;
          }
          throw new IllegalArgumentException(
              given + " is " + describe(value) + ", but must be true or false");
        });
  }

  /** These, and a list of words, or null. */
  public ParameterSpecs texts(String name) {
    return orNull(
        name,
        (given, value) -> {
          if (value instanceof List<?> items && items.stream().allMatch(String.class::isInstance)) {
            return value;
          }
          throw new IllegalArgumentException(
              given + " is " + describe(value) + ", but must be a list of texts");
        });
  }

  /** These, and one of some words; case does not matter. */
  public ParameterSpecs choice(String name, List<String> words) {
    return orNull(
        name,
        (given, value) -> {
          if (value instanceof String text && words.contains(text.toLowerCase(Locale.ROOT))) {
            return text.toLowerCase(Locale.ROOT);
          }
          throw new IllegalArgumentException(
              given
                  + " is "
                  + describe(value)
                  + ", but must be one of "
                  + String.join(", ", words));
        });
  }

  private ParameterSpecs orNull(String name, Check check) {
    return with(name, (given, value) -> value == null ? null : check.apply(given, value));
  }

  private ParameterSpecs with(String name, Check check) {
    Map<String, Check> more = new LinkedHashMap<>(checks);
    more.put(name, check);
    return new ParameterSpecs(more);
  }

  /**
   * Checks settings.
   *
   * @throws IllegalArgumentException with a sentence about the first that is unknown or wrong
   */
  public Parameters parse(Map<String, Object> given) {
    Map<String, Object> values = new HashMap<>();
    given.forEach((name, value) -> values.put(name, check(name).apply(name, value)));
    return new Parameters(values);
  }

  private Check check(String name) {
    Check check = checks.get(name);
    if (check == null) {
      throw new IllegalArgumentException(
          checks.isEmpty()
              ? "there is no parameter " + Names.shown(name) + ": the task takes none"
              : "there is no parameter "
                  + Names.shown(name)
                  + ": "
                  + Names.didYouMean(name, checks.keySet()));
    }
    return check;
  }

  private static String describe(Object value) {
    if (value instanceof String text) {
      return "\"" + Names.shown(text) + "\"";
    }
    if (value instanceof BigInteger) {
      return "a number beyond 64 bits";
    }
    if (value instanceof Map) {
      return "an object";
    }
    if (value instanceof List) {
      return "a list";
    }
    return String.valueOf(value);
  }
}
