package org.labelstream.record;

import java.util.Locale;

/** Where on its way a record failed. The names are part of the public interface. */
public enum Stage {
  DECODE,
  ENCODE,
  INFERENCE,
  OUTPUT,
  EXPLANATION;

  /** The stage as consumers read it, such as {@code decode}. */
  public String wireName() {
    return name().toLowerCase(Locale.ROOT);
  }
}
