package org.labelstream.task;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.labelstream.engine.TextTokenizer;

/**
 * Finds texts that end a generation: one ends it when its end falls into the last token. Tokens are
 * read one by one, each behind other text, as {@code transformers/generation/stopping_criteria.py}
 * does it.
 */
final class StopStrings {

  /** What tokens are read behind, so that none loses a blank at the beginning of a text. */
  private static final String PREFIX = "abcdef";

  private final TextTokenizer tokenizer;
  private final long[] prefix;
  private final Map<Integer, String> texts = new ConcurrentHashMap<>();

  StopStrings(TextTokenizer tokenizer) {
    this.tokenizer = tokenizer;
    this.prefix = tokenizer.idsOf(PREFIX);
  }

  /** Whether one of the texts ends in the last token of a sequence. */
  boolean end(int[] sequence, List<String> strings) {
    if (strings.isEmpty()) {
      return false;
    }
    int longest = strings.stream().mapToInt(String::length).max().orElse(0);
    String last = text(sequence[sequence.length - 1]);
    StringBuilder before = new StringBuilder();
    for (int i = sequence.length - 2; i >= 0 && before.length() < longest; i--) {
      before.insert(0, text(sequence[i]));
    }
    String all = before + last;
    for (String string : strings) {
      // From there on whatever is found ends in the last token.
      if (all.indexOf(string, Math.max(0, before.length() - string.length() + 1)) >= 0) {
        return true;
      }
    }
    return false;
  }

  private String text(int token) {
    return texts.computeIfAbsent(
        token,
        id -> {
          long[] ids = Arrays.copyOf(prefix, prefix.length + 1);
          ids[prefix.length] = id;
          String decoded = tokenizer.decode(ids, false);
          return decoded.substring(decoded.indexOf(PREFIX) + PREFIX.length());
        });
  }
}
