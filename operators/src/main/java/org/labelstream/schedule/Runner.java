package org.labelstream.schedule;

import java.util.List;

/**
 * Takes batches of rows through a model.
 *
 * <p><em>Thread-safety.</em> Called from many threads at once; a row is in one batch at a time.
 */
@FunctionalInterface
public interface Runner {

  /**
   * Runs a batch. Afterwards each row is done, or goes again.
   *
   * @throws RuntimeException when the model fails; any of the rows may be the cause
   */
  void run(List<? extends Row> batch);
}
