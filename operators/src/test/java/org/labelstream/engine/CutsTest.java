package org.labelstream.engine;

import static org.assertj.core.api.Assertions.assertThat;

import ai.djl.huggingface.tokenizers.jni.TokenizersLibrary;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.labelstream.engine.TextTokenizer.Detail;
import org.labelstream.model.TruncationSide;

/**
 * What is tokenized of a long text against the whole of it, with every tokenizer that there is a
 * model of, as it is and with added tokens of all kinds.
 */
class CutsTest {

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Detail[] ALL = Detail.values();

  private static final List<String> PIECES =
      List.of(
          "The",
          " quarterly ",
          "report",
          "!",
          "!!!!!!!!",
          ".",
          ", ",
          " ",
          "  ",
          "       ",
          "\n",
          " \n\n ",
          "\t",
          "\r\n",
          "'s",
          "don't",
          " '' ",
          "``quoted''",
          "e\u0301",
          " \u0301",
          "=\u0338",
          "\u00e9",
          "\u00c5ngstr\u00f6m",
          "\u4e2d\u6587\u5b57",
          "\u3002",
          "\uff0c",
          "\u6211\u3002\u4f60\u3001",
          "\u0434\u043e\u043c ",
          "\u0439\u0306",
          "\u304b\u3099",
          "\uac00\u11a8",
          "\ufdfa",
          "\u00a8",
          "\u2581",
          " \u2581 ",
          "\u00a0",
          "\u3000",
          "\u200d",
          "\ud83d\udc68\u200d\ud83d\udc69\u200d\ud83d\udc67",
          "\ud83d\ude00",
          "\ud800",
          "\udc00",
          "\u0000",
          "\u0001",
          "\ufffd",
          "\ufeff",
          "a1b2",
          " 42 ",
          "3.14",
          "-",
          "x-ray ",
          "supercalifragilisticexpialidocious",
          "New York",
          "New  York",
          "new\u0301 york",
          "COVID-19",
          "covid-19 ",
          " TOK ",
          "aTOKb",
          "<e>",
          " <e> ",
          "<mask>",
          " [MASK] ",
          "[SEP]",
          "<s>",
          "</s>",
          "<|endoftext|>",
          "<pad>",
          " ;;",
          "; ;",
          "ab\u4e2d",
          "\u4e2dcd",
          "\u0130",
          "\u03a3 ",
          "\ufb01",
          "$",
          "^",
          "`",
          "|",
          "\u00ad",
          "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35");

  /** Files that are equal up to their vocabularies would only be the same again. */
  static List<Path> tokenizers() throws IOException {
    Map<String, Path> kinds = new LinkedHashMap<>();
    for (Path root : List.of(Path.of("src/test/resources"), Path.of("../model-assets"))) {
      try (Stream<Path> files = Files.walk(root)) {
        for (Path file : files.sorted().toList()) {
          if (file.endsWith("tokenizer.json")) {
            kinds.putIfAbsent(kind(file), file);
          }
        }
      }
    }
    return List.copyOf(kinds.values());
  }

  private static String kind(Path file) throws IOException {
    ObjectNode content = (ObjectNode) JSON.readTree(file.toFile());
    ((ObjectNode) content.get("model")).without(List.of("vocab", "merges"));
    return content.toString();
  }

  /**
   * With tokens that strip blanks, hold some, match normalized text, or only whole words.
   *
   * @param blanks whether blanks are a token; else some tokens strip those on their right, which
   *     together make the library abort
   */
  private static String withAddedTokens(Path file, boolean blanks) throws IOException {
    ObjectNode content = (ObjectNode) JSON.readTree(file.toFile());
    ArrayNode added = (ArrayNode) content.get("added_tokens");
    int id = 100_000;
    for (String token :
        List.of("New York", "COVID-19", "TOK", "<e>", "; ;", blanks ? "  " : "lee", "\u4e2d")) {
      boolean normalized = id % 2 == (blanks ? 0 : 1);
      added.add(
          added(id, token, id % 3 == 0, !blanks && id % 3 == 1, token.equals("TOK"), normalized));
      id++;
    }
    return content.toString();
  }

  private static List<String> variants(Path file) throws IOException {
    return List.of(
        Files.readString(file), withAddedTokens(file, true), withAddedTokens(file, false));
  }

  private static JsonNode added(
      int id, String token, boolean left, boolean right, boolean word, boolean normalized) {
    return JSON.createObjectNode()
        .put("id", id)
        .put("content", token)
        .put("single_word", word)
        .put("lstrip", left)
        .put("rstrip", right)
        .put("normalized", normalized)
        .put("special", false);
  }

  private static String text(Random random, int pieces) {
    StringBuilder text = new StringBuilder();
    // Some are of few kinds of pieces, so that these meet often.
    int kinds = random.nextBoolean() ? PIECES.size() : 1 + random.nextInt(4);
    int first = random.nextInt(PIECES.size());
    boolean apart = random.nextBoolean();
    for (int i = 0; i < pieces; i++) {
      text.append(PIECES.get((first + random.nextInt(kinds)) % PIECES.size()));
      if (apart) {
        text.append(' ');
      }
    }
    return text.toString();
  }

  private static List<String> described(Tokens tokens, int from, int to) {
    List<String> all = new ArrayList<>();
    for (int i = from; i < to; i++) {
      all.add(
          tokens.id(i)
              + " "
              + tokens.piece(i)
              + " "
              + tokens.start(i)
              + "-"
              + tokens.end(i)
              + " "
              + tokens.word(i)
              + " "
              + tokens.sequence(i));
    }
    return all;
  }

  private static int added(Tokens tokens) {
    int special = 0;
    while (special < tokens.length() && tokens.special(special)) {
      special++;
    }
    return special;
  }

  @ParameterizedTest
  @MethodSource("tokenizers")
  void whatIsBeforeACutHasTheTokensThatItHasInTheWholeText(Path file) throws IOException {
    Random random = new Random(8);
    for (String json : variants(file)) {
      Cuts cuts = Cuts.of(json);
      try (TextTokenizer tokenizer = TextTokenizer.of(json, false, TruncationSide.RIGHT)) {
        for (int round = 0; round < 50; round++) {
          String text = text(random, 40);
          Tokens whole = tokenizer.encode(text, null, ALL);
          int special = added(whole);
          for (int cut = cuts.next(text, 1), tried = 0;
              cut < text.length() && tried < 12;
              cut = cuts.next(text, cut + 1 + random.nextInt(8)), tried++) {
            Tokens before = tokenizer.encode(text.substring(0, cut), null, ALL);
            int count = before.count(0);
            assertThat(described(before, special, special + count))
                .as("%s: [%s] before [%s]", file, text.substring(0, cut), text.substring(cut))
                .isEqualTo(described(whole, special, special + count));
          }
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("tokenizers")
  void whatIsBehindACutHasTheIdsThatItHasInTheWholeText(Path file) throws IOException {
    Random random = new Random(9);
    for (String json : variants(file)) {
      Cuts cuts = Cuts.of(json);
      try (TextTokenizer tokenizer = TextTokenizer.of(json, false, TruncationSide.RIGHT)) {
        for (int round = 0; round < 50; round++) {
          String text = text(random, 40);
          long[] whole = tokenizer.idsOf(text);
          for (int cut = cuts.previousBlank(text, text.length()), tried = 0;
              cut > 0 && tried < 12;
              cut = cuts.previousBlank(text, cut - 1 - random.nextInt(8)), tried++) {
            long[] behind = tokenizer.idsOf(text.substring(cut));
            assertThat(whole)
                .as("%s: [%s] behind [%s]", file, text.substring(cut), text.substring(0, cut))
                .endsWith(behind);
          }
        }
      }
    }
  }

  private static String clean(String text) {
    return TextTokenizer.withoutLoneSurrogates(text);
  }

  /** The reference is the library itself, told to truncate. */
  @ParameterizedTest
  @MethodSource("tokenizers")
  void aTextThatIsTooLongLosesWhatTheLibraryTakesFromIt(Path file) throws IOException {
    Random random = new Random(11);
    ObjectMapper mapper = new ObjectMapper();
    TokenizersLibrary library = TokenizersLibrary.LIB;
    for (TruncationSide side : TruncationSide.values()) {
      String json = Files.readString(file);
      try (TextTokenizer tokenizer = TextTokenizer.of(json, false, side)) {
        for (int round = 0; round < 40; round++) {
          String text = text(random, 1 + random.nextInt(60));
          String pair = random.nextBoolean() ? null : text(random, 1 + random.nextInt(60));
          int maxLength = 6 + random.nextInt(30);
          ObjectNode truncating = (ObjectNode) mapper.readTree(json);
          truncating
              .putObject("truncation")
              .put("direction", side == TruncationSide.LEFT ? "Left" : "Right")
              .put("max_length", maxLength)
              .put("strategy", "LongestFirst")
              .put("stride", 0);
          long handle = library.createTokenizerFromString(truncating.toString());
          long encoding =
              pair == null
                  ? library.encode(handle, clean(text), true)
                  : library.encodeDual(handle, clean(text), clean(pair), true);
          long[] expected = library.getTokenIds(encoding);
          library.deleteEncoding(encoding);
          library.deleteTokenizer(handle);

          Tokens row = tokenizer.encodeTruncated(text, pair, maxLength);

          assertThat(IntStream.of(row.ids()).asLongStream().toArray())
              .as("%s, %s, %d tokens of [%s] [%s]", file, side, maxLength, text, pair)
              .isEqualTo(expected);
          assertThat(row.truncated()).isEqualTo(tokenizer.encode(text, pair).length() > maxLength);
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("tokenizers")
  void aRowOfALongTextIsThatOfTheWholeText(Path file) throws IOException {
    Random random = new Random(10);
    for (String json : variants(file)) {
      try (TextTokenizer tokenizer = TextTokenizer.of(json, true, TruncationSide.RIGHT)) {
        for (int round = 0; round < 40; round++) {
          String text = text(random, 1 + random.nextInt(300));
          String pair = random.nextBoolean() ? null : text(random, 1 + random.nextInt(300));
          int maxLength = 5 + random.nextInt(30);
          Tokens whole =
              tokenizer.encode(text, pair, ALL).truncatedTo(maxLength, TruncationSide.RIGHT);
          Tokens row = tokenizer.encodeTruncated(text, pair, maxLength, ALL);
          String where = file + ", " + maxLength + " tokens of [" + text + "] [" + pair + "]";
          assertThat(row.truncated()).as(where).isEqualTo(whole.truncated());
          assertThat(described(row, 0, row.length()))
              .as(where)
              .isEqualTo(described(whole, 0, whole.length()));
          int[] last = tokenizer.encodeEnd(text, maxLength).ids();
          int[] all = tokenizer.encode(text, null).ids();
          int same = Math.min(maxLength, all.length) - added(tokenizer.encode("", null));
          assertThat(last.length).as(where).isGreaterThanOrEqualTo(Math.min(maxLength, all.length));
          for (int i = 1; i <= same; i++) {
            assertThat(last[last.length - i]).as(where).isEqualTo(all[all.length - i]);
          }
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("tokenizers")
  void aTextInWordsCanBeCutWhereverItsTokenizerEndsWords(Path file) throws IOException {
    String text = "The film was long, and I slept well. ".repeat(20);
    String json = Files.readString(file);
    Cuts cuts = Cuts.of(json);
    boolean generates =
        file.toString().contains("generation") || file.toString().contains("writer");
    boolean knowsWords = !JSON.readTree(json).get("pre_tokenizer").isNull();

    if (knowsWords) {
      assertThat(cuts.next(text, 100)).isBetween(100, 106);
    } else {
      assertThat(cuts.next(text, 100)).isEqualTo(text.length());
    }
    if (generates) {
      assertThat(cuts.previousBlank(text, 100))
          .isBetween(knowsWords ? 94 : 0, knowsWords ? 100 : 0);
    }
  }
}
