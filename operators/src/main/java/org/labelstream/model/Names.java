package org.labelstream.model;

import java.util.Collection;
import java.util.Comparator;
import java.util.Locale;
import java.util.Optional;
import org.apache.commons.text.similarity.LevenshteinDistance;

/** Names that somebody wrote: how a sentence shows them, and what was probably meant. */
public final class Names {

  /** Longer than any name here; what is longer is no misspelling. */
  private static final int MAX_LENGTH = 60;

  private Names() {}

  /**
   * What somebody wrote, as a sentence of one line can show it: line breaks and other control
   * characters by their escapes, and shortened where it is long.
   */
  public static String shown(Object written) {
    StringBuilder shown = new StringBuilder();
    int[] codePoints = String.valueOf(written).codePoints().limit(MAX_LENGTH + 1L).toArray();
    for (int i = 0; i < Math.min(codePoints.length, MAX_LENGTH); i++) {
      int c = codePoints[i];
      boolean breaks = Character.isISOControl(c) || c == 0x2028 || c == 0x2029;
      shown.append(breaks ? String.format("\\u%04x", c) : Character.toString(c));
    }
    return shown.append(codePoints.length > MAX_LENGTH ? "…" : "").toString();
  }

  /** The known name nearest to a mistyped one, if any is near enough to be worth naming. */
  public static Optional<String> nearest(String name, Collection<String> known) {
    LevenshteinDistance distance = LevenshteinDistance.getDefaultInstance();
    if (name.length() > MAX_LENGTH) {
      return Optional.empty();
    }
    String lower = name.toLowerCase(Locale.ROOT);
    return known.stream()
        .filter(
            candidate ->
                distance.apply(lower, candidate.toLowerCase(Locale.ROOT))
                    <= Math.max(2, Math.max(lower.length(), candidate.length()) / 2))
        .min(
            Comparator.comparingInt(
                candidate -> distance.apply(lower, candidate.toLowerCase(Locale.ROOT))));
  }

  /**
   * The end of a sentence about an unknown name: {@code did you mean x?}, or all the known ones.
   */
  public static String didYouMean(String name, Collection<String> known) {
    return nearest(name, known)
        .map(candidate -> "did you mean " + candidate + "?")
        .orElseGet(() -> "known are " + String.join(", ", known));
  }
}
