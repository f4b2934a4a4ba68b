package org.labelstream.job.report;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.labelstream.job.report.Explanation.Span;
import org.labelstream.job.report.Word.Piece;

/** Tokens as the tokenizers of Hugging Face's library write them, put together. */
class WordTest {

  /** Words, each preceded by a space where there is one, with a bar between pieces. */
  private static List<String> words(List<Span> spans, String... tokens) {
    return Word.of(List.of(tokens), spans).stream()
        .map(
            word ->
                (word.spaced() ? " " : "")
                    + word.pieces().stream().map(Piece::text).collect(Collectors.joining("|")))
        .toList();
  }

  /** Spans from "0-3 3-5 -": a hyphen alone is a special token. */
  private static List<Span> spans(String spans) {
    return Stream.of(spans.split(" "))
        .map(span -> span.equals("-") ? null : span.split("-"))
        .map(
            ends ->
                ends == null
                    ? null
                    : new Span(Integer.parseInt(ends[0]), Integer.parseInt(ends[1])))
        .collect(Collectors.toList());
  }

  @Test
  void wordPieces() {
    assertThat(
            words(
                spans("- 0-2 2-5 6-9 9-10 10-11 12-13 13-14 14-16 16-17 -"),
                "[CLS]",
                "un",
                "##des",
                "isn",
                "'",
                "t",
                "3",
                ".",
                "50",
                "!",
                "[SEP]"))
        .containsExactly(" [CLS]", " un|des", " isn|'|t", " 3|.|50", "!", " [SEP]");
  }

  @Test
  void wordPiecesWithoutSpansHaveASpaceBeforeEachWord() {
    assertThat(words(null, "[CLS]", "play", "##ing", "[UNK]", "well", ".", "[SEP]"))
        .containsExactly(" [CLS]", " play|ing", " [UNK]", " well", " .", " [SEP]");
  }

  @Test
  void aTextOfNumberSignsIsNoContinuation() {
    assertThat(words(null, "<s>", "##", "ĠTitle", "</s>"))
        .containsExactly(" <s>", " ##", " Title", " </s>");
    assertThat(words(spans("- 0-1 1-2 3-8 -"), "[CLS]", "#", "#", "title", "[SEP]"))
        .containsExactly(" [CLS]", " #", "#", " title", " [SEP]");
  }

  @Test
  void byteLevelTokensAreDecoded() {
    assertThat(words(null, "<s>", "C", "af", "Ã©", "Ġna", "Ã¯", "ve", ",", "ĠÃ", "ł", "</s>"))
        .containsExactly(" <s>", " C|af|é", " na|ï|ve", ",", " à", " </s>");
  }

  @Test
  void tokensOfOneCharacterAreOnePiece() {
    List<Word> words = Word.of(List.of("<s>", "ok", "Ġ", "ðŁ", "ĺ", "Ģ", "!", "</s>"), null);
    Piece emoji = words.get(2).pieces().get(1);
    assertThat(emoji.text()).isEqualTo("😀");
    assertThat(emoji.from()).isEqualTo(3);
    assertThat(emoji.to()).isEqualTo(6);
    assertThat(words.get(2).pieces().get(0).blank()).isTrue();
  }

  @Test
  void aCharacterThatWasCutIsShownAsOne() {
    assertThat(words(null, "<s>", "Ã©", "ðŁ", "ĺ", "</s>"))
        .containsExactly(" <s>", " é", "�", " </s>");
  }

  @Test
  void wordsThatMerelyHaveSuchLettersAreLeft() {
    assertThat(words(null, "[CLS]", "ġabra", "café", "łódź", "[SEP]"))
        .containsExactly(" [CLS]", " ġabra", " café", " łódź", " [SEP]");
  }

  @Test
  void sentencePieces() {
    assertThat(words(null, "<s>", "▁Hello", "▁wor", "ld", "!", "▁", "ك", "ا", "</s>"))
        .containsExactly(" <s>", " Hello", " wor|ld", "!", " |ك|ا", " </s>");
    assertThat(words(spans("- 0-5 5-9 9-11 11-12 -"), "<s>", "▁Hello", "▁wor", "ld", "!", "</s>"))
        .containsExactly(" <s>", " Hello", " wor|ld", "!", " </s>");
  }

  @Test
  void scriptsWithoutSpacesStayAsTheyWereSplit() {
    assertThat(words(spans("- 0-1 1-3 3-4 4-6 -"), "<s>", "▁我", "喜欢", "カ", "タカ", "</s>"))
        .containsExactly(" <s>", " 我", "喜欢", "カ", "タカ", " </s>");
  }

  @Test
  void marksAndSkinTonesStayWithWhatTheyChange() {
    assertThat(words(spans("0-1 1-2 2-3 4-5 5-6"), "e", "\u0301", "t", "👍", "🏽"))
        .containsExactly("e|\u0301|t", " 👍|🏽");
  }

  @Test
  void aSecondTextBeginsAnew() {
    assertThat(
            words(
                spans("- 0-3 3-4 - 0-3 4-7 -"),
                "[CLS]",
                "Who",
                "?",
                "[SEP]",
                "The",
                "man",
                "[SEP]"))
        .containsExactly(" [CLS]", " Who", "?", " [SEP]", " The", " man", " [SEP]");
  }

  @Test
  void nothingAtAll() {
    assertThat(words(null)).isEmpty();
    assertThat(words(null, "")).containsExactly("");
  }
}
