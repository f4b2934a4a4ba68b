package org.labelstream.schedule;

import java.time.Duration;

/**
 * How a {@link Lane} runs its rows.
 *
 * @param policy how rows are batched
 * @param timeout how long the model may work on a record, its waiting and the others of its batches
 *     not counted
 * @param callTimeout how long one call of the model may take, whatever is in it; a stage in which
 *     rows wait and no call has ended for twice as long has failed
 * @param share the part of the workers' time that the lane may take from others, above 0, at most 1
 */
public record LaneSettings(
    BatchPolicy policy, Duration timeout, Duration callTimeout, double share) {

  /** Settings of a lane like any other. */
  public LaneSettings(BatchPolicy policy, Duration timeout) {
    this(policy, timeout, CALL_TIMEOUT, 1);
  }

  /** Longer than any call that does return. */
  public static final Duration CALL_TIMEOUT = Duration.ofMinutes(10);
}
