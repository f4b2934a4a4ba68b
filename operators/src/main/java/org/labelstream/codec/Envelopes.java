package org.labelstream.codec;

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.JsonParseException;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.labelstream.codec.JsonObject.Member;
import org.labelstream.codec.Rewriting.Edit;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Header;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;

/** Finds the event in what stands around it: a change of Debezium, or a CloudEvent. */
final class Envelopes {

  private static final String ENCODED = "what data_base64 holds";

  private static final String CLOUD_EVENT = "application/cloudevents";

  /** Attributes that every CloudEvent has; each is a text that is not empty. */
  private static final List<String> ATTRIBUTES = List.of("specversion", "id", "source", "type");

  private static final Set<String> OF_CLOUD_EVENTS =
      Set.of("specversion", "id", "source", "type", "data", "data_base64", "datacontenttype");

  private static final Set<String> OF_CHANGES = Set.of("payload", "op", "after");

  private Envelopes() {}

  /**
   * The row after a change.
   *
   * @param value a JSON object from {@code start} on
   * @return empty where the row was deleted
   */
  static Optional<Content> debezium(byte[] value, int start)
      throws IOException, RejectedRecordException {
    Map<String, Member> change = members(value, start, value.length, "", OF_CHANGES);
    String path = "";
    Member payload = change.get("payload");
    if (payload != null && first(value, payload) == '{' && !change.containsKey("op")) {
      path = "payload.";
      change = members(value, payload.valueStart(), payload.valueEnd(), path, OF_CHANGES);
    }
    String op = change.containsKey("op") ? text(value, change.get("op")) : null;
    if (op == null) {
      throw rejected(
          ErrorCode.MISSING_FIELD,
          "there is no "
              + path
              + "op, which every change of Debezium has as a text: send such changes, or remove"
              + " input.envelope");
    }
    if (op.equals("d")) {
      return Optional.empty();
    }
    if (!Set.of("c", "u", "r").contains(op)) {
      throw rejected(
          ErrorCode.INVALID_FIELD,
          path
              + "op is "
              + (Set.of("t", "m").contains(op) ? op : "none that is known")
              + ", and only c, u, r and d come with a row: leave out such changes"
              + " (skipped.operations of the connector)");
    }
    Member after = change.get("after");
    if (after == null || first(value, after) == 'n') {
      throw rejected(
          ErrorCode.MISSING_FIELD,
          "there is no " + path + "after, and the event is read from there: send the whole change");
    }
    if (first(value, after) != '{') {
      throw rejected(
          ErrorCode.INVALID_FIELD, path + "after is no object, and the event is read from there");
    }
    return Optional.of(
        new Content(
            value,
            start,
            after.valueStart(),
            after.valueEnd(),
            value.length,
            path + "after.",
            null,
            null));
  }

  /** What a record's headers say of a CloudEvent. */
  enum Mode {
    /** All of it stands in the value. */
    STRUCTURED,
    /** Its attributes are headers, its data is the value. */
    BINARY
  }

  /** The mode of a CloudEvent. */
  static Mode mode(SourceRecord record) throws RejectedRecordException {
    String type = contentType(record);
    if (type.startsWith(CLOUD_EVENT)) {
      if (!type.startsWith(CLOUD_EVENT + "+json")) {
        throw rejected(
            ErrorCode.INVALID_FIELD,
            "the header content-type names a batch of CloudEvents, or another form than JSON, and they"
                + " are read in JSON, one to a record: send "
                + CLOUD_EVENT
                + "+json, or binary mode");
      }
      return Mode.STRUCTURED;
    }
    return header(record, "ce_specversion") == null ? Mode.STRUCTURED : Mode.BINARY;
  }

  /** The content type of a record, in small letters, or an empty text. */
  static String contentType(SourceRecord record) {
    String type = header(record, "content-type");
    return type == null ? "" : type.strip().toLowerCase(Locale.ROOT);
  }

  /** The id of a CloudEvent in binary mode, once all its attributes are there. */
  static String binaryId(SourceRecord record) throws RejectedRecordException {
    for (String attribute : ATTRIBUTES) {
      String value = header(record, "ce_" + attribute);
      if (value == null || value.isEmpty()) {
        throw rejected(
            ErrorCode.MISSING_FIELD,
            "there is no header ce_" + attribute + ", which every CloudEvent has: send it");
      }
    }
    return header(record, "ce_id");
  }

  /**
   * The data of a CloudEvent in structured mode: an object, or a JSON string. What stands in base64
   * is read as the JSON or text that its bytes are, and goes on as data.
   *
   * @param value a JSON object from {@code start} on
   */
  static Content cloudEvent(byte[] value, int start) throws IOException, RejectedRecordException {
    Map<String, Member> event = members(value, start, value.length, "", OF_CLOUD_EVENTS);
    for (String attribute : ATTRIBUTES) {
      Member member = event.get(attribute);
      String text = member == null ? null : text(value, member);
      if (text == null || text.isEmpty()) {
        throw rejected(
            ErrorCode.MISSING_FIELD,
            "there is no "
                + attribute
                + ", which every CloudEvent has as a text"
                + (attribute.equals("specversion")
                    ? " (nor a header ce_specversion): send CloudEvents, or remove input.envelope"
                    : ": send it"));
      }
    }
    Member data = event.get("data");
    Member encoded = event.get("data_base64");
    if (encoded != null && data != null) {
      throw rejected(
          ErrorCode.MALFORMED_JSON,
          "both data and data_base64 are there, so it is not clear which one counts: send one");
    }
    if (encoded != null) {
      return cloudEvent(withData(value, encoded, event.get("datacontenttype")), start);
    }
    if (data == null || first(value, data) == 'n') {
      throw rejected(
          ErrorCode.MISSING_FIELD, "there is no data, and the event is read from there: send it");
    }
    if (first(value, data) != '{' && first(value, data) != '"') {
      throw rejected(ErrorCode.INVALID_FIELD, "data must be an object or a text: send one of them");
    }
    Member id = event.get("id");
    return new Content(
        value,
        start,
        data.valueStart(),
        data.valueEnd(),
        value.length,
        "data.",
        new String(value, id.valueStart(), id.valueEnd() - id.valueStart(), UTF_8),
        first(value, data) == '"' ? asJson(value, event.get("datacontenttype")) : null);
  }

  /**
   * A CloudEvent with data in the place of its data_base64.
   *
   * @param type the member datacontenttype, or null
   */
  private static byte[] withData(byte[] value, Member encoded, Member type)
      throws IOException, RejectedRecordException {
    String base64 = text(value, encoded);
    if (base64 == null) {
      throw rejected(
          ErrorCode.INVALID_FIELD, "data_base64 is not a text: send the data's bytes in base64");
    }
    String given = type == null ? null : text(value, type);
    boolean isText = given != null && given.toLowerCase(Locale.ROOT).startsWith("text/");
    byte[] data;
    try {
      data = json(Base64.getDecoder().decode(base64), isText);
    } catch (IllegalArgumentException e) {
      throw rejected(
          ErrorCode.INVALID_FIELD,
          "data_base64 is not base64 (RFC 4648, section 4): encode the data's bytes anew");
    }
    List<Edit> edits = new ArrayList<>();
    Edit asJson = asJson(value, type);
    if (asJson != null) {
      edits.add(asJson);
    }
    ByteArrayOutputStream member = new ByteArrayOutputStream(data.length + 8);
    member.writeBytes("\"data\":".getBytes(UTF_8));
    member.writeBytes(data);
    edits.add(new Edit(encoded.nameStart(), encoded.valueEnd(), member.toByteArray()));
    edits.sort(Comparator.comparingInt(Edit::start));
    Splice out = new Splice(value.length + data.length, edits);
    out.copy(value, 0, value.length);
    return out.toByteArray();
  }

  /** The JSON that bytes are, or a JSON string of their text. */
  private static byte[] json(byte[] data, boolean isText)
      throws IOException, RejectedRecordException {
    Charsets.checkUtf8(data, ENCODED);
    int start = EventCodec.firstNonBlank(data);
    byte first = start < data.length && !isText ? data[start] : 0;
    if (first == '{') {
      try {
        members(data, start, data.length, "data.", Set.of()); // that it ends where the bytes do
      } catch (StreamConstraintsException e) {
        throw e;
      } catch (JsonProcessingException e) {
        throw EventCodec.notJson(
            ENCODED,
            data,
            e,
            "send one JSON object, or datacontenttype text/plain where it is a text");
      }
    }
    if (first == '{' || ((first == '[' || first == '"') && EventCodec.whole(data, start) != null)) {
      return Arrays.copyOfRange(data, start, data.length);
    }
    if (!isText) {
      EventCodec.checkIsText(data, ENCODED);
    }
    return EventCodec.quoted(EventCodec.text(data)).getBytes(UTF_8);
  }

  /** Labelled, a text is an object, so that its type has to be another; null where it is JSON. */
  private static Edit asJson(byte[] value, Member type) throws IOException {
    String given = type == null ? null : text(value, type);
    return given == null || given.toLowerCase(Locale.ROOT).contains("json")
        ? null
        : new Edit(type.valueStart(), type.valueEnd(), "\"application/json\"".getBytes(UTF_8));
  }

  /** The last header of that name as a text, or null. */
  private static String header(SourceRecord record, String name) {
    String found = null;
    for (Header header : record.headers()) {
      if (header.key().equalsIgnoreCase(name) && header.value() != null) {
        found = new String(header.value(), UTF_8);
      }
    }
    return found;
  }

  /** The members of an object that are asked for. */
  private static Map<String, Member> members(
      byte[] bytes, int start, int end, String path, Set<String> asked)
      throws IOException, RejectedRecordException {
    Map<String, Member> members = new HashMap<>();
    Set<String> twice = new HashSet<>();
    try (JsonParser parser = JsonObject.JSON.createParser(bytes, start, end - start)) {
      parser.nextToken();
      JsonObject.walk(
          bytes,
          start,
          parser,
          new JsonObject.Visitor() {
            @Override
            public void value(String name, JsonParser at, int valueStart) {
              // only located
            }

            @Override
            public void member(Member member) {
              if (asked.contains(member.name()) && members.put(member.name(), member) != null) {
                twice.add(member.name());
              }
            }
          });
      if (parser.nextToken() != null) {
        throw new JsonParseException(
            parser, "there is more after the object", parser.currentTokenLocation());
      }
    }
    for (String name : twice) {
      throw rejected(
          ErrorCode.MALFORMED_JSON,
          "the field "
              + path
              + name
              + " occurs twice, so it is not clear which one counts: send it once");
    }
    return members;
  }

  private static byte first(byte[] bytes, Member member) {
    return bytes[member.valueStart()];
  }

  /** A member's text, or null where it is none. */
  static String text(byte[] bytes, Member member) throws IOException {
    return first(bytes, member) == '"' ? text(bytes, member.valueStart(), member.valueEnd()) : null;
  }

  /** The text of a JSON string. */
  static String text(byte[] bytes, int start, int end) throws IOException {
    try (JsonParser parser = JsonObject.JSON.createParser(bytes, start, end - start)) {
      parser.nextToken();
      return parser.getText();
    }
  }

  private static RejectedRecordException rejected(ErrorCode code, String message) {
    return new RejectedRecordException(code, Stage.DECODE, message);
  }
}
