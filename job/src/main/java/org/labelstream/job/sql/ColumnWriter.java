package org.labelstream.job.sql;

import java.io.Serializable;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.GenericArrayData;
import org.apache.flink.table.data.GenericMapData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.types.logical.ArrayType;
import org.apache.flink.table.types.logical.CharType;
import org.apache.flink.table.types.logical.DecimalType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.LogicalTypeRoot;
import org.apache.flink.table.types.logical.MapType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.VarCharType;
import org.labelstream.model.Names;
import org.labelstream.task.FieldType;

/** Makes Flink's internal data of a value of a prediction. A null stays null. */
sealed interface ColumnWriter extends Serializable {

  /** How many digits the largest count may have. */
  int DIGITS = 10;

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
    /** By its digits, so that a score is the number that a labelled record has in JSON. */
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

  /**
   * A text of at most so many characters: what is longer is cut, as by {@code CAST}.
   *
   * @param padded whether a shorter one is filled up with blanks
   */
  record Cut(int length, boolean padded) implements ColumnWriter {
    @Override
    public Object write(Object value) {
      if (value == null) {
        return null;
      }
      String text = (String) value;
      int characters = text.codePointCount(0, text.length());
      String cut =
          characters > length ? text.substring(0, text.offsetByCodePoints(0, length)) : text;
      return StringData.fromString(
          padded && characters < length ? cut + " ".repeat(length - characters) : cut);
    }
  }

  /** A whole number as a decimal. */
  record Whole(int precision, int scale) implements ColumnWriter {
    @Override
    public Object write(Object value) {
      return value == null
          ? null
          : DecimalData.fromBigDecimal(
              BigDecimal.valueOf(((Number) value).longValue()), precision, scale);
    }
  }

  /** A list of values as an array. */
  record Items(ColumnWriter item) implements ColumnWriter {
    @Override
    public Object write(Object value) {
      return value == null
          ? null
          : new GenericArrayData(((List<?>) value).stream().map(item::write).toArray());
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
        field == FieldType.OBJECTS ? objects(column, declared, problems) : scalar(field, declared);
    if (writer.isEmpty() && !(field == FieldType.OBJECTS && isArrayOfRows(declared))) {
      problems.add(misfit(column, declared, fitting(column, field)));
    }
    return writer;
  }

  /** How a list of a field's values is written into a column, likewise. */
  static Optional<ColumnWriter> ofList(
      String column, FieldType items, LogicalType declared, List<String> problems) {
    Optional<ColumnWriter> writer =
        declared instanceof ArrayType array
            ? scalar(items, array.getElementType()).map(Items::new)
            : Optional.empty();
    if (writer.isEmpty()) {
      problems.add(
          misfit(
              column, declared, "ARRAY<" + (items == FieldType.TEXT ? "STRING" : "FLOAT") + ">"));
    }
    return writer;
  }

  private static String misfit(String column, LogicalType declared, String fitting) {
    return "OUTPUT column "
        + column
        + " is "
        + declared.copy(true).asSummaryString()
        + ", but must be "
        + fitting;
  }

  private static Optional<ColumnWriter> scalar(FieldType field, LogicalType declared) {
    return Optional.ofNullable(
        switch (field) {
          case TEXT -> text(declared);
          case NUMBER ->
              switch (declared.getTypeRoot()) {
                case DOUBLE -> Scalar.DOUBLE;
                case FLOAT -> Scalar.FLOAT;
                default -> null;
              };
          case COUNT ->
              switch (declared.getTypeRoot()) {
                case INTEGER -> Scalar.INT;
                case BIGINT -> Scalar.BIGINT;
                case DOUBLE -> Scalar.DOUBLE;
                case DECIMAL -> whole((DecimalType) declared);
                default -> null;
              };
          case FLAG -> declared.is(LogicalTypeRoot.BOOLEAN) ? Scalar.BOOLEAN : null;
          case OBJECTS -> null;
        });
  }

  private static ColumnWriter text(LogicalType declared) {
    if (declared instanceof VarCharType text) {
      return text.getLength() == VarCharType.MAX_LENGTH
          ? Scalar.STRING
          : new Cut(text.getLength(), false);
    }
    return declared instanceof CharType text ? new Cut(text.getLength(), true) : null;
  }

  private static ColumnWriter whole(DecimalType declared) {
    return declared.getPrecision() - declared.getScale() < DIGITS
        ? null
        : new Whole(declared.getPrecision(), declared.getScale());
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
    Map<String, FieldType> known = new TreeMap<>(FieldType.members(column));
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
                + " is NOT NULL, but may be null: leave NOT NULL out");
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
      case TEXT -> "STRING, VARCHAR or CHAR";
      case NUMBER -> "DOUBLE or FLOAT";
      case COUNT -> "INT, BIGINT, DOUBLE or DECIMAL(10, 0)";
      case FLAG -> "BOOLEAN";
      case OBJECTS ->
          "ARRAY<ROW<…>> of some of "
              + String.join(", ", new TreeMap<>(FieldType.members(column)).keySet())
              + (column.equals("scores") ? ", or MAP<STRING, DOUBLE>" : "");
    };
  }
}
