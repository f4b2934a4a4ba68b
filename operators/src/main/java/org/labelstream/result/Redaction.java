package org.labelstream.result;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.UnaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Header;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Result;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;

/**
 * A text whose entities are blotted out. An entity goes with all of the words that it lies in, and
 * wherever it is written as words again, in small letters or capitals.
 *
 * <p>Immutable.
 */
public final class Redaction {

  /**
   * The header by which a record that is to be explained tells what was found in it: a line for
   * each entity, with start, end and label. It never goes out.
   */
  public static final String HEADER = "labelstream.redacted";

  /** Fields whose words are a model's own, and none of the text. */
  private static final Set<String> OF_MODELS = Set.of("label", "scores");

  private static final Pattern LINE = Pattern.compile("([0-9]{1,9}) ([0-9]{1,9}) (.*)");

  /** A stretch of the text, in chars, and the label of what stands there. */
  private record Span(int start, int end, String label) {}

  private final RedactSettings settings;
  private final String text;
  private final List<Span> found;

  /** All that gives way to something else, in its order. */
  private final List<Span> spans;

  /** The label of a word, by the word in small letters. */
  private final Map<String, String> words = new HashMap<>();

  private final Pattern pattern;
  private final String redacted;

  /**
   * @param found the entities, which may overlap
   */
  private Redaction(RedactSettings settings, String text, List<Span> found) {
    this.settings = settings;
    this.text = text;
    this.found = found;
    Set<String> asWritten = new HashSet<>();
    for (Span span : found) {
      String word = text.substring(span.start(), span.end()).strip();
      if (!word.isEmpty()) {
        words.putIfAbsent(folded(word), span.label());
        asWritten.add(word);
      }
    }
    this.pattern = pattern(asWritten);
    this.spans = withWordsBetween(merged(found));
    this.redacted = redacted();
  }

  /**
   * What is to be blotted out of a text.
   *
   * @param text the text
   * @param prediction its entities
   * @throws RejectedRecordException when the model did not see the whole of the text
   */
  public static Redaction of(RedactSettings settings, String text, Prediction prediction)
      throws RejectedRecordException {
    return of(settings, text, List.of(prediction));
  }

  /**
   * What is to be blotted out of a text: the entities of all models that find some.
   *
   * @param predictions what each of them found
   * @throws RejectedRecordException when one of them did not see the whole of the text
   */
  public static Redaction of(RedactSettings settings, String text, List<Prediction> predictions)
      throws RejectedRecordException {
    List<Span> found = new ArrayList<>();
    for (Prediction prediction : predictions) {
      found.addAll(found(settings, text, prediction));
    }
    return new Redaction(settings, text, found);
  }

  private static List<Span> found(RedactSettings settings, String text, Prediction prediction)
      throws RejectedRecordException {
    if (prediction.truncated()) {
      throw new RejectedRecordException(
          ErrorCode.NOT_REDACTED,
          Stage.OUTPUT,
          "the model saw only "
              + prediction.tokens()
              + " tokens of the text, so what stands behind them could not be redacted: shorten it,"
              + " or set parameters.stride");
    }
    List<Span> found = new ArrayList<>();
    for (Map<String, Object> entity : entities(prediction)) {
      String label = label(entity);
      if (settings.labels().containsKey(label)) {
        int start = text.offsetByCodePoints(0, (Integer) entity.get("start"));
        int end = text.offsetByCodePoints(0, (Integer) entity.get("end"));
        Span span = new Span(wordStart(text, start, end), wordEnd(text, start, end), label);
        Span last = found.isEmpty() ? null : found.get(found.size() - 1);
        if (last != null && goesOn(text, last, entity, span)) {
          found.set(
              found.size() - 1,
              new Span(last.start(), Math.max(last.end(), span.end()), last.label()));
        } else if (span.start() < span.end()) {
          found.add(span);
        }
      }
    }
    return found;
  }

  /** Whether a token goes on with the entity before it. */
  private static boolean goesOn(String text, Span last, Map<String, Object> entity, Span span) {
    return entity.get("entity") instanceof String label
        && label.startsWith("I-")
        && span.label().equals(last.label())
        && span.start() >= last.start()
        && (span.start() <= last.end() || text.substring(last.end(), span.start()).isBlank());
  }

  @SuppressWarnings("unchecked")
  private static List<Map<String, Object>> entities(Prediction prediction) {
    return (List<Map<String, Object>>) prediction.fields().get("entities");
  }

  /** The label of an entity or of a token of one, without what says whether it begins there. */
  private static String label(Map<String, Object> entity) {
    String label = (String) entity.getOrDefault("entity_group", entity.get("entity"));
    return label.startsWith("B-") || label.startsWith("I-") ? label.substring(2) : label;
  }

  private static boolean isInWord(String text, int at) {
    return at > 0
        && at < text.length()
        && isOfWords(text.codePointBefore(at))
        && isOfWords(text.codePointAt(at));
  }

  private static boolean isOfWords(int c) {
    return Character.isLetterOrDigit(c)
        || Character.getType(c) == Character.NON_SPACING_MARK
        || Character.getType(c) == Character.COMBINING_SPACING_MARK;
  }

  private static int wordStart(String text, int start, int end) {
    int at = start;
    while (start < end && isInWord(text, at)) {
      at -= Character.charCount(text.codePointBefore(at));
    }
    return at;
  }

  private static int wordEnd(String text, int start, int end) {
    int at = end;
    while (start < end && isInWord(text, at)) {
      at += Character.charCount(text.codePointAt(at));
    }
    return at;
  }

  /** Joins spans that overlap. */
  private static List<Span> merged(List<Span> found) {
    List<Span> sorted = new ArrayList<>(found);
    sorted.sort(Comparator.comparingInt(Span::start));
    List<Span> merged = new ArrayList<>();
    for (Span span : sorted) {
      Span last = merged.isEmpty() ? null : merged.get(merged.size() - 1);
      if (last != null && span.start() < last.end()) {
        merged.set(
            merged.size() - 1,
            new Span(last.start(), Math.max(last.end(), span.end()), last.label()));
      } else {
        merged.add(span);
      }
    }
    return merged;
  }

  private static String folded(String word) {
    return word.toUpperCase(Locale.ROOT).toLowerCase(Locale.ROOT);
  }

  /** Finds any of some words, the longest first, where no word goes on before or behind it. */
  private static Pattern pattern(Set<String> words) {
    if (words.isEmpty()) {
      return null;
    }
    return Pattern.compile(
        words.stream()
            .sorted(Comparator.comparingInt(String::length).reversed())
            .map(
                word ->
                    (isOfWords(word.codePointAt(0)) ? "(?<![\\p{L}\\p{N}\\p{Mn}\\p{Mc}])" : "")
                        + Pattern.quote(word)
                        + (isOfWords(word.codePointBefore(word.length()))
                            ? "(?![\\p{L}\\p{N}\\p{Mn}\\p{Mc}])"
                            : ""))
            .collect(Collectors.joining("|")),
        Pattern.CASE_INSENSITIVE | Pattern.UNICODE_CASE);
  }

  /** Spans of the text and, between them, those of their words where these stand again. */
  private List<Span> withWordsBetween(List<Span> entities) {
    if (pattern == null) {
      return entities;
    }
    List<Span> all = new ArrayList<>(entities);
    int from = 0;
    for (int i = 0; i <= entities.size(); i++) {
      int to = i < entities.size() ? entities.get(i).start() : text.length();
      Matcher matcher = pattern.matcher(text).region(from, to);
      while (matcher.find()) {
        all.add(new Span(matcher.start(), matcher.end(), labelOf(matcher.group())));
      }
      from = i < entities.size() ? entities.get(i).end() : to;
    }
    all.sort(Comparator.comparingInt(Span::start));
    return all;
  }

  private String redacted() {
    StringBuilder out = new StringBuilder(text.length());
    int from = 0;
    for (Span span : spans) {
      out.append(text, from, span.start()).append(settings.labels().get(span.label()));
      from = span.end();
    }
    return out.append(text, from, text.length()).toString();
  }

  private String labelOf(String word) {
    return words.getOrDefault(folded(word), found.get(0).label());
  }

  private String withoutWords(String any) {
    return pattern == null
        ? any
        : pattern
            .matcher(any)
            .replaceAll(
                match -> Matcher.quoteReplacement(settings.labels().get(labelOf(match.group()))));
  }

  /**
   * Rewrites any text of the record: the text itself, or another that may speak of its entities. It
   * leaves all as it is where only {@code redacted} is asked for.
   */
  public UnaryOperator<String> rewriting() {
    return settings.replace() && !spans.isEmpty()
        ? any -> any.equals(text) ? redacted : withoutWords(any)
        : UnaryOperator.identity();
  }

  /**
   * What was blotted out of the text of a record that is to be explained, as the record tells it.
   *
   * @param text the text that it was found in
   * @return nothing where the record does not tell
   */
  public static Optional<Redaction> of(RedactSettings settings, String text, SourceRecord record) {
    for (Header header : record.headers()) {
      if (header.key().equals(HEADER)) {
        List<Span> found =
            new String(header.value(), StandardCharsets.UTF_8)
                .lines()
                .map(LINE::matcher)
                .filter(Matcher::matches)
                .map(
                    line ->
                        new Span(
                            Integer.parseInt(line.group(1)),
                            Integer.parseInt(line.group(2)),
                            line.group(3)))
                .filter(span -> span.start() < span.end() && span.end() <= text.length())
                .filter(span -> settings.labels().containsKey(span.label()))
                .toList();
        return Optional.of(new Redaction(settings, text, found));
      }
    }
    return Optional.empty();
  }

  /**
   * The fields of an explanation without the words that were blotted out.
   *
   * @param fields with the {@code words} of the tokens and their {@code spans}, in code points
   */
  public Map<String, Object> explained(Map<String, Object> fields) {
    Map<String, Object> changed = new LinkedHashMap<>();
    fields.forEach((name, value) -> changed.put(name, rewritten(value)));
    if (fields.get("words") instanceof List<?> words && fields.get("spans") instanceof List<?> at) {
      List<Object> shown = new ArrayList<>();
      for (int i = 0; i < words.size(); i++) {
        String by = at.get(i) instanceof List<?> span ? inPlaceOf(span) : null;
        shown.add(by == null ? rewritten(words.get(i)) : by);
      }
      changed.put("words", shown);
    }
    return changed;
  }

  /** What takes the place of a token, or null where it stays. */
  private String inPlaceOf(List<?> codePoints) {
    int start = text.offsetByCodePoints(0, (Integer) codePoints.get(0));
    int end = text.offsetByCodePoints(0, (Integer) codePoints.get(1));
    for (Span span : spans) {
      if (start < span.end() && span.start() < end) {
        return settings.labels().get(span.label());
      }
    }
    return null;
  }

  private Object rewritten(Object value) {
    if (value instanceof String any) {
      return rewriting().apply(any);
    }
    if (value instanceof List<?> items) {
      return items.stream().map(item -> item == null ? null : rewritten(item)).toList();
    }
    if (value instanceof Map<?, ?> members) {
      Map<Object, Object> changed = new LinkedHashMap<>();
      members.forEach((name, member) -> changed.put(name, rewritten(member)));
      return changed;
    }
    return value;
  }

  /** A result of a model: without the words, where these are replaced. */
  public Result applied(Result result) {
    if (result.error() != null) {
      DeadLetter error = result.error();
      return Result.of(
          result, new DeadLetter(error.code(), error.stage(), rewriting().apply(error.message())));
    }
    Prediction prediction = result.prediction();
    return Result.of(
        result,
        prediction.fields().containsKey("entities") ? applied(prediction) : rewritten(prediction));
  }

  /** A result that may speak of the text, all but its labels, which are the model's. */
  private Prediction rewritten(Prediction prediction) {
    Map<String, Object> fields = new LinkedHashMap<>();
    prediction
        .fields()
        .forEach(
            (name, value) -> fields.put(name, OF_MODELS.contains(name) ? value : rewritten(value)));
    return new Prediction(fields, prediction.tokens(), prediction.truncated());
  }

  /** The result with the text as {@code redacted}. */
  public Prediction applied(Prediction prediction) {
    Map<String, Object> fields = new LinkedHashMap<>(prediction.fields());
    if (settings.replace()) {
      fields.put("entities", entities(prediction).stream().map(this::withoutWord).toList());
    }
    fields.put("redacted", redacted);
    return new Prediction(fields, prediction.tokens(), prediction.truncated());
  }

  private Map<String, Object> withoutWord(Map<String, Object> entity) {
    Map<String, Object> fields = new LinkedHashMap<>(entity);
    String by = settings.labels().get(label(entity));
    fields.computeIfPresent("word", (name, word) -> by == null ? withoutWords((String) word) : by);
    return fields;
  }

  /**
   * The record with other headers, where these speak of entities, and with the one that tells what
   * was found.
   *
   * @throws RejectedRecordException when its key does, which cannot be written anew: it decides on
   *     the record's partition, and on what a compacted topic keeps
   */
  public SourceRecord applied(SourceRecord record) throws RejectedRecordException {
    UnaryOperator<String> rewrite = rewriting();
    if (changed(record.key(), rewrite) != null) {
      throw new RejectedRecordException(
          ErrorCode.NOT_REDACTED,
          Stage.OUTPUT,
          "the record's key holds what is redacted in its text, and a key cannot be changed: give"
              + " it one that tells nothing");
    }
    if (!settings.replace()) {
      return record;
    }
    List<Header> headers = new ArrayList<>();
    for (Header header : record.headers()) {
      String changed = changed(header.value(), rewrite);
      if (!header.key().equals(HEADER)) {
        headers.add(changed == null ? header : Header.of(header.key(), changed));
      }
    }
    StringBuilder lines = new StringBuilder();
    for (Span span : found) {
      lines.append(span.start()).append(' ').append(span.end()).append(' ');
      lines.append(span.label()).append('\n');
    }
    headers.add(Header.of(HEADER, lines.toString()));
    return new SourceRecord(
        record.key(),
        record.value(),
        headers,
        record.topic(),
        record.partition(),
        record.offset(),
        record.timestamp());
  }

  /** The rewritten text of some bytes, or null where it stays as it is. */
  private static String changed(byte[] bytes, UnaryOperator<String> rewrite) {
    if (bytes == null) {
      return null;
    }
    String text = new String(bytes, StandardCharsets.UTF_8);
    String changed = rewrite.apply(text);
    return changed.equals(text) ? null : changed;
  }
}
