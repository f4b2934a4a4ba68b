package org.labelstream.engine;

import ai.djl.huggingface.tokenizers.Encoding;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import ai.djl.huggingface.tokenizers.jni.CharSpan;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.labelstream.model.ModelFolder;

/**
 * A folder's {@code tokenizer.json}, run by Hugging Face's own tokenizers library.
 *
 * <p><em>Thread-safety.</em> {@link #encode} may be called from any thread; {@link #close} only
 * once no other call runs.
 */
public final class TextTokenizer implements AutoCloseable {

  private static final char REPLACEMENT = '\uFFFD';

  private final HuggingFaceTokenizer tokenizer;

  private TextTokenizer(HuggingFaceTokenizer tokenizer) {
    this.tokenizer = tokenizer;
  }

  static TextTokenizer load(ModelFolder folder) {
    Native.prepare();
    // Read from a stream: given a path, the library would also apply tokenizer_config.json, whose
    // lower-casing and prefix
    // spaces tokenizer.json has already, and which would shift the offsets.
    try (InputStream in = Files.newInputStream(folder.path().resolve(ModelFolder.TOKENIZER))) {
      return new TextTokenizer(
          HuggingFaceTokenizer.newInstance(
              in,
              // Rows are cut by Tokens, which needs to see all of a text for windows over it.
              Map.of("addSpecialTokens", "true", "padding", "false", "truncation", "false")));
    } catch (IOException | RuntimeException e) {
      throw new EngineException(
          folder.path().resolve(ModelFolder.TOKENIZER) + " cannot be loaded: " + e.getMessage(), e);
    }
  }

  /**
   * Tokenizes a text, or two, with their special tokens.
   *
   * @param pair the second text, or null
   */
  public Tokens encode(String text, @Nullable String pair) {
    Encoding encoding =
        pair == null
            ? tokenizer.encode(withoutLoneSurrogates(text))
            : tokenizer.encode(withoutLoneSurrogates(text), withoutLoneSurrogates(pair));
    int length = encoding.getIds().length;
    boolean[] special = new boolean[length];
    int[] starts = new int[length];
    int[] ends = new int[length];
    int[] sequences = new int[length];
    int[] words = new int[length];
    for (int i = 0; i < length; i++) {
      special[i] = encoding.getSpecialTokenMask()[i] == 1;
      CharSpan span = encoding.getCharTokenSpans()[i];
      if (span != null) {
        starts[i] = span.getStart();
        ends[i] = span.getEnd();
      }
      sequences[i] = special[i] ? -1 : (int) encoding.getSequenceIds()[i];
      words[i] = (int) encoding.getWordIds()[i];
    }
    return new Tokens(
        encoding.getIds(),
        encoding.getTypeIds(),
        pieces(encoding.getTokens()),
        special,
        starts,
        ends,
        sequences,
        words,
        false);
  }

  /**
   * The tokens without the blanks that an added token such as {@code <mask>} takes in from the text
   * around it.
   */
  private static String[] pieces(String[] tokens) {
    for (int i = 0; i < tokens.length; i++) {
      String stripped = tokens[i].strip();
      if (!stripped.isEmpty()) {
        tokens[i] = stripped;
      }
    }
    return tokens;
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
    return ids.length == 0 ? "" : tokenizer.decode(ids, skipSpecialTokens);
  }

  /** The tokens of a text without the special ones. */
  public long[] idsOf(String text) {
    return tokenizer.encode(withoutLoneSurrogates(text), false, false).getIds();
  }

  @Override
  public void close() {
    tokenizer.close();
  }
}
