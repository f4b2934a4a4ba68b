package org.labelstream.avro;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.util.Base64;
import java.util.Collection;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.apache.avro.LogicalTypes;
import org.apache.avro.Schema;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;

/**
 * Writes labelled records, which come as JSON, by one schema.
 *
 * <p><em>Thread-safety.</em> Immutable.
 */
public final class AvroWriter {

  private static final ObjectMapper JSON =
      new ObjectMapper().enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS);

  private final Schema schema;
  private final int id;
  private final List<String> place;
  private final Schema idOfEvent;
  private final Collection<String> dropped;
  private final Collection<String> entries;

  /**
   * @param id the schema's in the registry
   * @param place the fields through which an envelope leads to the event
   * @param idOfEvent the schema of the event's id, or null where it has none
   * @param dropped fields that may be there and have no place in the schema
   * @param entries the names of the results
   */
  AvroWriter(
      Schema schema,
      int id,
      List<String> place,
      Schema idOfEvent,
      Collection<String> dropped,
      Collection<String> entries) {
    this.dropped = dropped;
    this.schema = schema;
    this.id = id;
    this.place = place;
    this.idOfEvent = idOfEvent;
    this.entries = entries;
  }

  /**
   * Writes a record in the wire format.
   *
   * @param json the labelled record
   * @throws RejectedRecordException when it does not fit the schema, since something in it has been
   *     redacted that can only be what it was
   */
  public byte[] write(byte[] json) throws RejectedRecordException {
    ByteArrayOutputStream out = new ByteArrayOutputStream(json.length);
    out.writeBytes(WireFormat.header(id));
    BinaryEncoder encoder = EncoderFactory.get().directBinaryEncoder(out, null);
    try {
      JsonNode record = JSON.readTree(json);
      JsonNode event = record;
      for (String step : place) {
        event = event.path(step);
      }
      if (event instanceof ObjectNode object) {
        identified(object);
        if (object.get("inference") instanceof ObjectNode all) {
          named(all);
        }
      }
      write(schema, record, "", encoder);
      encoder.flush();
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("a labelled record is no JSON. This is a bug.", e);
    } catch (IOException e) {
      throw new UncheckedIOException("writing to memory cannot fail", e);
    }
    return out.toByteArray();
  }

  /** An id that was found elsewhere, or is the record's place, goes as far as the schema has it. */
  private void identified(ObjectNode event) {
    JsonNode given = event.get("id");
    if (given == null || (idOfEvent != null && fits(idOfEvent, given))) {
      return;
    }
    if (idOfEvent == null) {
      event.remove("id");
    } else if (given.isNumber() && fits(idOfEvent, event.textNode(given.asText()))) {
      event.put("id", given.asText());
    } else if (fits(idOfEvent, event.nullNode())) {
      event.putNull("id");
    }
  }

  /** Gives results their names in Avro; a request is free in form, and so goes as its JSON. */
  private void named(ObjectNode inference) {
    for (String entry : entries) {
      JsonNode result = inference.remove(entry);
      if (result instanceof ObjectNode object) {
        if (object.has("request")) {
          object.put("request", object.get("request").toString());
        }
        inference.set(LabelledSchemas.nameOf(entry), object);
      }
    }
  }

  private void write(Schema schema, JsonNode node, String path, BinaryEncoder out)
      throws IOException, RejectedRecordException {
    switch (schema.getType()) {
      case RECORD -> record(schema, node, path, out);
      case MAP -> {
        out.writeMapStart();
        out.setItemCount(node.size());
        for (Map.Entry<String, JsonNode> entry : node.properties()) {
          out.startItem();
          out.writeString(entry.getKey());
          write(schema.getValueType(), entry.getValue(), path, out);
        }
        out.writeMapEnd();
      }
      case ARRAY -> {
        out.writeArrayStart();
        out.setItemCount(node.size());
        for (JsonNode item : node) {
          out.startItem();
          write(schema.getElementType(), item, path, out);
        }
        out.writeArrayEnd();
      }
      case UNION -> {
        int branch = branch(schema, node);
        if (branch < 0) {
          throw unfitting(path, schema);
        }
        out.writeIndex(branch);
        write(schema.getTypes().get(branch), node, path, out);
      }
      default -> {
        if (!fits(schema, node)) {
          throw unfitting(path, schema);
        }
        scalar(schema, node, out);
      }
    }
  }

  private void record(Schema schema, JsonNode node, String path, BinaryEncoder out)
      throws IOException, RejectedRecordException {
    if (!node.isObject()) {
      throw unfitting(path, schema);
    }
    for (Iterator<String> names = node.fieldNames(); names.hasNext(); ) {
      String name = names.next();
      if (schema.getField(name) == null && !dropped.contains(name)) {
        throw unfitting(path, schema); // a name that has been redacted
      }
    }
    for (Schema.Field field : schema.getFields()) {
      JsonNode value = node.get(field.name());
      String inner = path.isEmpty() ? field.name() : path + "." + field.name();
      write(field.schema(), value == null ? JSON.nullNode() : value, inner, out);
    }
  }

  /** The type of a union that the JSON may have come of, or -1. */
  private int branch(Schema union, JsonNode node) {
    int found = -1;
    for (int i = 0; i < union.getTypes().size(); i++) {
      Schema type = union.getTypes().get(i);
      if (!fits(type, node)) {
        continue;
      }
      if (!mayBeAnother(type, node)) {
        return i;
      }
      found = found < 0 ? i : found;
    }
    return found;
  }

  /** Whether another type of the same union that fits is the likelier one. */
  private static boolean mayBeAnother(Schema type, JsonNode node) {
    return switch (type.getType()) {
      case BYTES, FIXED, DOUBLE -> node.isTextual();
      case FLOAT, MAP -> true;
      default -> false;
    };
  }

  private boolean fits(Schema schema, JsonNode node) {
    return switch (schema.getType()) {
      case NULL -> node.isNull();
      case BOOLEAN -> node.isBoolean();
      case INT -> node.isIntegralNumber() && node.canConvertToInt();
      case LONG -> node.isIntegralNumber() && node.canConvertToLong();
      case FLOAT, DOUBLE -> node.isNumber() || isNotFinite(node);
      case STRING -> node.isTextual();
      case ENUM -> node.isTextual() && schema.hasEnumSymbol(node.textValue());
      case BYTES, FIXED -> bytes(schema, node) != null;
      case RECORD ->
          node.isObject()
              && node.properties().stream()
                  .allMatch(
                      member ->
                          schema.getField(member.getKey()) != null
                              || dropped.contains(member.getKey()));
      case MAP -> node.isObject();
      case ARRAY -> node.isArray();
      case UNION -> branch(schema, node) >= 0;
    };
  }

  /** What JSON has no number for, and so stands there as a text. */
  private static boolean isNotFinite(JsonNode node) {
    return node.isTextual() && List.of("NaN", "Infinity", "-Infinity").contains(node.textValue());
  }

  private static void scalar(Schema schema, JsonNode node, BinaryEncoder out) throws IOException {
    switch (schema.getType()) {
      case NULL -> out.writeNull();
      case BOOLEAN -> out.writeBoolean(node.booleanValue());
      case INT -> out.writeInt(node.intValue());
      case LONG -> out.writeLong(node.longValue());
      case FLOAT ->
          out.writeFloat(node.isTextual() ? Float.parseFloat(node.textValue()) : node.floatValue());
      case DOUBLE ->
          out.writeDouble(
              node.isTextual() ? Double.parseDouble(node.textValue()) : node.doubleValue());
      case STRING -> out.writeString(node.textValue());
      case ENUM -> out.writeEnum(schema.getEnumOrdinal(node.textValue()));
      case BYTES -> out.writeBytes(bytes(schema, node));
      case FIXED -> out.writeFixed(bytes(schema, node));
      default ->
          throw new IllegalStateException(schema.getType() + " is no scalar. This is a bug.");
    }
  }

  /**
   * The bytes that bytes or a fixed number of them have, or null where the JSON is none of such.
   */
  private static byte[] bytes(Schema schema, JsonNode node) {
    byte[] bytes =
        schema.getLogicalType() instanceof LogicalTypes.Decimal decimal
            ? decimal(schema, decimal.getScale(), node)
            : base64(node);
    boolean fits =
        schema.getType() == Schema.Type.BYTES
            || (bytes != null && bytes.length == schema.getFixedSize());
    return fits ? bytes : null;
  }

  /** The bytes of a number of that scale, or null where it is none. */
  private static byte[] decimal(Schema schema, int scale, JsonNode node) {
    if (!node.isNumber()) {
      return null;
    }
    BigDecimal number = node.decimalValue();
    if (number.stripTrailingZeros().scale() > scale) {
      return null;
    }
    byte[] bytes = number.setScale(scale).unscaledValue().toByteArray();
    if (schema.getType() != Schema.Type.FIXED || bytes.length >= schema.getFixedSize()) {
      return bytes;
    }
    byte[] wide = new byte[schema.getFixedSize()];
    int start = wide.length - bytes.length;
    for (int i = 0; i < start; i++) {
      wide[i] = (byte) (bytes[0] < 0 ? -1 : 0);
    }
    System.arraycopy(bytes, 0, wide, start, bytes.length);
    return wide;
  }

  private static byte[] base64(JsonNode node) {
    try {
      return node.isTextual() ? Base64.getDecoder().decode(node.textValue()) : null;
    } catch (IllegalArgumentException e) {
      return null;
    }
  }

  private static RejectedRecordException unfitting(String path, Schema schema) {
    return new RejectedRecordException(
        ErrorCode.NOT_REDACTED,
        Stage.OUTPUT,
        (path.isEmpty() ? "the record" : "the field " + path)
            + " is not a "
            + (schema.isUnion() ? "value" : schema.getType().getName())
            + " of its schema any more once it is redacted: set output.format: json");
  }
}
