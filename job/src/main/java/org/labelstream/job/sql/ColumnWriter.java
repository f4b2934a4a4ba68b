package org.labelstream.job.sql;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericMapData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.MapType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.VarCharType;
import org.labelstream.model.Names;
import org.labelstream.task.FieldType;

/** Makes Flink's internal data of a value of a prediction. A null stays null. */
sealed interface ColumnWriter extends Serializable {

  /** What the objects of a list hold. */
  Map<String, Map<String, FieldType>> OBJECTS =
      Map.of(
          "scores",
          Map.of("label", FieldType.TEXT, "score", FieldType.NUMBER),
          "answers",
          Map.of(
              "answer", FieldType.TEXT,
              "score", FieldType.NUMBER,
              "start", FieldType.COUNT,
              "end", FieldType.COUNT),
          "entities",
          Map.of(
              "entity", FieldType.TEXT,
              "entity_group", FieldType.TEXT,
              "word", FieldType.TEXT,
              "score", FieldType.NUMBER,
              "index", FieldType.COUNT,
              "start", FieldType.COUNT,
              "end", FieldType.COUNT));

  /**
   * Flink's data of a value.
   *
   * @param value as a {@link org.labelstream.record.Prediction} holds it, or null
   */
  Object write(Object value);

  /** One value. */
  enum Scalar implements ColumnWriter {
    STRING {
      @Override
      Object of(Object value) {
        return StringData.fromString((String) value);
      }
    },
    /** By its digits, so that it is the number that a labelled record has in JSON. */
    DOUBLE {
      @Override
      Object of(Object value) {
        return Double.valueOf(value.toString());
      }
    },
    FLOAT {
      @Override
      Object of(Object value) {
        return ((Number) value).floatValue();
      }
    },
    INT {
      @Override
      Object of(Object value) {
        return Math.toIntExact(((Number) value).longValue());
      }
    },
    BIGINT {
      @Override
      Object of(Object value) {
        return ((Number) value).longValue();
      }
    },
    BOOLEAN {
      @Override
      Object of(Object value) {
        return value;
      }
    };

    abstract Object of(Object value);

    @Override
    public Object write(Object value) {
      return value == null ? null : of(value);
    }
  }

  /** A list of objects as an array of rows. */
  record Rows(ArrayList<String> names, ArrayList<ColumnWriter> writers) implements ColumnWriter {
    @Override
    public Object write(Object value) {
      if (value == null) {
        return null;
      }
      return new GenericArrayData(
          ((List<?>) value).stream().map(item -> row((Map<?, ?>) item)).toArray());
    }

    private GenericRowData row(Map<?, ?> object) {
      GenericRowData row = new GenericRowData(names.size());
      for (int i = 0; i < names.size(); i++) {
        row.setField(i, writers.get(i).write(object.get(names.get(i))));
      }
      return row;
    }
  }

  /** Labels and their scores as a map. */
  record Scores(ColumnWriter number) implements ColumnWriter {
    @Override
    public Object write(Object value) {
      if (value == null) {
        return null;
      }
      Map<Object, Object> scores = new LinkedHashMap<>();
      for (Object item : (List<?>) value) {
        Map<?, ?> entry = (Map<?, ?>) item;
        scores.put(Scalar.STRING.write(entry.get("label")), number.write(entry.get("score")));
      }
      return new GenericMapData(scores);
    }
  }

  /**
   * How a field is written into a column.
   *
   * @param column its name, for messages
   * @param problems what is wrong is added to it
   * @return none where the column does not fit
   */
  static Optional<ColumnWriter> of(
      String column, FieldType field, LogicalType declared, List<String> problems) {
    Optional<ColumnWriter> writer =
        field == FieldType.OBJECTS
            ? objects(column, declared, problems)
            : scalar(field, declared).map(scalar -> scalar);
    if (writer.isEmpty() && !(field == FieldType.OBJECTS && isArrayOfRows(declared))) {
      problems.add(
          "OUTPUT column "
              + column
              + " is "
              + declared.asSummaryString()
              + ", but must be "
              + fitting(column, field));
    }
    return writer;
  }

  private static Optional<Scalar> scalar(FieldType field, LogicalType declared) {
    return Optional.ofNullable(
        switch (declared.getTypeRoot()) {
          case VARCHAR ->
              field == FieldType.TEXT
                      && ((VarCharType) declared).getLength() == VarCharType.MAX_LENGTH
                  ? Scalar.STRING
                  : null;
          case DOUBLE -> field == FieldType.NUMBER ? Scalar.DOUBLE : null;
          case FLOAT -> field == FieldType.NUMBER ? Scalar.FLOAT : null;
          case INTEGER -> field == FieldType.COUNT ? Scalar.INT : null;
          case BIGINT -> field == FieldType.COUNT ? Scalar.BIGINT : null;
          case BOOLEAN -> field == FieldType.FLAG ? Scalar.BOOLEAN : null;
          default -> null;
        });
  }

  private static Optional<ColumnWriter> objects(
      String column, LogicalType declared, List<String> problems) {
    if (declared instanceof MapType map && column.equals("scores")) {
      boolean byLabel = scalar(FieldType.TEXT, map.getKeyType()).isPresent();
      return scalar(FieldType.NUMBER, map.getValueType())
          .filter(number -> byLabel)
          .map(Scores::new);
    }
    if (!isArrayOfRows(declared)) {
      return Optional.empty();
    }
    Map<String, FieldType> known = new TreeMap<>(OBJECTS.getOrDefault(column, Map.of()));
    ArrayList<String> names = new ArrayList<>();
    ArrayList<ColumnWriter> writers = new ArrayList<>();
    boolean fits = true;
    for (RowType.RowField inner : ((RowType) ((ArrayType) declared).getElementType()).getFields()) {
      FieldType field = known.get(inner.getName());
      if (field == null) {
        problems.add(
            "there is no field "
                + Names.shown(inner.getName())
                + " in OUTPUT column "
                + column
                + ": "
                + Names.didYouMean(inner.getName(), known.keySet()));
        fits = false;
        continue;
      }
      if (!inner.getType().isNullable()) {
        problems.add(
            "field "
                + inner.getName()
                + " of OUTPUT column "
                + column
                + " is NOT NULL: leave it out");
      }
      Optional<ColumnWriter> writer =
          of(column + "." + inner.getName(), field, inner.getType(), problems);
      writer.ifPresent(writers::add);
      names.add(inner.getName());
      fits &= writer.isPresent();
    }
    return fits ? Optional.of(new Rows(names, writers)) : Optional.empty();
  }

  private static boolean isArrayOfRows(LogicalType type) {
    return type instanceof ArrayType array && array.getElementType() instanceof RowType;
  }

  private static String fitting(String column, FieldType field) {
    return switch (field) {
      case TEXT -> "STRING";
      case NUMBER -> "DOUBLE or FLOAT";
      case COUNT -> "INT or BIGINT";
      case FLAG -> "BOOLEAN";
      case OBJECTS ->
          "ARRAY<ROW<…>> of some of "
              + String.join(", ", new TreeMap<>(OBJECTS.getOrDefault(column, Map.of())).keySet())
              + (column.equals("scores") ? ", or MAP<STRING, DOUBLE>" : "");
    };
  }
}
