package org.labelstream.task;

/**
 * A text by its Unicode code points, which is how the tokenizer and the Hugging Face pipelines
 * count.
 */
final class CodePoints {
  private final String text;
  private final int[] units;

  CodePoints(String text) {
    this.text = text;
    this.units = new int[text.codePointCount(0, text.length()) + 1];
    int unit = 0;
    for (int i = 0; i < units.length; i++) {
      units[i] = unit;
      if (unit < text.length()) {
        unit = text.offsetByCodePoints(unit, 1);
      }
    }
  }

  /** The text from one code point to another, as far as it goes. */
  String slice(int start, int end) {
    int last = units.length - 1;
    int from = Math.min(start, last);
    return text.substring(units[from], units[Math.max(from, Math.min(end, last))]);
  }
}
