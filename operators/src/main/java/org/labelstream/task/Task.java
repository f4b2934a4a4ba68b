package org.labelstream.task;

import java.util.Set;
import org.labelstream.engine.Encodings;
import org.labelstream.engine.TextTokenizer.Detail;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.TextEvent;
import org.labelstream.schedule.Plan;
import org.labelstream.schedule.Runner;

/**
 * What a model does with a record: {@code plan} makes rows of it, {@code run} takes a batch of rows
 * from any records through the model, and the plan joins them into a prediction.
 *
 * <p><em>Thread-safety.</em> Both are called from many threads at once; a row is in one batch at a
 * time.
 */
public interface Task extends Runner {

  /**
   * Plans a record.
   *
   * @param parameters the settings for this record: its own over the pipeline's
   * @throws RejectedRecordException when it lacks a field that the task needs, or asks for what the
   *     task cannot do
   */
  default Plan plan(TextEvent event, Parameters parameters) throws RejectedRecordException {
    return plan(event, parameters, Encodings.ofOne());
  }

  /**
   * Plans a record that other models may read too.
   *
   * @param encodings what has been tokenized of it, and where to have it tokenized
   * @throws RejectedRecordException likewise
   */
  Plan plan(TextEvent event, Parameters parameters, Encodings encodings)
      throws RejectedRecordException;

  /**
   * Whether an equal text gets an equal answer.
   *
   * @param parameters the settings for the record, as for {@code plan}
   */
  default boolean isRepeatable(Parameters parameters) {
    return true;
  }

  /** What it wants to know of tokens beyond what the model takes. */
  default Set<Detail> details() {
    return Set.of();
  }
}
