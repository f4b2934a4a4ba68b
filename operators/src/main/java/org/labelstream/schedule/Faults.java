package org.labelstream.schedule;

import org.labelstream.record.UnavailableException;

/** Which throwables are a record's own and which are the process's. */
public final class Faults {

  private Faults() {}

  /**
   * Whether no record is to blame, and going on would only hide it: Java has no memory left, or is
   * broken, or what all records need is not there. A stack that overflows is the record's.
   */
  public static boolean isFatal(Throwable e) {
    for (Throwable cause = e; cause != null; cause = cause.getCause()) {
      if (cause instanceof UnavailableException
          || (cause instanceof VirtualMachineError && !(cause instanceof StackOverflowError))) {
        return true;
      }
    }
    return false;
  }

  /** Throws what is {@linkplain #isFatal fatal} again. */
  public static void rethrowFatal(Throwable e) {
    if (!isFatal(e)) {
      return;
    }
    if (e instanceof Error error) {
      throw error;
    }
    if (e instanceof UnavailableException unavailable) {
      throw unavailable;
    }
    throw new IllegalStateException(e);
  }
}
