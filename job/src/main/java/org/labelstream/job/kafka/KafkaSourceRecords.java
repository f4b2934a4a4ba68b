package org.labelstream.job.kafka;

import java.io.IOException;
import java.io.ObjectInputStream;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.record.TimestampType;
import org.labelstream.operator.RecordTypes;
import org.labelstream.operator.RequiredEngine;
import org.labelstream.record.Header;
import org.labelstream.record.SourceRecord;

/** Takes consumed records as they are. Nothing is parsed here, so nothing can fail here. */
final class KafkaSourceRecords implements KafkaRecordDeserializationSchema<SourceRecord> {
  private static final long serialVersionUID = 1L;

  /**
   * Of what a job is made of this comes first, on the JobManager and on a TaskManager: an engine
   * that is missing is told here, before some class of it is.
   */
  private void readObject(ObjectInputStream in) throws IOException, ClassNotFoundException {
    RequiredEngine.check();
    in.defaultReadObject();
  }

  @Override
  public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<SourceRecord> out)
      throws IOException {
    List<Header> headers = new ArrayList<>();
    for (org.apache.kafka.common.header.Header header : record.headers()) {
      headers.add(new Header(header.key(), header.value()));
    }
    out.collect(
        new SourceRecord(
            record.key(),
            record.value(),
            headers,
            record.topic(),
            record.partition(),
            record.offset(),
            record.timestampType() == TimestampType.NO_TIMESTAMP_TYPE ? -1 : record.timestamp()));
  }

  @Override
  public TypeInformation<SourceRecord> getProducedType() {
    return RecordTypes.SOURCE_RECORD;
  }
}
