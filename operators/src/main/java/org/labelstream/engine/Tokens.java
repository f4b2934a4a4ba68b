package org.labelstream.engine;

import java.util.ArrayList;
import java.util.List;

/**
 * A tokenized row, special tokens included and not padded. All arrays are {@code [tokens]}.
 *
 * @param ids token ids
 * @param typeIds segment ids
 * @param pieces the tokens as the vocabulary has them
 * @param special whether the tokenizer added the token (it is not in the text)
 * @param starts where the token starts in its text, in Unicode code points; 0 for special ones
 * @param ends where it ends, likewise
 * @param sequences which of the two texts it is from: 0 or 1, or -1 for special ones
 * @param words the number of its word in its text, or -1
 * @param truncated whether the text had more tokens than the row holds
 */
public record Tokens(
    long[] ids,
    long[] typeIds,
    String[] pieces,
    boolean[] special,
    int[] starts,
    int[] ends,
    int[] sequences,
    int[] words,
    boolean truncated) {

  /**
   * More windows than any sensible text and stride make: one record must not take a worker's day,
   * or all memory.
   */
  private static final int MAX_WINDOWS = 2_000;

  /** How many tokens there are. */
  public int length() {
    return ids.length;
  }

  /**
   * The row cut to a length, the longer text first, as the strategy {@code longest_first} of
   * Hugging Face's tokenizers does ({@code tokenizers/src/utils/truncation.rs}).
   *
   * @param maxLength special tokens included
   */
  public Tokens truncatedTo(int maxLength) {
    if (length() <= maxLength) {
      return this;
    }
    int first = count(0);
    int second = count(1);
    int room = Math.max(0, maxLength - (length() - first - second));
    int shorter = Math.min(first, second);
    int longer = shorter > room ? shorter : Math.max(shorter, room - shorter);
    if (shorter + longer > room) {
      shorter = room / 2;
      longer = shorter + room % 2;
    }
    if (second == 0) {
      return window(begin(0), first, 0, room, true);
    }
    int keptFirst = first > second ? longer : shorter;
    int keptSecond = first > second ? shorter : longer;
    Tokens cut = window(begin(1), second, 0, keptSecond, true);
    return cut.window(cut.begin(0), first, 0, keptFirst, true);
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
    if (length() <= maxLength) {
      return List.of(this);
    }
    int content = count(sequence);
    int room = maxLength - (length() - content);
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
      windows.add(window(begin, content, start, end, truncated));
      if (end == content) {
        return windows;
      }
    }
  }

  /** The same row with other token ids. */
  public Tokens withIds(long[] others) {
    return new Tokens(others, typeIds, pieces, special, starts, ends, sequences, words, truncated);
  }

  /** Which of the texts has more tokens: 0 or 1. */
  public int longerSequence() {
    return count(1) > count(0) ? 1 : 0;
  }

  private int count(int sequence) {
    int count = 0;
    for (int of : sequences) {
      if (of == sequence) {
        count++;
      }
    }
    return count;
  }

  /** The place of the first token of a text, whose tokens stand side by side. */
  private int begin(int sequence) {
    int begin = 0;
    while (begin < length() && sequences[begin] != sequence) {
      begin++;
    }
    return begin;
  }

  /**
   * All tokens but those of a text that are outside of a window of it.
   *
   * @param begin the place of the text's first token
   * @param content how many tokens the text has
   * @param start the first token of the window, in the text
   * @param end the one behind its last
   */
  private Tokens window(int begin, int content, int start, int end, boolean cut) {
    int behind = begin + content;
    int kept = Math.min(end, content) - start;
    int[] places = new int[length() - content + kept];
    for (int i = 0; i < places.length; i++) {
      if (i < begin) {
        places[i] = i;
      } else if (i < begin + kept) {
        places[i] = i + start;
      } else {
        places[i] = i - begin - kept + behind;
      }
    }
    return select(places, cut);
  }

  private Tokens select(int[] places, boolean cut) {
    int count = places.length;
    Tokens selected =
        new Tokens(
            new long[count],
            new long[count],
            new String[count],
            new boolean[count],
            new int[count],
            new int[count],
            new int[count],
            new int[count],
            cut);
    for (int i = 0; i < count; i++) {
      int place = places[i];
      selected.ids[i] = ids[place];
      selected.typeIds[i] = typeIds[place];
      selected.pieces[i] = pieces[place];
      selected.special[i] = special[place];
      selected.starts[i] = starts[place];
      selected.ends[i] = ends[place];
      selected.sequences[i] = sequences[place];
      selected.words[i] = words[place];
    }
    return selected;
  }
}
