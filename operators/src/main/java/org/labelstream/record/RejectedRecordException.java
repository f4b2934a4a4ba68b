package org.labelstream.record;

/**
 * Thrown on the way of one record that cannot be labelled; it costs that record and no other. It
 * carries no stack trace: what is wrong lies in the input, not in the code.
 */
public final class RejectedRecordException extends Exception {
  private static final long serialVersionUID = 1L;

  private final transient DeadLetter letter;

  public RejectedRecordException(ErrorCode code, Stage stage, String message) {
    super(message, null, false, false);
    this.letter = new DeadLetter(code, stage, message);
  }

  /** What becomes of the record. */
  public DeadLetter letter() {
    return letter;
  }
}
