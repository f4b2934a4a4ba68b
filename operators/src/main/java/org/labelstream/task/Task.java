package org.labelstream.task;

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
  Plan plan(TextEvent event, Parameters parameters) throws RejectedRecordException;
}
