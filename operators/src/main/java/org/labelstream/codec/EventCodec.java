package org.labelstream.codec;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import com.fasterxml.jackson.core.io.JsonStringEncoder;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import org.labelstream.avro.AvroReader;
import org.labelstream.avro.AvroValue;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;

/**
 * Reads the values of records as events.
 *
 * <p>What is asked of a task is parsed; everything else is only located, so that {@link
 * DecodedEvent#labelled} can copy it untouched.
 *
 * <p><em>Thread-safety.</em> Immutable.
 */
public final class EventCodec {

  /** Bytes of a byte order mark. */
  private static final int MARK = 3;

  /** The tag of a Protobuf message whose field 1 is a string; its length follows. */
  private static final byte PROTOBUF_TEXT = 0x0A;

  private static final String THE_VALUE = "the value";

  static final String OF_A_REGISTRY =
      " begins with a byte 0, as what a schema registry's serializers write: set format: avro where it is Avro, or send text or JSON";

  private static final String READ_AS_TEXT = ", or set format: text to read it all the same";

  /** Jackson says how a program would allow what is no JSON; a user cannot. */
  private static final Pattern ADVICE = Pattern.compile(":? *\\(?enable `?JsonReadFeature.*$");

  private static final Pattern NON_STANDARD = Pattern.compile("Non-standard token '(.*?)'.*");

  private final String pipeline;
  private final Set<String> entries;
  private final EventForm form;
  private final EventFormat format;
  private final long maxValueBytes;
  private final Places places;
  private final AvroReader avro;
  private final Charset charset;

  /**
   * @param pipeline the pipeline's name, under which results are written
   * @param form how values are read
   * @param maxValueBytes the largest value that is read, in bytes
   * @param fields which of {@code text}, {@code text_pair}, {@code question} and {@code context}
   *     the task reads; the others are somebody else's, and only carried through
   */
  public EventCodec(
      String pipeline, EventForm form, long maxValueBytes, Collection<String> fields) {
    this(pipeline, Set.of(pipeline), form, maxValueBytes, fields, null);
  }

  /**
   * @param pipeline the pipeline's name
   * @param entries the names under which results are written; earlier results of these names give
   *     way
   * @param form how values are read
   * @param maxValueBytes the largest value that is read, in bytes
   * @param fields which texts the tasks read
   * @param avro what reads Avro, or null where the form is none of it
   */
  public EventCodec(
      String pipeline,
      Set<String> entries,
      EventForm form,
      long maxValueBytes,
      Collection<String> fields,
      AvroReader avro) {
    this.pipeline = pipeline;
    this.avro = avro;
    this.entries = Set.copyOf(entries);
    this.form = form;
    // Fields that have been named stand in an object.
    this.format =
        form.fields().isEmpty() && form.format() != EventFormat.AVRO
            ? form.format()
            : EventFormat.JSON;
    this.maxValueBytes = maxValueBytes;
    this.places = new Places(form, fields);
    this.charset = Charset.forName(form.charset());
  }

  /**
   * Reads a record's value.
   *
   * @throws RejectedRecordException when it is missing, too large, not in the charset, no text,
   *     malformed, or a field that the task reads has the wrong type
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
    if (form.format() == EventFormat.AVRO) {
      AvroValue read = avro.read(value);
      return inUtf8(
              SourceRecord.of(record, read.bytes()), read.isText() ? EventFormat.TEXT : format)
          .writtenBy(read.writer());
    }
    if (!charset.equals(StandardCharsets.UTF_8)) {
      return inUtf8(SourceRecord.of(record, Charsets.toUtf8(value, charset)), format);
    }
    Charsets.checkUtf8(value, THE_VALUE);
    if (format != EventFormat.TEXT) {
      Charsets.checkNoZeros(value, THE_VALUE);
    }
    return inUtf8(record, format);
  }

  private DecodedEvent inUtf8(SourceRecord record, EventFormat format)
      throws RejectedRecordException {
    byte[] value = record.value();
    try {
      return switch (form.envelope()) {
        case NONE -> read(record, value, format, null);
        case DEBEZIUM -> change(record, value);
        case CLOUDEVENTS -> cloudEvent(record, value, format);
      };
    } catch (StreamConstraintsException e) {
      throw rejected(
          ErrorCode.MALFORMED_JSON,
          "the value is nested more than " + JsonObject.MAX_DEPTH + " levels deep: flatten it");
    } catch (JsonProcessingException e) {
      throw notJson(
          THE_VALUE,
          value,
          e,
          "send one JSON object, or set format: text where the value is a text");
    } catch (IOException e) {
      throw new UncheckedIOException("reading from memory cannot fail", e);
    }
  }

  private DecodedEvent change(SourceRecord record, byte[] value)
      throws IOException, RejectedRecordException {
    int start = objectStart(value, "a change of Debezium is one");
    Optional<Content> row = Envelopes.debezium(value, start);
    return row.isPresent()
        ? new ObjectReading(pipeline, entries, places, row.get()).read(record.position())
        : DecodedEvent.ofNothing(pipeline);
  }

  private DecodedEvent cloudEvent(SourceRecord record, byte[] value, EventFormat format)
      throws IOException, RejectedRecordException {
    if (Envelopes.mode(record) == Envelopes.Mode.BINARY) {
      String id = Envelopes.binaryId(record);
      boolean isText = Envelopes.contentType(record).startsWith("text/");
      return read(record, value, isText ? EventFormat.TEXT : format, quoted(id));
    }
    Content data =
        Envelopes.cloudEvent(value, objectStart(value, "a CloudEvent in structured mode is one"));
    if (data.bytes()[data.start()] == '{') {
      return new ObjectReading(pipeline, entries, places, data).read(record.position());
    }
    if (format == EventFormat.JSON) {
      throw rejected(
          ErrorCode.INVALID_FIELD,
          "data is a text, and the event's fields are read from an object: send one");
    }
    return DecodedEvent.ofText(
        pipeline,
        Envelopes.text(data.bytes(), data.start(), data.end()),
        record.position(),
        data,
        data.id());
  }

  private static int objectStart(byte[] value, String because) throws RejectedRecordException {
    int start = firstNonBlank(value);
    if (start == value.length || value[start] != '{') {
      throw rejected(
          ErrorCode.MALFORMED_JSON,
          "the value is not a JSON object, and "
              + because
              + ": send one, or remove input.envelope");
    }
    return start;
  }

  static String quoted(String text) {
    return '"'
        + new String(JsonStringEncoder.getInstance().quoteAsUTF8(text), StandardCharsets.UTF_8)
        + '"';
  }

  /**
   * @param value the record's, or the content of the JSON string that its value is
   * @param id the id that an envelope has given, as JSON, or null
   */
  private DecodedEvent read(SourceRecord record, byte[] value, EventFormat format, String id)
      throws IOException, RejectedRecordException {
    int start = firstNonBlank(value);
    byte first = start < value.length ? value[start] : 0;
    if (format == EventFormat.TEXT) {
      return text(record, value, id);
    }
    if (format == EventFormat.AUTO && first != '{') {
      checkIsText(value, THE_VALUE);
      if (first == '[' && whole(value, start) != null) {
        throw rejected(
            ErrorCode.MALFORMED_JSON,
            "the value is a JSON array: send each of its items as a record of its own");
      }
      if (first == '"' && value == record.value() && whole(value, start) instanceof String text) {
        // Once: who writes {"text": …} into a string by mistake means the object.
        return read(record, text.getBytes(StandardCharsets.UTF_8), format, id);
      }
      return text(record, value, id);
    }
    if (first != '{') {
      throw rejected(
          ErrorCode.MALFORMED_JSON,
          "the value is not a JSON object, and "
              + (form.fields().isEmpty()
                  ? "the input's format is json: send {\"text\": \"…\"}, or set format: auto"
                  : "input.fields says where in one the text stands: send one"));
    }
    return new ObjectReading(pipeline, entries, places, Content.whole(value, start, id))
        .read(record.position());
  }

  /** An event of which nothing is known but its record's place. */
  public DecodedEvent unread(SourceRecord record) {
    return DecodedEvent.ofText(pipeline, "", record.position(), null, null);
  }

  private static String where(JsonProcessingException e, int start) {
    return e.getLocation() == null || e.getLocation().getByteOffset() < 0
        ? ""
        : " (at byte " + (start + e.getLocation().getByteOffset()) + ")";
  }

  private DecodedEvent text(SourceRecord record, byte[] value, String id) {
    return DecodedEvent.ofText(pipeline, text(value), record.position(), null, id);
  }

  /** The text of a value without its mark. */
  static String text(byte[] value) {
    int start = hasMark(value) ? MARK : 0;
    return new String(value, start, value.length - start, StandardCharsets.UTF_8);
  }

  /**
   * Refuses what is UTF-8 by chance: the wire format of a schema registry, Protobuf, Avro and
   * UTF-16 without a mark, as far as their first bytes tell, or many bytes that no text has. A
   * stray control character, or a NUL at the end as C has it, is let through.
   *
   * @param what the value's name in messages
   */
  static void checkIsText(byte[] value, String what) throws RejectedRecordException {
    if (value.length > 0 && value[0] == 0) {
      throw rejected(ErrorCode.NOT_TEXT, what + OF_A_REGISTRY + READ_AS_TEXT);
    }
    int controls = 0;
    for (byte b : value) {
      controls += isControl(b) ? 1 : 0;
    }
    boolean begins =
        value.length > 1
            && (isControl(value[0])
                || value[1] == 0 // UTF-16, of a letter or two
                || (value[0] == PROTOBUF_TEXT && isControl(value[1])));
    if (begins || controls > value.length / 8) {
      throw rejected(
          ErrorCode.NOT_TEXT,
          what
              + " is no text, but binary (Protobuf, Avro, UTF-16 …): send UTF-8 text or JSON"
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
  static Object whole(byte[] value, int start) {
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

  /**
   * @param what the value's name in messages
   * @param instead what to do
   */
  static RejectedRecordException notJson(
      String what, byte[] value, JsonProcessingException e, String instead) {
    return rejected(
        ErrorCode.MALFORMED_JSON,
        what
            + " is not valid JSON"
            + where(e, firstNonBlank(value))
            + ": "
            + firstSentence(e)
            + "; "
            + instead);
  }

  private static String firstSentence(JsonProcessingException e) {
    // Where an object or array began is told in Jackson's own words, which help nobody here.
    String message = e.getOriginalMessage().replaceFirst(" \\([^()]* at \\[Source: .*", "");
    int end = message.indexOf('\n');
    String line = ADVICE.matcher(end < 0 ? message : message.substring(0, end)).replaceFirst("");
    return NON_STANDARD.matcher(line).replaceFirst("$1 is no JSON value, null would be");
  }

  /** A byte order mark, which some editors and shells put before a text. */
  private static boolean hasMark(byte[] value) {
    return value.length >= MARK
        && value[0] == (byte) 0xEF
        && value[1] == (byte) 0xBB
        && value[2] == (byte) 0xBF;
  }

  static int firstNonBlank(byte[] value) {
    int start = hasMark(value) ? MARK : 0;
    while (start < value.length && JsonObject.isBlank(value[start])) {
      start++;
    }
    return start;
  }

  private static RejectedRecordException rejected(ErrorCode code, String message) {
    return new RejectedRecordException(code, Stage.DECODE, message);
  }
}
