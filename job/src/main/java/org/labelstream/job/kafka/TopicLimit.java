package org.labelstream.job.kafka;

import java.time.Duration;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;

/**
 * What a topic takes.
 *
 * @param maxBytes the largest batch, in bytes as it is stored
 * @param maxPastMillis how far in the past a timestamp may lie
 * @param maxFutureMillis how far in the future
 * @param compacted whether it refuses records without a key
 * @param compression what the broker compresses with anew, or {@code producer}
 */
record TopicLimit(
    long maxBytes,
    long maxPastMillis,
    long maxFutureMillis,
    boolean compacted,
    String compression) {

  private static final String AS_SENT = "producer";

  /** What a broker takes by its defaults, for topics of which nothing is known. */
  static final TopicLimit UNKNOWN =
      new TopicLimit(
          Long.MAX_VALUE, Long.MAX_VALUE, margin(Duration.ofHours(1).toMillis()), false, AS_SENT);

  static TopicLimit of(Config topic) {
    boolean appendTime = "LogAppendTime".equals(text(topic, "message.timestamp.type", ""));
    return new TopicLimit(
        Math.min(
            number(topic, "max.message.bytes", UNKNOWN.maxBytes),
            number(topic, "segment.bytes", UNKNOWN.maxBytes)),
        appendTime
            ? Long.MAX_VALUE
            : margin(number(topic, "message.timestamp.before.max.ms", Long.MAX_VALUE)),
        appendTime
            ? Long.MAX_VALUE
            : margin(
                number(topic, "message.timestamp.after.max.ms", Duration.ofHours(1).toMillis())),
        text(topic, "cleanup.policy", "").contains("compact"),
        text(topic, "compression.type", AS_SENT));
  }

  /** A bound without a part of it, since the broker has its own clock and records wait. */
  private static long margin(long millis) {
    return millis - Math.min(millis / 12, Duration.ofMinutes(5).toMillis());
  }

  private static long number(Config topic, String name, long ifAbsent) {
    String text = text(topic, name, null);
    return text == null ? ifAbsent : Long.parseLong(text);
  }

  private static String text(Config topic, String name, String ifAbsent) {
    ConfigEntry entry = topic.get(name);
    return entry == null || entry.value() == null ? ifAbsent : entry.value();
  }

  boolean takesTimestamp(long timestamp) {
    long now = System.currentTimeMillis();
    return (maxPastMillis >= now || timestamp >= now - maxPastMillis)
        && (maxFutureMillis == Long.MAX_VALUE || timestamp <= now + maxFutureMillis);
  }

  /** Whether the broker compresses anew what it gets. */
  boolean recompresses() {
    return !compression.equals(AS_SENT);
  }
}
