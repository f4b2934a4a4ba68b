package org.labelstream.codec;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.labelstream.avro.WriterSchema;
import org.labelstream.codec.JsonObject.Member;
import org.labelstream.record.Prediction;
import org.labelstream.record.Result;
import org.labelstream.record.TextEvent;

/** An event and where its fields stand in the bytes that it came from. */
public final class DecodedEvent {

  private final String pipeline;
  private final TextEvent event;
  private final boolean isText;
  private final Content content;
  private final String id;
  private final List<Member> kept;
  private final List<Member> consumed;
  private final List<Member> earlierResults;
  private WriterSchema writer;

  private DecodedEvent(
      String pipeline,
      TextEvent event,
      boolean isText,
      Content content,
      String id,
      List<Member> kept,
      List<Member> consumed,
      List<Member> earlierResults) {
    this.pipeline = pipeline;
    this.event = event;
    this.isText = isText;
    this.content = content;
    this.id = id;
    this.kept = kept;
    this.consumed = consumed;
    this.earlierResults = earlierResults;
  }

  /**
   * An event that was plain text.
   *
   * @param content where in an envelope it stands, or null where it is the whole value
   * @param id its id as JSON, or null where it gets its position
   */
  static DecodedEvent ofText(
      String pipeline, String text, String position, Content content, String id) {
    return new DecodedEvent(
        pipeline,
        TextEvent.ofText(position, text),
        true,
        content,
        id,
        List.of(),
        List.of(),
        List.of());
  }

  /** A row that was deleted: there is nothing to label, and a tombstone to pass on. */
  static DecodedEvent ofNothing(String pipeline) {
    return new DecodedEvent(pipeline, null, false, null, null, List.of(), List.of(), List.of());
  }

  DecodedEvent writtenBy(WriterSchema schema) {
    writer = schema;
    return this;
  }

  /** The schema that it was written by, or null where it came without one. */
  public WriterSchema writer() {
    return writer;
  }

  /** Whether there is no event, but the deletion of one. */
  public boolean isDeletion() {
    return event == null;
  }

  /**
   * An event that was a JSON object.
   *
   * @param content where it stands
   * @param id its id as JSON, or null where it has none and gets its position
   * @param kept the members that are carried through
   * @param consumed the members that are echoed as the request
   * @param earlierResults the members of its {@code inference} object that are carried through
   */
  static DecodedEvent ofJson(
      String pipeline,
      TextEvent event,
      Content content,
      String id,
      List<Member> kept,
      List<Member> consumed,
      List<Member> earlierResults) {
    return new DecodedEvent(pipeline, event, false, content, id, kept, consumed, earlierResults);
  }

  /** What the event asks of a task, or null of a deletion. */
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
    return labelled(task, model, version, prediction, UnaryOperator.identity());
  }

  /**
   * The labelled record, of which some texts are written anew.
   *
   * @param rewriting gives what takes the place of a text that the event carried, or that text
   */
  public byte[] labelled(
      String task,
      String model,
      String version,
      Prediction prediction,
      UnaryOperator<String> rewriting) {
    return labelled(
        List.of(new Result(pipeline, task, model, version, prediction, null)), rewriting);
  }

  /**
   * The labelled record with some results, each under its name, of which some texts are written
   * anew.
   *
   * @param rewriting gives what takes the place of a text that the event carried, or that text
   */
  public byte[] labelled(List<Result> results, UnaryOperator<String> rewriting) {
    byte[] bytes = content == null ? new byte[0] : content.bytes();
    Splice out =
        new Splice(
            content == null ? event.text().length() : bytes.length,
            content == null ? List.of() : Rewriting.of(content, rewriting));
    if (content != null) {
      out.copy(bytes, content.from(), content.start());
    }
    out.begin();
    if (!hasId()) {
      out.add(json -> writeId(json, rewriting));
    }
    if (isText) {
      out.add(json -> json.writeStringField("text", rewriting.apply(event.text())));
    }
    out.copy(bytes, kept);
    out.begin("inference");
    out.copy(bytes, earlierResults);
    for (Result result : results) {
      out.begin(result.name());
      out.add(json -> write(json, result));
      if (!consumed.isEmpty()) {
        out.begin("request");
        out.copy(bytes, consumed);
        out.end();
      }
      out.end();
    }
    out.end();
    out.end();
    if (content != null) {
      out.copy(bytes, content.end(), content.to());
    }
    return out.toByteArray();
  }

  private static void write(JsonGenerator json, Result result) throws IOException {
    json.writeStringField("task", result.task());
    json.writeStringField("model", result.model());
    json.writeStringField("version", result.version());
    if (result.error() != null) {
      json.writeFieldName("error");
      write(
          json,
          Map.of("code", result.error().code().wireName(), "message", result.error().message()));
      return;
    }
    Prediction prediction = result.prediction();
    for (Map.Entry<String, Object> field : prediction.fields().entrySet()) {
      json.writeFieldName(field.getKey());
      write(json, field.getValue());
    }
    json.writeNumberField("tokens", prediction.tokens());
    json.writeBooleanField("truncated", prediction.truncated());
  }

  /** Whether the record says its id itself. */
  private boolean hasId() {
    return (content != null && content.isEnveloped())
        || kept.stream().anyMatch(member -> member.name().equals("id"));
  }

  private void writeId(JsonGenerator json, UnaryOperator<String> rewriting) throws IOException {
    json.writeFieldName("id");
    if (id == null) {
      json.writeString(event.position());
      return;
    }
    byte[] raw = id.getBytes(StandardCharsets.UTF_8);
    String text = Envelopes.text(raw, 0, raw.length);
    String changed = rewriting.apply(text);
    if (changed.equals(text)) {
      json.writeRawValue(id);
    } else {
      json.writeString(changed);
    }
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
    return explained(task, model, version, fields, UnaryOperator.identity());
  }

  /**
   * The record of an explanation, of which the id is written anew.
   *
   * @param rewriting gives what takes the place of a text
   */
  public byte[] explained(
      String task,
      String model,
      String version,
      Map<String, Object> fields,
      UnaryOperator<String> rewriting) {
    Splice out = new Splice(4096, List.of());
    out.begin();
    out.add(
        json -> {
          writeId(json, rewriting);
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
