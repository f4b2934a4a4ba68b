package org.labelstream.task;

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
              + "\": \"…\"");
    }
    return value;
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
