package org.labelstream.record;

import java.util.Arrays;
import java.util.List;
import java.util.Objects;

/**
 * A record as it was read: nothing is parsed, so reading cannot fail.
 *
 * @param key the key's bytes, or null
 * @param value the value's bytes, or null (a tombstone)
 * @param headers the headers in their order
 * @param topic the topic, or the name of the file
 * @param partition the partition, or {@link #NO_PARTITION} for a line of a file
 * @param offset the offset in the partition, or the line of the file, counted from 1
 * @param timestamp milliseconds since the epoch, negative where the record has none
 */
public record SourceRecord(
    byte[] key,
    byte[] value,
    List<Header> headers,
    String topic,
    int partition,
    long offset,
    long timestamp) {

  /** The partition of what does not come from a partitioned log. */
  public static final int NO_PARTITION = -1;

  public SourceRecord {
    headers = List.copyOf(headers);
  }

  /** A record with another value. */
  public static SourceRecord of(SourceRecord record, byte[] value) {
    return new SourceRecord(
        record.key,
        value,
        record.headers,
        record.topic,
        record.partition,
        record.offset,
        record.timestamp);
  }

  /** Where the record came from: {@code topic-partition@offset}, or {@code FILE:line}. */
  public String position() {
    return partition == NO_PARTITION
        ? topic + ":" + offset
        : topic + "-" + partition + "@" + offset;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof SourceRecord that
        && Arrays.equals(key, that.key)
        && Arrays.equals(value, that.value)
        && headers.equals(that.headers)
        && topic.equals(that.topic)
        && partition == that.partition
        && offset == that.offset
        && timestamp == that.timestamp;
  }

  @Override
  public int hashCode() {
    return Objects.hash(
        Arrays.hashCode(key), Arrays.hashCode(value), headers, topic, partition, offset, timestamp);
  }
}
