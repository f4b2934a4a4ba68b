package org.labelstream.operator;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Outcome;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;

/**
 * Writes {@link Outcome}s between the async operator and the router, where these are not chained.
 */
public final class OutcomeSerializer extends VersionedSerializer<Outcome> {
  private static final long serialVersionUID = 1L;

  public static final OutcomeSerializer INSTANCE = new OutcomeSerializer();

  private static final int LABELLED = 0;
  private static final int FAILED = 1;

  private OutcomeSerializer() {
    super(3);
  }

  @Override
  void write(Outcome value, DataOutputView out) throws IOException {
    SourceRecordSerializer.INSTANCE.serialize(value.source(), out);
    if (value instanceof Outcome.Labelled labelled) {
      out.writeByte(LABELLED);
      writeBytes(labelled.value(), out);
      out.writeBoolean(labelled.explain());
      out.writeInt(labelled.routes().size());
      for (String topic : labelled.routes()) {
        writeText(topic, out);
      }
      out.writeBoolean(labelled.moved());
    } else if (value instanceof Outcome.Failed failed) {
      out.writeByte(FAILED);
      writeText(failed.letter().code().name(), out);
      writeText(failed.letter().stage().name(), out);
      writeText(failed.letter().message(), out);
    }
  }

  @Override
  Outcome read(int version, DataInputView in) throws IOException {
    SourceRecord source = SourceRecordSerializer.INSTANCE.deserialize(in);
    if (in.readByte() == LABELLED) {
      byte[] value = readBytes(in);
      boolean explain = version > 1 && in.readBoolean(); // form 1 knew of no explanations
      List<String> routes = new ArrayList<>();
      for (int left = version > 2 ? in.readInt() : 0; left > 0; left--) { // nor form 2 of routes
        routes.add(readText(in));
      }
      return new Outcome.Labelled(source, value, explain, routes, version > 2 && in.readBoolean());
    }
    return new Outcome.Failed(
        source,
        new DeadLetter(ErrorCode.valueOf(readText(in)), Stage.valueOf(readText(in)), readText(in)));
  }

  @Override
  public TypeSerializerSnapshot<Outcome> snapshotConfiguration() {
    return new Snapshot();
  }

  /** Any version of this serializer reads what an older one wrote. */
  public static final class Snapshot extends SimpleTypeSerializerSnapshot<Outcome> {
    public Snapshot() {
      super(() -> INSTANCE);
    }
  }
}
