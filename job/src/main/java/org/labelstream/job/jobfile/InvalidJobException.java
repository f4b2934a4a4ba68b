package org.labelstream.job.jobfile;

import java.util.List;

/**
 * A job file that cannot be used. Its message tells every problem at once, each on a line of its
 * own.
 */
public final class InvalidJobException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public InvalidJobException(String message) {
    super(message);
  }

  InvalidJobException(String file, List<Problem> problems) {
    super(
        problems.size() == 1
            ? file + ", " + problems.get(0)
            : file
                + " has "
                + problems.size()
                + " problems:\n"
                + String.join("\n", problems.stream().map(problem -> "  " + problem).toList()));
  }

  /**
   * One problem.
   *
   * @param line where it is, counted from 1
   * @param message what is wrong and the way out
   */
  record Problem(int line, String message) {
    @Override
    public String toString() {
      return "line " + line + ": " + message;
    }
  }
}
