package org.labelstream.operator;

import org.apache.flink.runtime.throwable.ThrowableAnnotation;
import org.apache.flink.runtime.throwable.ThrowableType;

/**
 * Flink's {@code lib/} folder has another engine than the job needs, or none; the message says what
 * to do. Restarting the job does not help, so Flink does not.
 */
@ThrowableAnnotation(ThrowableType.NonRecoverableError)
public final class WrongEngineException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  WrongEngineException(String message) {
    super(message);
  }
}
