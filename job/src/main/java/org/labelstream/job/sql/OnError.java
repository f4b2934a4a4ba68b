package org.labelstream.job.sql;

/** What becomes of a row that cannot be labelled. */
enum OnError {
  /** Its outputs are null; {@code error_code} and {@code error_message} say why. */
  NULL,
  /** It gives no row. */
  DROP,
  /** The job fails. */
  FAIL
}
