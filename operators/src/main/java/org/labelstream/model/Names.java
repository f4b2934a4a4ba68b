package org.labelstream.model;

import java.util.Collection;
import java.util.Comparator;
import java.util.Locale;
import java.util.Optional;
import org.apache.commons.text.similarity.LevenshteinDistance;

/** Finds the name that somebody probably meant. */
public final class Names {

  private Names() {}

  /** The known name nearest to a mistyped one, if any is near enough to be worth naming. */
  public static Optional<String> nearest(String name, Collection<String> known) {
    LevenshteinDistance distance = LevenshteinDistance.getDefaultInstance();
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
