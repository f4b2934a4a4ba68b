package org.labelstream.model;

import java.util.Locale;
import java.util.Map;

/** The names that users know a task by. */
public final class TaskNames {

  private static final Map<String, String> HUGGING_FACE =
      Map.of(
          "text_classification", "sequence_classification",
          "sentiment_analysis", "sequence_classification",
          "ner", "token_classification");

  private TaskNames() {}

  /**
   * A task's name as records and model folders have it; hyphens and Hugging Face's names are
   * accepted too.
   */
  public static String canonical(String name) {
    String underscored = name.toLowerCase(Locale.ROOT).replace('-', '_');
    return HUGGING_FACE.getOrDefault(underscored, underscored);
  }
}
