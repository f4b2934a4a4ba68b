package org.labelstream.task;

import java.util.List;
import java.util.Map;
import org.labelstream.engine.Tokens;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;
import org.labelstream.record.Target;
import org.labelstream.schedule.Plan;

/** A plan whose prediction can be explained: it knows which logits stand for it. */
public interface Explainable extends Plan {

  /**
   * What an explanation is about.
   *
   * @param tokens the row that is explained; of a text in windows, the one that decided
   * @param truncated whether the model did not see the whole text
   * @param fields which of the event's fields the texts of the row are, in their order
   * @param predicted the label that the model gives, with its score; empty where it gives none
   * @param target what is explained, as it is told in the explanation
   * @param score its score
   * @param logits the places in the row's logits that stand for it, by the name of that part; the
   *     name is empty where there is but one
   */
  record Explained(
      Tokens tokens,
      boolean truncated,
      List<String> fields,
      Map<String, Object> predicted,
      Map<String, Object> target,
      float score,
      Map<String, Integer> logits) {}

  /**
   * Finds what to explain, once all rows are done.
   *
   * @param target what was asked for, or null for what the model predicts
   * @throws RejectedRecordException when there is no such target, or the model's output is not a
   *     number
   */
  Explained explained(Target target) throws RejectedRecordException;

  /** A refusal of a target. */
  static RejectedRecordException invalidTarget(String message) {
    return new RejectedRecordException(ErrorCode.INVALID_TARGET, Stage.EXPLANATION, message);
  }
}
