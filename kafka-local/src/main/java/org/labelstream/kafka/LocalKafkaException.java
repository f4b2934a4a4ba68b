package org.labelstream.kafka;

/**
 * A problem with the local broker that its user can put right: the message is one sentence that
 * names the thing, what is wrong with it, and the way out.
 */
public final class LocalKafkaException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** A problem with a sentence of its own. */
  public LocalKafkaException(String message) {
    super(message);
  }

  /** A problem with a sentence of its own, and what Kafka said. */
  public LocalKafkaException(String message, Throwable cause) {
    super(message, cause);
  }
}
