package org.labelstream.operator;

import java.io.IOException;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.labelstream.record.OutputRecord;

/** Writes {@link OutputRecord}s between the router and the sink. */
public final class OutputRecordSerializer extends VersionedSerializer<OutputRecord> {
  private static final long serialVersionUID = 1L;

  public static final OutputRecordSerializer INSTANCE = new OutputRecordSerializer();

  private OutputRecordSerializer() {
    super(1);
  }

  @Override
  void write(OutputRecord value, DataOutputView out) throws IOException {
    writeText(value.destination().name(), out);
    writeBytes(value.key(), out);
    writeBytes(value.value(), out);
    writeHeaders(value.headers(), out);
    out.writeLong(value.timestamp());
    out.writeInt(value.sourcePartition());
  }

  @Override
  OutputRecord read(int version, DataInputView in) throws IOException {
    return new OutputRecord(
        OutputRecord.Destination.valueOf(readText(in)),
        readBytes(in),
        readBytes(in),
        readHeaders(in),
        in.readLong(),
        in.readInt());
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
