package org.labelstream.job.report;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.labelstream.job.report.Explanation.Span;

/**
 * A word of a text, with the pieces that the tokenizer made of it.
 *
 * <p>Tokens come as WordPiece ({@code ##ing}), byte-level BPE ({@code Ġfilm}, {@code Ã©}) and
 * SentencePiece ({@code ▁film}) write them. Pieces are one word when nothing stands between them
 * and either the tokenizer says so ({@code ##}) or they meet within a word by the rules of Unicode
 * (UAX 29): letters and digits, {@code isn't}, {@code 3.50}. Scripts without spaces, whose words
 * only a dictionary knows, stay as the tokenizer split them.
 *
 * @param spaced whether white space stands before it
 * @param special whether it is a token that the tokenizer added, such as {@code [CLS]}
 */
record Word(boolean spaced, boolean special, List<Piece> pieces) {

  /**
   * One token, or the tokens that make up one character.
   *
   * @param from the first token
   * @param to the token after the last
   * @param text what is read; empty for white space
   * @param space whether it begins with, or is, white space
   * @param continues whether the tokenizer marks it as the rest of a word
   */
  record Piece(int from, int to, String text, boolean space, boolean continues, boolean special) {
    /** White space that is a token by itself. */
    boolean blank() {
      return text.isEmpty();
    }
  }

  private static final Set<String> SPECIAL =
      Set.of(
          "[CLS]", "[SEP]", "[PAD]", "[MASK]", "[UNK]", "<s>", "</s>", "<pad>", "<mask>", "<unk>",
          "<cls>", "<sep>");

  private static final Set<Character.UnicodeScript> WITHOUT_SPACES =
      EnumSet.of(
          Character.UnicodeScript.HAN,
          Character.UnicodeScript.HIRAGANA,
          Character.UnicodeScript.KATAKANA,
          Character.UnicodeScript.THAI,
          Character.UnicodeScript.LAO,
          Character.UnicodeScript.KHMER,
          Character.UnicodeScript.MYANMAR);

  private static final char WORD_START = '▁'; // SentencePiece's

  /** The character with which byte-level BPE writes a byte, turned round. */
  private static final Map<Character, Byte> BYTES = bytes();

  /** GPT-2's {@code bytes_to_unicode} (transformers, {@code tokenization_gpt2.py}). */
  private static Map<Character, Byte> bytes() {
    Map<Character, Byte> bytes = new HashMap<>();
    char next = 256;
    for (int b = 0; b < 256; b++) {
      boolean printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      bytes.put(printable ? (char) b : next++, (byte) b);
    }
    return bytes;
  }

  /**
   * Puts tokens together.
   *
   * @param spans as in {@link Explanation}; null where there are none
   */
  static List<Word> of(List<String> tokens, List<Span> spans) {
    return merge(pieces(tokens, spans));
  }

  private static List<Piece> pieces(List<String> tokens, List<Span> spans) {
    List<String> plain = new ArrayList<>();
    for (int i = 0; i < tokens.size(); i++) {
      if (!special(tokens, spans, i)) {
        plain.add(tokens.get(i));
      }
    }
    boolean byteLevel = decoded(String.join("", plain), false) != null;
    // Of tokens that are all ASCII nothing has to be decoded, and nothing can be said.
    boolean marksWordStarts =
        plain.stream()
            .anyMatch(
                token ->
                    token.indexOf(WORD_START) == 0
                        || (byteLevel && token.chars().anyMatch(c -> c > '~')));
    List<Piece> pieces = new ArrayList<>();
    int end = 0; // of the text so far
    int next;
    for (int i = 0; i < tokens.size(); i = next) {
      next = i + 1;
      String token = tokens.get(i);
      if (special(tokens, spans, i)) {
        pieces.add(new Piece(i, next, token, true, false, true));
        end = 0; // the text after it may be another one
        continue;
      }
      if (byteLevel) {
        while (decoded(token, true) == null
            && next < tokens.size()
            && !special(tokens, spans, next)) {
          token += tokens.get(next++);
        }
        String text = decoded(token, true);
        token = text == null ? "\uFFFD" : text; // the end of a text that was cut within a character
      }
      boolean afterSpecial = !pieces.isEmpty() && pieces.get(pieces.size() - 1).special();
      boolean space = afterSpecial || (!token.isEmpty() && isSpace(token.charAt(0)));
      boolean continues = !marksWordStarts && token.startsWith("##") && token.length() > 2;
      if (spans == null) {
        space |= !marksWordStarts && !continues && i > 0;
      } else {
        space |= spans.get(i).start() > end && !isSpaceAlone(pieces);
        end = spans.get(next - 1).end();
      }
      String text = continues ? token.substring(2) : token;
      pieces.add(new Piece(i, next, stripped(text), space, continues && !space, false));
    }
    return pieces;
  }

  private static boolean special(List<String> tokens, List<Span> spans, int i) {
    return spans == null ? SPECIAL.contains(tokens.get(i)) : spans.get(i) == null;
  }

  private static boolean isSpace(char c) {
    return c == WORD_START || Character.isWhitespace(c);
  }

  private static boolean isSpaceAlone(List<Piece> pieces) {
    return !pieces.isEmpty() && pieces.get(pieces.size() - 1).blank();
  }

  private static String stripped(String text) {
    int start = 0;
    while (start < text.length() && isSpace(text.charAt(start))) {
      start++;
    }
    return text.substring(start);
  }

  /**
   * The text that byte-level tokens stand for, or null where these are none: the strict rules of
   * UTF-8 tell them from words that merely have such letters.
   *
   * @param whole whether the last character must be complete
   */
  private static String decoded(String tokens, boolean whole) {
    ByteBuffer bytes = ByteBuffer.allocate(tokens.length());
    for (int i = 0; i < tokens.length(); i++) {
      Byte b = BYTES.get(tokens.charAt(i));
      if (b == null) {
        return null;
      }
      bytes.put(b);
    }
    CharsetDecoder utf8 = StandardCharsets.UTF_8.newDecoder();
    CharBuffer text = CharBuffer.allocate(tokens.length());
    return utf8.decode(bytes.flip(), text, whole).isError() ? null : text.flip().toString();
  }

  private static List<Word> merge(List<Piece> pieces) {
    StringBuilder text = new StringBuilder();
    int[] starts = new int[pieces.size()];
    for (int i = 0; i < starts.length; i++) {
      text.append(pieces.get(i).space() ? " " : "");
      starts[i] = text.length();
      text.append(pieces.get(i).text());
    }
    List<Word> words = new ArrayList<>();
    for (int i = 0; i < starts.length; i++) {
      Piece piece = pieces.get(i);
      Piece last = i == 0 ? null : pieces.get(i - 1);
      boolean joins =
          last != null
              && !last.special()
              && !piece.special()
              && !piece.space()
              && (piece.continues() || last.blank() || insideWord(text, starts[i]));
      if (joins) {
        words.get(words.size() - 1).pieces().add(piece);
      } else {
        words.add(new Word(piece.space(), piece.special(), new ArrayList<>(List.of(piece))));
      }
    }
    return words;
  }

  /** Whether what stands before and after this place of the text belongs to one word. */
  private static boolean insideWord(CharSequence text, int place) {
    if (place == 0 || place >= text.length()) {
      return false;
    }
    int before = Character.codePointBefore(text, place);
    int after = Character.codePointAt(text, place);
    if (isMark(after) || isSkinTone(after) || joinsEmoji(before) || joinsEmoji(after)) {
      return true;
    }
    if (isLetter(before) && isLetter(after)) {
      return true;
    }
    int afterThat = place + Character.charCount(after);
    int beforeThat = place - Character.charCount(before);
    return (isLetter(before)
            && afterThat < text.length()
            && links(before, after, Character.codePointAt(text, afterThat)))
        || (isLetter(after)
            && beforeThat > 0
            && links(Character.codePointBefore(text, beforeThat), before, after));
  }

  private static boolean links(int before, int link, int after) {
    boolean letters = Character.isLetter(before) && Character.isLetter(after);
    boolean digits = Character.isDigit(before) && Character.isDigit(after);
    return switch (link) {
      case '\'', '’', '.' -> letters || digits;
      case ',' -> digits;
      default -> false;
    };
  }

  private static boolean isLetter(int c) {
    return (Character.isLetterOrDigit(c) || c == '_' || isMark(c))
        && !WITHOUT_SPACES.contains(Character.UnicodeScript.of(c));
  }

  private static boolean joinsEmoji(int c) {
    return c == 0x200D; // zero-width joiner
  }

  private static boolean isSkinTone(int c) {
    return c >= 0x1F3FB && c <= 0x1F3FF;
  }

  private static boolean isMark(int c) {
    int type = Character.getType(c);
    return type == Character.NON_SPACING_MARK
        || type == Character.COMBINING_SPACING_MARK
        || type == Character.ENCLOSING_MARK;
  }
}
