package org.labelstream.schedule;

/**
 * Is told what happens in a {@link Lane}.
 *
 * <p><em>Thread-safety.</em> Called from the workers' threads, many at once; must not block.
 */
public interface LaneListener {

  /** Wants to know nothing. */
  LaneListener NONE = new LaneListener() {};

  /**
   * A row runs for the first time.
   *
   * @param nanos how long it has waited
   */
  default void began(long nanos) {}

  /**
   * A batch has run.
   *
   * @param rows how many rows it had
   * @param tokens their tokens
   * @param padded the tokens of the rectangle that the model saw
   * @param nanos how long it took
   */
  default void ran(int rows, long tokens, long padded, long nanos) {}

  /**
   * A row that goes on has its first token.
   *
   * @param nanos since its record was submitted
   */
  default void firstToken(long nanos) {}

  /**
   * A record was joined.
   *
   * @param nanos how long it took
   */
  default void joined(long nanos) {}
}
