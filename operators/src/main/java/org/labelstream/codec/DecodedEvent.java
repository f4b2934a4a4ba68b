package org.labelstream.codec;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import org.labelstream.codec.JsonObject.Member;
import org.labelstream.record.Prediction;
import org.labelstream.record.TextEvent;

/** An event and where its fields stand in the bytes that it came from. */
public final class DecodedEvent {

  private final String pipeline;
  private final TextEvent event;
  private final byte[] bytes;
  private final String id;
  private final List<Member> kept;
  private final List<Member> consumed;
  private final List<Member> earlierResults;

  private DecodedEvent(
      String pipeline,
      TextEvent event,
      byte[] bytes,
      String id,
      List<Member> kept,
      List<Member> consumed,
      List<Member> earlierResults) {
    this.pipeline = pipeline;
    this.event = event;
    this.bytes = bytes;
    this.id = id;
    this.kept = kept;
    this.consumed = consumed;
    this.earlierResults = earlierResults;
  }

  /** An event that was plain text. */
  static DecodedEvent ofText(String pipeline, String text, String position) {
    return new DecodedEvent(
        pipeline, TextEvent.ofText(position, text), null, null, List.of(), List.of(), List.of());
  }

  /**
   * An event that was a JSON object.
   *
   * @param id the bytes of its id as they were, or null where it has none and gets its position
   * @param kept the members that are carried through
   * @param consumed the members that are echoed as the request
   * @param earlierResults the members of its {@code inference} object that are carried through
   */
  static DecodedEvent ofJson(
      String pipeline,
      TextEvent event,
      byte[] bytes,
      String id,
      List<Member> kept,
      List<Member> consumed,
      List<Member> earlierResults) {
    return new DecodedEvent(pipeline, event, bytes, id, kept, consumed, earlierResults);
  }

  /** What the event asks of a task. */
  public TextEvent event() {
    return event;
  }

  /**
   * The labelled record: the event with the result under {@code inference.<pipeline>}. What the
   * event carried is copied byte for byte.
   *
   * @param task the task's name
   * @param model the model's name
   * @param version the model's version
   */
  public byte[] labelled(String task, String model, String version, Prediction prediction) {
    Splice out = new Splice(bytes == null ? event.text().length() : bytes.length);
    out.begin();
    if (id == null) {
      out.add(json -> json.writeStringField("id", event.position()));
    }
    if (bytes == null) {
      out.add(json -> json.writeStringField("text", event.text()));
    }
    out.copy(bytes, kept);
    out.begin("inference");
    out.copy(bytes, earlierResults);
    out.begin(pipeline);
    out.add(
        json -> {
          json.writeStringField("task", task);
          json.writeStringField("model", model);
          json.writeStringField("version", version);
          for (Map.Entry<String, Object> field : prediction.fields().entrySet()) {
            json.writeFieldName(field.getKey());
            write(json, field.getValue());
          }
          json.writeNumberField("tokens", prediction.tokens());
          json.writeBooleanField("truncated", prediction.truncated());
        });
    if (!consumed.isEmpty()) {
      out.begin("request");
      out.copy(bytes, consumed);
      out.end();
    }
    out.end();
    out.end();
    out.end();
    return out.toByteArray();
  }

  /**
   * The record of an explanation.
   *
   * @param task the task's name
   * @param model the model's name
   * @param version the model's version
   * @param fields the explanation's own, or its error
   */
  public byte[] explained(String task, String model, String version, Map<String, Object> fields) {
    Splice out = new Splice(4096);
    out.begin();
    out.add(
        json -> {
          json.writeFieldName("id");
          if (id == null) {
            json.writeString(event.position());
          } else {
            json.writeRawValue(id);
          }
          json.writeStringField("pipeline", pipeline);
          json.writeStringField("task", task);
          json.writeStringField("model", model);
          json.writeStringField("version", version);
          for (Map.Entry<String, Object> field : fields.entrySet()) {
            json.writeFieldName(field.getKey());
            write(json, field.getValue());
          }
        });
    out.end();
    return out.toByteArray();
  }

  private static void write(JsonGenerator json, Object value) throws IOException {
    if (value == null) {
      json.writeNull();
    } else if (value instanceof String text) {
      // A text may hold a lone surrogate (JSON's escapes allow it), which has no UTF-8 form:
      // escapes keep it as it is.
      json.setHighestNonEscapedChar(isWellFormed(text) ? 0 : 127);
      json.writeString(text);
      json.setHighestNonEscapedChar(0);
    } else if (value instanceof Boolean flag) {
      json.writeBoolean(flag);
    } else if (value instanceof Float number) {
      json.writeNumber(number);
    } else if (value instanceof Double number) {
      json.writeNumber(number);
    } else if (value instanceof Number number) {
      json.writeNumber(number.longValue());
    } else if (value instanceof List<?> items) {
      json.writeStartArray();
      for (Object item : items) {
        write(json, item);
      }
      json.writeEndArray();
    } else if (value instanceof Map<?, ?> members) {
      json.writeStartObject();
      for (Map.Entry<?, ?> member : members.entrySet()) {
        json.writeFieldName((String) member.getKey());
        write(json, member.getValue());
      }
      json.writeEndObject();
    } else {
      throw new IllegalStateException(
          "a prediction holds a "
              + value.getClass().getName()
              + ", which has no JSON form. This is a bug.");
    }
  }

  private static boolean isWellFormed(String text) {
    return text.codePoints()
        .noneMatch(c -> Character.MIN_SURROGATE <= c && c <= Character.MAX_SURROGATE);
  }
}
