package org.labelstream.job.file;

import java.io.IOException;

/** Lines that cannot be written any more; the message is a sentence for the user. */
public final class OutputException extends IOException {
  private static final long serialVersionUID = 1L;

  private final boolean isClosed;

  OutputException(String target, IOException cause) {
    super(target + " cannot be written: " + cause.getMessage(), cause);
    // Java has no class for it; POSIX has one name.
    isClosed =
        target.equals(LineSink.STDOUT)
            && String.valueOf(cause.getMessage()).contains("Broken pipe");
  }

  /** Whether whoever read standard output has had enough, as {@code head} does. */
  public boolean isClosed() {
    return isClosed;
  }
}
