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
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
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

  private final String pipeline;
  private final EventFormat format;
  private final long maxValueBytes;

  /**
   * @param pipeline the pipeline's name, under which results are written
   * @param maxValueBytes the largest value that is read, in bytes
   */
  public EventCodec(String pipeline, EventFormat format, long maxValueBytes) {
    this.pipeline = pipeline;
    this.format = format;
    this.maxValueBytes = maxValueBytes;
  }

  /**
   * Reads a record's value.
   *
   * @throws RejectedRecordException when it is missing, too large, not UTF-8, malformed, or a field
   *     has the wrong type
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
    int start = firstNonBlank(value);
    boolean object = start < value.length && value[start] == '{';
    if (format == EventFormat.TEXT || (format == EventFormat.AUTO && !object)) {
      return DecodedEvent.ofText(
          pipeline, new String(value, StandardCharsets.UTF_8), record.position());
    }
    if (!object) {
      throw rejected(
          ErrorCode.MALFORMED_JSON,
          "the value is not a JSON object, and the input's format is json: send {\"text\": \"…\"}, or set format: auto");
    }
    try {
      return new Reading(record).read(start);
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

  private static String firstSentence(JsonProcessingException e) {
    // Where an object or array began is told in Jackson's own words, which help nobody here.
    String message = e.getOriginalMessage().replaceFirst(" \\([^()]* at \\[Source: .*", "");
    int end = message.indexOf('\n');
    return end < 0 ? message : message.substring(0, end);
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

  private static int firstNonBlank(byte[] value) {
    int start = 0;
    if (value.length >= 3
        && value[0] == (byte) 0xEF
        && value[1] == (byte) 0xBB
        && value[2] == (byte) 0xBF) {
      start = 3; // a byte order mark, which some editors and shells put before JSON
    }
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

    Reading(SourceRecord record) {
      this.record = record;
      this.bytes = record.value();
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
        case "id",
            "text",
            "text_pair",
            "question",
            "context",
            "explain",
            "target",
            "parameters",
            "inference" -> {
          if (!seen.add(name)) {
            refuse(
                ErrorCode.MALFORMED_JSON,
                "the field "
                    + name
                    + " occurs twice, so it is not clear which one counts: send it once");
          }
          readKnown(name, parser);
        }
        default -> {
          // carried through
        }
      }
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
