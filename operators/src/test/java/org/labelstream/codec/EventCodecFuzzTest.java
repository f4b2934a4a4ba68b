package org.labelstream.codec;

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.labelstream.Corpus;
import org.labelstream.codec.EventForm.Control;
import org.labelstream.codec.EventForm.Envelope;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;

/** Whatever bytes a record has, it is a record that can be labelled, or a dead letter. */
public class EventCodecFuzzTest {

  private static final ObjectReader JSON =
      EventCodecTest.JSON.reader().without(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS);

  private static EventForm form(Envelope envelope, Map<String, String> fields) {
    HashMap<String, FieldPath> paths = new HashMap<>();
    fields.forEach((field, path) -> paths.put(field, FieldPath.parse(path)));
    return new EventForm(EventFormat.AUTO, envelope, paths, Control.DEFAULT);
  }

  private static final List<EventForm> FORMS =
      List.of(
          EventForm.of(EventFormat.AUTO),
          EventForm.of(EventFormat.JSON),
          EventForm.of(EventFormat.TEXT),
          form(Envelope.NONE, Map.of("text", "payload.after.text", "id", "a.`b.c`")),
          form(Envelope.DEBEZIUM, Map.of()),
          form(Envelope.CLOUDEVENTS, Map.of()));

  private static final Prediction PREDICTION = new Prediction(Map.of("label", "POSITIVE"), 7, true);

  @TestFactory
  Stream<DynamicTest> theCorpus() throws IOException {
    return Corpus.of(EventCodecFuzzTest.class, EventCodecFuzzTest::fuzzerTestOneInput);
  }

  /** Under the name that Jazzer calls. */
  public static void fuzzerTestOneInput(byte[] value) throws IOException {
    SourceRecord record = new SourceRecord(null, value, List.of(), "texts", 3, 41, 0);
    for (EventForm form : FORMS) {
      EventCodec codec = new EventCodec("sentiment", form, 1 << 20, Set.of("text", "text_pair"));
      DecodedEvent decoded;
      try {
        decoded = codec.decode(record);
      } catch (RejectedRecordException e) {
        checkSentence(e.letter());
        continue;
      }
      if (decoded.isDeletion()) {
        check(form.envelope() == Envelope.DEBEZIUM, "the deletion");
        continue;
      }
      JsonNode rewritten =
          JSON.readTree(
              decoded.labelled(
                  "sequence_classification", "model", "1", PREDICTION, text -> text + "\"é"));
      JsonNode tree =
          JSON.readTree(decoded.labelled("sequence_classification", "model", "1", PREDICTION));
      check(rewritten.size() == tree.size(), "what was written anew");
      if (form.envelope() != Envelope.NONE) {
        check(tree.findValue("sentiment").get("label").asText().equals("POSITIVE"), "the result");
        continue;
      }
      check(tree.at("/inference/sentiment/label").asText().equals("POSITIVE"), "the result");
      check(tree.hasNonNull("id") || tree.has("id"), "the id");
    }
  }

  private static void checkSentence(DeadLetter letter) {
    check(letter.stage() == Stage.DECODE, "the stage");
    String message = letter.message();
    check(!message.isBlank() && message.lines().count() == 1, "one sentence: " + message);
  }

  private static void check(boolean holds, String what) {
    if (!holds) {
      throw new AssertionError("It is not as it should be: " + what);
    }
  }
}
