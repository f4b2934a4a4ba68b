package org.labelstream.task;

/** What a field of a result holds. */
public enum FieldType {
  TEXT,
  /** A number that may have a fraction. */
  NUMBER,
  /** A whole number. */
  COUNT,
  FLAG,
  /** A list of objects. */
  OBJECTS
}
