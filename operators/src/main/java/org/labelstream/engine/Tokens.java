package org.labelstream.engine;

/**
 * A tokenized row, special tokens included and not padded.
 *
 * @param ids token ids, {@code [tokens]}
 * @param typeIds segment ids, {@code [tokens]}
 * @param truncated whether the text had more tokens than the row holds
 */
public record Tokens(long[] ids, long[] typeIds, boolean truncated) {

  /** How many tokens there are. */
  public int length() {
    return ids.length;
  }
}
