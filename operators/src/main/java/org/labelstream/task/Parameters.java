package org.labelstream.task;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Settings that were checked: names are known, values have the type and range of their {@link
 * ParameterSpecs}.
 */
public final class Parameters {

  private final Map<String, Object> values;

  Parameters(Map<String, Object> values) {
    this.values = new HashMap<>(values);
  }

  /** These settings, with others over them. */
  public Parameters overriddenBy(Parameters others) {
    if (others.values.isEmpty()) {
      return this;
    }
    Parameters merged = new Parameters(values);
    merged.values.putAll(others.values);
    return merged;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Parameters parameters && values.equals(parameters.values);
  }

  @Override
  public int hashCode() {
    return values.hashCode();
  }

  /** Whether the setting was given, be it as null. */
  public boolean has(String name) {
    return values.containsKey(name);
  }

  /** A whole number, or null where it was given as null or not at all. */
  public Integer integer(String name) {
    return (Integer) values.get(name);
  }

  /** A word, or null where it was given as null or not at all. */
  public String text(String name) {
    return (String) values.get(name);
  }

  /** A whole number, or what holds where it was not given. */
  public int integer(String name, int ifAbsent) {
    Integer value = integer(name);
    return value == null ? ifAbsent : value;
  }

  /** A whole number of 64 bits, or null where it was given as null or not at all. */
  public Long longInteger(String name) {
    return (Long) values.get(name);
  }

  /** A number, or what holds where it was not given. */
  public double number(String name, double ifAbsent) {
    Double value = (Double) values.get(name);
    return value == null ? ifAbsent : value;
  }

  /** Token ids, or what holds where they were not given. */
  @SuppressWarnings("unchecked")
  public List<Integer> tokenIds(String name, List<Integer> ifAbsent) {
    List<Integer> value = (List<Integer>) values.get(name);
    return value == null ? ifAbsent : value;
  }

  /** Lists of token ids; none where they were not given. */
  @SuppressWarnings("unchecked")
  public List<List<Integer>> tokenSequences(String name) {
    List<List<Integer>> value = (List<List<Integer>>) values.get(name);
    return value == null ? List.of() : value;
  }

  /** A flag, or what holds where it was not given. */
  public boolean flag(String name, boolean ifAbsent) {
    Boolean value = (Boolean) values.get(name);
    return value == null ? ifAbsent : value;
  }

  /** Words, or null where they were given as null or not at all. */
  @SuppressWarnings("unchecked")
  public List<String> texts(String name) {
    return (List<String>) values.get(name);
  }
}
