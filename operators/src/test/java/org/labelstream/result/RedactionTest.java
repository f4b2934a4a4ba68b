package org.labelstream.result;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.labelstream.codec.DecodedEvent;
import org.labelstream.codec.EventCodec;
import org.labelstream.codec.EventForm;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Header;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.SourceRecord;

class RedactionTest {

  private static final ObjectMapper JSON = new ObjectMapper();

  private static final LinkedHashMap<String, String> LABELS =
      new LinkedHashMap<>(Map.of("PER", "[NAME]", "LOC", "[PLACE]"));

  private static final List<String> NAMES =
      List.of(
          "Ann",
          "Al",
          "Jane Doe",
          "Zoë",
          "José-María",
          "O'Neill",
          "Åsa Öberg",
          "Zoe\u0308",
          "Straße",
          "李雷",
          "İpek",
          "J. R.",
          "Nina \uD83D\uDE00",
          "a\"b\\c");

  private static final List<String> WORDS =
      List.of(
          "the",
          "Anniversary",
          "of",
          "Alabama",
          "met",
          "\uD83D\uDE00",
          "\n",
          "annual",
          "Janet",
          "said:",
          "(",
          ")",
          "also",
          "al-",
          "zo",
          "\"quoted\"",
          "é");

  /** A text and what a model finds in it. */
  private record Marked(String text, List<Map<String, Object>> entities, List<String> names) {}

  private static Map<String, Object> entity(
      String text, String key, String label, int start, int end) {
    Map<String, Object> entity = new LinkedHashMap<>();
    entity.put(key, label);
    entity.put("score", 0.9f);
    entity.put("word", text.substring(start, end).toLowerCase(Locale.ROOT));
    entity.put("start", text.codePointCount(0, start));
    entity.put("end", text.codePointCount(0, end));
    return entity;
  }

  private static Marked marked(Random random) {
    StringBuilder text = new StringBuilder();
    List<int[]> places = new ArrayList<>();
    List<String> names = new ArrayList<>();
    for (int words = random.nextInt(20); words >= 0; words--) {
      if (random.nextInt(4) == 0) {
        String name = NAMES.get(random.nextInt(NAMES.size()));
        // A name that has been found may be missed where it stands again.
        if (!names.contains(name) || random.nextBoolean()) {
          places.add(new int[] {text.length(), text.length() + name.length()});
          names.add(name);
        }
        text.append(name);
      } else {
        text.append(WORDS.get(random.nextInt(WORDS.size())));
      }
      text.append(random.nextInt(5) == 0 ? ", " : " ");
    }
    String whole = text.toString();
    List<Map<String, Object>> entities = new ArrayList<>();
    boolean tokens = random.nextBoolean();
    for (int[] place : places) {
      String label = random.nextBoolean() ? "PER" : "LOC";
      if (!tokens) {
        entities.add(entity(whole, "entity_group", label, place[0], place[1]));
        continue;
      }
      // As without an aggregation: a piece, and the rest.
      int cut = whole.offsetByCodePoints(place[0], 1);
      entities.add(entity(whole, "entity", "B-" + label, place[0], cut));
      if (cut < place[1] && random.nextBoolean()) {
        entities.add(entity(whole, "entity", "I-" + label, cut, place[1]));
      } else if (cut < place[1] && !isOneWord(whole.substring(place[0], place[1]))) {
        entities.add(entity(whole, "entity", "I-" + label, cut, place[1]));
      }
    }
    return new Marked(whole, entities, names);
  }

  private static boolean isOneWord(String name) {
    return name.codePoints().allMatch(Character::isLetterOrDigit);
  }

  /** Whether a name stands in a text as words of its own, however it is written. */
  private static boolean speaksOf(String text, String name) {
    return Pattern.compile(
            "(?<![\\p{L}\\p{N}\\p{M}])" + Pattern.quote(name) + "(?![\\p{L}\\p{N}\\p{M}])",
            Pattern.CASE_INSENSITIVE | Pattern.UNICODE_CASE)
        .matcher(text)
        .find();
  }

  private static List<String> texts(JsonNode node) {
    List<String> texts = new ArrayList<>();
    if (node.isObject()) {
      node.propertyStream()
          .forEach(
              member -> {
                texts.add(member.getKey());
                texts.addAll(texts(member.getValue()));
              });
    } else if (node.isArray()) {
      node.forEach(item -> texts.addAll(texts(item)));
    } else {
      texts.add(node.asText());
    }
    return texts;
  }

  private static DecodedEvent decode(SourceRecord record) throws RejectedRecordException {
    return new EventCodec("p", EventForm.DEFAULT, 1 << 20, List.of("text")).decode(record);
  }

  private static SourceRecord record(Marked marked, Random random) throws IOException {
    String name = marked.names().isEmpty() ? "nobody" : marked.names().get(0);
    Map<String, Object> value = new LinkedHashMap<>();
    value.put("id", 5);
    value.put("author", Map.of(name, name.toUpperCase(Locale.ROOT)));
    value.put("before", Map.of("text", marked.text()));
    value.put("text", marked.text());
    value.put("log", List.of("by " + name + ".", 0.10, true));
    value.put("parameters", Map.of("stride", 0));
    String json = JSON.writeValueAsString(value);
    if (random.nextBoolean()) {
      StringBuilder escaped = new StringBuilder();
      json.chars()
          .forEach(
              c ->
                  escaped.append(
                      c > 126 ? String.format(Locale.ROOT, "\\u%04x", c) : "" + (char) c));
      json = escaped.toString();
    }
    return new SourceRecord(
        "k".getBytes(UTF_8),
        json.getBytes(UTF_8),
        List.of(Header.of("user", name), new Header("none", null), Header.of("x", "y")),
        "t",
        0,
        1,
        0);
  }

  @Test
  void noEntityThatWasFoundIsAnywhereInTheRecordOrItsHeaders() throws Exception {
    Random random = new Random(131);
    RedactSettings settings = new RedactSettings(LABELS, true);
    int names = 0;
    for (int i = 0; i < 2_000; i++) {
      Marked marked = marked(random);
      SourceRecord record = record(marked, random);
      DecodedEvent event = decode(record);
      Prediction prediction = new Prediction(Map.of("entities", marked.entities()), 9, false);
      Redaction redaction = Redaction.of(settings, event.event().text(), prediction);
      byte[] out =
          event.labelled("t", "m", "v", redaction.applied(prediction), redaction.rewriting());

      JsonNode tree = JSON.readTree(out);
      List<String> all = texts(tree);
      for (Header header : redaction.applied(record).headers()) {
        all.add(header.value() == null ? "" : new String(header.value(), UTF_8));
      }
      for (String name : marked.names()) {
        assertThat(all).as(marked.toString()).noneMatch(text -> speaksOf(text, name));
      }
      names += marked.names().size();
      assertThat(tree.at("/before/text")).isEqualTo(tree.get("text"));
      assertThat(tree.at("/inference/p/redacted")).isEqualTo(tree.get("text"));
      assertThat(tree.at("/log/1").asText()).isEqualTo("0.1");
      if (marked.names().isEmpty()) {
        assertThat(tree.get("text").asText()).isEqualTo(marked.text());
      }
    }
    assertThat(names).isGreaterThan(3_000);
  }

  @Test
  void leavesTheRecordAsItIsWhereOnlyRedactedIsAskedFor() throws Exception {
    String text = "Ann met Ann's aunt, Annie, in Rome";
    Prediction prediction =
        new Prediction(
            Map.of(
                "entities",
                List.of(
                    entity(text, "entity_group", "PER", 0, 3),
                    entity(text, "entity_group", "LOC", 30, 34),
                    entity(text, "entity_group", "MISC", 14, 18))),
            9,
            false);
    Redaction redaction = Redaction.of(new RedactSettings(LABELS, false), text, prediction);

    Prediction applied = redaction.applied(prediction);
    assertThat(applied.fields().get("redacted"))
        .isEqualTo("[NAME] met [NAME]'s aunt, Annie, in [PLACE]");
    assertThat(applied.fields().get("entities")).isEqualTo(prediction.fields().get("entities"));
    assertThat(redaction.rewriting().apply(text)).isEqualTo(text);
  }

  @Test
  void aPieceTakesItsWholeWordWithIt() throws Exception {
    String text = "by Johnson";
    Prediction prediction =
        new Prediction(
            Map.of("entities", List.of(entity(text, "entity", "B-PER", 3, 5))), 4, false);
    assertThat(
            Redaction.of(new RedactSettings(LABELS, false), text, prediction)
                .applied(prediction)
                .fields())
        .containsEntry("redacted", "by [NAME]");
  }

  @Test
  void aTextThatWasNotSeenToItsEndIsRefused() {
    RejectedRecordException e =
        catchThrowableOfType(
            RejectedRecordException.class,
            () ->
                Redaction.of(
                    new RedactSettings(LABELS, true),
                    "a b",
                    new Prediction(Map.of("entities", List.of()), 64, true)));
    assertThat(e.letter().code()).isEqualTo(ErrorCode.NOT_REDACTED);
    assertThat(e.letter().message())
        .isEqualTo(
            "the model saw only 64 tokens of the text, so what stands behind them could not be"
                + " redacted: shorten it, or set parameters.stride");
  }

  @Test
  void aKeyThatTellsIsRefused() throws Exception {
    String text = "by Ann";
    Prediction prediction =
        new Prediction(
            Map.of("entities", List.of(entity(text, "entity_group", "PER", 3, 6))), 4, false);
    SourceRecord record =
        new SourceRecord("user ann".getBytes(UTF_8), text.getBytes(UTF_8), List.of(), "t", 0, 0, 0);
    Redaction redaction = Redaction.of(new RedactSettings(LABELS, true), text, prediction);
    assertThat(
            catchThrowableOfType(RejectedRecordException.class, () -> redaction.applied(record))
                .letter()
                .code())
        .isEqualTo(ErrorCode.NOT_REDACTED);
    assertThat(Redaction.of(new RedactSettings(LABELS, false), text, prediction).applied(record))
        .isEqualTo(record);
  }
}
