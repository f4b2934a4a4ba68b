package org.labelstream.job.report;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.labelstream.job.report.Explanation.Attribution;
import org.labelstream.job.report.Explanation.Failure;
import org.labelstream.job.report.Explanation.Prediction;
import org.labelstream.job.report.Word.Piece;

/** An explanation as {@code explanation.mustache} shows it: strings, ready to be escaped. */
record Card(
    long number,
    String id,
    Scored predicted,
    Scored target,
    List<Fact> facts,
    List<Row> rows,
    Failure error) {

  /** A label, what else there is to say about it, and its score, or null. */
  record Scored(String label, String detail, String score) {}

  record Fact(String name, String value) {}

  /** The words with one set of importances. */
  record Row(String of, String sum, String delta, List<Paragraph> paragraphs) {}

  /** One of the texts that the model was given together. */
  record Paragraph(List<Shaded> words) {}

  /**
   * A word or a piece of one.
   *
   * @param element the HTML element; {@code bdi} does not count for the text's direction
   * @param kind its CSS classes
   * @param strength from 0 to 1: its share of what is strongest in its row; null for nothing
   * @param value its importance in short, or null for nothing
   * @param title the same in full
   * @param pieces those of a word that has several, otherwise null
   */
  record Shaded(
      boolean spaced,
      String element,
      String text,
      String kind,
      String strength,
      String value,
      String title,
      List<Shaded> pieces) {}

  private static final double LEAST_SHOWN = 0.005;

  static Card of(long number, Explanation explanation) {
    List<Word> words = Word.of(explanation.words(), explanation.spans());
    int token = explanation.target().get("token") instanceof Integer position ? position : -1;
    List<Fact> facts = new ArrayList<>();
    explanation.facts().forEach((name, value) -> facts.add(new Fact(shown(name), shown(value))));
    Prediction predicted = explanation.predicted();
    return new Card(
        number,
        shown(explanation.id()),
        predicted == null
            ? null
            : new Scored(shown(predicted.label()), null, score(predicted.score())),
        target(explanation, words),
        facts,
        explanation.attributions().stream().map(each -> row(each, words, token)).toList(),
        explanation.error() == null
            ? null
            : new Failure(shown(explanation.error().code()), shown(explanation.error().message())));
  }

  private static Scored target(Explanation explanation, List<Word> words) {
    if (explanation.target().isEmpty()) {
      return null;
    }
    Object label = explanation.target().get("label");
    List<String> details = new ArrayList<>();
    for (Map.Entry<String, Object> field : explanation.target().entrySet()) {
      if (!field.getKey().equals("label")) {
        String text = field.getKey().equals("token") ? textOf(field.getValue(), words) : "";
        details.add(shown(field.getKey()) + " " + shown(field.getValue()) + text);
      }
    }
    return new Scored(
        label == null ? null : shown(label),
        details.isEmpty() ? null : String.join(", ", details),
        score(explanation.score()));
  }

  private static String textOf(Object token, List<Word> words) {
    for (Word word : words) {
      for (Piece piece : word.pieces()) {
        if (token instanceof Integer position
            && piece.from() <= position
            && position < piece.to()) {
          return " “" + shown(piece.text()) + "”";
        }
      }
    }
    return "";
  }

  private static Row row(Attribution attribution, List<Word> words, int token) {
    Shades shades = new Shades(attribution.importances(), words, token);
    List<Paragraph> paragraphs = new ArrayList<>();
    boolean ends = true; // with the special tokens after a text, another text may begin
    boolean hasText = true;
    for (Word word : words) {
      if (ends && hasText && (paragraphs.isEmpty() || !word.special())) {
        paragraphs.add(new Paragraph(new ArrayList<>()));
        hasText = false;
      }
      ends = word.special();
      hasText |= !word.special();
      List<Shaded> line = paragraphs.get(paragraphs.size() - 1).words();
      line.add(shades.word(word, word.spaced() && !line.isEmpty()));
    }
    return new Row(
        attribution.of(),
        signed(sum(attribution.importances()), 2),
        delta(attribution.delta()),
        paragraphs);
  }

  /** The shades of a row: one scale for words and for pieces, so that merging changes no other. */
  private static final class Shades {
    private final List<Double> importances;
    private final int target;
    private final double strongest;

    Shades(List<Double> importances, List<Word> words, int target) {
      this.importances = importances;
      this.target = target;
      this.strongest =
          Stream.concat(
                  words.stream().map(Word::pieces),
                  words.stream().flatMap(word -> word.pieces().stream()).map(List::of))
              .mapToDouble(pieces -> Math.abs(importance(pieces)))
              .max()
              .orElse(0);
    }

    private double importance(List<Piece> pieces) {
      return sum(importances.subList(pieces.get(0).from(), pieces.get(pieces.size() - 1).to()));
    }

    Shaded word(Word word, boolean spaced) {
      List<Piece> pieces = word.pieces();
      String kind = spaced ? "w" : "w tight";
      if (pieces.size() == 1) {
        return word.special()
            ? shaded("bdi", kind + " p special", pieces, spaced, null)
            : shaded("span", kind + " " + kind(pieces.get(0)), pieces, spaced, null);
      }
      return shaded(
          "span",
          kind,
          pieces,
          spaced,
          pieces.stream()
              .map(piece -> shaded("span", kind(piece), List.of(piece), false, null))
              .toList());
    }

    private static String kind(Piece piece) {
      return piece.blank() ? "p blank" : "p";
    }

    private Shaded shaded(
        String element, String kind, List<Piece> pieces, boolean spaced, List<Shaded> parts) {
      String text = shown(pieces.stream().map(Piece::text).collect(Collectors.joining()));
      text = text.isEmpty() ? "␣" : text;
      double importance = importance(pieces);
      boolean matters = Math.abs(importance) >= LEAST_SHOWN;
      boolean isTarget =
          pieces.get(0).from() <= target && target < pieces.get(pieces.size() - 1).to();
      return new Shaded(
          spaced,
          element,
          text,
          kind + (matters ? importance > 0 ? " pos" : " neg" : "") + (isTarget ? " target" : ""),
          matters ? String.format(Locale.ROOT, "%.2f", Math.abs(importance) / strongest) : null,
          matters ? signed(importance, 2) : null,
          text + " " + signed(importance, 4),
          parts);
    }
  }

  private static double sum(List<Double> importances) {
    return importances.stream().mapToDouble(Double::doubleValue).sum();
  }

  private static String score(Double score) {
    return score == null ? null : String.format(Locale.ROOT, "%.4f", score);
  }

  private static String delta(double delta) {
    boolean small = delta != 0 && Math.abs(delta) < 5e-5;
    return String.format(Locale.ROOT, small ? "%.1e" : "%.4f", delta).replace('-', '−');
  }

  private static String signed(double value, int digits) {
    String number = String.format(Locale.ROOT, "%+." + digits + "f", value);
    boolean zero = number.chars().noneMatch(c -> c >= '1' && c <= '9');
    return zero ? number.substring(1) : number.replace('-', '−');
  }

  /**
   * Makes visible what a browser would drop, or what would turn the page's own text round: control
   * characters, lone surrogates, and the bidirectional embeddings, overrides and isolates.
   */
  private static String shown(Object value) {
    String text = value.toString();
    StringBuilder shown = new StringBuilder(text.length());
    text.codePoints()
        .forEach(
            c -> {
              if (Character.getType(c) == Character.SURROGATE) {
                shown.append('\uFFFD');
              } else if (Character.isISOControl(c) || turnsText(c)) {
                shown.append(String.format("[U+%04X]", c));
              } else {
                shown.appendCodePoint(c);
              }
            });
    return shown.toString();
  }

  private static boolean turnsText(int c) {
    return (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
  }
}
