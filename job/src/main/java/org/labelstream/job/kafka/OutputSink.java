package org.labelstream.job.kafka;

import java.io.IOException;
import java.util.Collection;
import java.util.List;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.connector.sink2.Committer;
import org.apache.flink.api.connector.sink2.CommitterInitContext;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.connector.kafka.sink.KafkaCommittable;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.sink.KafkaWriterState;
import org.apache.flink.connector.kafka.sink.TwoPhaseCommittingStatefulSink;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.streaming.api.connector.sink2.CommittableMessage;
import org.apache.flink.streaming.api.connector.sink2.SupportsPostCommitTopology;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.lineage.LineageVertex;
import org.apache.flink.streaming.api.lineage.LineageVertexProvider;
import org.labelstream.record.OutputRecord;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Flink's Kafka sink, whose failures end their task and not the TaskManager.
 *
 * <p>After a send that failed late (a record refused, a producer fenced), the connector's writer
 * throws again when it is closed. Flink takes an exception in the clean-up of a task that failed
 * for its own, and ends the process with every job on it. Nothing rests on what closing does: what
 * was written is safe once a checkpoint has flushed and committed it, and lingering transactions
 * are aborted at the next start.
 */
final class OutputSink
    implements TwoPhaseCommittingStatefulSink<OutputRecord, KafkaWriterState, KafkaCommittable>,
        SupportsPostCommitTopology<KafkaCommittable>,
        LineageVertexProvider {
  private static final long serialVersionUID = 1L;

  private static final Logger LOG = LoggerFactory.getLogger(OutputSink.class);

  /** The operator behind the committer; Flink puts the sink's own name and uid before it. */
  private static final String OFFSETS = "offsets";

  private final KafkaSink<OutputRecord> sink;
  private final GroupOffsets.Group group;

  /**
   * @param group whose offsets follow what is out
   */
  OutputSink(KafkaSink<OutputRecord> sink, GroupOffsets.Group group) {
    this.sink = sink;
    this.group = group;
  }

  @Override
  public Writer createWriter(WriterInitContext context) throws IOException {
    return restoreWriter(context, List.of());
  }

  @Override
  public Writer restoreWriter(WriterInitContext context, Collection<KafkaWriterState> state)
      throws IOException {
    // By its interface, since the class of the connector's writer is not public.
    TwoPhaseCommittingStatefulSink<OutputRecord, KafkaWriterState, KafkaCommittable> connector =
        sink;
    return new Writer(connector.restoreWriter(context, state));
  }

  @Override
  public SimpleVersionedSerializer<KafkaWriterState> getWriterStateSerializer() {
    return sink.getWriterStateSerializer();
  }

  @Override
  public Committer<KafkaCommittable> createCommitter(CommitterInitContext context)
      throws IOException {
    return sink.createCommitter(context);
  }

  @Override
  public SimpleVersionedSerializer<KafkaCommittable> getCommittableSerializer() {
    return sink.getCommittableSerializer();
  }

  @Override
  public void addPostCommitTopology(DataStream<CommittableMessage<KafkaCommittable>> committed) {
    sink.addPostCommitTopology(committed);
    if (group != null) {
      committed.transform(OFFSETS, Types.VOID, new CommittedOperator.Factory(group)).uid(OFFSETS);
    }
  }

  @Override
  public LineageVertex getLineageVertex() {
    return sink.getLineageVertex();
  }

  /** The connector's writer, but for how it is closed. */
  record Writer(
      PrecommittingStatefulSinkWriter<OutputRecord, KafkaWriterState, KafkaCommittable> connector)
      implements PrecommittingStatefulSinkWriter<OutputRecord, KafkaWriterState, KafkaCommittable> {

    @Override
    public void write(OutputRecord record, Context context)
        throws IOException, InterruptedException {
      connector.write(record, context);
    }

    @Override
    public void flush(boolean endOfInput) throws IOException, InterruptedException {
      connector.flush(endOfInput);
    }

    @Override
    public Collection<KafkaCommittable> prepareCommit() throws IOException, InterruptedException {
      return connector.prepareCommit();
    }

    @Override
    public List<KafkaWriterState> snapshotState(long checkpointId) throws IOException {
      return connector.snapshotState(checkpointId);
    }

    @Override
    public void close() {
      try {
        connector.close();
      } catch (Exception e) {
        if (e instanceof InterruptedException) {
          Thread.currentThread().interrupt();
        }
        LOG.warn("The Kafka writer could not be closed cleanly", e);
      }
    }
  }
}
