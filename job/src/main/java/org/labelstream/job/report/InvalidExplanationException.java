package org.labelstream.job.report;

/** A value that is no explanation; its message is one sentence that says why. */
public final class InvalidExplanationException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  InvalidExplanationException(String message) {
    super(message);
  }
}
