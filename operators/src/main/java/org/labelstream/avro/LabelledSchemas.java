package org.labelstream.avro;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.avro.JsonProperties;
import org.apache.avro.Schema;
import org.apache.avro.SchemaBuilder;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;
import org.labelstream.task.FieldType;
import org.labelstream.task.TaskType;

/**
 * The schemas of labelled records: that of the records that came in, with {@code inference} in the
 * event, in which each result has a field of the task's own schema. It keeps the record's name, so
 * that who reads records of the first schema reads these too.
 *
 * <p><em>Thread-safety.</em> All methods may be called from any thread.
 */
public final class LabelledSchemas {

  private static final String NAMESPACE = "org.labelstream";

  /** Stands for texts that came without a schema. */
  private static final Schema OF_TEXTS =
      SchemaBuilder.record("LabelledText")
          .namespace(NAMESPACE)
          .fields()
          .requiredString("text")
          .endRecord();

  private final SchemaRegistry registry;
  private final String subject;
  private final Map<String, TaskType> entries;
  private final Set<String> consumed;
  private final List<String> place;
  private final Map<Schema, AvroWriter> known = new ConcurrentHashMap<>();

  /**
   * @param subject what the schemas are registered under
   * @param entries the tasks by the names of their results
   * @param consumed the event's fields that are not carried through
   * @param place the fields through which an envelope leads to the event
   */
  public LabelledSchemas(
      SchemaRegistry registry,
      String subject,
      Map<String, TaskType> entries,
      Collection<String> consumed,
      List<String> place) {
    this.registry = registry;
    this.subject = subject;
    this.entries = new TreeMap<>(entries);
    this.consumed = Set.copyOf(consumed);
    this.place = List.copyOf(place);
  }

  /**
   * What writes the labelled form of records.
   *
   * @param writer the schema that they came in, or null where they came as texts
   * @throws RejectedRecordException when there is no place for results in it, or the registry
   *     refuses what comes of it
   * @throws org.labelstream.record.UnavailableException when the registry does not answer
   */
  public AvroWriter of(WriterSchema writer) throws RejectedRecordException {
    Schema from = writer == null || isText(writer.schema()) ? OF_TEXTS : writer.schema();
    AvroWriter made = known.get(from);
    if (made == null) {
      Schema labelled = labelled(from);
      made =
          new AvroWriter(
              labelled,
              registry.id(subject, labelled),
              place,
              idOfEvent(labelled),
              consumed,
              entries.keySet());
      known.put(from, made);
    }
    return made;
  }

  private static boolean isText(Schema writer) {
    return writer.getType() == Schema.Type.STRING
        || (writer.isUnion()
            && writer.getTypes().stream().anyMatch(type -> type.getType() == Schema.Type.STRING)
            && writer.getTypes().stream().noneMatch(type -> type.getType() == Schema.Type.RECORD));
  }

  /** A name of a result as Avro allows one. */
  public static String nameOf(String entry) {
    String name = entry.replaceAll("[^A-Za-z0-9_]", "_");
    return Character.isDigit(name.charAt(0)) ? "_" + name : name;
  }

  /** The schema of records that came in another. */
  Schema labelled(Schema writer) throws RejectedRecordException {
    Schema event = event(writer);
    Schema.Field earlier = event.getField("inference");
    if (earlier != null && recordOrNull(earlier.schema()) == null) {
      throw new RejectedRecordException(
          ErrorCode.INVALID_FIELD,
          Stage.DECODE,
          "the field inference is no record, so no result can be added to it: rename it");
    }
    Schema inference = inference(earlier == null ? null : recordOrNull(earlier.schema()));
    String name = event.getFullName();
    return new Copy(name, inference).of(writer);
  }

  private Schema idOfEvent(Schema labelled) throws RejectedRecordException {
    Schema.Field id = event(labelled).getField("id");
    return id == null ? null : id.schema();
  }

  /** The record that the event is. */
  private Schema event(Schema writer) throws RejectedRecordException {
    Schema event = recordIn(writer);
    for (String step : place) {
      Schema.Field field = event.getField(step);
      event = recordIn(field == null ? Schema.create(Schema.Type.NULL) : field.schema());
    }
    return event;
  }

  private static Schema recordIn(Schema schema) throws RejectedRecordException {
    Schema found = recordOrNull(schema);
    if (found == null) {
      throw new RejectedRecordException(
          ErrorCode.INVALID_FIELD,
          Stage.DECODE,
          "the event is no record by its schema, so a result cannot be added to it in Avro: send"
              + " one, or set output.format: json");
    }
    return found;
  }

  /** The record that a schema is, or the first one of a union; null where there is none. */
  private static Schema recordOrNull(Schema schema) {
    if (!schema.isUnion()) {
      return schema.getType() == Schema.Type.RECORD ? schema : null;
    }
    return schema.getTypes().stream()
        .filter(type -> type.getType() == Schema.Type.RECORD)
        .findFirst()
        .orElse(null);
  }

  private Schema inference(Schema earlier) {
    List<Schema.Field> fields = new ArrayList<>();
    Map<String, Schema> ours = new TreeMap<>();
    entries.forEach((name, type) -> ours.put(nameOf(name), result(nameOf(name), type)));
    if (earlier != null) {
      for (Schema.Field field : earlier.getFields()) {
        if (!ours.containsKey(field.name())) {
          fields.add(new Schema.Field(field, field.schema()));
        }
      }
    }
    ours.forEach((name, result) -> fields.add(nullable(name, result)));
    return earlier == null
        ? Schema.createRecord("Inference", null, NAMESPACE, false, fields)
        : Schema.createRecord(
            earlier.getName(), earlier.getDoc(), earlier.getNamespace(), false, fields);
  }

  private static Schema result(String entry, TaskType type) {
    String namespace = NAMESPACE + ".inference." + entry;
    List<Schema.Field> fields = new ArrayList<>();
    for (String text : List.of("task", "model", "version", "request", "redacted")) {
      fields.add(nullable(text, Schema.create(Schema.Type.STRING)));
    }
    fields.add(
        nullable(
            "error",
            Schema.createRecord(
                "Error",
                null,
                namespace,
                false,
                List.of(
                    nullable("code", Schema.create(Schema.Type.STRING)),
                    nullable("message", Schema.create(Schema.Type.STRING))))));
    new TreeMap<>(type.results())
        .forEach((name, field) -> fields.add(nullable(name, schema(name, field, namespace))));
    return Schema.createRecord("Result", null, namespace, false, fields);
  }

  private static Schema schema(String name, FieldType field, String namespace) {
    return switch (field) {
      case TEXT -> Schema.create(Schema.Type.STRING);
      case NUMBER -> Schema.create(Schema.Type.DOUBLE);
      case COUNT -> Schema.create(Schema.Type.INT);
      case FLAG -> Schema.create(Schema.Type.BOOLEAN);
      case OBJECTS -> {
        List<Schema.Field> members = new ArrayList<>();
        new TreeMap<>(FieldType.members(name))
            .forEach(
                (member, type) -> members.add(nullable(member, schema(member, type, namespace))));
        yield Schema.createArray(
            Schema.createRecord(
                Character.toUpperCase(name.charAt(0)) + name.substring(1) + "Item",
                null,
                namespace,
                false,
                members));
      }
    };
  }

  private static Schema.Field nullable(String name, Schema schema) {
    return new Schema.Field(
        name,
        Schema.createUnion(Schema.create(Schema.Type.NULL), schema),
        null,
        JsonProperties.NULL_VALUE);
  }

  /** Copies a schema in which one record is another, wherever it stands. */
  private final class Copy {
    private final String event;
    private final Schema inference;
    private final Map<String, Schema> made = new HashMap<>();

    Copy(String event, Schema inference) {
      this.event = event;
      this.inference = inference;
    }

    Schema of(Schema schema) {
      return switch (schema.getType()) {
        case RECORD -> record(schema);
        case ARRAY -> with(schema, Schema.createArray(of(schema.getElementType())));
        case MAP -> with(schema, Schema.createMap(of(schema.getValueType())));
        case UNION -> Schema.createUnion(schema.getTypes().stream().map(this::of).toList());
        default -> schema;
      };
    }

    private Schema record(Schema schema) {
      Schema copied = made.get(schema.getFullName());
      if (copied != null) {
        return copied;
      }
      Schema copy =
          Schema.createRecord(
              schema.getName(), schema.getDoc(), schema.getNamespace(), schema.isError());
      made.put(schema.getFullName(), copy);
      schema.getAliases().forEach(copy::addAlias);
      boolean isEvent = schema.getFullName().equals(event);
      List<Schema.Field> fields = new ArrayList<>();
      for (Schema.Field field : schema.getFields()) {
        if (isEvent && (consumed.contains(field.name()) || field.name().equals("inference"))) {
          continue;
        }
        fields.add(new Schema.Field(field, of(field.schema())));
      }
      if (isEvent) {
        if (schema.getField("id") == null && place.isEmpty()) {
          fields.add(nullable("id", Schema.create(Schema.Type.STRING)));
        }
        fields.add(nullable("inference", inference));
      }
      copy.setFields(fields);
      return with(schema, copy);
    }

    private static Schema with(Schema schema, Schema copy) {
      schema.getObjectProps().forEach(copy::addProp);
      return copy;
    }
  }
}
