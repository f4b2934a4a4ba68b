package org.labelstream.operator;

import java.io.Serializable;

/**
 * What a pipeline's explaining stage is told.
 *
 * @param when which labelled records are explained
 * @param steps how many gradients an explanation takes, or null for as many as it needs
 * @param share the part of the workers' time that explanations may take while there are texts to
 *     label, above 0 and at most 1
 * @param queue how many explanations may be owed at once
 * @param whenFull what happens to those beyond
 */
public record ExplainSettings(When when, Integer steps, double share, int queue, WhenFull whenFull)
    implements Serializable {

  /** Which labelled records are explained. */
  public enum When {
    /** Those that ask for it. */
    REQUESTED,
    ALWAYS,
    NEVER
  }

  /** What happens when too many explanations are owed. */
  public enum WhenFull {
    /** Labelling waits. */
    BLOCK,
    /** The explanation is given up, and its record on the topic says so. */
    DROP
  }

  /** So many that are given up may wait to be told while the stage works on the others. */
  private static final int DROPPED = 1024;

  /** How many records may be in the stage at once. */
  public int capacity() {
    return whenFull == WhenFull.DROP ? queue + DROPPED : queue;
  }
}
