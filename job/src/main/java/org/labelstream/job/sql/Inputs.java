package org.labelstream.job.sql;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.flink.table.catalog.Column;
import org.apache.flink.table.catalog.ResolvedSchema;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.LogicalTypeFamily;
import org.labelstream.model.Names;
import org.labelstream.record.TextEvent;
import org.labelstream.task.TaskType;

/**
 * Which column of a row is which text of an event.
 *
 * @param places the columns' places by the field's name
 * @param nullable whether a text that the task needs may be null
 */
record Inputs(HashMap<String, Integer> places, boolean nullable) implements Serializable {

  private static final String OPTIONAL = "text_pair";

  /**
   * Finds the columns that a task reads.
   *
   * @param problems what is wrong is added to it
   */
  static Inputs of(TaskType type, ResolvedSchema schema, List<String> problems) {
    List<Column> columns = schema.getColumns();
    Set<String> needed = new TreeSet<>(type.fields());
    needed.remove(OPTIONAL);
    HashMap<String, Integer> places = new HashMap<>();
    boolean byPosition =
        columns.size() == 1
            && needed.size() == 1
            && !type.fields().contains(columns.get(0).getName());
    boolean nullable = false;
    List<String> unknown = new ArrayList<>();
    for (int i = 0; i < columns.size(); i++) {
      Column column = columns.get(i);
      String name = byPosition ? needed.iterator().next() : column.getName();
      if (!type.fields().contains(name)) {
        unknown.add(name);
        continue;
      }
      places.put(name, i);
      LogicalType declared = column.getDataType().getLogicalType();
      nullable |= declared.isNullable() && !name.equals(OPTIONAL);
      if (!declared.is(LogicalTypeFamily.CHARACTER_STRING)) {
        problems.add(
            "INPUT column "
                + column.getName()
                + " is "
                + declared.copy(true).asSummaryString()
                + ", but must be STRING");
      }
    }
    for (String name : unknown) {
      problems.add(
          "there is no INPUT column "
              + Names.shown(name)
              + " for "
              + type.name()
              + ": "
              + Names.didYouMean(name, new TreeSet<>(type.fields())));
    }
    for (String name : needed) {
      if (!places.containsKey(name)) {
        problems.add(type.name() + " needs the INPUT column " + name + ": add " + name + " STRING");
      }
    }
    return new Inputs(places, nullable);
  }

  /** A row's event, or null where a text that the task needs is null. */
  TextEvent event(RowData row) {
    for (Map.Entry<String, Integer> place : places.entrySet()) {
      if (row.isNullAt(place.getValue()) && !place.getKey().equals(OPTIONAL)) {
        return null;
      }
    }
    return new TextEvent(
        "a row",
        text(row, "text"),
        text(row, OPTIONAL),
        text(row, "question"),
        text(row, "context"),
        false,
        null,
        Map.of());
  }

  private String text(RowData row, String name) {
    Integer place = places.get(name);
    return place == null || row.isNullAt(place) ? null : row.getString(place).toString();
  }
}
