package org.labelstream.engine;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.labelstream.model.TruncationSide;

/**
 * A tokenized row, special tokens included and not padded. Rows that are cut from one text are
 * views of what was tokenized, so that thousands of windows take hardly more room than the text.
 */
public final class Tokens {

  /**
   * More windows than any sensible text and stride make: one record must not take a worker's day,
   * or all memory.
   */
  private static final int MAX_WINDOWS = 2_000;

  private static final byte SPECIAL = -1;

  /** What was tokenized; arrays are {@code [tokens]}, and null where they were not asked for. */
  private record Encoding(
      int[] ids,
      byte @Nullable [] typeIds,
      byte[] sequences,
      String @Nullable [] pieces,
      int @Nullable [] starts,
      int @Nullable [] ends,
      int @Nullable [] words) {

    <T> T asked(@Nullable T array, String name) {
      if (array == null) {
        throw new IllegalStateException(
            "the text was tokenized without its " + name + ". This is a bug.");
      }
      return array;
    }
  }

  private final Encoding encoding;

  /** Which tokens of the encoding are in the row: from, to (exclusive), from, to, … */
  private final int[] runs;

  private final int length;
  private final boolean truncated;

  /** What stands for each token that is not special, or -1 where they stand for themselves. */
  private final int replacement;

  /**
   * A row of a whole text. The arrays are {@code [tokens]} and are kept, not copied.
   *
   * @param ids token ids
   * @param typeIds segment ids, or null where the model takes none
   * @param sequences which of the two texts a token is from: 0 or 1, or -1 for special ones
   * @param pieces the tokens as the vocabulary has them, or null
   * @param starts where the token starts in its text, in Unicode code points; 0 for special ones;
   *     or null
   * @param ends where it ends, likewise
   * @param words the number of its word in its text, or -1; or null
   */
  public Tokens(
      int[] ids,
      byte @Nullable [] typeIds,
      byte[] sequences,
      String @Nullable [] pieces,
      int @Nullable [] starts,
      int @Nullable [] ends,
      int @Nullable [] words) {
    this(
        new Encoding(ids, typeIds, sequences, pieces, starts, ends, words),
        new int[] {0, ids.length},
        false,
        -1);
  }

  private Tokens(Encoding encoding, int[] runs, boolean truncated, int replacement) {
    this.encoding = encoding;
    this.runs = runs;
    this.truncated = truncated;
    this.replacement = replacement;
    int sum = 0;
    for (int i = 0; i < runs.length; i += 2) {
      sum += runs[i + 1] - runs[i];
    }
    this.length = sum;
  }

  /** How many tokens there are. */
  public int length() {
    return length;
  }

  /** Whether the text had more tokens than the row holds. */
  public boolean truncated() {
    return truncated;
  }

  /** The place of a token in the encoding. */
  private int place(int token) {
    int left = token;
    for (int i = 0; i < runs.length; i += 2) {
      int run = runs[i + 1] - runs[i];
      if (left < run) {
        return runs[i] + left;
      }
      left -= run;
    }
    throw new IndexOutOfBoundsException(token);
  }

  /** A token's id. */
  public int id(int token) {
    return idAt(place(token));
  }

  private int idAt(int place) {
    return replacement >= 0 && encoding.sequences[place] != SPECIAL
        ? replacement
        : encoding.ids[place];
  }

  /** Whether the tokenizer added a token: it is not in the text. */
  public boolean special(int token) {
    return sequence(token) == SPECIAL;
  }

  /** Which of the two texts a token is from: 0 or 1, or -1 for special ones. */
  public int sequence(int token) {
    return encoding.sequences[place(token)];
  }

  /** A token as the vocabulary has it. */
  public String piece(int token) {
    return encoding.asked(encoding.pieces, "pieces")[place(token)];
  }

  /** Where a token starts in its text, in Unicode code points; 0 for special ones. */
  public int start(int token) {
    return encoding.asked(encoding.starts, "spans")[place(token)];
  }

  /** Where a token ends in its text, likewise. */
  public int end(int token) {
    return encoding.asked(encoding.ends, "spans")[place(token)];
  }

  /** The number of a token's word in its text, or -1. */
  public int word(int token) {
    return encoding.asked(encoding.words, "words")[place(token)];
  }

  /** A copy of the ids, {@code [tokens]}. */
  public int[] ids() {
    int[] ids = new int[length];
    for (int i = 0, next = 0; i < runs.length; i += 2) {
      for (int place = runs[i]; place < runs[i + 1]; place++) {
        ids[next++] = idAt(place);
      }
    }
    return ids;
  }

  /** Copies the ids into an array of many rows, from a place in it on. */
  public void copyIds(long[] to, int at) {
    int next = at;
    for (int i = 0; i < runs.length; i += 2) {
      for (int place = runs[i]; place < runs[i + 1]; place++) {
        to[next++] = idAt(place);
      }
    }
  }

  /** Copies the segment ids, likewise. */
  public void copyTypeIds(long[] to, int at) {
    byte[] typeIds = encoding.asked(encoding.typeIds, "type ids");
    int next = at;
    for (int i = 0; i < runs.length; i += 2) {
      for (int place = runs[i]; place < runs[i + 1]; place++) {
        to[next++] = typeIds[place];
      }
    }
  }

  /** The same row with one token id in place of all that are not special. */
  public Tokens replacedBy(int id) {
    return new Tokens(encoding, runs, truncated, id);
  }

  /**
   * The row cut to a length, the longer text first, as the strategy {@code longest_first} of
   * Hugging Face's tokenizers does ({@code tokenizers/src/utils/truncation.rs}).
   *
   * @param maxLength special tokens included
   * @param side where the texts lose their tokens
   */
  public Tokens truncatedTo(int maxLength, TruncationSide side) {
    if (length <= maxLength) {
      return this;
    }
    int first = count(0);
    int second = count(1);
    int room = Math.max(0, maxLength - (length - first - second));
    int keptFirst = keptOfFirst(first, second, room);
    Tokens cut = cut(this, 1, second, room - keptFirst, side);
    cut = cut(cut, 0, first, keptFirst, side);
    return new Tokens(encoding, cut.runs, true, replacement);
  }

  private static Tokens cut(Tokens row, int sequence, int count, int kept, TruncationSide side) {
    int begin = row.begin(sequence);
    return side == TruncationSide.LEFT
        ? row.without(begin, begin + count - Math.min(count, kept))
        : row.without(begin + kept, begin + count);
  }

  /**
   * Whether the row is cut to a length in the same way whatever follows behind its texts.
   *
   * @param whole whether nothing follows behind the first text
   * @param secondWhole likewise
   */
  boolean truncates(int maxLength, boolean whole, boolean secondWhole) {
    int first = count(0);
    int second = count(1);
    int room = Math.max(0, maxLength - (length - first - second));
    // The longer one text is, the more is kept of it, and the less of the other.
    int least = keptOfFirst(first, secondWhole ? second : Integer.MAX_VALUE, room);
    int most = keptOfFirst(whole ? first : Integer.MAX_VALUE, second, room);
    return (long) first + second > room && least == most;
  }

  /** How many tokens of the first of two texts are kept in a row with room for so many of both. */
  static int keptOfFirst(int first, int second, int room) {
    if ((long) first + second <= room) {
      return first;
    }
    int shorter = Math.min(first, second);
    int longer = Math.max(shorter, room - shorter);
    if (shorter + longer > room) {
      shorter = room / 2;
      longer = room - shorter;
    }
    return first > second ? longer : shorter;
  }

  /** How many tokens of a text a row of some length has room for beside all else. */
  public int room(int sequence, int maxLength) {
    return maxLength - (length - count(sequence));
  }

  /**
   * The row as overlapping rows of at most a length. One text is cut into windows, all else is in
   * each of them.
   *
   * @param sequence the text that is cut, 0 or 1
   * @param maxLength of each row, special tokens and the other text included
   * @param stride how many tokens a window shares with the one before it
   * @throws IllegalArgumentException when the stride leaves no room to go on, or hardly any
   */
  public List<Tokens> windows(int sequence, int maxLength, int stride) {
    if (length <= maxLength) {
      return List.of(this);
    }
    int content = count(sequence);
    int room = room(sequence, maxLength);
    if (stride >= room) {
      throw new IllegalArgumentException(
          "the stride of "
              + stride
              + " tokens leaves no room to go on in rows that have "
              + Math.max(0, room)
              + " tokens for the text: lower it");
    }
    long count = 1 + (content - room + room - stride - 1L) / (room - stride);
    if (count > MAX_WINDOWS) {
      throw new IllegalArgumentException(
          "a stride of "
              + stride
              + " tokens would make "
              + count
              + " windows of this text, but at most "
              + MAX_WINDOWS
              + " are made: lower it, or shorten the text");
    }
    int begin = begin(sequence);
    List<Tokens> windows = new ArrayList<>();
    for (int start = 0; ; start += room - stride) {
      int end = Math.min(start + room, content);
      windows.add(without(begin + end, begin + content).without(begin, begin + start));
      if (end == content) {
        return windows;
      }
    }
  }

  /** Which of the texts has more tokens: 0 or 1. */
  public int longerSequence() {
    return count(1) > count(0) ? 1 : 0;
  }

  /** How many tokens of a text there are. */
  int count(int sequence) {
    int count = 0;
    for (int i = 0; i < runs.length; i += 2) {
      for (int place = runs[i]; place < runs[i + 1]; place++) {
        if (encoding.sequences[place] == sequence) {
          count++;
        }
      }
    }
    return count;
  }

  /** The first token of a text, whose tokens stand side by side. */
  private int begin(int sequence) {
    int begin = 0;
    while (begin < length && sequence(begin) != sequence) {
      begin++;
    }
    return begin;
  }

  /** The row without some tokens that stand side by side. */
  private Tokens without(int from, int to) {
    if (from >= to) {
      return this;
    }
    int[] left = new int[runs.length + 2];
    int size = 0;
    int passed = 0;
    for (int i = 0; i < runs.length; i += 2) {
      int run = runs[i + 1] - runs[i];
      int before = Math.min(run, Math.max(0, from - passed));
      int behind = Math.min(run, Math.max(before, to - passed));
      if (before > 0) {
        left[size++] = runs[i];
        left[size++] = runs[i] + before;
      }
      if (behind < run) {
        left[size++] = runs[i] + behind;
        left[size++] = runs[i + 1];
      }
      passed += run;
    }
    return new Tokens(encoding, Arrays.copyOf(left, size), truncated, replacement);
  }
}
