package org.labelstream.record;

import java.io.Serializable;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;

/**
 * A record on its way out.
 *
 * @param destination which of the pipeline's topics it is for
 * @param key the key's bytes, or null
 * @param value the value's bytes, or null
 * @param headers the headers in their order
 * @param timestamp milliseconds since the epoch, negative where the record has none
 * @param sourcePartition the partition that its source record came from, or {@link
 *     SourceRecord#NO_PARTITION}
 */
public record OutputRecord(
    Destination destination,
    byte[] key,
    byte[] value,
    List<Header> headers,
    long timestamp,
    int sourcePartition) {

  /**
   * Where a record goes.
   *
   * @param topic the topic of a route, or null of a kind of which a pipeline has one topic
   */
  public record Destination(Kind kind, String topic) implements Serializable {

    /** What a topic is for. */
    public enum Kind {
      LABELS,
      DEAD_LETTERS,
      EXPLANATIONS,
      ROUTE
    }

    public static final Destination LABELS = new Destination(Kind.LABELS, null);
    public static final Destination DEAD_LETTERS = new Destination(Kind.DEAD_LETTERS, null);
    public static final Destination EXPLANATIONS = new Destination(Kind.EXPLANATIONS, null);

    /** The topic of a route. */
    public static Destination route(String topic) {
      return new Destination(Kind.ROUTE, topic);
    }
  }

  public OutputRecord {
    headers = List.copyOf(headers);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof OutputRecord that
        && destination.equals(that.destination)
        && Arrays.equals(key, that.key)
        && Arrays.equals(value, that.value)
        && headers.equals(that.headers)
        && timestamp == that.timestamp
        && sourcePartition == that.sourcePartition;
  }

  @Override
  public int hashCode() {
    return Objects.hash(
        destination,
        Arrays.hashCode(key),
        Arrays.hashCode(value),
        headers,
        timestamp,
        sourcePartition);
  }
}
