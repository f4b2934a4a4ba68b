package org.labelstream.codec;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.labelstream.Corpus;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;

/** Whatever bytes a record has, it is a record that can be labelled, or a dead letter. */
public class EventCodecFuzzTest {

  private static final ObjectMapper JSON =
      new ObjectMapper(
              JsonFactory.builder()
                  .streamReadConstraints(
                      StreamReadConstraints.builder()
                          .maxNumberLength(1_000_000)
                          .maxNestingDepth(2_000)
                          .maxNameLength(1_000_000)
                          .build())
                  .build())
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);

  private static final Prediction PREDICTION = new Prediction(Map.of("label", "POSITIVE"), 7, true);

  @TestFactory
  Stream<DynamicTest> theCorpus() throws IOException {
    return Corpus.of(EventCodecFuzzTest.class, EventCodecFuzzTest::fuzzerTestOneInput);
  }

  /** Under the name that Jazzer calls. */
  public static void fuzzerTestOneInput(byte[] value) throws IOException {
    SourceRecord record = new SourceRecord(null, value, List.of(), "texts", 3, 41, 0);
    for (EventFormat format : EventFormat.values()) {
      EventCodec codec = new EventCodec("sentiment", format, 1 << 20, Set.of("text", "text_pair"));
      DecodedEvent decoded;
      try {
        decoded = codec.decode(record);
      } catch (RejectedRecordException e) {
        checkSentence(e.letter());
        continue;
      }
      byte[] labelled = decoded.labelled("sequence_classification", "model", "1", PREDICTION);
      JsonNode tree = JSON.readTree(labelled);
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
