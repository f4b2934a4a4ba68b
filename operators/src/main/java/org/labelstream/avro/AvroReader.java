package org.labelstream.avro;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.LogicalType;
import org.apache.avro.LogicalTypes;
import org.apache.avro.Schema;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;

/**
 * Reads values by the schemas that they were written by, as JSON: as Kafka Connect's {@code
 * JsonConverter} writes it without a schema and with {@code decimal.format=numeric}. Of a union
 * only the value is written; bytes are base64; dates and times are the numbers that Avro has.
 *
 * <p>It goes by the schema over the bytes, and makes nothing whose size the bytes only claim.
 *
 * <p><em>Thread-safety.</em> Immutable, over a registry that may be shared.
 */
public final class AvroReader {

  private static final JsonFactory JSON = new JsonFactory();

  /** Beyond these digits, writing a number out costs more than all the rest of a value. */
  private static final int LARGEST_DECIMAL_BYTES = 256;

  private static final int LARGEST_SCALE = 300;

  /** As deep as JSON may be nested. */
  private static final int MAX_DEPTH = 500;

  private final SchemaRegistry registry;
  private final long maxJsonBytes;

  /**
   * @param maxJsonBytes the largest value in its form as JSON, in bytes
   */
  public AvroReader(SchemaRegistry registry, long maxJsonBytes) {
    this.registry = registry;
    this.maxJsonBytes = maxJsonBytes;
  }

  /**
   * Reads a value.
   *
   * @throws RejectedRecordException when it is not in the wire format, has no known schema, or does
   *     not fit it
   * @throws org.labelstream.record.UnavailableException when the registry does not answer
   */
  public AvroValue read(byte[] value) throws RejectedRecordException {
    if (!WireFormat.isOf(value)) {
      throw malformed(
          "the value does not begin with a byte 0 and a schema's id, as format: avro expects it"
              + " (Confluent's wire format): send such values, or set another format");
    }
    int id = WireFormat.id(value);
    Schema writer = registry.schema(id);
    Walk walk = new Walk(value, maxJsonBytes);
    try {
      Schema schema = walk.branch(writer);
      AvroValue read =
          switch (schema.getType()) {
            case STRING -> new AvroValue(walk.bytes(), true, new WriterSchema(writer));
            case RECORD, MAP -> new AvroValue(walk.json(schema), false, new WriterSchema(writer));
            default ->
                throw malformed(
                    "the value is of the Avro type "
                        + schema.getType().getName()
                        + " by schema "
                        + id
                        + ", and an event is a record or a string: send one of them");
          };
      if (read.isText()) {
        StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(read.bytes()));
      }
      if (walk.left() > 0) {
        throw malformed(
            "the value has "
                + walk.left()
                + " bytes more than its schema "
                + id
                + " says: write it by the schema whose id it names");
      }
      return read;
    } catch (CharacterCodingException e) {
      throw new RejectedRecordException(
          ErrorCode.NOT_UTF8,
          Stage.DECODE,
          "a string of the value is not UTF-8: encode it as UTF-8 before sending it");
    } catch (IOException | AvroRuntimeException | UnsupportedOperationException e) {
      throw malformed(
          "the value does not fit its schema "
              + id
              + " ("
              + (e instanceof EOFException ? "it ends too early" : e.getMessage())
              + "): write it by the schema whose id it names");
    }
  }

  private static RejectedRecordException malformed(String message) {
    return new RejectedRecordException(ErrorCode.MALFORMED_AVRO, Stage.DECODE, message);
  }

  /** The way over one value. */
  private static final class Walk {
    private final BinaryDecoder in;
    private final long maxJsonBytes;
    private final ByteArrayOutputStream out;
    private JsonGenerator json;
    private int depth;

    Walk(byte[] value, long maxJsonBytes) {
      this.in =
          DecoderFactory.get()
              .binaryDecoder(value, WireFormat.HEADER, value.length - WireFormat.HEADER, null);
      this.maxJsonBytes = maxJsonBytes;
      this.out = new ByteArrayOutputStream(2 * value.length);
    }

    int left() throws IOException {
      return in.inputStream().available();
    }

    /** What a union holds here, or the schema itself. */
    Schema branch(Schema schema) throws IOException {
      if (!schema.isUnion()) {
        return schema;
      }
      int index = in.readIndex();
      if (index < 0 || index >= schema.getTypes().size()) {
        throw new IOException("a union has no type " + index);
      }
      return schema.getTypes().get(index);
    }

    /** Bytes behind their length, as those of a string are. */
    byte[] bytes() throws IOException {
      long length = in.readLong();
      if (length < 0 || length > left()) {
        throw new EOFException();
      }
      return fixed((int) length);
    }

    private byte[] fixed(int length) throws IOException {
      if (length > left()) {
        throw new EOFException();
      }
      byte[] bytes = new byte[length];
      in.readFixed(bytes);
      return bytes;
    }

    byte[] json(Schema schema) throws IOException, RejectedRecordException {
      json = JSON.createGenerator(out);
      value(schema);
      json.close();
      checkSize();
      return out.toByteArray();
    }

    private void checkSize() throws RejectedRecordException {
      if (out.size() > maxJsonBytes) {
        throw new RejectedRecordException(
            ErrorCode.TOO_LARGE,
            Stage.DECODE,
            "the value has more than "
                + maxJsonBytes
                + " bytes as JSON, which is max-value-bytes: shorten it, or raise max-value-bytes");
      }
    }

    private void value(Schema schema) throws IOException, RejectedRecordException {
      if (++depth > MAX_DEPTH) {
        throw new IOException("it is nested more than " + MAX_DEPTH + " levels deep");
      }
      checkSize(); // what takes no bytes could go on for ever
      switch (schema.getType()) {
        case RECORD -> {
          json.writeStartObject();
          for (Schema.Field field : schema.getFields()) {
            json.writeFieldName(field.name());
            value(field.schema());
          }
          json.writeEndObject();
        }
        case MAP -> {
          json.writeStartObject();
          for (long left = in.readMapStart(); left > 0; left = in.mapNext()) {
            for (long i = 0; i < left; i++) {
              json.writeFieldName(string());
              value(schema.getValueType());
            }
          }
          json.writeEndObject();
        }
        case ARRAY -> {
          json.writeStartArray();
          for (long left = in.readArrayStart(); left > 0; left = in.arrayNext()) {
            for (long i = 0; i < left; i++) {
              value(schema.getElementType());
            }
          }
          json.writeEndArray();
        }
        case UNION -> value(branch(schema));
        case STRING -> json.writeString(string());
        case ENUM -> {
          int index = in.readEnum();
          if (index < 0 || index >= schema.getEnumSymbols().size()) {
            throw new IOException("the enum " + schema.getName() + " has no symbol " + index);
          }
          json.writeString(schema.getEnumSymbols().get(index));
        }
        case BYTES -> bytes(schema, bytes());
        case FIXED -> bytes(schema, fixed(schema.getFixedSize()));
        case INT -> json.writeNumber(in.readInt());
        case LONG -> json.writeNumber(in.readLong());
        case FLOAT -> json.writeNumber(in.readFloat());
        case DOUBLE -> json.writeNumber(in.readDouble());
        case BOOLEAN -> json.writeBoolean(in.readBoolean());
        case NULL -> json.writeNull();
      }
      depth--;
      if (json.getOutputBuffered() > 1 << 12) {
        json.flush(); // so that the size counts
      }
    }

    private String string() throws IOException {
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes())).toString();
    }

    private void bytes(Schema schema, byte[] bytes) throws IOException {
      LogicalType type = schema.getLogicalType();
      if (!(type instanceof LogicalTypes.Decimal decimal)) {
        json.writeBinary(bytes);
      } else if (bytes.length == 0
          || bytes.length > LARGEST_DECIMAL_BYTES
          || decimal.getScale() > LARGEST_SCALE) {
        throw new IOException(
            "a decimal has " + bytes.length + " bytes and the scale " + decimal.getScale());
      } else {
        json.writeNumber(new BigDecimal(new BigInteger(bytes), decimal.getScale()).toPlainString());
      }
    }
  }
}
