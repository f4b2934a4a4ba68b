package org.labelstream.job.sql;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
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
 * @param explaining whether some of them are an explanation's
 */
record Outputs(ArrayList<Output> columns, boolean explaining) implements Serializable {

  static final String ERROR_CODE = "error_code";
  static final String ERROR_MESSAGE = "error_message";
  static final String VERSION = "version";

  /** What an explanation has of each token. */
  private static final Map<String, FieldType> LISTS =
      Map.of(
          "words", FieldType.TEXT,
          "importances", FieldType.NUMBER,
          "importances_answer_start", FieldType.NUMBER,
          "importances_answer_end", FieldType.NUMBER);

  /** A column: its name, and how its values are written. */
  record Output(String name, ColumnWriter writer) implements Serializable {}

  /** What a row may have beside a prediction, which is why its columns may be null. */
  record Promise(boolean hasTexts, OnError onError) {
    boolean isNeverNull(String column) {
      return hasTexts
          && onError != OnError.NULL
          && !column.equals(ERROR_CODE)
          && !column.equals(ERROR_MESSAGE);
    }
  }

  /**
   * Checks the columns against what the task gives.
   *
   * @param problems what is wrong is added to it
   */
  static Outputs of(
      TaskType type,
      Map<String, Object> parameters,
      ResolvedSchema schema,
      Promise promise,
      List<String> problems) {
    Map<String, FieldType> known = new TreeMap<>(type.results());
    for (String ours : List.of(ERROR_CODE, ERROR_MESSAGE, VERSION)) {
      known.put(ours, FieldType.TEXT);
    }
    Map<String, FieldType> lists = new TreeMap<>();
    Set<String> explanation = explanation(type);
    for (String field : explanation) {
      if (LISTS.containsKey(field)) {
        lists.put(field, LISTS.get(field));
      } else {
        known.put(field, FieldType.NUMBER);
      }
    }
    Set<String> names = new TreeSet<>(known.keySet());
    names.addAll(lists.keySet());
    ArrayList<Output> columns = new ArrayList<>();
    for (Column column : schema.getColumns()) {
      String name = column.getName();
      if (!names.contains(name)) {
        problems.add(
            "there is no OUTPUT column "
                + Names.shown(name)
                + " of "
                + type.name()
                + ": "
                + Names.didYouMean(name, names));
        continue;
      }
      LogicalType declared = column.getDataType().getLogicalType();
      if (!declared.isNullable() && !promise.isNeverNull(name)) {
        problems.add(
            "OUTPUT column "
                + name
                + " is NOT NULL, but is null of a row that has no text or cannot be labelled:"
                + " leave NOT NULL out");
      }
      if (lacksTopK(name, type, parameters)) {
        problems.add(
            "OUTPUT column "
                + name
                + " is filled where top_k is given: add 'top_k' = '3'"
                + (name.equals("scores") ? ", or 'top_k' = 'null' for all" : ""));
      }
      Optional<ColumnWriter> writer =
          lists.containsKey(name)
              ? ColumnWriter.ofList(name, lists.get(name), declared, problems)
              : ColumnWriter.of(name, known.get(name), declared, problems);
      writer.ifPresent(found -> columns.add(new Output(name, found)));
    }
    return new Outputs(
        columns, columns.stream().anyMatch(column -> explanation.contains(column.name())));
  }

  /** The columns of a task's explanations: those of {@code LayerIntegratedGradients}. */
  private static Set<String> explanation(TaskType type) {
    if (type.fields().contains("question")) {
      return Set.of(
          "words",
          "importances_answer_start",
          "importances_answer_end",
          "delta_start",
          "delta_end");
    }
    return type.results().containsKey("generated_text")
        ? Set.of()
        : Set.of("words", "importances", "delta");
  }

  private static boolean lacksTopK(String column, TaskType type, Map<String, Object> parameters) {
    if (type.results().get(column) != FieldType.OBJECTS
        || !type.parameters().names().contains("top_k")) {
      return false;
    }
    boolean onlyOne = parameters.get("top_k") instanceof Number topK && topK.longValue() == 1;
    return !parameters.containsKey("top_k") || (column.equals("answers") && onlyOne);
  }

  /** The row of a prediction. */
  RowData row(Prediction prediction, String version) {
    return row(values(prediction, version));
  }

  /** The row of a prediction whose explanation is missing. */
  RowData row(Prediction prediction, DeadLetter letter, String version) {
    Map<String, Object> values = values(prediction, version);
    values.put(ERROR_CODE, letter.code().wireName());
    values.put(ERROR_MESSAGE, letter.message());
    return row(values);
  }

  private static Map<String, Object> values(Prediction prediction, String version) {
    Map<String, Object> values = new HashMap<>(prediction.fields());
    values.put("tokens", prediction.tokens());
    values.put("truncated", prediction.truncated());
    values.put(VERSION, version);
    return values;
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
