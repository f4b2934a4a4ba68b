package org.labelstream.task;

/**
 * A text by its Unicode code points, which is how the tokenizer and the Hugging Face pipelines
 * count.
 */
final class CodePoints {
  private static final int STEP = 64;

  private final String text;
  private final int length;

  /** Where each {@value #STEP}th code point begins; null where all of them are one char. */
  private final int[] steps;

  CodePoints(String text) {
    this.text = text;
    this.length = text.codePointCount(0, text.length());
    if (length == text.length()) {
      this.steps = null;
      return;
    }
    this.steps = new int[length / STEP + 1];
    for (int i = 1; i < steps.length; i++) {
      steps[i] = text.offsetByCodePoints(steps[i - 1], STEP);
    }
  }

  /** The text from one code point to another, as far as it goes. */
  String slice(int start, int end) {
    int from = Math.min(start, length);
    return text.substring(unit(from), unit(Math.max(from, Math.min(end, length))));
  }

  private int unit(int codePoint) {
    return steps == null
        ? codePoint
        : text.offsetByCodePoints(steps[codePoint / STEP], codePoint % STEP);
  }
}
