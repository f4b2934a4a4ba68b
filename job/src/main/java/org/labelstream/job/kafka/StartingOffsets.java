package org.labelstream.job.kafka;

import java.util.Collection;
import java.util.Map;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.kafka.clients.consumer.OffsetResetStrategy;
import org.apache.kafka.common.TopicPartition;
import org.labelstream.job.jobfile.JobSpec.Start;

/**
 * Where a job begins to read that does not go on from a checkpoint. Where an offset is no longer in
 * the log, of a checkpoint too, reading goes on at the earliest record that is there, wherever a
 * first start would begin: nothing that can still be read is left out.
 */
@SuppressWarnings("deprecation") // the connector has no other way to name the strategy
final class StartingOffsets implements OffsetsInitializer {
  private static final long serialVersionUID = 1L;

  private final OffsetsInitializer first;

  StartingOffsets(Start start) {
    if (start instanceof Start.Earliest) {
      first = OffsetsInitializer.earliest();
    } else if (start instanceof Start.Latest) {
      first = OffsetsInitializer.latest();
    } else if (start instanceof Start.At at) {
      first = OffsetsInitializer.timestamp(at.time().toEpochMilli());
    } else {
      first = OffsetsInitializer.committedOffsets(OffsetResetStrategy.EARLIEST);
    }
  }

  @Override
  public Map<TopicPartition, Long> getPartitionOffsets(
      Collection<TopicPartition> partitions, PartitionOffsetsRetriever retriever) {
    return first.getPartitionOffsets(partitions, retriever);
  }

  @Override
  public OffsetResetStrategy getAutoOffsetResetStrategy() {
    return OffsetResetStrategy.EARLIEST;
  }
}
