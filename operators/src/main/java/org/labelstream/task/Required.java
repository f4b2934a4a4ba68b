package org.labelstream.task;

import java.util.List;
import org.labelstream.engine.LoadedModel;
import org.labelstream.model.InvalidModelException;
import org.labelstream.model.LabelMapping;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;

/** What a task cannot do without, or a sentence that says so. */
final class Required {

  private Required() {}

  /**
   * A field of an event.
   *
   * @param name the field's name
   * @param task the task's, in words
   */
  static String field(String value, String name, String task) throws RejectedRecordException {
    if (value == null) {
      throw new RejectedRecordException(
          ErrorCode.MISSING_FIELD,
          Stage.DECODE,
          "the field "
              + name
              + " is missing, which "
              + task
              + " needs: add \""
              + name
              + "\": \"…\", or name the field that holds it with input.fields (or input.envelope)");
    }
    return value;
  }

  /** Rows that a model can read: one that has tokens. */
  static List<EncodedRow> tokens(List<EncodedRow> rows) throws RejectedRecordException {
    if (rows.get(0).length() == 0) {
      throw new RejectedRecordException(
          ErrorCode.INVALID_FIELD,
          Stage.ENCODE,
          "the field text has no tokens, and this model's tokenizer adds none of its own: send a text with words");
    }
    return rows;
  }

  /** The names of a model's classes. */
  static LabelMapping labels(LoadedModel model) {
    LabelMapping labels = model.folder().labels();
    if (labels == null) {
      throw new InvalidModelException(
          model.folder().path()
              + " names no classes, so it cannot classify: export it for the task");
    }
    return labels;
  }
}
