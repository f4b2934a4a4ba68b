package org.labelstream.model;

/** Where a text that is too long loses its tokens, as the tokenizer's {@code truncation_side}. */
public enum TruncationSide {
  /** Its end is kept. */
  LEFT,
  /** Its beginning is kept. */
  RIGHT
}
