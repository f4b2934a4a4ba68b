package org.labelstream.operator;

import java.io.Serializable;
import java.util.BitSet;
import java.util.Locale;
import org.apache.flink.runtime.execution.SuppressRestartsException;
import org.labelstream.record.DeadLetter;

/**
 * How many of a subtask's last records became dead letters: where it is more than may be, something
 * other than the records is wrong, and the job ends before it has emptied the topic. It begins anew
 * with each start.
 */
final class DeadLetterShare implements Serializable {
  private static final long serialVersionUID = 1L;

  /** Over as many records; fewer tell nothing. */
  static final int WINDOW = 1_000;

  private final String pipeline;
  private final double most;
  private final BitSet dead = new BitSet(WINDOW);
  private int next;
  private boolean full;

  /**
   * @param most the share that may be, above 0 and at most 1, which is never exceeded
   */
  DeadLetterShare(String pipeline, double most) {
    this.pipeline = pipeline;
    this.most = most;
  }

  /**
   * Counts a record.
   *
   * @param letter why it became a dead letter, or null where it was labelled
   * @throws SuppressRestartsException with a sentence, where there are too many
   */
  void add(DeadLetter letter) throws SuppressRestartsException {
    dead.set(next, letter != null);
    next = (next + 1) % WINDOW;
    full |= next == 0;
    if (letter != null && full && dead.cardinality() > most * WINDOW) {
      throw new SuppressRestartsException(
          new PipelineException(
              String.format(
                  Locale.ROOT,
                  "Pipeline %s has made dead letters of %d of its last %d records, and"
                      + " dead-letters.max-share is %s; the last is %s (%s). Put right the topic, the"
                      + " model or the setting, and resume the job",
                  pipeline,
                  dead.cardinality(),
                  WINDOW,
                  most,
                  letter.code().wireName(),
                  letter.message()),
              null));
    }
  }
}
