package org.labelstream.codec;

import com.fasterxml.jackson.core.JsonParseException;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;
import org.labelstream.record.Target;
import org.labelstream.record.TextEvent;

/**
 * Reads the values of records as events.
 *
 * <p>What is asked of a task is parsed; everything else is only located, so that {@link
 * DecodedEvent#labelled} can copy it untouched.
 *
 * <p><em>Thread-safety.</em> Immutable.
 */
public final class EventCodec {

  private static final int LONGEST_NUMBER = 400;

  /** Bytes of a byte order mark. */
  private static final int MARK = 3;

  /** The tag of a Protobuf message whose field 1 is a string; its length follows. */
  private static final byte PROTOBUF_TEXT = 0x0A;

  private static final String READ_AS_TEXT = ", or set format: text to read it all the same";

  /** Jackson says how a program would allow what is no JSON; a user cannot. */
  private static final Pattern ADVICE = Pattern.compile(":? *\\(?enable `?JsonReadFeature.*$");

  private static final Pattern NON_STANDARD = Pattern.compile("Non-standard token '(.*?)'.*");

  private final String pipeline;
  private final EventFormat format;
  private final long maxValueBytes;
  private final Set<String> fields;

  /**
   * @param pipeline the pipeline's name, under which results are written
   * @param maxValueBytes the largest value that is read, in bytes
   * @param fields which of {@code text}, {@code text_pair}, {@code question} and {@code context}
   *     the task reads; the others are somebody else's, and only carried through
   */
  public EventCodec(
      String pipeline, EventFormat format, long maxValueBytes, Collection<String> fields) {
    this.pipeline = pipeline;
    this.format = format;
    this.maxValueBytes = maxValueBytes;
    this.fields = Set.copyOf(fields);
  }

  /**
   * Reads a record's value.
   *
   * @throws RejectedRecordException when it is missing, too large, not UTF-8, no text, malformed,
   *     or a field that the task reads has the wrong type
   */
  public DecodedEvent decode(SourceRecord record) throws RejectedRecordException {
    byte[] value = record.value();
    if (value == null) {
      throw rejected(
          ErrorCode.NULL_VALUE,
          "the record has no value (a tombstone): send one, or set tombstones: forward to pass them on");
    }
    if (value.length > maxValueBytes) {
      throw rejected(
          ErrorCode.TOO_LARGE,
          "the value has "
              + value.length
              + " bytes, but max-value-bytes is "
              + maxValueBytes
              + ": shorten it, or raise max-value-bytes");
    }
    checkUtf8(value);
    return read(record, value);
  }

  /**
   * @param value the record's, or the content of the JSON string that its value is
   */
  private DecodedEvent read(SourceRecord record, byte[] value) throws RejectedRecordException {
    int start = firstNonBlank(value);
    byte first = start < value.length ? value[start] : 0;
    if (format == EventFormat.TEXT) {
      return text(record, value);
    }
    if (format == EventFormat.AUTO && first != '{') {
      checkIsText(value);
      if (first == '[' && whole(value, start) != null) {
        throw rejected(
            ErrorCode.MALFORMED_JSON,
            "the value is a JSON array: send each of its items as a record of its own");
      }
      if (first == '"' && value == record.value() && whole(value, start) instanceof String text) {
        // Once: who writes {"text": …} into a string by mistake means the object.
        return read(record, text.getBytes(StandardCharsets.UTF_8));
      }
      return text(record, value);
    }
    if (first != '{') {
      throw rejected(
          ErrorCode.MALFORMED_JSON,
          "the value is not a JSON object, and the input's format is json: send {\"text\": \"…\"}, or set format: auto");
    }
    try {
      return new Reading(record, value).read(start);
    } catch (StreamConstraintsException e) {
      throw rejected(
          ErrorCode.MALFORMED_JSON,
          "the value is nested more than " + JsonObject.MAX_DEPTH + " levels deep: flatten it");
    } catch (JsonProcessingException e) {
      throw rejected(
          ErrorCode.MALFORMED_JSON,
          "the value is not valid JSON"
              + where(e, start)
              + ": "
              + firstSentence(e)
              + "; send one JSON object, or plain text that does not begin with {");
    } catch (IOException e) {
      throw new UncheckedIOException("reading from memory cannot fail", e);
    }
  }

  /** An event of which nothing is known but its record's place. */
  public DecodedEvent unread(SourceRecord record) {
    return DecodedEvent.ofText(pipeline, "", record.position());
  }

  private static String where(JsonProcessingException e, int start) {
    return e.getLocation() == null || e.getLocation().getByteOffset() < 0
        ? ""
        : " (at byte " + (start + e.getLocation().getByteOffset()) + ")";
  }

  private DecodedEvent text(SourceRecord record, byte[] value) {
    int start = hasMark(value) ? MARK : 0;
    return DecodedEvent.ofText(
        pipeline,
        new String(value, start, value.length - start, StandardCharsets.UTF_8),
        record.position());
  }

  /**
   * Refuses what is UTF-8 by chance: the wire format of a schema registry, Protobuf, Avro and
   * UTF-16 without a mark, as far as their first bytes tell, or many bytes that no text has. A
   * stray control character, or a NUL at the end as C has it, is let through.
   */
  private static void checkIsText(byte[] value) throws RejectedRecordException {
    if (value.length > 0 && value[0] == 0) {
      throw rejected(
          ErrorCode.NOT_TEXT,
          "the value begins with a byte 0, as what a schema registry's serializers write: send text or JSON"
              + READ_AS_TEXT);
    }
    int controls = 0;
    for (byte b : value) {
      controls += isControl(b) ? 1 : 0;
    }
    boolean begins =
        value.length > 1
            && (isControl(value[0])
                || value[1] == 0 // UTF-16
                || (value[0] == PROTOBUF_TEXT && isControl(value[1])));
    if (begins || controls > value.length / 8) {
      throw rejected(
          ErrorCode.NOT_TEXT,
          "the value is no text, but binary (Protobuf, Avro, UTF-16 …): send UTF-8 text or JSON"
              + READ_AS_TEXT);
    }
  }

  /** A control character other than white space and the escape of terminals. */
  private static boolean isControl(byte b) {
    return b >= 0 && b < ' ' && (b < '\t' || b > '\r') && b != 0x1B;
  }

  /**
   * What the value is if all of it is one JSON string or array: the string, or the array's mark.
   */
  private static Object whole(byte[] value, int start) {
    try (JsonParser parser = JsonObject.JSON.createParser(value, start, value.length - start)) {
      Object whole = parser.nextToken() == JsonToken.VALUE_STRING ? parser.getText() : List.of();
      parser.skipChildren();
      return parser.nextToken() == null ? whole : null;
    } catch (JsonProcessingException e) {
      return null; // a text that begins as JSON does
    } catch (IOException e) {
      throw new UncheckedIOException("reading from memory cannot fail", e);
    }
  }

  private static String firstSentence(JsonProcessingException e) {
    // Where an object or array began is told in Jackson's own words, which help nobody here.
    String message = e.getOriginalMessage().replaceFirst(" \\([^()]* at \\[Source: .*", "");
    int end = message.indexOf('\n');
    String line = ADVICE.matcher(end < 0 ? message : message.substring(0, end)).replaceFirst("");
    return NON_STANDARD.matcher(line).replaceFirst("$1 is no JSON value, null would be");
  }

  private static void checkUtf8(byte[] value) throws RejectedRecordException {
    for (byte b : value) {
      if (b < 0) {
        try {
          StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(value));
        } catch (CharacterCodingException e) {
          throw rejected(
              ErrorCode.NOT_UTF8, "the value is not UTF-8: encode it as UTF-8 before sending it");
        }
        return;
      }
    }
  }

  /** A byte order mark, which some editors and shells put before a text. */
  private static boolean hasMark(byte[] value) {
    return value.length >= MARK
        && value[0] == (byte) 0xEF
        && value[1] == (byte) 0xBB
        && value[2] == (byte) 0xBF;
  }

  private static int firstNonBlank(byte[] value) {
    int start = hasMark(value) ? MARK : 0;
    while (start < value.length && JsonObject.isBlank(value[start])) {
      start++;
    }
    return start;
  }

  private static RejectedRecordException rejected(ErrorCode code, String message) {
    return new RejectedRecordException(code, Stage.DECODE, message);
  }

  /** One pass over one JSON object. */
  private final class Reading implements JsonObject.Visitor {
    private final SourceRecord record;
    private final byte[] bytes;
    private final Set<String> seen = new HashSet<>();
    private final Map<String, String> texts = new LinkedHashMap<>();
    private final List<JsonObject.Member> kept = new ArrayList<>();
    private final List<JsonObject.Member> consumed = new ArrayList<>();
    private final List<JsonObject.Member> earlierResults = new ArrayList<>();
    private String id;
    private boolean explain;
    private Target target;
    private Map<String, Object> parameters = Map.of();
    private String problem;
    private ErrorCode problemCode;
    private int base;

    Reading(SourceRecord record, byte[] value) {
      this.record = record;
      this.bytes = value;
    }

    DecodedEvent read(int start) throws IOException, RejectedRecordException {
      base = start;
      try (JsonParser parser = JsonObject.JSON.createParser(bytes, start, bytes.length - start)) {
        parser.nextToken();
        JsonObject.walk(bytes, base, parser, this);
        if (parser.nextToken() != null) {
          throw new JsonParseException(
              parser, "there is more after the object", parser.currentTokenLocation());
        }
      }
      if (problem != null) {
        throw rejected(problemCode, problem);
      }
      TextEvent event =
          new TextEvent(
              record.position(),
              texts.get("text"),
              texts.get("text_pair"),
              texts.get("question"),
              texts.get("context"),
              explain,
              target,
              parameters);
      return DecodedEvent.ofJson(pipeline, event, bytes, id, kept, consumed, earlierResults);
    }

    @Override
    public void value(String name, JsonParser parser, int valueStart) throws IOException {
      switch (name) {
        case "text", "text_pair", "question", "context" -> {
          if (fields.contains(name)) {
            once(name, parser);
          }
        }
        case "id", "explain", "target", "parameters", "inference" -> once(name, parser);
        default -> {
          // carried through
        }
      }
    }

    private void once(String name, JsonParser parser) throws IOException {
      if (!seen.add(name)) {
        refuse(
            ErrorCode.MALFORMED_JSON,
            "the field "
                + name
                + " occurs twice, so it is not clear which one counts: send it once");
      }
      readKnown(name, parser);
    }

    @Override
    public void member(JsonObject.Member member) {
      switch (member.name()) {
        case "explain", "target", "parameters" -> consumed.add(member);
        case "inference" -> {
          // its members were located one by one
        }
        case "id" -> {
          String given = raw(member);
          if (!given.equals("null")) { // a null id is no id: the record's position takes its place
            id = given;
            kept.add(member);
          }
        }
        default -> kept.add(member);
      }
    }

    private String raw(JsonObject.Member member) {
      return new String(
          bytes,
          member.valueStart(),
          member.valueEnd() - member.valueStart(),
          StandardCharsets.UTF_8);
    }

    private void readKnown(String name, JsonParser parser) throws IOException {
      JsonToken token = parser.currentToken();
      if (token == JsonToken.VALUE_NULL) {
        return;
      }
      if (name.equals("inference")) {
        if (token == JsonToken.START_OBJECT) {
          JsonObject.walk(bytes, base, parser, new EarlierResults());
        } else {
          refuse(
              ErrorCode.INVALID_FIELD,
              "the field inference is not an object, so no result can be added to it: rename it");
        }
        return;
      }
      switch (name) {
        case "id" -> {
          if (token != JsonToken.VALUE_STRING && token != JsonToken.VALUE_NUMBER_INT) {
            refuse(ErrorCode.INVALID_FIELD, "the field id must be a string or an integer");
          }
        }
        case "explain" -> {
          if (!token.isBoolean()) {
            refuse(ErrorCode.INVALID_FIELD, "the field explain must be true or false");
          }
          explain = token == JsonToken.VALUE_TRUE;
        }
        case "target" -> target = readTarget(parser);
        case "parameters" -> {
          if (token == JsonToken.START_OBJECT) {
            @SuppressWarnings("unchecked")
            Map<String, Object> given = (Map<String, Object>) readValue(parser);
            parameters = given;
          } else {
            refuse(
                ErrorCode.INVALID_PARAMETER,
                "the field parameters must be an object, such as {\"top_k\": 2}");
          }
        }
        default -> {
          if (token == JsonToken.VALUE_STRING) {
            texts.put(name, parser.getText());
          } else {
            refuse(ErrorCode.INVALID_FIELD, "the field " + name + " must be a string");
          }
        }
      }
    }

    private Target readTarget(JsonParser parser) throws IOException {
      Object value = readValue(parser);
      if (value instanceof String label) {
        return new Target.Label(label);
      }
      if (isIndex(value)) {
        return new Target.Index(((Long) value).intValue());
      }
      if (value instanceof List<?> pair
          && pair.size() == 2
          && isIndex(pair.get(0))
          && isIndex(pair.get(1))) {
        return new Target.TokenClass(
            ((Long) pair.get(0)).intValue(), ((Long) pair.get(1)).intValue());
      }
      refuse(
          ErrorCode.INVALID_FIELD,
          "the field target must be the index of a class, its label, or a pair [token, class]");
      return null;
    }

    private boolean isIndex(Object value) {
      return value instanceof Long number && number >= 0 && number <= Integer.MAX_VALUE;
    }

    /** The value at the parser's token, in the types that {@link TextEvent#parameters} names. */
    private Object readValue(JsonParser parser) throws IOException {
      return switch (parser.currentToken()) {
        case VALUE_STRING -> parser.getText();
        case VALUE_TRUE -> true;
        case VALUE_FALSE -> false;
        case VALUE_NUMBER_INT, VALUE_NUMBER_FLOAT -> readNumber(parser);
        case START_ARRAY -> {
          List<Object> items = new ArrayList<>();
          while (parser.nextToken() != JsonToken.END_ARRAY) {
            items.add(readValue(parser));
          }
          yield items;
        }
        case START_OBJECT -> {
          Map<String, Object> members = new LinkedHashMap<>();
          while (parser.nextToken() != JsonToken.END_OBJECT) {
            String name = parser.currentName();
            parser.nextToken();
            if (members.containsKey(name)) {
              refuse(
                  ErrorCode.INVALID_PARAMETER,
                  "the parameter " + name + " is given twice: give it once");
            }
            members.put(name, readValue(parser));
          }
          yield members;
        }
        default -> null;
      };
    }

    private Object readNumber(JsonParser parser) throws IOException {
      if (parser.getTextLength() > LONGEST_NUMBER) {
        refuse(
            ErrorCode.INVALID_PARAMETER,
            "a number in parameters or target has more than "
                + LONGEST_NUMBER
                + " digits: shorten it");
        return 0L;
      }
      if (parser.currentToken() == JsonToken.VALUE_NUMBER_FLOAT) {
        return parser.getDoubleValue();
      }
      BigInteger number = parser.getBigIntegerValue();
      return number.bitLength() < Long.SIZE ? (Object) number.longValue() : number;
    }

    /** Notes the first problem; the walk goes on, so that malformed JSON is told as such. */
    private void refuse(ErrorCode code, String message) {
      if (problem == null) {
        problemCode = code;
        problem = message;
      }
    }

    /** The results of the pipelines before this one, all but an earlier one of its own name. */
    private final class EarlierResults implements JsonObject.Visitor {
      @Override
      public void value(String name, JsonParser parser, int valueStart) {
        // only located
      }

      @Override
      public void member(JsonObject.Member member) {
        if (!member.name().equals(pipeline)) {
          earlierResults.add(member);
        }
      }
    }
  }
}
