package org.labelstream.job.kafka;

import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.kafka.clients.producer.ProducerInterceptor;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.errors.InvalidTimestampException;
import org.apache.kafka.common.errors.RecordBatchTooLargeException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.labelstream.operator.OutputRecords;
import org.labelstream.record.OutputRecord;

/**
 * Remembers which records a broker has refused, for what no limit tells before. The sink has no way
 * to go on without such a record (a transaction is lost with it), so the job restarts from its
 * checkpoint; the record is then a dead letter before it comes to the sink. Kafka calls this class,
 * by its name among the producer's interceptors.
 *
 * <p>The memory is that of the job on a TaskManager, where a subtask of the router has its sink
 * beside it; after a restart that moves it to another TaskManager the broker may refuse the record
 * once more.
 */
public final class RefusedRecords implements ProducerInterceptor<byte[], byte[]> {

  private static final int MOST = 100_000;

  private static final Map<String, String> REASONS =
      Collections.synchronizedMap(
          new LinkedHashMap<>() {
            private static final long serialVersionUID = 1L;

            @Override
            protected boolean removeEldestEntry(Map.Entry<String, String> eldest) {
              return size() > MOST;
            }
          });

  /** Why the broker has refused the record for this topic, or null where it has not. */
  static String reason(String topic, OutputRecord record) {
    return REASONS.isEmpty()
        ? null
        : REASONS.get(
            place(
                topic,
                record.headers().stream()
                    .collect(
                        Collectors.toMap(
                            org.labelstream.record.Header::key,
                            header -> header.value() == null ? new byte[0] : header.value(),
                            (first, last) -> last))));
  }

  @Override
  public ProducerRecord<byte[], byte[]> onSend(ProducerRecord<byte[], byte[]> record) {
    return record;
  }

  @Override
  public void onAcknowledgement(RecordMetadata metadata, Exception exception, Headers headers) {
    // Others of its batch fail with another exception: the broker has nothing against them.
    if (exception instanceof RecordTooLargeException
        || exception instanceof RecordBatchTooLargeException
        || exception instanceof InvalidTimestampException
        || exception instanceof InvalidRecordException) {
      Map<String, byte[]> values = new LinkedHashMap<>();
      for (Header header : headers) {
        values.put(header.key(), header.value());
      }
      REASONS.put(place(metadata.topic(), values), String.valueOf(exception.getMessage()));
    }
  }

  private static String place(String topic, Map<String, byte[]> headers) {
    return List.of(
            OutputRecords.SOURCE_TOPIC, OutputRecords.SOURCE_PARTITION, OutputRecords.SOURCE_OFFSET)
        .stream()
        .map(headers::get)
        .map(value -> value == null ? "" : new String(value, StandardCharsets.UTF_8))
        .collect(Collectors.joining(" ", topic + " ", ""));
  }

  @Override
  public void configure(Map<String, ?> configs) {}

  @Override
  public void close() {}
}
