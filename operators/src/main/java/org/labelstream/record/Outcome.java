package org.labelstream.record;

import java.util.Arrays;
import java.util.Objects;

/**
 * How the labelling of one record ended. A value, never an exception: no record may fail the job.
 */
public sealed interface Outcome {

  /** The record that was labelled, or was not. */
  SourceRecord source();

  /**
   * The record has its label.
   *
   * @param value the labelled record's value, or null for a tombstone that is passed on
   * @param explain whether the record asks for an explanation
   */
  record Labelled(SourceRecord source, byte[] value, boolean explain) implements Outcome {
    @Override
    public boolean equals(Object other) {
      return other instanceof Labelled that
          && source.equals(that.source)
          && Arrays.equals(value, that.value)
          && explain == that.explain;
    }

    @Override
    public int hashCode() {
      return Objects.hash(source, Arrays.hashCode(value), explain);
    }
  }

  /** The record has no label, and the letter says why. */
  record Failed(SourceRecord source, DeadLetter letter) implements Outcome {}
}
