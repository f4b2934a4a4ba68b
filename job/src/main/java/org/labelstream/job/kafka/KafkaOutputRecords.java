package org.labelstream.job.kafka;

import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.labelstream.record.Header;
import org.labelstream.record.OutputRecord;
import org.labelstream.record.SourceRecord;

/** Sends a record to the topic of its destination. */
final class KafkaOutputRecords implements KafkaRecordSerializationSchema<OutputRecord> {
  private static final long serialVersionUID = 1L;

  private final String labels;
  private final String deadLetters;
  private final String explanations;
  private final boolean keepPartitions;

  /**
   * @param explanations the topic of explanations, or null where there are none
   * @param keepPartitions whether all records of a source partition go to one partition, so that
   *     they stay in order whatever their keys are; else Kafka's partitioner goes by the key
   */
  KafkaOutputRecords(
      String labels, String deadLetters, String explanations, boolean keepPartitions) {
    this.labels = labels;
    this.deadLetters = deadLetters;
    this.explanations = explanations;
    this.keepPartitions = keepPartitions;
  }

  @Override
  public ProducerRecord<byte[], byte[]> serialize(
      OutputRecord record, KafkaSinkContext context, Long timestamp) {
    String topic =
        switch (record.destination().kind()) {
          case LABELS -> labels;
          case DEAD_LETTERS -> deadLetters;
          case EXPLANATIONS -> explanations;
          case ROUTE -> record.destination().topic();
        };
    Headers headers = new RecordHeaders();
    for (Header header : record.headers()) {
      headers.add(header.key(), header.value());
    }
    return new ProducerRecord<>(
        topic,
        partition(record, topic, context),
        record.timestamp() < 0 ? null : record.timestamp(),
        record.key(),
        record.value(),
        headers);
  }

  private Integer partition(OutputRecord record, String topic, KafkaSinkContext context) {
    if (!keepPartitions || record.sourcePartition() == SourceRecord.NO_PARTITION) {
      return null;
    }
    int[] partitions = context.getPartitionsForTopic(topic);
    return partitions[record.sourcePartition() % partitions.length];
  }
}
