package org.labelstream.operator;

import java.io.IOException;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.labelstream.record.OutputRecord;
import org.labelstream.record.OutputRecord.Destination;
import org.labelstream.record.OutputRecord.Destination.Kind;

/** Writes {@link OutputRecord}s between the router and the sink. */
public final class OutputRecordSerializer extends VersionedSerializer<OutputRecord> {
  private static final long serialVersionUID = 1L;

  public static final OutputRecordSerializer INSTANCE = new OutputRecordSerializer();

  private OutputRecordSerializer() {
    super(2);
  }

  @Override
  void write(OutputRecord value, DataOutputView out) throws IOException {
    writeText(value.destination().kind().name(), out);
    writeText(value.destination().topic() == null ? "" : value.destination().topic(), out);
    writeBytes(value.key(), out);
    writeBytes(value.value(), out);
    writeHeaders(value.headers(), out);
    out.writeLong(value.timestamp());
    out.writeInt(value.sourcePartition());
  }

  @Override
  OutputRecord read(int version, DataInputView in) throws IOException {
    return new OutputRecord(
        destination(version, in),
        readBytes(in),
        readBytes(in),
        readHeaders(in),
        in.readLong(),
        in.readInt());
  }

  private static Destination destination(int version, DataInputView in) throws IOException {
    Kind kind = Kind.valueOf(readText(in));
    String topic = version > 1 ? readText(in) : ""; // form 1 knew of no routes
    return new Destination(kind, topic.isEmpty() ? null : topic);
  }

  @Override
  public TypeSerializerSnapshot<OutputRecord> snapshotConfiguration() {
    return new Snapshot();
  }

  /** Any version of this serializer reads what an older one wrote. */
  public static final class Snapshot extends SimpleTypeSerializerSnapshot<OutputRecord> {
    public Snapshot() {
      super(() -> INSTANCE);
    }
  }
}
