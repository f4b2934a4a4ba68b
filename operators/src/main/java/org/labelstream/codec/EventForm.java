package org.labelstream.codec;

import java.io.Serializable;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;

/**
 * How values are read.
 *
 * @param format which values are JSON objects, and which are texts
 * @param envelope what the event stands in
 * @param fields where the fields stand that are not at the top under their own names: of {@code
 *     text}, {@code text_pair}, {@code question}, {@code context} and {@code id}
 * @param control the names of the fields by which a record steers its own labelling
 * @param charset the name of the charset that values are in; results are in UTF-8 whatever it is
 */
public record EventForm(
    EventFormat format,
    Envelope envelope,
    HashMap<String, FieldPath> fields,
    Control control,
    String charset)
    implements Serializable {

  /** Values in UTF-8. */
  public EventForm(
      EventFormat format, Envelope envelope, HashMap<String, FieldPath> fields, Control control) {
    this(format, envelope, fields, control, StandardCharsets.UTF_8.name());
  }

  /** Any value, with the fields of the documentation at its top. */
  public static final EventForm DEFAULT = of(EventFormat.AUTO);

  /** Values of a format, with the fields of the documentation at their top. */
  public static EventForm of(EventFormat format) {
    return new EventForm(format, Envelope.NONE, new HashMap<>(), Control.DEFAULT);
  }

  /** What an event may stand in. */
  public enum Envelope {
    NONE,
    /** A change of Debezium: the event is the row after it, with or without a schema beside it. */
    DEBEZIUM,
    /** A CloudEvent, in binary or structured mode: the event is its data. */
    CLOUDEVENTS
  }

  /**
   * The names of control fields; a field that has another name is only carried through.
   *
   * @param parameters the name of the field with settings of the task, or null where it is off
   * @param explain the name of the field that asks for an explanation, or null where it is off
   * @param target the name of the field that says what to explain, or null where it is off
   */
  public record Control(String parameters, String explain, String target) implements Serializable {

    public static final Control DEFAULT = new Control("parameters", "explain", "target");

    /** The names that there are. */
    public List<String> names() {
      return Stream.of(parameters, explain, target).filter(Objects::nonNull).toList();
    }
  }
}
