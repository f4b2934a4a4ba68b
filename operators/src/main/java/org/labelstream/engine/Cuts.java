package org.labelstream.engine;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.stream.JsonReader;
import java.io.IOException;
import java.io.StringReader;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Where a text can be cut so that what is before the cut has the tokens that it has in the whole
 * text. A model that sees the first 128 tokens of a mebibyte needs no more of it than they come
 * from.
 *
 * <p>A tokenizer goes through added tokens, a normalizer, a pre-tokenizer that makes words, and a
 * model that takes one word at a time. So a cut is safe where no added token touches it, where the
 * characters on both sides are such that no normalizer joins or reorders them, and where the
 * pre-tokenizer ends a word whatever comes before and behind. {@link #of} knows the kinds of which
 * this can be told; for all others there is no cut, and the text is tokenized as a whole.
 */
final class Cuts {

  /** How words end. */
  private enum Words {
    /** Nothing is known. */
    UNKNOWN,
    /** At a blank. */
    AT_BLANKS,
    /** Likewise, and around each punctuation mark. */
    BERT,
    /** Likewise, and around each Chinese character. */
    BERT_CHINESE,
    /** At a blank, and where a letter or digit is followed by punctuation. */
    BYTE_LEVEL
  }

  /** The patterns of GPT-2's successors (Qwen2, Llama 3), which end words as GPT-2's does. */
  private static final Set<String> BYTE_LEVEL_PATTERNS =
      Set.of(
          "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
          "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
          "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+");

  private static final Set<String> MODELS = Set.of("WordPiece", "BPE", "Unigram", "WordLevel");

  /** Normalizers that look at one character and the marks behind it. */
  private static final Set<String> LOCAL =
      Set.of("BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip");

  private static final Cuts NONE = new Cuts(Words.UNKNOWN, false, List.of());

  private final Words words;

  /** Whether the tokens behind a cut are those of the whole text too. */
  private final boolean bothSides;

  private final List<Added> added;

  /**
   * An added token.
   *
   * @param exact whether it is found in the text as it is; else in what the normalizer makes of it
   */
  private record Added(String content, boolean exact) {

    /** Whether the token may touch a place of a text. */
    boolean touches(String text, int cut) {
      if (!exact) {
        return mayTouch(text.charAt(cut - 1), text.charAt(cut));
      }
      for (int begin = Math.max(0, cut - content.length()); begin <= cut; begin++) {
        if (text.startsWith(content, begin)) {
          return true;
        }
      }
      return false;
    }

    private boolean mayTouch(char before, char behind) {
      int last = content.length() - 1;
      if (mayBe(content.charAt(last), before) || mayBe(content.charAt(0), behind)) {
        return true;
      }
      for (int i = 0; i < last; i++) {
        if (mayBe(content.charAt(i), before) && mayBe(content.charAt(i + 1), behind)) {
          return true;
        }
      }
      return false;
    }

    /** Whether a normalizer may make the same of both characters. */
    private static boolean mayBe(char own, char inText) {
      if (own < ' ' || own > '~') {
        return true;
      }
      return own == ' '
          ? isBlank(inText) || isHan(inText) // around which BERT's normalizer puts blanks
          : Character.toLowerCase(own) == Character.toLowerCase(inText);
    }
  }

  private Cuts(Words words, boolean bothSides, List<Added> added) {
    this.words = words;
    this.bothSides = bothSides;
    this.added = added;
  }

  /**
   * Finds out what can be told of a tokenizer.
   *
   * @param json its {@code tokenizer.json}
   */
  static Cuts of(String json) {
    try {
      return read(json);
    } catch (IOException | RuntimeException e) {
      return NONE; // the library has read it, so it is only of a form that is not known here
    }
  }

  private static Cuts read(String json) throws IOException {
    @Nullable JsonElement normalizer = null;
    @Nullable JsonElement preTokenizer = null;
    @Nullable JsonElement addedTokens = null;
    boolean known = false;
    try (JsonReader reader = new JsonReader(new StringReader(json))) {
      reader.beginObject();
      while (reader.hasNext()) {
        switch (reader.nextName()) {
          case "normalizer" -> normalizer = JsonParser.parseReader(reader);
          case "pre_tokenizer" -> preTokenizer = JsonParser.parseReader(reader);
          case "added_tokens" -> addedTokens = JsonParser.parseReader(reader);
          case "model" -> known = isKnownModel(reader);
          default -> reader.skipValue();
        }
      }
    }
    Words words = known ? words(preTokenizer) : Words.UNKNOWN;
    List<JsonObject> normalizers = flat(normalizer, "normalizers");
    boolean replaces = normalizers.stream().anyMatch(step -> type(step).equals("Replace"));
    for (JsonObject step : normalizers) {
      if (!LOCAL.contains(type(step)) && !(type(step).equals("Replace") && isLocal(step))) {
        return NONE;
      }
    }
    if (replaces && words != Words.UNKNOWN) {
      words = Words.AT_BLANKS; // of which no replaced pattern has any inside
    }
    List<Added> added = new ArrayList<>();
    if (addedTokens instanceof JsonArray tokens) {
      for (JsonElement token : tokens) {
        String content = token.getAsJsonObject().get("content").getAsString();
        boolean exact = normalizers.isEmpty() || !flag(token.getAsJsonObject(), "normalized", true);
        if (replaces && !exact) {
          return NONE;
        }
        if (!content.isEmpty()) {
          added.add(new Added(content, exact));
        }
      }
    }
    if (words == Words.BERT && normalizers.stream().anyMatch(Cuts::setsChineseApart)) {
      words = Words.BERT_CHINESE;
    }
    boolean bothSides =
        words == Words.BYTE_LEVEL
            && normalizers.stream().allMatch(step -> type(step).equals("NFC"));
    return words == Words.UNKNOWN ? NONE : new Cuts(words, bothSides, added);
  }

  /** The model's vocabulary may be megabytes, so only its settings are read. */
  private static boolean isKnownModel(JsonReader reader) throws IOException {
    boolean known = false;
    boolean dropout = false;
    reader.beginObject();
    while (reader.hasNext()) {
      switch (reader.nextName()) {
        case "type" -> known = MODELS.contains(reader.nextString());
        case "dropout" -> dropout = !JsonParser.parseReader(reader).isJsonNull();
        default -> reader.skipValue();
      }
    }
    reader.endObject();
    return known && !dropout;
  }

  private static Words words(@Nullable JsonElement preTokenizer) {
    List<JsonObject> steps = flat(preTokenizer, "pretokenizers");
    if (steps.isEmpty()) {
      return Words.UNKNOWN;
    }
    JsonObject first = steps.get(0); // the others split what it has split
    return switch (type(first)) {
      case "BertPreTokenizer" -> Words.BERT;
      case "Whitespace", "WhitespaceSplit" -> Words.AT_BLANKS;
      case "Metaspace" -> flag(first, "split", true) ? Words.AT_BLANKS : Words.UNKNOWN;
      case "ByteLevel" -> flag(first, "use_regex", true) ? Words.BYTE_LEVEL : Words.UNKNOWN;
      case "Split" -> {
        JsonElement pattern = first.getAsJsonObject("pattern").get("Regex");
        boolean isKnown =
            pattern != null
                && BYTE_LEVEL_PATTERNS.contains(pattern.getAsString())
                && first.get("behavior").getAsString().equals("Isolated")
                && !flag(first, "invert", false);
        yield isKnown ? Words.BYTE_LEVEL : Words.UNKNOWN;
      }
      default -> Words.UNKNOWN;
    };
  }

  /** Whether a replacement cannot reach over a blank behind a letter, a digit or punctuation. */
  private static boolean isLocal(JsonObject replace) {
    JsonObject pattern = replace.getAsJsonObject("pattern");
    String content = replace.get("content").getAsString();
    if (pattern.has("Regex")) {
      return pattern.get("Regex").getAsString().equals(" {2,}")
          && (content.equals(" ") || content.equals("\u2581"));
    }
    // Nothing may vanish, or blanks that it stood between would meet.
    return !content.isEmpty()
        && (pattern.get("String").getAsString() + content)
            .chars()
            .allMatch(c -> c > ' ' && c < '\u007f');
  }

  private static boolean setsChineseApart(JsonObject normalizer) {
    return type(normalizer).equals("BertNormalizer")
        && flag(normalizer, "handle_chinese_chars", true);
  }

  /** The steps of a sequence, or the one step that there is, or none. */
  private static List<JsonObject> flat(@Nullable JsonElement step, String steps) {
    List<JsonObject> all = new ArrayList<>();
    if (step instanceof JsonObject one) {
      if (type(one).equals("Sequence")) {
        one.getAsJsonArray(steps).forEach(inner -> all.addAll(flat(inner, steps)));
      } else {
        all.add(one);
      }
    }
    return all;
  }

  private static String type(JsonObject step) {
    return step.get("type").getAsString();
  }

  private static boolean flag(JsonObject of, String name, boolean otherwise) {
    return of.has(name) ? of.get(name).getAsBoolean() : otherwise;
  }

  /** The first place from one on where a text can be cut; its end where there is none. */
  int next(String text, int from) {
    for (int cut = Math.max(1, from); cut < text.length(); cut++) {
      if (isSafe(text, cut)) {
        return cut;
      }
    }
    return text.length();
  }

  /** The last blank up to a place behind which a text can be cut off; 0 where there is none. */
  int previousBlank(String text, int from) {
    for (int cut = Math.min(from, text.length() - 1); bothSides && cut > 0; cut--) {
      if (text.charAt(cut) == ' ' && isSafe(text, cut)) {
        return cut;
      }
    }
    return 0;
  }

  private boolean isSafe(String text, int cut) {
    char before = text.charAt(cut - 1);
    char behind = text.charAt(cut);
    if (!isPlain(before) || !endsWord(before, behind)) {
      return false;
    }
    for (Added token : added) {
      if (token.touches(text, cut)) {
        return false;
      }
    }
    return true;
  }

  private boolean endsWord(char before, char behind) {
    if (behind == ' ') {
      return words != Words.UNKNOWN;
    }
    if (!isPlain(behind)) {
      return false;
    }
    return switch (words) {
      case BERT -> isPunctuation(before) || isPunctuation(behind);
      case BERT_CHINESE ->
          isPunctuation(before) || isPunctuation(behind) || isHan(before) || isHan(behind);
      case BYTE_LEVEL -> !isPunctuation(before) && isPunctuation(behind);
      default -> false;
    };
  }

  private static boolean isBlank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
  }

  /** Chinese characters that BERT's normalizer sets apart. */
  private static boolean isHan(char c) {
    return c >= '\u4e00' && c <= '\u9fff';
  }

  /** ASCII's, and the Chinese comma and full stop. */
  private static boolean isPunctuation(char c) {
    return (c > ' ' && c < '\u007f' && !Character.isLetterOrDigit(c))
        || c == '\u3001'
        || c == '\u3002';
  }

  /**
   * Whether a character is itself in all normal forms, ends no sequence that one before it began,
   * and is not blank: ASCII, and what is most frequent beside it in scripts that end words with
   * other letters.
   */
  private static boolean isPlain(char c) {
    return (c > ' ' && c < '\u007f')
        || (c >= '\u0430' && c <= '\u044f' && c != '\u0439') // Cyrillic
        || isHan(c)
        || isPunctuation(c);
  }
}
