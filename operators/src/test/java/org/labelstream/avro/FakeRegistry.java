package org.labelstream.avro;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;

/** A registry in memory, and values by Avro's own library. */
public final class FakeRegistry implements SchemaRegistry {

  private final List<Schema> schemas = new ArrayList<>();
  private final List<String> subjects = new ArrayList<>();

  @Override
  public synchronized Schema schema(int id) throws RejectedRecordException {
    if (id < 0 || id >= schemas.size()) {
      throw new RejectedRecordException(ErrorCode.UNKNOWN_SCHEMA, Stage.DECODE, "no schema " + id);
    }
    return schemas.get(id);
  }

  @Override
  public synchronized int id(String subject, Schema schema) {
    if (!subjects.contains(subject)) {
      subjects.add(subject);
    }
    int known = schemas.indexOf(schema);
    if (known >= 0) {
      return known;
    }
    schemas.add(schema);
    return schemas.size() - 1;
  }

  List<String> subjects() {
    return subjects;
  }

  /** A value as a serializer writes it. */
  public byte[] written(Schema schema, Object value) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    out.writeBytes(WireFormat.header(id("in-value", schema)));
    BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(out, null);
    try {
      new GenericDatumWriter<>(schema).write(value, encoder);
      encoder.flush();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return out.toByteArray();
  }

  /** A value as a deserializer reads it, by its own schema. */
  public Object read(byte[] value) {
    try {
      Schema schema = schema(WireFormat.id(value));
      return new GenericDatumReader<>(schema)
          .read(
              null,
              DecoderFactory.get()
                  .binaryDecoder(value, WireFormat.HEADER, value.length - WireFormat.HEADER, null));
    } catch (IOException | RejectedRecordException e) {
      throw new IllegalStateException(e);
    }
  }
}
