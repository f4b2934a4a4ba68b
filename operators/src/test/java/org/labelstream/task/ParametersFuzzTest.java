package org.labelstream.task;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.labelstream.Corpus;
import org.labelstream.codec.DecodedEvent;
import org.labelstream.codec.EventCodec;
import org.labelstream.codec.EventForm;
import org.labelstream.codec.EventFormat;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.SourceRecord;

/** Whatever a record sets, each task takes it or says in a sentence what is wrong. */
public class ParametersFuzzTest {

  private static final byte[] BEFORE = "{\"text\": \"x\", \"parameters\": ".getBytes(UTF_8);

  @TestFactory
  Stream<DynamicTest> theCorpus() throws IOException {
    return Corpus.of(ParametersFuzzTest.class, ParametersFuzzTest::fuzzerTestOneInput);
  }

  /** Under the name that Jazzer calls. */
  public static void fuzzerTestOneInput(byte[] parameters) {
    byte[] value = new byte[BEFORE.length + parameters.length + 1];
    System.arraycopy(BEFORE, 0, value, 0, BEFORE.length);
    System.arraycopy(parameters, 0, value, BEFORE.length, parameters.length);
    value[value.length - 1] = '}';
    Map<String, Object> given;
    try {
      DecodedEvent decoded =
          new EventCodec("sentiment", EventForm.of(EventFormat.JSON), 1 << 20, List.of("text"))
              .decode(new SourceRecord(null, value, List.of(), "texts", 0, 0, 0));
      given = decoded.event().parameters();
    } catch (RejectedRecordException e) {
      return; // which EventCodecFuzzTest looks at
    }
    for (TaskType type : Tasks.ALL) {
      try {
        Parameters taken = type.parameters().parse(given);
        Parameters both = type.parameters().parse(Map.of()).overriddenBy(taken);
        if (!given.keySet().stream().allMatch(both::has)) {
          throw new AssertionError("What was taken is not there: " + given.keySet());
        }
      } catch (IllegalArgumentException e) {
        String message = String.valueOf(e.getMessage());
        if (message.isBlank() || message.lines().count() != 1) {
          throw new AssertionError("No sentence: " + message, e);
        }
      }
    }
  }
}
