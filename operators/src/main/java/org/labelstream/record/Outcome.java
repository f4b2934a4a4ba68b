package org.labelstream.record;

import java.util.Arrays;
import java.util.List;
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
   * @param routes other topics that it goes to
   * @param moved whether it goes to these only, and not to the output topic
   */
  record Labelled(
      SourceRecord source, byte[] value, boolean explain, List<String> routes, boolean moved)
      implements Outcome {

    /** One that goes to the output topic alone. */
    public Labelled(SourceRecord source, byte[] value, boolean explain) {
      this(source, value, explain, List.of(), false);
    }

    public Labelled {
      routes = List.copyOf(routes);
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Labelled that
          && source.equals(that.source)
          && Arrays.equals(value, that.value)
          && explain == that.explain
          && routes.equals(that.routes)
          && moved == that.moved;
    }

    @Override
    public int hashCode() {
      return Objects.hash(source, Arrays.hashCode(value), explain, routes, moved);
    }
  }

  /** The record has no label, and the letter says why. */
  record Failed(SourceRecord source, DeadLetter letter) implements Outcome {}
}
