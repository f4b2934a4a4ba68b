package org.labelstream.operator;

import java.io.IOException;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.labelstream.record.SourceRecord;

/** Writes {@link SourceRecord}s, which are the state of the async operator. */
public final class SourceRecordSerializer extends VersionedSerializer<SourceRecord> {
  private static final long serialVersionUID = 1L;

  public static final SourceRecordSerializer INSTANCE = new SourceRecordSerializer();

  private SourceRecordSerializer() {
    super(1);
  }

  @Override
  void write(SourceRecord value, DataOutputView out) throws IOException {
    writeBytes(value.key(), out);
    writeBytes(value.value(), out);
    writeHeaders(value.headers(), out);
    writeText(value.topic(), out);
    out.writeInt(value.partition());
    out.writeLong(value.offset());
    out.writeLong(value.timestamp());
  }

  @Override
  SourceRecord read(int version, DataInputView in) throws IOException {
    return new SourceRecord(
        readBytes(in),
        readBytes(in),
        readHeaders(in),
        readText(in),
        in.readInt(),
        in.readLong(),
        in.readLong());
  }

  @Override
  public TypeSerializerSnapshot<SourceRecord> snapshotConfiguration() {
    return new Snapshot();
  }

  /** Any version of this serializer reads what an older one wrote. */
  public static final class Snapshot extends SimpleTypeSerializerSnapshot<SourceRecord> {
    public Snapshot() {
      super(() -> INSTANCE);
    }
  }
}
