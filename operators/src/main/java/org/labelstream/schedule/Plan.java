package org.labelstream.schedule;

import java.util.List;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;

/** A record as the rows that a model must run, and what becomes of them afterwards. */
public interface Plan {

  /** The rows to run, in any order and in any company. */
  List<? extends Row> rows();

  /**
   * The rows that follow from those that have run; asked for once all of them are done, until there
   * are none.
   *
   * @throws RejectedRecordException when the model's output allows no more
   */
  default List<? extends Row> next() throws RejectedRecordException {
    return List.of();
  }

  /**
   * Makes the prediction, once all rows are done.
   *
   * @throws RejectedRecordException when the model's output allows none, such as a score that is
   *     not a number
   */
  Prediction join() throws RejectedRecordException;
}
