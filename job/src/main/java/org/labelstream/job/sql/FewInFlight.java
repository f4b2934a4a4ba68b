package org.labelstream.job.sql;

/**
 * Sees that Flink gives no more than the ten rows at a time that it gives unless it is told. How
 * many it may give, Flink tells no provider.
 *
 * <p><em>Thread-safety.</em> Of the task's thread only.
 */
final class FewInFlight {

  /** Flink's default of {@code max-concurrent-operations}. */
  private static final int DEFAULT = 10;

  /** So often ten are in flight and never eleven. */
  private static final int OFTEN = 100;

  private int times;
  private boolean over;

  /**
   * Takes in how many rows are in flight, each time that one has come.
   *
   * @return whether it has become certain now, which is so once
   */
  boolean isCertain(int inFlight) {
    over |= inFlight > DEFAULT;
    return !over && inFlight == DEFAULT && ++times == OFTEN;
  }

  /** What to tell then of a model. */
  static String told(String model) {
    return "The model "
        + model
        + " gets "
        + DEFAULT
        + " rows at a time, as Flink has it by default, so its batches are small: 0.6 to 0.8 of the"
        + " texts per second that 256 at a time give, where scripts/bench.sh --sql was run. SET"
        + " 'table.exec.async-ml-predict.max-concurrent-operations' = '256', or add the argument"
        + " MAP['max-concurrent-operations', '256'] to ML_PREDICT";
  }
}
