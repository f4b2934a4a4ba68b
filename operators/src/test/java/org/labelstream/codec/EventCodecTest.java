package org.labelstream.codec;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_16BE;
import static java.nio.charset.StandardCharsets.UTF_16LE;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;
import org.labelstream.record.Target;
import org.labelstream.record.TextEvent;

class EventCodecTest {

  /** The reference reader: it takes what RFC 8259 takes, and nothing after the value. */
  static final ObjectMapper JSON =
      JsonMapper.builder(
              JsonFactory.builder()
                  .streamReadConstraints(
                      StreamReadConstraints.builder()
                          .maxNumberLength(1_000_000)
                          .maxNestingDepth(2_000)
                          .maxNameLength(1_000_000)
                          .build())
                  .build())
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
          .build();

  private static final Set<String> FIELDS = Set.of("text", "text_pair", "question", "context");

  private static final Prediction PREDICTION = prediction(Map.of("label", "POSITIVE"));

  private static Prediction prediction(Map<String, Object> fields) {
    return new Prediction(fields, 7, false);
  }

  private static SourceRecord record(byte[] value) {
    return new SourceRecord(null, value, List.of(), "texts", 3, 41, 0);
  }

  private static final List<EventFormat> FORMATS =
      List.of(EventFormat.AUTO, EventFormat.JSON, EventFormat.TEXT);

  private static DecodedEvent decode(EventFormat format, byte[] value)
      throws RejectedRecordException {
    return new EventCodec("sentiment", EventForm.of(format), 1 << 20, FIELDS).decode(record(value));
  }

  private static TextEvent event(String value) throws RejectedRecordException {
    return decode(EventFormat.AUTO, value.getBytes(UTF_8)).event();
  }

  private static String label(EventFormat format, byte[] value) throws RejectedRecordException {
    return label("sentiment", format, value, PREDICTION);
  }

  private static String label(String value) throws RejectedRecordException {
    return label(EventFormat.AUTO, value.getBytes(UTF_8));
  }

  private static String label(
      String pipeline, EventFormat format, byte[] value, Prediction prediction)
      throws RejectedRecordException {
    byte[] labelled =
        new EventCodec(pipeline, EventForm.of(format), 1 << 20, FIELDS)
            .decode(record(value))
            .labelled("sequence_classification", "reviews", "3f9c0e12", prediction);
    String text = strictUtf8(labelled);
    tree(text);
    return text;
  }

  private static String strictUtf8(byte[] bytes) {
    try {
      return UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
    } catch (IOException e) {
      throw new AssertionError("the labelled record is not UTF-8", e);
    }
  }

  private static JsonNode tree(String json) {
    try {
      return JSON.readTree(json);
    } catch (IOException e) {
      throw new AssertionError("not JSON: " + json, e);
    }
  }

  private static DeadLetter refused(EventFormat format, byte[] value) {
    RejectedRecordException e =
        catchThrowableOfType(RejectedRecordException.class, () -> decode(format, value));
    assertThat(e).as("a refusal").isNotNull();
    assertThat(e.letter().stage()).isEqualTo(Stage.DECODE);
    return e.letter();
  }

  private static DeadLetter refused(String value) {
    return refused(EventFormat.AUTO, value.getBytes(UTF_8));
  }

  /** Values of other forms than text and JSON objects, as real topics hold them. */
  @Nested
  class OtherForms {

    private static byte[] bytes(Object... parts) {
      ByteBuffer all = ByteBuffer.allocate(1_000);
      for (Object part : parts) {
        if (part instanceof Integer b) {
          all.put(b.byteValue());
        } else {
          all.put(((String) part).getBytes(UTF_8));
        }
      }
      return Arrays.copyOf(all.array(), all.position());
    }

    static List<byte[]> binary() {
      return List.of(
          // Confluent's wire format: 0, the schema's id in four bytes, then JSON, Avro (the length
          // as a zigzag varint), Protobuf (message index, field 1 of type 2, its length).
          bytes(0, 0, 0, 0, 1, "{\"text\": \"a good film\"}"),
          bytes(0, 0, 0, 0, 7, 22, "a good film"),
          bytes(0, 0, 1, 100, 100, 22, "a good film"),
          bytes(0, 0, 0, 0, 3, 0, 10, 11, "a good film"),
          bytes(10, 21, "a good film, good one"), // Protobuf without a registry
          bytes(4, "ok"), // Avro without one
          bytes("a ", 0, 1, 2, " film"));
    }

    @ParameterizedTest
    @MethodSource
    void binary(byte[] value) {
      DeadLetter letter = refused(EventFormat.AUTO, value);

      assertThat(letter.code()).isEqualTo(ErrorCode.NOT_TEXT);
      assertThat(letter.message()).contains("set format: text").doesNotContain("%");
    }

    @Test
    void aTextThatIsSaidToBeOneIsReadWhateverItHolds() throws Exception {
      assertThat(decode(EventFormat.TEXT, bytes("a ", 0, " film")).event().text())
          .isEqualTo("a \0 film");
    }

    @ParameterizedTest
    @ValueSource(
        strings = {
          "\tindented",
          "\r\n\r\nlines",
          "\u001B[1mbold\u001B[0m",
          "a\u0001b, as Hive has it",
          "as C ends it\u0000",
          "What a \u0000 wonderful film",
          "[sigh] a good film",
          "[1, 2",
          "\"Great\", she said",
          "\"a \\x\"",
          "\"",
          "42",
          "null",
          ""
        })
    void whatATextMayHold(String text) throws Exception {
      assertThat(event(text).text()).isEqualTo(text);
    }

    @Test
    void aJsonStringIsItsContent() throws Exception {
      assertThat(event(" \"a \\\"good\\\"\\nfilm\"\n").text()).isEqualTo("a \"good\"\nfilm");
      assertThat(event("\"\\\"twice\\\"\"").text()).isEqualTo("\"twice\"");
      assertThat(event("\"{\\\"text\\\": \\\"within\\\"}\"").text()).isEqualTo("within");
      assertThat(label("\"{\\\"text\\\": \\\"within\\\", \\\"n\\\": 0.10}\""))
          .contains("\"n\": 0.10", "\"label\":\"POSITIVE\"");
    }

    @ParameterizedTest
    @ValueSource(strings = {"[{\"text\": \"a\"}]", " [\"a\", \"b\"] ", "[]"})
    void aJsonArrayIsRefused(String value) {
      DeadLetter letter = refused(EventFormat.AUTO, value.getBytes(UTF_8));

      assertThat(letter.code()).isEqualTo(ErrorCode.MALFORMED_JSON);
      assertThat(letter.message())
          .isEqualTo("the value is a JSON array: send each of its items as a record of its own");
    }

    @Test
    void aByteOrderMarkIsNoPartOfTheText() throws Exception {
      assertThat(event("\uFEFFa good film").text()).isEqualTo("a good film");
      assertThat(event("\uFEFF{\"text\": \"a\"}").text()).isEqualTo("a");
      assertThat(decode(EventFormat.TEXT, "\uFEFFa".getBytes(UTF_8)).event().text()).isEqualTo("a");
    }

    @ParameterizedTest
    @ValueSource(strings = {"NaN", "Infinity", "-Infinity", "'a'", "+1", "01", ".5", "1."})
    void whatIsNoJsonIsToldWithoutAdviceForPrograms(String value) {
      DeadLetter letter =
          refused(
              EventFormat.AUTO, ("{\"text\": \"a\", \"score\": " + value + "}").getBytes(UTF_8));

      assertThat(letter.code()).isEqualTo(ErrorCode.MALFORMED_JSON);
      assertThat(letter.message())
          .startsWith("the value is not valid JSON (at byte ")
          .doesNotContain("enable", "Feature");
    }

    @Test
    void fieldsThatTheTaskDoesNotReadAreSomebodyElses() throws Exception {
      String value =
          "{\"text\": \"a\", \"context\": {\"user\": 1}, \"question\": 5, \"context\": 6}";
      DecodedEvent event =
          new EventCodec("p", EventForm.of(EventFormat.AUTO), 1_000, List.of("text"))
              .decode(record(value.getBytes(UTF_8)));

      assertThat(new String(event.labelled("t", "m", "v", PREDICTION), UTF_8))
          .contains("\"context\": {\"user\": 1}", "\"question\": 5", "\"context\": 6");
    }
  }

  @Nested
  class AValueIsReadAs {

    @ParameterizedTest
    @ValueSource(
        strings = {
          "{\"text\": \"good\"}",
          " \t\r\n {\"text\": \"good\"}",
          "\uFEFF{\"text\": \"good\"}",
          "\uFEFF \n{\"text\":\"good\"}\r\n\t "
        })
    void anObjectWhereItsFirstNonBlankCharacterIsABrace(String value) throws Exception {
      for (EventFormat format : List.of(EventFormat.AUTO, EventFormat.JSON)) {
        assertThat(decode(format, value.getBytes(UTF_8)).event().text()).isEqualTo("good");
        assertThat(tree(label(format, value.getBytes(UTF_8))).get("text").textValue())
            .isEqualTo("good");
      }
    }

    @ParameterizedTest
    @ValueSource(
        strings = {
          "What a wonderful film",
          "",
          "   ",
          "[",
          "null",
          "12",
          "}",
          "line one\nline two \"quoted\" \\ back\u0000\u0007",
          "😀 über אבג ﷽ \u2028"
        })
    void theTextItselfOtherwise(String value) throws Exception {
      JsonNode labelled = tree(label(value));

      assertThat(event(value)).isEqualTo(TextEvent.ofText("texts-3@41", value));
      assertThat(labelled.propertyStream().map(Map.Entry::getKey).toList())
          .containsExactly("id", "text", "inference");
      assertThat(labelled.get("id").textValue()).isEqualTo("texts-3@41");
      assertThat(labelled.get("text").textValue()).isEqualTo(value);
    }

    @Test
    void theTextItselfWhereTheFormatIsText() throws Exception {
      byte[] value = "{\"text\": \"good\"}".getBytes(UTF_8);

      assertThat(decode(EventFormat.TEXT, value).event().text()).isEqualTo("{\"text\": \"good\"}");
      assertThat(tree(label(EventFormat.TEXT, value)).get("text").textValue())
          .isEqualTo("{\"text\": \"good\"}");
    }

    @ParameterizedTest
    @ValueSource(strings = {"good", "", "[1]", "\"good\"", "null"})
    void nothingWhereTheFormatIsJsonAndItIsNoObject(String value) {
      DeadLetter letter = refused(EventFormat.JSON, value.getBytes(UTF_8));

      assertThat(letter.code()).isEqualTo(ErrorCode.MALFORMED_JSON);
      assertThat(letter.message())
          .isEqualTo(
              "the value is not a JSON object, and the input's format is json: send {\"text\": \"…\"}, or set format: auto");
    }
  }

  @Nested
  class TheId {

    @ParameterizedTest
    @ValueSource(
        strings = {
          "\"e-1\"",
          "\"\"",
          "17",
          "-0",
          "123456789012345678901234567890",
          "\"\\u0065-\\ud800\"",
          "\"a\\/b\""
        })
    void isKeptAsItWasWritten(String id) throws Exception {
      assertThat(label("{\"text\": \"good\", \"id\" : " + id + " }"))
          .startsWith("{\"text\": \"good\",\"id\" : " + id + ",\"inference\":{");
    }

    @Test
    void isThePositionWhereThereIsNone() throws Exception {
      assertThat(tree(label("{\"text\": \"good\"}")).get("id").textValue()).isEqualTo("texts-3@41");
      assertThat(label("{\"text\": \"good\"}")).startsWith("{\"id\":\"texts-3@41\",");
    }

    @ParameterizedTest
    @ValueSource(
        strings = {"{\"id\": null, \"text\": \"good\"}", "{\"text\":\"good\",\"id\":null}"})
    void isThePositionWhereItIsNull(String value) throws Exception {
      String labelled = label(value);

      assertThat(tree(labelled).get("id").textValue()).isEqualTo("texts-3@41");
      assertThat(labelled.split("\"id\"", -1)).hasSize(2);
    }

    @Test
    void isTheLineOfAFile() throws Exception {
      SourceRecord line =
          new SourceRecord(
              null,
              "good".getBytes(UTF_8),
              List.of(),
              "in.txt",
              SourceRecord.NO_PARTITION,
              12,
              SourceRecord.NO_PARTITION);

      byte[] labelled =
          new EventCodec("sentiment", EventForm.of(EventFormat.AUTO), 1000, FIELDS)
              .decode(line)
              .labelled("t", "m", "v", PREDICTION);

      assertThat(tree(strictUtf8(labelled)).get("id").textValue()).isEqualTo("in.txt:12");
    }

    @ParameterizedTest
    @ValueSource(strings = {"1.0", "1e3", "true", "[1]", "{}"})
    void isRefusedWhereItIsNeitherTextNorInteger(String id) {
      DeadLetter letter = refused("{\"text\": \"good\", \"id\": " + id + "}");

      assertThat(letter.code()).isEqualTo(ErrorCode.INVALID_FIELD);
      assertThat(letter.message())
          .isEqualTo(
              "the field id must be a string or an integer: send one, or name another field with input.fields.id");
    }
  }

  @Nested
  class WhatATaskIsAsked {

    @Test
    void isReadFromTheKnownFields() throws Exception {
      TextEvent event =
          event(
              """
              {"text": "a\\n\\u00e9\\ud83d\\ude00", "text_pair": "b", "question": "q", "context": "c",
               "explain": true, "target": 2, "parameters": {"top_k": 2}}
              """);

      assertThat(event)
          .isEqualTo(
              new TextEvent(
                  "texts-3@41",
                  "a\né😀",
                  "b",
                  "q",
                  "c",
                  true,
                  new Target.Index(2),
                  Map.of("top_k", 2L)));
    }

    @Test
    void isReadFromNamesThatAreEscaped() throws Exception {
      assertThat(event("{\"\\u0074ext\": \"good\", \"\\u0065xplain\": true}"))
          .isEqualTo(new TextEvent("texts-3@41", "good", null, null, null, true, null, Map.of()));
    }

    @Test
    void isAbsentWhereAFieldIsNull() throws Exception {
      assertThat(
              event(
                  "{\"text\": null, \"text_pair\": null, \"question\": null, \"context\": null, \"explain\": null, \"target\": null, \"parameters\": null}"))
          .isEqualTo(new TextEvent("texts-3@41", null, null, null, null, false, null, Map.of()));
    }

    @Test
    void keepsALoneSurrogateOfATextForTheTokenizerToReplace() throws Exception {
      assertThat(event("{\"text\": \"a\\ud800b\"}").text()).isEqualTo("a\ud800b");
    }

    @Test
    void takesATargetByIndexByTokenOrByLabel() throws Exception {
      assertThat(event("{\"target\": 1}").target()).isEqualTo(new Target.Index(1));
      assertThat(event("{\"target\": [3, 1]}").target()).isEqualTo(new Target.TokenClass(3, 1));
      assertThat(event("{\"target\": \"POSITIVE\"}").target())
          .isEqualTo(new Target.Label("POSITIVE"));
    }

    @Test
    void takesParametersOfEveryType() throws Exception {
      Map<String, Object> parameters =
          event(
                  """
                  {"parameters": {"a": "x", "b": true, "c": 1, "d": 9223372036854775808, "e": 0.5, "f": [1, null],
                   "g": {"h": false}, "i": null, "j": -9223372036854775808}}
                  """)
              .parameters();

      assertThat(parameters)
          .containsEntry("a", "x")
          .containsEntry("b", true)
          .containsEntry("c", 1L)
          .containsEntry("d", BigInteger.TWO.pow(63))
          .containsEntry("e", 0.5)
          .containsEntry("f", Arrays.asList(1L, null))
          .containsEntry("g", Map.of("h", false))
          .containsEntry("i", null)
          .containsEntry("j", Long.MIN_VALUE);
    }
  }

  @Nested
  class CarriedFields {

    @ParameterizedTest
    @ValueSource(
        strings = {
          "\"n\": 1e400",
          "\"n\":0.10",
          "\"n\" : -0.0",
          "\"n\": 1E+2",
          "\"n\": 12345678901234567890",
          "\"s\": \"\\ud800\"",
          "\"s\": \"\\u00E9 \\/ \\b😀\u007f\"",
          "\"\\u0061\\ud800\": 1",
          "\"\": \"\"",
          "\"o\": {\"x\" :\t[ 1 ,2,\n { } ] , \"text\": [null], \"inference\": 1}",
          "\"a\": 1, \"a\": 2",
          "\"b\":true",
          "\"z\": null",
          "\"request\": {\"explain\": true}",
          "\"deep\": [[[[[[{\"a\":[]}]]]]]]",
          "\"crlf\"\r\n:\r\n[\r\n1,\r\n2]",
        })
    void stayAsTheyWereWritten(String members) throws Exception {
      String duplicatesApart = members.replace(", \"a\": 2", "");
      for (String value :
          List.of(
              "{" + members + ", \"text\": \"good\"}",
              "{\"text\": \"good\"," + members + "}",
              "\n{\"text\": \"good\"\r\n,\t" + members + " \r\n}\r\n",
              "\uFEFF {  " + members + "\n ,\n\"text\"  : \"good\"  }  ")) {
        assertThat(label(value)).contains(duplicatesApart);
      }
    }

    @Test
    void keepTheirOrderAndTheirDuplicates() throws Exception {
      assertThat(label("{\"b\": 1, \"a\": 2,\"text\":\"good\" , \"b\" : 3,\"id\":\"i\"}"))
          .startsWith(
              "{\"b\": 1,\"a\": 2,\"text\":\"good\",\"b\" : 3,\"id\":\"i\",\"inference\":{");
    }

    @Test
    void mayHoldNumbersOfAnyLength() throws Exception {
      String digits = "7".repeat(100_000);

      assertThat(label("{\"text\": \"good\", \"n\": " + digits + ", \"m\": 0." + digits + "}"))
          .contains("\"n\": " + digits + ",\"m\": 0." + digits + ",");
      assertThat(label("{\"id\": " + digits + ", \"text\": \"good\"}"))
          .startsWith("{\"id\": " + digits + ",");
    }

    @Test
    void mayHaveNamesAndTextsOfAnyLength() throws Exception {
      String name = "n".repeat(200_000);

      assertThat(label("{\"" + name + "\": \"" + name + "\", \"text\": \"good\"}"))
          .contains("\"" + name + "\": \"" + name + "\"");
    }

    @Test
    void keepTheTextFieldToo() throws Exception {
      assertThat(label("{\"text\": \"\\u0067ood \\ud800\"}"))
          .contains("\"text\": \"\\u0067ood \\ud800\"");
    }

    @Test
    void mayBeAbsent() throws Exception {
      assertThat(tree(label("{}")).propertyStream().map(Map.Entry::getKey).toList())
          .containsExactly("id", "inference");
    }
  }

  @Nested
  class TheResult {

    @Test
    void standsUnderThePipelinesName() throws Exception {
      Map<String, Object> fields = new LinkedHashMap<>();
      fields.put("label", "POSITIVE");
      fields.put("score", 0.9987f);
      fields.put("scores", List.of(Map.of("label", "POSITIVE"), Map.of("score", 0.25)));
      fields.put("long", 1L << 40);
      fields.put("int", 3);
      fields.put("flag", false);
      fields.put("nothing", null);

      String labelled =
          label("a \"b\" é", EventFormat.AUTO, "good".getBytes(UTF_8), prediction(fields));

      JsonNode result = tree(labelled).get("inference").get("a \"b\" é");
      assertThat(result)
          .isEqualTo(
              tree(
                  """
                  {"task": "sequence_classification", "model": "reviews", "version": "3f9c0e12",
                   "label": "POSITIVE", "score": 0.9987, "scores": [{"label": "POSITIVE"}, {"score": 0.25}],
                   "long": 1099511627776, "int": 3, "flag": false, "nothing": null,
                   "tokens": 7, "truncated": false}
                  """));
      assertThat(result.propertyStream().map(Map.Entry::getKey).toList())
          .startsWith("task", "model", "version", "label", "score")
          .endsWith("tokens", "truncated");
    }

    @Test
    void mayHoldALoneSurrogateWhichStaysAnEscape() throws Exception {
      Map<String, Object> fields = new LinkedHashMap<>();
      fields.put("word", "a\ud800é😀");
      fields.put("next", "é😀");

      String labelled = label("p", EventFormat.AUTO, "good".getBytes(UTF_8), prediction(fields));

      assertThat(labelled).containsIgnoringCase("\\ud800").contains("\"é😀\"");
      assertThat(tree(labelled).get("inference").get("p").get("word").textValue())
          .isEqualTo("a\ud800é😀");
    }

    @Test
    void echoesWhatWasConsumedAndTheEventLosesIt() throws Exception {
      String labelled =
          label(
              "{\"explain\" : true, \"text\": \"good\", \"parameters\": {\"top_k\":  2, \"x\": 1e400},\"target\":\n[1, 2]}");

      assertThat(labelled)
          .startsWith("{\"id\":\"texts-3@41\",\"text\": \"good\",\"inference\":{")
          .endsWith(
              "\"request\":{\"explain\" : true,\"parameters\": {\"top_k\":  2, \"x\": 1e400},\"target\":\n[1, 2]}}}}");
    }

    @Test
    void hasNoRequestWhereNothingWasAsked() throws Exception {
      assertThat(label("{\"text\": \"good\"}")).doesNotContain("request");
    }

    @Test
    void ofASecondPipelineIsAddedAndTheFirstStaysAsItWas() throws Exception {
      String first = label("{\"text\": \"good\", \"explain\": true, \"id\": 7}");
      String firstResult =
          first.substring(first.indexOf("\"sentiment\""), first.length() - "}}".length());

      String second =
          label(
              "topics", EventFormat.AUTO, first.getBytes(UTF_8), prediction(Map.of("label", "X")));

      assertThat(second)
          .startsWith(
              "{\"text\": \"good\",\"id\": 7,\"inference\":{" + firstResult + ",\"topics\":{");
      assertThat(tree(second).get("inference").get("topics").has("request")).isFalse();
      assertThat(tree(second).get("inference").get("sentiment"))
          .isEqualTo(tree(first).get("inference").get("sentiment"));
    }

    @Test
    void ofTheSamePipelineReplacesItsEarlierOne() throws Exception {
      String value =
          "{\"inference\": {\"x\" : 1e400 , \"\\u0073entiment\": {\"label\": \"OLD\"},\"y\":[ ]\n}, \"text\": \"good\", \"id\": 1}";

      String labelled = label(value);

      assertThat(labelled)
          .startsWith(
              "{\"text\": \"good\",\"id\": 1,\"inference\":{\"x\" : 1e400,\"y\":[ ],\"sentiment\":{\"task\"")
          .doesNotContain("OLD");
    }

    @Test
    void joinsAnEmptyInferenceObject() throws Exception {
      assertThat(label("{\"id\": 1, \"inference\" : { } }"))
          .startsWith("{\"id\": 1,\"inference\":{\"sentiment\":{");
    }

    @Test
    void takesThePlaceOfANullInference() throws Exception {
      assertThat(label("{\"inference\": null, \"id\": 1}"))
          .startsWith("{\"id\": 1,\"inference\":{\"sentiment\":{");
    }

    @ParameterizedTest
    @ValueSource(strings = {"3", "\"a\"", "[]", "true"})
    void hasNoPlaceWhereInferenceIsNoObject(String inference) {
      DeadLetter letter = refused("{\"text\": \"a\", \"inference\" : " + inference + " }");

      assertThat(letter.code()).isEqualTo(ErrorCode.INVALID_FIELD);
      assertThat(letter.message())
          .isEqualTo(
              "the field inference is not an object, so no result can be added to it: rename it");
    }
  }

  @Nested
  class ADeadLetter {

    @Test
    void isMadeOfATombstone() {
      DeadLetter letter = refused(EventFormat.AUTO, null);

      assertThat(letter.code()).isEqualTo(ErrorCode.NULL_VALUE);
      assertThat(letter.message())
          .isEqualTo(
              "the record has no value (a tombstone): send one, or set tombstones: forward to pass them on");
    }

    @Test
    void isMadeOfAValueThatIsTooLarge() throws Exception {
      EventCodec codec = new EventCodec("p", EventForm.of(EventFormat.AUTO), 10, FIELDS);

      assertThat(codec.decode(record("0123456789".getBytes(UTF_8))).event().text()).hasSize(10);
      RejectedRecordException e =
          catchThrowableOfType(
              RejectedRecordException.class, () -> codec.decode(record(new byte[11])));
      assertThat(e.letter())
          .isEqualTo(
              new DeadLetter(
                  ErrorCode.TOO_LARGE,
                  Stage.DECODE,
                  "the value has 11 bytes, but max-value-bytes is 10: shorten it, or raise max-value-bytes"));
    }

    @ParameterizedTest
    @CsvSource({
      "overlong slash, c0af",
      "overlong NUL, c080",
      "surrogate half, eda080",
      "beyond the last code point, f4908080",
      "cut after one of two bytes, 61c3",
      "cut after three of four bytes, f09f98",
      "continuation alone, 80",
      "never a byte of UTF-8, 61ff61"
    })
    void isMadeOfBytesThatAreNotUtf8(String what, String hex) {
      byte[] bytes = java.util.HexFormat.of().parseHex(hex);
      for (EventFormat format : FORMATS) {
        assertThat(refused(format, bytes))
            .as(what)
            .isEqualTo(
                new DeadLetter(
                    ErrorCode.NOT_UTF8,
                    Stage.DECODE,
                    "the value is not UTF-8: send UTF-8 or, where it is a text of another charset,"
                        + " set input.charset, such as windows-1252"));
      }
    }

    @Test
    void isMadeOfLatin1AndOfUtf16WithItsMark() {
      assertThat(refused(EventFormat.AUTO, "café".getBytes(ISO_8859_1)).code())
          .isEqualTo(ErrorCode.NOT_UTF8);
      assertThat(refused(EventFormat.AUTO, "\uFEFF{\"text\": \"a\"}".getBytes(UTF_16BE)).code())
          .isEqualTo(ErrorCode.NOT_UTF8);
      assertThat(refused(EventFormat.AUTO, "\uFEFF{\"text\": \"a\"}".getBytes(UTF_16LE)).code())
          .isEqualTo(ErrorCode.NOT_UTF8);
      assertThat(refused(EventFormat.AUTO, "{\"text\": \"a\"}".getBytes(UTF_16LE)))
          .isEqualTo(
              new DeadLetter(
                  ErrorCode.NOT_TEXT,
                  Stage.DECODE,
                  "the value is in UTF-16LE, as its first bytes tell: set input.charset: UTF-16LE,"
                      + " or send UTF-8"));
      assertThat(refused(EventFormat.JSON, "{\"text\": \"a\"}".getBytes(UTF_16BE)).code())
          .isEqualTo(ErrorCode.NOT_TEXT);
    }

    @Test
    void isNotInTheCharsetThatIsSet() throws Exception {
      EventForm form =
          new EventForm(
              EventFormat.AUTO,
              EventForm.Envelope.NONE,
              new HashMap<>(),
              EventForm.Control.DEFAULT,
              "UTF-16LE");
      EventCodec codec = new EventCodec("p", form, 100, List.of("text"));
      assertThat(
              codec
                  .decode(record("\"{\\\"text\\\": \\\"é 😀\\\"}\"".getBytes(UTF_16LE)))
                  .event()
                  .text())
          .isEqualTo("é 😀");
      for (byte[] value : List.of(new byte[] {65}, new byte[] {0, (byte) 0xD8, 65, 0})) {
        RejectedRecordException e =
            catchThrowableOfType(RejectedRecordException.class, () -> codec.decode(record(value)));
        assertThat(e.letter())
            .isEqualTo(
                new DeadLetter(
                    ErrorCode.NOT_TEXT,
                    Stage.DECODE,
                    "the value is not in UTF-16LE, which input.charset names: send it so, or name"
                        + " the charset that it is in"));
      }
    }

    @ParameterizedTest
    @ValueSource(
        strings = {
          "{",
          "{\"broken",
          "{\"text\"",
          "{\"text\":",
          "{\"text\": \"a",
          "{\"text\": \"a\"",
          "{\"text\": \"a\",",
          "{\"text\": \"a\",}",
          "{\"text\": \"a\"}}",
          "{\"text\": \"a\"} x",
          "{\"text\": \"a\"}{\"text\": \"b\"}",
          "{\"text\": \"a\"}\u0000",
          "{\u0000\"text\": \"a\"}",
          "{\"text\": \"a\nb\"}",
          "{'text': 'a'}",
          "{text: \"a\"}",
          "{\"text\": \"a\", \"n\": 01}",
          "{\"text\": \"a\", \"n\": 1.}",
          "{\"text\": \"a\", \"n\": .5}",
          "{\"text\": \"a\", \"n\": +1}",
          "{\"text\": \"a\", \"n\": NaN}",
          "{\"text\": \"a\", \"n\": -}",
          "{\"text\": \"a\", \"n\": tru}",
          "{\"text\": \"a\", \"n\": [1}",
          "{\"text\": \"a\", \"n\": \"\\x41\"}",
          "{\"text\": \"a\", \"n\": \"\\u12\"}",
          "{\"text\" \"a\"}",
          "{\"text\": \"a\" \"b\": 1}",
          "{// a comment\n\"text\": \"a\"}",
          "{\"text\": \"a\", \"inference\": {\"x\": }}",
          "{\"text\": 3, \"n\": ",
          "{null: 1}"
        })
    void isMadeOfMalformedJson(String value) {
      DeadLetter letter = refused(value);

      assertThat(letter.code()).isEqualTo(ErrorCode.MALFORMED_JSON);
      assertThat(letter.message())
          .startsWith("the value is not valid JSON (at byte ")
          .contains("): ")
          .endsWith("; send one JSON object, or set format: text where the value is a text")
          .doesNotContain("\n")
          .doesNotContain("Source:")
          .doesNotContain("com.fasterxml");
    }

    @Test
    void namesTheByteWhereTheJsonBreaks() {
      assertThat(refused("{\"text\": \"a\"} x").message()).contains("(at byte 15)");
      assertThat(refused("\uFEFF {\"text\": \"a\"}{}").message()).contains("(at byte 17)");
    }

    @Test
    void isMadeOfEveryTruncationOfAnObject() throws Exception {
      byte[] whole =
          "{\"id\": -17, \"text\": \"gööd 😀\\u00e9\", \"n\": [1.5e3, true, null, {\"a\": []}], \"inference\": {\"x\": {}}, \"parameters\": {\"top_k\": 1}}"
              .getBytes(UTF_8);
      assertThat(decode(EventFormat.AUTO, whole).event().text()).isEqualTo("gööd 😀é");
      for (int length = 1; length < whole.length; length++) {
        assertThat(refused(EventFormat.AUTO, Arrays.copyOf(whole, length)).code())
            .as("the first %d bytes", length)
            .isIn(ErrorCode.MALFORMED_JSON, ErrorCode.NOT_UTF8);
      }
    }

    @ParameterizedTest
    @ValueSource(strings = {"[", "{\"a\":"})
    void isMadeOfNestingTenThousandDeep(String opening) {
      String closing = opening.equals("[") ? "]" : "}";
      String nested = opening.repeat(10_000) + "1" + closing.repeat(10_000);
      for (String field : List.of("x", "parameters", "target", "text", "inference")) {
        DeadLetter letter = refused("{\"" + field + "\": " + nested + "}");
        assertThat(letter.code()).isEqualTo(ErrorCode.MALFORMED_JSON);
        assertThat(letter.message())
            .isEqualTo("the value is nested more than 500 levels deep: flatten it");
      }
    }

    @ParameterizedTest
    @ValueSource(
        strings = {
          "id",
          "text",
          "text_pair",
          "question",
          "context",
          "explain",
          "target",
          "parameters",
          "inference"
        })
    void isMadeOfAKnownFieldThatOccursTwice(String field) {
      String escaped = "\\u%04x%s".formatted((int) field.charAt(0), field.substring(1));
      for (String value :
          List.of(
              "{\"%s\": null, \"%s\": null}".formatted(field, field),
              "{\"%s\": null, \"%s\": null}".formatted(field, escaped))) {
        assertThat(refused(value))
            .isEqualTo(
                new DeadLetter(
                    ErrorCode.MALFORMED_JSON,
                    Stage.DECODE,
                    "the field "
                        + field
                        + " occurs twice, so it is not clear which one counts: send it once"));
      }
    }

    @ParameterizedTest
    @ValueSource(strings = {"text", "text_pair", "question", "context"})
    void isMadeOfATextThatIsNone(String field) {
      for (String wrong : List.of("1", "1.5", "true", "[\"a\"]", "{}")) {
        assertThat(refused("{\"" + field + "\": " + wrong + "}"))
            .isEqualTo(
                new DeadLetter(
                    ErrorCode.INVALID_FIELD,
                    Stage.DECODE,
                    "the field "
                        + field
                        + " must be a string: send one, or name the field that holds it with"
                        + " input.fields"));
      }
    }

    @ParameterizedTest
    @ValueSource(strings = {"\"yes\"", "1", "[]", "{\"a\": true}"})
    void isMadeOfAnExplainThatIsNoBoolean(String wrong) {
      assertThat(refused("{\"text\": \"a\", \"explain\": " + wrong + "}"))
          .isEqualTo(
              new DeadLetter(
                  ErrorCode.INVALID_FIELD,
                  Stage.DECODE,
                  "the field explain must be true or false; where it is somebody else's, set input.control.explain: off"));
    }

    @ParameterizedTest
    @ValueSource(
        strings = {
          "-1",
          "1.5",
          "2147483648",
          "99999999999999999999",
          "true",
          "{}",
          "[1]",
          "[1, 2, 3]",
          "[1, \"a\"]",
          "[]"
        })
    void isMadeOfATargetThatIsNone(String wrong) {
      DeadLetter letter = refused("{\"text\": \"a\", \"target\": " + wrong + "}");

      assertThat(letter.code()).isEqualTo(ErrorCode.INVALID_FIELD);
      assertThat(letter.message())
          .isEqualTo(
              "the field target must be the index of a class, its label, or a pair [token, class]; where it is somebody else's, set input.control.target: off");
    }

    @ParameterizedTest
    @ValueSource(strings = {"1", "\"a\"", "[{\"top_k\": 1}]", "true"})
    void isMadeOfParametersThatAreNoObject(String wrong) {
      DeadLetter letter = refused("{\"text\": \"a\", \"parameters\": " + wrong + "}");

      assertThat(letter.code()).isEqualTo(ErrorCode.INVALID_PARAMETER);
      assertThat(letter.message())
          .isEqualTo(
              "the field parameters must be an object, such as {\"top_k\": 2}; where it is somebody else's, set input.control.parameters: off");
    }

    @Test
    void isMadeOfAParameterThatIsGivenTwice() {
      assertThat(refused("{\"parameters\": {\"top_k\": 1, \"top\\u005fk\": 2}}"))
          .isEqualTo(
              new DeadLetter(
                  ErrorCode.INVALID_PARAMETER,
                  Stage.DECODE,
                  "the parameter top_k is given twice: give it once"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"%s", "-%s", "0.%s", "1e%s"})
    void isMadeOfANumberOfAHundredThousandDigitsInParameters(String form) {
      String number = form.formatted("7".repeat(100_000));

      DeadLetter letter = refused("{\"text\": \"a\", \"parameters\": {\"top_k\": " + number + "}}");

      assertThat(letter.code()).isEqualTo(ErrorCode.INVALID_PARAMETER);
      assertThat(letter.message())
          .startsWith("a number in parameters or target has more than 400 digits");
    }

    @Test
    void tellsOfMalformedJsonBeforeAWrongField() {
      assertThat(refused("{\"text\": 1, \"explain\": 2, ").code())
          .isEqualTo(ErrorCode.MALFORMED_JSON);
      assertThat(refused("{\"text\": 1, \"explain\": 2}").message())
          .startsWith("the field text must be a string");
    }
  }

  /** Random objects, written in random ways, against Jackson's own reading of them. */
  @Nested
  class AnyObject {

    private static final Set<String> CONSUMED = Set.of("explain", "target", "parameters");
    private static final List<String> NUMBERS =
        List.of(
            "0",
            "-0",
            "1e400",
            "0.10",
            "-1.50E-07",
            "12345678901234567890",
            "3.14",
            "1E5",
            "-7",
            "9".repeat(60));
    private static final List<String> CHARACTERS =
        List.of(
            "a",
            "Z",
            " ",
            "\\n",
            "\\\"",
            "\\\\",
            "\\/",
            "/",
            "é",
            "\\u00e9",
            "😀",
            "\\ud83d\\ude00",
            "\\ud800",
            "\\udc00",
            "\u2028",
            "\\u0000",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\u007f",
            "ﷺ");

    private final Random random = new Random(20261121);

    @Test
    void comesOutAsItWentInPlusTheResult() throws Exception {
      for (int round = 0; round < 3_000; round++) {
        String value = event();
        String pipeline = random.nextBoolean() ? "sentiment" : "first";
        String labelled = label(pipeline, EventFormat.AUTO, value.getBytes(UTF_8), PREDICTION);

        List<Member> expected = new ArrayList<>();
        List<Member> request = new ArrayList<>();
        List<Member> results = new ArrayList<>();
        boolean hasId = false;
        for (Member member : members(value)) {
          if (CONSUMED.contains(member.name())) {
            request.add(member);
          } else if (member.name().equals("inference")) {
            for (Member result : asMembers(member.value())) {
              if (!result.name().equals(pipeline)) {
                results.add(result);
              }
            }
          } else if (!member.name().equals("id") || member.value() != null) {
            hasId |= member.name().equals("id");
            expected.add(member);
          }
        }
        if (!hasId) {
          expected.add(0, new Member("id", "texts-3@41"));
        }
        List<Member> own =
            new ArrayList<>(
                List.of(
                    new Member("task", "sequence_classification"),
                    new Member("model", "reviews"),
                    new Member("version", "3f9c0e12"),
                    new Member("label", "POSITIVE"),
                    new Member("tokens", new SourceNumber("7")),
                    new Member("truncated", false)));
        if (!request.isEmpty()) {
          own.add(new Member("request", request));
        }
        results.add(new Member(pipeline, own));
        expected.add(new Member("inference", results));

        assertThat(members(labelled)).as(value).isEqualTo(expected);
      }
    }

    /** A member; objects are lists of them, so that order and duplicates count. */
    private record Member(String name, Object value) {}

    /** A number as it was written. */
    private record SourceNumber(String text) {}

    private List<Member> members(String json) throws IOException {
      try (JsonParser parser = JSON.getFactory().createParser(withoutMark(json))) {
        parser.nextToken();
        return asMembers(value(parser));
      }
    }

    private String withoutMark(String json) {
      return json.startsWith("\uFEFF") ? json.substring(1) : json;
    }

    @SuppressWarnings("unchecked")
    private List<Member> asMembers(Object value) {
      return (List<Member>) value;
    }

    private Object value(JsonParser parser) throws IOException {
      switch (parser.currentToken()) {
        case START_OBJECT -> {
          List<Member> members = new ArrayList<>();
          while (parser.nextToken() != JsonToken.END_OBJECT) {
            String name = parser.currentName();
            parser.nextToken();
            members.add(new Member(name, value(parser)));
          }
          return members;
        }
        case START_ARRAY -> {
          List<Object> items = new ArrayList<>();
          while (parser.nextToken() != JsonToken.END_ARRAY) {
            items.add(value(parser));
          }
          return items;
        }
        case VALUE_NUMBER_INT, VALUE_NUMBER_FLOAT -> {
          return new SourceNumber(parser.getText());
        }
        case VALUE_NULL -> {
          return null;
        }
        case VALUE_TRUE, VALUE_FALSE -> {
          return parser.getBooleanValue();
        }
        default -> {
          return parser.getText();
        }
      }
    }

    private String event() {
      List<String> members = new ArrayList<>();
      if (random.nextBoolean()) {
        members.add(member("id", pick(List.of("null", "17", "123456789012345678901", string()))));
      }
      if (random.nextInt(8) > 0) {
        members.add(member("text", random.nextInt(9) == 0 ? "null" : string()));
      }
      if (random.nextInt(4) == 0) {
        members.add(member("explain", pick(List.of("true", "false", "null"))));
      }
      if (random.nextInt(4) == 0) {
        members.add(member("target", pick(List.of("1", "[1" + blank() + ", 2]", "\"A\""))));
      }
      if (random.nextInt(4) == 0) {
        members.add(
            member(
                "parameters", object(List.of(member("top_k", "2"), member("x", pick(NUMBERS))))));
      }
      if (random.nextInt(3) == 0) {
        members.add(
            member(
                "inference",
                object(
                    List.of(
                        member("first", any(2)),
                        member("sentiment", any(2)),
                        member("other", any(2))))));
      }
      for (int extra = random.nextInt(6); extra > 0; extra--) {
        String name = "\"x" + string().substring(1);
        members.add(random.nextInt(members.size() + 1), blank() + name + blank() + ":" + any(4));
      }
      String mark = random.nextInt(10) == 0 ? "\uFEFF" : "";
      return mark + blank() + object(members) + blank();
    }

    private String member(String name, String value) {
      String written =
          random.nextInt(5) == 0
              ? "\\u%04X%s".formatted((int) name.charAt(0), name.substring(1))
              : name;
      return blank() + "\"" + written + "\"" + blank() + ":" + blank() + value + blank();
    }

    private String any(int depth) {
      return switch (random.nextInt(depth > 0 ? 7 : 4)) {
        case 0 -> pick(NUMBERS);
        case 1 -> string();
        case 2 -> pick(List.of("true", "false", "null"));
        case 3 -> pick(List.of("[]", "{}", "{ }", "[\n]"));
        case 4, 5 -> {
          List<String> items = new ArrayList<>();
          for (int i = random.nextInt(4); i >= 0; i--) {
            items.add(blank() + any(depth - 1) + blank());
          }
          yield "[" + String.join(",", items) + "]";
        }
        default -> {
          List<String> items = new ArrayList<>();
          for (int i = random.nextInt(4); i >= 0; i--) {
            items.add(blank() + string() + blank() + ":" + blank() + any(depth - 1) + blank());
          }
          yield object(items);
        }
      };
    }

    private String object(List<String> members) {
      return "{" + String.join(",", members) + "}";
    }

    private String string() {
      StringBuilder text = new StringBuilder("\"");
      for (int i = random.nextInt(6); i > 0; i--) {
        text.append(pick(CHARACTERS));
      }
      return text.append('"').toString();
    }

    private String blank() {
      return random.nextInt(3) > 0 ? "" : pick(List.of(" ", "\n", "\r\n", "\t", "  \t\n "));
    }

    private String pick(List<String> from) {
      return from.get(random.nextInt(from.size()));
    }
  }
}
