package org.labelstream.schedule;

/**
 * One sequence on its way through a model: the unit of batching. A record is one row or many
 * (windows of a long text, beams), and a row runs once or goes again (generation).
 */
public interface Row {

  /** What the row costs in its first batch, in tokens, before padding. */
  int length();

  /** Whether the model has nothing more to do for it. */
  boolean done();

  /**
   * How many sequences it holds keys and values of, from its first run until it is done; 0 where it
   * runs once.
   */
  default int sequences() {
    return 0;
  }

  /**
   * Frees what the row holds between its runs. Called once no run of it is under way and none will
   * follow; a row that is done holds nothing.
   */
  default void release() {
    // most rows run once and hold nothing
  }
}
