package org.labelstream.operator;

import org.apache.flink.api.common.serialization.SerializerConfig;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.labelstream.record.Outcome;
import org.labelstream.record.OutputRecord;
import org.labelstream.record.SourceRecord;

/**
 * Flink's type information for what flows. Each type names its own serializer, so Kryo is never
 * asked.
 */
public final class RecordTypes {

  public static final TypeInformation<SourceRecord> SOURCE_RECORD =
      new Info<>(SourceRecord.class, SourceRecordSerializer.INSTANCE);
  public static final TypeInformation<Outcome> OUTCOME =
      new Info<>(Outcome.class, OutcomeSerializer.INSTANCE);
  public static final TypeInformation<OutputRecord> OUTPUT_RECORD =
      new Info<>(OutputRecord.class, OutputRecordSerializer.INSTANCE);

  private RecordTypes() {}

  private static final class Info<T> extends TypeInformation<T> {
    private static final long serialVersionUID = 1L;

    private final Class<T> type;
    private final TypeSerializer<T> serializer;

    Info(Class<T> type, TypeSerializer<T> serializer) {
      this.type = type;
      this.serializer = serializer;
    }

    @Override
    public TypeSerializer<T> createSerializer(SerializerConfig config) {
      return serializer;
    }

    @Override
    public Class<T> getTypeClass() {
      return type;
    }

    @Override
    public boolean isBasicType() {
      return false;
    }

    @Override
    public boolean isTupleType() {
      return false;
    }

    @Override
    public int getArity() {
      return 1;
    }

    @Override
    public int getTotalFields() {
      return 1;
    }

    @Override
    public boolean isKeyType() {
      return false;
    }

    @Override
    public String toString() {
      return type.getSimpleName();
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Info<?> that && type == that.type;
    }

    @Override
    public int hashCode() {
      return type.hashCode();
    }

    @Override
    public boolean canEqual(Object other) {
      return other instanceof Info;
    }
  }
}
