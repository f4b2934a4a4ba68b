package org.labelstream.operator;

import java.io.Serializable;

/**
 * What becomes of texts that come again.
 *
 * @param entries how many results are kept for them, 0 for none
 * @param inFlight whether one waits for an equal one that is at work
 */
public record Caching(int entries, boolean inFlight) implements Serializable {

  public static final Caching DEFAULT = new Caching(0, true);

  /** Each text is computed. */
  public static final Caching OFF = new Caching(0, false);
}
