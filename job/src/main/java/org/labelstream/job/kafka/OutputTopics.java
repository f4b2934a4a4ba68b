package org.labelstream.job.kafka;

import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.flink.runtime.execution.SuppressRestartsException;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.SimpleRecord;
import org.labelstream.operator.OutputLog;
import org.labelstream.operator.OutputRecords;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.OutputRecord;
import org.labelstream.record.OutputRecord.Destination;
import org.labelstream.record.Stage;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The topics that a pipeline writes to: what its producer does not send, and its broker refuses.
 */
final class OutputTopics implements OutputLog {
  private static final long serialVersionUID = 1L;

  private static final Logger LOG = LoggerFactory.getLogger(OutputTopics.class);

  /** The producer's default for {@code max.request.size}, in bytes. */
  static final int MAX_REQUEST_BYTES = 1 << 20;

  /** The producer's default for {@code buffer.memory}, in bytes. */
  private static final long BUFFER_BYTES = 32 << 20;

  private final Preflight preflight;
  private final HashMap<Destination, String> topics;
  private final Map<String, String> producer;
  private final long maxRequestBytes;
  private transient volatile TopicLimits limits;

  /**
   * @param preflight what is asked before the pipeline starts
   * @param topics the topic of each destination that the pipeline has
   * @param producer properties of the producer
   */
  OutputTopics(Preflight preflight, Map<Destination, String> topics, Map<String, String> producer) {
    this.preflight = preflight;
    this.topics = new HashMap<>(topics);
    this.producer = producer;
    this.maxRequestBytes = maxRequestBytes(producer);
  }

  /** The largest record that the producer sends; a record must also fit into its buffer. */
  static long maxRequestBytes(Map<String, String> producer) {
    String request = producer.get("max.request.size");
    String buffer = producer.get("buffer.memory");
    long bytes = request == null ? MAX_REQUEST_BYTES : Long.parseLong(request.strip());
    return buffer != null && buffer.strip().matches("[0-9]{1,18}")
        ? Math.min(bytes, Long.parseLong(buffer.strip()))
        : Math.min(bytes, BUFFER_BYTES);
  }

  @Override
  public void check(boolean restored) {
    Preflight.Findings findings = preflight.run();
    findings.notices().forEach(LOG::info);
    Set<String> lasting = new LinkedHashSet<>(findings.lasting());
    lasting.addAll(findings.absent());
    if (lasting.isEmpty() && findings.passing().isEmpty()) {
      return;
    }
    String all =
        "The job cannot work with Kafka:\n"
            + String.join(
                "\n", Stream.concat(lasting.stream(), findings.passing().stream()).toList());
    if (restored && lasting.isEmpty()) {
      LOG.warn("{}\nIt goes on from its checkpoint as soon as that has passed.", all);
    } else if (restored || lasting.isEmpty()) {
      // Without a restart what the checkpoint holds would be lost.
      throw new IllegalStateException(all);
    } else {
      throw new SuppressRestartsException(new IllegalStateException(all));
    }
  }

  @Override
  public void open() {
    limits = TopicLimits.lease(producer, new HashSet<>(topics.values()));
  }

  @Override
  public void close() {
    if (limits != null) {
      limits.close();
      limits = null;
    }
  }

  private TopicLimit limit(Destination destination) {
    TopicLimits known = limits;
    return known == null ? TopicLimit.UNKNOWN : known.of(topics.get(destination));
  }

  @Override
  public boolean takesTimestamp(Destination destination, long timestamp) {
    return limit(destination).takesTimestamp(timestamp);
  }

  @Override
  public boolean wantsKeys(Destination destination) {
    return limit(destination).compacted();
  }

  @Override
  public Optional<DeadLetter> refusal(OutputRecord record) {
    Optional<DeadLetter> unsent = OutputLog.refusalBySize(record, maxRequestBytes);
    if (unsent.isPresent()) {
      return unsent;
    }
    String topic = topics.get(record.destination());
    TopicLimit limit = limit(record.destination());
    if (limit.compacted() && record.key() == null) {
      return Optional.of(
          new DeadLetter(
              ErrorCode.MISSING_KEY,
              Stage.OUTPUT,
              "the topic "
                  + topic
                  + " is compacted and takes no record without a key: give the record one, or write"
                  + " to a topic with cleanup.policy delete"));
    }
    long stored = storedBytes(record, limit);
    if (stored > limit.maxBytes()) {
      return Optional.of(
          OutputLog.tooLarge(
              record,
              stored,
              "the topic "
                  + topic
                  + " takes at most "
                  + limit.maxBytes()
                  + ": shorten the record, or raise the topic's max.message.bytes"));
    }
    String reason = RefusedRecords.reason(topic, record);
    return reason == null
        ? Optional.empty()
        : Optional.of(
            new DeadLetter(
                ErrorCode.OUTPUT_REFUSED,
                Stage.OUTPUT,
                "the broker has refused the "
                    + OutputLog.noun(record.destination())
                    + " for the topic "
                    + topic
                    + ", saying: "
                    + reason));
  }

  /**
   * The bytes of a batch of one record: as the producer sends it, and as the broker stores it,
   * whichever is more, since the broker measures both. Exact where that decides.
   */
  private long storedBytes(OutputRecord record, TopicLimit limit) {
    String sent = producer.getOrDefault("compression.type", "none").strip();
    boolean compresses = !sent.equals("none") || limit.recompresses();
    long atMost = OutputRecords.size(record);
    // What cannot be compressed becomes a little more.
    if (atMost + (compresses ? atMost / 64 + 1024 : 0) <= limit.maxBytes()) {
      return atMost;
    }
    long bytes = batchBytes(record, sent);
    return limit.recompresses()
        ? Math.max(
            bytes,
            batchBytes(
                record, limit.compression().equals("uncompressed") ? "none" : limit.compression()))
        : bytes;
  }

  private static int batchBytes(OutputRecord record, String compression) {
    return MemoryRecords.withRecords(
            Compression.of(compression).build(),
            new SimpleRecord(
                Math.max(0, record.timestamp()),
                record.key(),
                record.value(),
                record.headers().stream()
                    .map(header -> new RecordHeader(header.key(), header.value()))
                    .toArray(RecordHeader[]::new)))
        .sizeInBytes();
  }
}
