package org.labelstream.operator;

/** What becomes of a record without a value. */
public enum Tombstones {
  /** It is a dead letter with the code {@code null_value}. */
  DEAD_LETTER,
  /** It is passed on as it is, so that a compacted output topic forgets the key too. */
  FORWARD
}
