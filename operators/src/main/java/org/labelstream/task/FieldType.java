package org.labelstream.task;

import java.util.Map;

/** What a field of a result holds. */
public enum FieldType {
  TEXT,
  /** A number that may have a fraction. */
  NUMBER,
  /** A whole number. */
  COUNT,
  FLAG,
  /** A list of objects. */
  OBJECTS;

  private static final Map<String, Map<String, FieldType>> MEMBERS =
      Map.of(
          "scores",
          Map.of("label", TEXT, "score", NUMBER),
          "answers",
          Map.of("answer", TEXT, "score", NUMBER, "start", COUNT, "end", COUNT),
          "entities",
          Map.of(
              "entity", TEXT,
              "entity_group", TEXT,
              "word", TEXT,
              "score", NUMBER,
              "index", COUNT,
              "start", COUNT,
              "end", COUNT));

  /** What the objects of a list hold, by the list's name in a result. */
  public static Map<String, FieldType> members(String list) {
    return MEMBERS.getOrDefault(list, Map.of());
  }
}
