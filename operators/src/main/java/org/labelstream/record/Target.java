package org.labelstream.record;

/** What an explanation explains. */
public sealed interface Target {

  /** A class by its index. */
  record Index(int index) implements Target {}

  /** A class of one token. */
  record TokenClass(int token, int index) implements Target {}

  /** A class by its name. */
  record Label(String label) implements Target {}
}
