package org.labelstream.record;

/**
 * Thrown when something that all records need is not there, such as a schema registry that does not
 * answer. No record is to blame, so none becomes a dead letter: the task fails, and starts again.
 */
public final class UnavailableException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /**
   * @param message what is missing, why, and the way out, in a sentence
   */
  public UnavailableException(String message, Throwable cause) {
    super(message, cause);
  }
}
