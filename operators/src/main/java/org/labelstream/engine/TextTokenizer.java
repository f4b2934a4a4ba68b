package org.labelstream.engine;

import ai.djl.huggingface.tokenizers.jni.CharSpan;
import ai.djl.huggingface.tokenizers.jni.LibUtils;
import ai.djl.huggingface.tokenizers.jni.TokenizersLibrary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.labelstream.model.ModelFolder;
import org.labelstream.model.TruncationSide;

/**
 * A folder's {@code tokenizer.json}, run by Hugging Face's own tokenizers library.
 *
 * <p><em>Thread-safety.</em> {@link #encode} may be called from any thread; {@link #close} only
 * once no other call runs.
 */
public final class TextTokenizer implements AutoCloseable {

  private static final char REPLACEMENT = '\uFFFD';

  /** About as many as English has. */
  private static final int CHARS_A_TOKEN = 6;

  private static final TokenizersLibrary LIB = TokenizersLibrary.LIB;

  /** What a task may want to know of tokens beyond what a model takes. */
  public enum Detail {
    /** The tokens as the vocabulary has them. */
    PIECES,
    /** Where they stand in the text. */
    SPANS,
    /** The numbers of their words. */
    WORDS
  }

  /** The native tokenizer, or 0 once it is closed. */
  private final AtomicLong handle;

  private final boolean typeIds;
  private final TruncationSide side;
  private final AddedTokens added;
  private final TokenDecoder decoder;
  private final Cuts cuts;

  private TextTokenizer(
      long handle,
      boolean typeIds,
      TruncationSide side,
      AddedTokens added,
      TokenDecoder decoder,
      Cuts cuts) {
    this.handle = new AtomicLong(handle);
    this.typeIds = typeIds;
    this.side = side;
    this.added = added;
    this.decoder = decoder;
    this.cuts = cuts;
  }

  static TextTokenizer load(ModelFolder folder) {
    Native.prepare();
    Path file = folder.path().resolve(ModelFolder.TOKENIZER);
    try {
      return of(
          Files.readString(file),
          folder.manifest().inputs().contains("token_type_ids"),
          folder.manifest().truncationSide());
    } catch (IOException | RuntimeException e) {
      throw new EngineException(file + " cannot be loaded: " + e.getMessage(), e);
    }
  }

  /**
   * A tokenizer of what a {@code tokenizer.json} holds.
   *
   * @param typeIds whether the model takes segment ids
   * @param side where a text that is too long is cut
   */
  static TextTokenizer of(String json, boolean typeIds, TruncationSide side) throws IOException {
    LibUtils.checkStatus();
    AddedTokens added = AddedTokens.of(json);
    // From the text: given a path, DJL would also apply tokenizer_config.json, whose lower-casing
    // and prefix spaces tokenizer.json has already, and which would shift the offsets.
    long handle = LIB.createTokenizerFromString(json);
    // Rows are cut by Tokens, which needs to see all of a text for windows over it.
    LIB.disableTruncation(handle);
    LIB.disablePadding(handle);
    return new TextTokenizer(handle, typeIds, side, added, TokenDecoder.of(json), Cuts.of(json));
  }

  /** Makes strings of its tokens. */
  public TokenDecoder decoder() {
    return decoder;
  }

  private long handle() {
    long open = handle.get();
    if (open == 0) {
      throw new IllegalStateException("the tokenizer was closed. This is a bug.");
    }
    return open;
  }

  /**
   * Tokenizes a text, or two, with their special tokens.
   *
   * @param pair the second text, or null
   * @param details what to keep beside the model's inputs: each takes time and memory
   */
  public Tokens encode(String text, @Nullable String pair, Detail... details) {
    long encoding =
        pair == null
            ? LIB.encode(handle(), withoutLoneSurrogates(text), true)
            : LIB.encodeDual(
                handle(), withoutLoneSurrogates(text), withoutLoneSurrogates(pair), true);
    try {
      Set<Detail> asked = Set.of(details);
      int @Nullable [] starts = null;
      int @Nullable [] ends = null;
      int[] ids = ints(LIB.getTokenIds(encoding));
      if (asked.contains(Detail.SPANS)) {
        CharSpan[] spans = LIB.getTokenCharSpans(encoding);
        starts = new int[ids.length];
        ends = new int[ids.length];
        for (int i = 0; i < ids.length; i++) {
          if (spans[i] != null) {
            starts[i] = spans[i].getStart();
            ends[i] = spans[i].getEnd();
          }
        }
      }
      return new Tokens(
          ids,
          typeIds ? bytes(LIB.getTypeIds(encoding)) : null,
          sequences(encoding, pair != null),
          asked.contains(Detail.PIECES) ? added.inPlace(LIB.getTokens(encoding), ids) : null,
          starts,
          ends,
          asked.contains(Detail.WORDS) ? ints(LIB.getWordIds(encoding)) : null);
    } finally {
      LIB.deleteEncoding(encoding);
    }
  }

  /**
   * Tokenizes a text, or two, as far as a row of some length shows them: {@code encode(text,
   * pair).truncatedTo(maxLength, side)}, for which most of a long text need not be tokenized,
   * unless it is the end that is shown.
   *
   * @param maxLength special tokens included
   */
  public Tokens encodeTruncated(
      String text, @Nullable String pair, int maxLength, Detail... details) {
    return begin(text, pair, maxLength, details).tokens().truncatedTo(maxLength, side);
  }

  /**
   * A text, or two, tokenized from their beginnings on.
   *
   * @param whole whether that is all of the first text
   * @param pairWhole likewise, of the second
   */
  record Beginning(Tokens tokens, boolean whole, boolean pairWhole) {

    /** Whether a row of some length shows no more of the texts than this. */
    boolean shows(int maxLength) {
      return (whole && pairWhole) || tokens.truncates(maxLength, whole, pairWhole);
    }
  }

  /**
   * Tokenizes as much of a text, or two, as a row of some length shows.
   *
   * @param maxLength special tokens included; the largest number there is for all of it
   */
  Beginning begin(String text, @Nullable String pair, int maxLength, Detail... details) {
    if (side == TruncationSide.LEFT) {
      return new Beginning(encode(text, pair, details), true, true);
    }
    for (long limit = (long) CHARS_A_TOKEN * maxLength; ; limit *= 4) {
      int cut = cut(text, limit);
      int pairCut = pair == null ? 0 : cut(pair, limit);
      Beginning beginning =
          new Beginning(
              encode(
                  text.substring(0, cut),
                  pair == null ? null : pair.substring(0, pairCut),
                  details),
              cut == text.length(),
              pair == null || pairCut == pair.length());
      if (beginning.shows(maxLength)) {
        return beginning;
      }
    }
  }

  /** How far a text is read when about so many characters may do. */
  private int cut(String text, long limit) {
    int cut = limit < text.length() / 2 ? cuts.next(text, (int) limit) : text.length();
    return cut > text.length() / 2 ? text.length() : cut; // the rest would cost as much again
  }

  /**
   * Tokenizes a text from so far behind on that there are as many tokens as asked for, special ones
   * included, if the text has them: a token that is not special is as far from the end as in {@code
   * encode(text, null)}.
   *
   * @param count how many are needed at least
   */
  public Tokens encodeEnd(String text, int count) {
    for (long limit = (long) CHARS_A_TOKEN * count; ; limit *= 4) {
      int cut =
          limit < text.length() / 2 ? cuts.previousBlank(text, text.length() - (int) limit) : 0;
      if (cut == 0 || cut < text.length() / 2) {
        return encode(text, null);
      }
      Tokens tokens = encode(text.substring(cut), null);
      if (tokens.length() >= count) {
        return tokens;
      }
    }
  }

  /** Which text each token is from, or -1 for those that the tokenizer added. */
  private static byte[] sequences(long encoding, boolean pair) {
    long[] special = LIB.getSpecialTokenMask(encoding);
    byte[] sequences = pair ? bytes(LIB.getSequenceIds(encoding)) : new byte[special.length];
    for (int i = 0; i < special.length; i++) {
      if (special[i] == 1) {
        sequences[i] = -1;
      }
    }
    return sequences;
  }

  private static int[] ints(long[] values) {
    int[] ints = new int[values.length];
    for (int i = 0; i < ints.length; i++) {
      ints[i] = (int) values[i];
    }
    return ints;
  }

  private static byte[] bytes(long[] values) {
    byte[] bytes = new byte[values.length];
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) values[i];
    }
    return bytes;
  }

  /**
   * Replaces each lone surrogate by U+FFFD. It has no UTF-8 form, so the native library would
   * decode the whole text lossily and shift every offset; the replacement is one code point for
   * one, which keeps them.
   */
  static String withoutLoneSurrogates(String text) {
    StringBuilder clean = null;
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      if (!Character.isSurrogate(c)) {
        continue;
      }
      if (Character.isHighSurrogate(c)
          && i + 1 < text.length()
          && Character.isLowSurrogate(text.charAt(i + 1))) {
        i++;
        continue;
      }
      if (clean == null) {
        clean = new StringBuilder(text);
      }
      clean.setCharAt(i, REPLACEMENT);
    }
    return clean == null ? text : clean.toString();
  }

  /**
   * The text that tokens stand for.
   *
   * @param skipSpecialTokens whether special tokens are left out
   */
  public String decode(long[] ids, boolean skipSpecialTokens) {
    return ids.length == 0 ? "" : LIB.decode(handle(), ids, skipSpecialTokens);
  }

  /** The tokens of a text without the special ones. */
  public long[] idsOf(String text) {
    long encoding = LIB.encode(handle(), withoutLoneSurrogates(text), false);
    try {
      return LIB.getTokenIds(encoding);
    } finally {
      LIB.deleteEncoding(encoding);
    }
  }

  @Override
  public void close() {
    long open = handle.getAndSet(0);
    if (open != 0) {
      LIB.deleteTokenizer(open);
    }
  }
}
