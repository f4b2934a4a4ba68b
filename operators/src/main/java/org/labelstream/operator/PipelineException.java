package org.labelstream.operator;

import java.io.IOException;

/** Why a pipeline cannot start or go on; the message is a sentence for its user. */
public final class PipelineException extends IOException {
  private static final long serialVersionUID = 1L;

  public PipelineException(String message, Throwable cause) {
    super(message, cause);
  }
}
