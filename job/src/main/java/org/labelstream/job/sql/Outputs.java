package org.labelstream.job.sql;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.flink.table.catalog.Column;
import org.apache.flink.table.catalog.ResolvedSchema;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.LogicalType;
import org.labelstream.model.Names;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.Prediction;
import org.labelstream.task.FieldType;
import org.labelstream.task.TaskType;

/**
 * The columns that a statement declares, and how a prediction fills them.
 *
 * @param columns in the order of the statement
 */
record Outputs(ArrayList<Output> columns) implements Serializable {

  static final String ERROR_CODE = "error_code";
  static final String ERROR_MESSAGE = "error_message";
  static final String VERSION = "version";

  /** A column: its name, and how its values are written. */
  record Output(String name, ColumnWriter writer) implements Serializable {}

  /**
   * Checks the columns against what the task gives.
   *
   * @param problems what is wrong is added to it
   */
  static Outputs of(
      TaskType type, Map<String, Object> parameters, ResolvedSchema schema, List<String> problems) {
    Map<String, FieldType> known = new TreeMap<>(type.results());
    for (String ours : List.of(ERROR_CODE, ERROR_MESSAGE, VERSION)) {
      known.put(ours, FieldType.TEXT);
    }
    ArrayList<Output> columns = new ArrayList<>();
    for (Column column : schema.getColumns()) {
      String name = column.getName();
      FieldType field = known.get(name);
      if (field == null) {
        problems.add(
            "there is no OUTPUT column "
                + Names.shown(name)
                + " of "
                + type.name()
                + ": "
                + Names.didYouMean(name, known.keySet()));
        continue;
      }
      LogicalType declared = column.getDataType().getLogicalType();
      if (!declared.isNullable()) {
        problems.add(
            "OUTPUT column "
                + name
                + " is NOT NULL, but is null of a row that has no text or cannot be labelled:"
                + " leave NOT NULL out");
      }
      if (field == FieldType.OBJECTS
          && type.parameters().names().contains("top_k")
          && !parameters.containsKey("top_k")) {
        problems.add(
            "OUTPUT column "
                + name
                + " is filled where top_k is given: add 'top_k' = '3', or 'top_k' = 'null' for all");
      }
      ColumnWriter.of(name, field, declared, problems)
          .ifPresent(writer -> columns.add(new Output(name, writer)));
    }
    return new Outputs(columns);
  }

  /** The row of a prediction. */
  RowData row(Prediction prediction, String version) {
    Map<String, Object> values = new HashMap<>(prediction.fields());
    values.put("tokens", prediction.tokens());
    values.put("truncated", prediction.truncated());
    values.put(VERSION, version);
    return row(values);
  }

  /** The row of what has no label. */
  RowData row(DeadLetter letter, String version) {
    Map<String, Object> values = new HashMap<>();
    values.put(ERROR_CODE, letter.code().wireName());
    values.put(ERROR_MESSAGE, letter.message());
    values.put(VERSION, version);
    return row(values);
  }

  /** The row of what has no text. */
  RowData nulls() {
    return row(Map.of());
  }

  private RowData row(Map<String, Object> values) {
    GenericRowData row = new GenericRowData(columns.size());
    for (int i = 0; i < columns.size(); i++) {
      Output column = columns.get(i);
      row.setField(i, column.writer().write(values.get(column.name())));
    }
    return row;
  }
}
