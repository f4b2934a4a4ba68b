package org.labelstream.model;

/**
 * A model folder that cannot be used. Its message is one sentence for the user: what is wrong,
 * where, and the way out.
 */
public final class InvalidModelException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public InvalidModelException(String message) {
    super(message);
  }

  public InvalidModelException(String message, Throwable cause) {
    super(message, cause);
  }
}
