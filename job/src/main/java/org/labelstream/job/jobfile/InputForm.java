package org.labelstream.job.jobfile;

import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.labelstream.codec.EventForm;
import org.labelstream.codec.EventForm.Control;
import org.labelstream.codec.EventForm.Envelope;
import org.labelstream.codec.EventFormat;
import org.labelstream.codec.FieldPath;

/** The part of {@code input} that says how values are read. */
final class InputForm {

  /** What a task may read, and the id. */
  private static final List<String> FIELDS =
      List.of("text", "text_pair", "question", "context", "id");

  private InputForm() {}

  static EventForm read(YamlSection input) {
    EventFormat format = input.choice("format", EventFormat.class, EventFormat.AUTO);
    Envelope envelope = input.choice("envelope", Envelope.class, Envelope.NONE);
    Map<String, FieldPath> fields = fields(input.section("fields"));
    Control control = control(input.section("control"), fields);
    if (format == EventFormat.TEXT && (!fields.isEmpty() || input.has("control"))) {
      input.problem(
          input.has("fields") ? "fields" : "control",
          "names fields, but format is text, in which a value has none: remove one of them");
    }
    if (format == EventFormat.TEXT && envelope == Envelope.DEBEZIUM) {
      input.problem(
          "envelope",
          "is debezium, whose changes are JSON, but format is text: remove one of them");
    }
    if (format == EventFormat.AVRO && input.has("charset")) {
      input.problem(
          "charset", "stands beside format avro, whose texts are always in UTF-8: remove it");
    }
    return new EventForm(format, envelope, new HashMap<>(fields), control, charset(input));
  }

  private static String charset(YamlSection input) {
    String text = input.text("charset");
    if (text == null) {
      return StandardCharsets.UTF_8.name();
    }
    try {
      return Charset.forName(text.strip()).name();
    } catch (IllegalArgumentException e) {
      input.problem(
          "charset",
          "is " + text + ", but must be a charset that Java has, such as UTF-16LE or windows-1252");
      return StandardCharsets.UTF_8.name();
    }
  }

  private static Map<String, FieldPath> fields(YamlSection section) {
    Map<String, FieldPath> fields = new HashMap<>();
    for (String field : FIELDS) {
      String text = section.text(field);
      if (text == null) {
        continue;
      }
      try {
        FieldPath path = FieldPath.parse(text);
        if (path.steps().get(0).equals("inference")) {
          section.problem(
              field, "is " + text + ", but inference holds results: name another field");
        }
        fields.forEach(
            (other, taken) -> {
              int shorter = Math.min(path.steps().size(), taken.steps().size());
              if (path.steps().subList(0, shorter).equals(taken.steps().subList(0, shorter))) {
                section.problem(
                    field,
                    "is "
                        + text
                        + ", and "
                        + other
                        + " is "
                        + taken
                        + ": one field cannot be both, nor stand in the other");
              }
            });
        fields.put(field, path);
      } catch (IllegalArgumentException e) {
        section.problem(field, e.getMessage());
      }
    }
    section.finish();
    return fields;
  }

  private static Control control(YamlSection section, Map<String, FieldPath> fields) {
    Set<String> taken = new HashSet<>(FIELDS);
    taken.add("inference");
    fields.forEach(
        (field, path) -> {
          taken.remove(field); // its name is free
          taken.add(path.steps().get(0));
        });
    Control control =
        new Control(
            name(section, "parameters", taken),
            name(section, "explain", taken),
            name(section, "target", taken));
    section.finish();
    return control;
  }

  /** The name of a control field, or null where it is off. */
  private static String name(YamlSection section, String field, Set<String> taken) {
    String given = section.text(field);
    if (given != null && given.equalsIgnoreCase("off")) {
      return null;
    }
    String name = given == null ? field : given;
    if (name.isBlank()) {
      section.problem(field, "is blank: give it a name, or off");
    } else if (!taken.add(name)) {
      section.problem(
          section.lineOf(field),
          "the field "
              + name
              + " would be read for two things: give input.control."
              + field
              + " another name, or off");
    }
    return name;
  }
}
