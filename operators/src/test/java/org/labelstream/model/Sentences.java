package org.labelstream.model;

import java.nio.file.Path;

/** What holds of every refusal of a file of a model folder. */
final class Sentences {
  private Sentences() {}

  /** Runs what may refuse the file, but only with a sentence that names it. */
  static void orRefused(Path file, Runnable reading) {
    try {
      reading.run();
    } catch (InvalidModelException e) {
      String message = e.getMessage();
      if (!message.contains(file.toString())
          || message.matches("(?s).*\\b[a-z]+(\\.[a-z]+)+\\.[A-Z]\\w*(Exception|Error)\\b.*")) {
        throw new AssertionError("No sentence about the file: " + message, e);
      }
    }
  }
}
