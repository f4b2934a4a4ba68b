package org.labelstream.operator;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import org.apache.flink.runtime.execution.SuppressRestartsException;
import org.apache.flink.streaming.api.operators.ProcessOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.labelstream.operator.ExplainSettings.When;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Header;
import org.labelstream.record.Outcome;
import org.labelstream.record.OutputRecord;
import org.labelstream.record.OutputRecord.Destination;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;

class OutcomeRouterTest {

  private static final long HOUR = 3_600_000;
  private static final int LIMIT = 4_000;
  private static final byte[] KEY = {1, 2, -1};
  private static final byte[] VALUE = {'{', -1, 0};

  private static SourceRecord source(byte[] key, byte[] value, long timestamp, Header... headers) {
    return new SourceRecord(key, value, List.of(headers), "texts", 3, 41, timestamp);
  }

  private static SourceRecord source(Header... headers) {
    return source(KEY, VALUE, 1_700_000_000_123L, headers);
  }

  private static DeadLetter letter(String message) {
    return new DeadLetter(ErrorCode.NOT_UTF8, Stage.DECODE, message);
  }

  /** What the router makes of an outcome: it goes to one of the two outputs, and once. */
  @SuppressWarnings("try") // close() may be interrupted, and then the test is
  private static OutputRecord route(Outcome outcome) throws Exception {
    try (OneInputStreamOperatorTestHarness<Outcome, OutputRecord> harness =
        new OneInputStreamOperatorTestHarness<>(
            new ProcessOperator<>(
                new OutcomeRouter(new OutputRecords("sentiment", LIMIT, HOUR), When.REQUESTED)),
            OutcomeSerializer.INSTANCE)) {
      harness.open();
      harness.processElement(outcome, 17);
      List<OutputRecord> labels = harness.extractOutputValues();
      Queue<StreamRecord<OutputRecord>> letters = harness.getSideOutput(OutcomeRouter.DEAD_LETTERS);
      int letterCount = letters == null ? 0 : letters.size();
      assertThat(labels.size() + letterCount).isEqualTo(1);
      OutputRecord record = letterCount == 0 ? labels.get(0) : letters.element().getValue();
      assertThat(record.destination())
          .isEqualTo(letterCount == 0 ? Destination.LABELS : Destination.DEAD_LETTERS);
      return record;
    }
  }

  private static List<String> text(OutputRecord record) {
    return record.headers().stream()
        .map(header -> header.key() + "=" + new String(header.value(), UTF_8))
        .toList();
  }

  @Nested
  class TheShareOfDeadLetters {

    @SuppressWarnings("try") // close() may be interrupted, and then the test is
    private static int lettersUntilTheEnd(double maxShare, int each, int most) throws Exception {
      try (OneInputStreamOperatorTestHarness<Outcome, OutputRecord> harness =
          new OneInputStreamOperatorTestHarness<>(
              new ProcessOperator<>(
                  new OutcomeRouter(
                      new OutputRecords("sentiment", LIMIT, HOUR),
                      When.NEVER,
                      "sentiment",
                      maxShare)),
              OutcomeSerializer.INSTANCE)) {
        harness.open();
        for (int i = 1; i <= most; i++) {
          Outcome outcome =
              i % each == 0
                  ? new Outcome.Failed(source(), letter("encode it"))
                  : new Outcome.Labelled(source(), VALUE, false);
          try {
            harness.processElement(outcome, i);
          } catch (SuppressRestartsException e) {
            assertThat(e.getCause())
                .hasMessageStartingWith("Pipeline sentiment has made dead letters of ")
                .hasMessageContaining("dead-letters.max-share is " + maxShare)
                .hasMessageContaining("not_utf8 (encode it)");
            return i;
          }
        }
        return -1;
      }
    }

    @Test
    void endsTheJobOnceItIsExceededOverAThousandRecords() throws Exception {
      assertThat(lettersUntilTheEnd(0.5, 1, 5_000)).isEqualTo(1_000);
      assertThat(lettersUntilTheEnd(0.1, 5, 5_000)).isEqualTo(1_000);
    }

    @Test
    void endsNothingWhereItIsNot() throws Exception {
      assertThat(lettersUntilTheEnd(0.2, 5, 5_000)).isEqualTo(-1);
      assertThat(lettersUntilTheEnd(1, 1, 5_000)).isEqualTo(-1);
    }
  }

  @Nested
  class ARoute {

    @SuppressWarnings("try") // close() may be interrupted, and then the test is
    private static List<OutputRecord> routed(Outcome outcome, OutputRecords outputs)
        throws Exception {
      try (OneInputStreamOperatorTestHarness<Outcome, OutputRecord> harness =
          new OneInputStreamOperatorTestHarness<>(
              new ProcessOperator<>(new OutcomeRouter(outputs, When.NEVER)),
              OutcomeSerializer.INSTANCE)) {
        harness.open();
        harness.processElement(outcome, 17);
        List<OutputRecord> records = new ArrayList<>(harness.extractOutputValues());
        Queue<StreamRecord<OutputRecord>> letters =
            harness.getSideOutput(OutcomeRouter.DEAD_LETTERS);
        if (letters != null) {
          letters.forEach(letter -> records.add(letter.getValue()));
        }
        return records;
      }
    }

    private static List<Destination> destinations(byte[] value, boolean moved) throws Exception {
      Outcome outcome =
          new Outcome.Labelled(source(), value, false, List.of("review", "audit"), moved);
      return routed(outcome, new OutputRecords("sentiment", LIMIT, HOUR)).stream()
          .map(OutputRecord::destination)
          .toList();
    }

    @Test
    void takesACopyOrTheRecordItself() throws Exception {
      assertThat(destinations(VALUE, false))
          .containsExactly(
              Destination.LABELS, Destination.route("review"), Destination.route("audit"));
      assertThat(destinations(VALUE, true))
          .containsExactly(Destination.route("review"), Destination.route("audit"));
    }

    @Test
    void thatWouldRefuseTheRecordMakesItADeadLetterAndGivesItToNone() throws Exception {
      assertThat(destinations(new byte[LIMIT], true)).containsExactly(Destination.DEAD_LETTERS);
    }
  }

  @Nested
  class ALabelledRecord {

    @Test
    void saysThatItIsJson() throws Exception {
      for (String type : List.of("text/plain", "application/octet-stream")) {
        assertThat(
                text(
                    route(
                        new Outcome.Labelled(
                            source(Header.of("Content-Type", type)), VALUE, false))))
            .contains("Content-Type=application/json");
      }
      assertThat(
              text(
                  route(
                      new Outcome.Labelled(
                          source(Header.of("content-type", "application/cloudevents+json")),
                          VALUE,
                          false))))
          .contains("content-type=application/cloudevents+json");
    }

    @Test
    void carriesKeyHeadersAndTimestampAndSaysWhereItCameFrom() throws Exception {
      OutputRecord record =
          route(
              new Outcome.Labelled(
                  source(Header.of("b", "1"), Header.of("a", "2"), Header.of("b", "3")),
                  "{}".getBytes(UTF_8),
                  false));

      assertThat(record.destination()).isEqualTo(Destination.LABELS);
      assertThat(record.key()).isEqualTo(KEY);
      assertThat(record.value()).isEqualTo("{}".getBytes(UTF_8));
      assertThat(record.timestamp()).isEqualTo(1_700_000_000_123L);
      assertThat(record.sourcePartition()).isEqualTo(3);
      assertThat(text(record))
          .containsExactly(
              "b=1",
              "a=2",
              "b=3",
              "labelstream.source.topic=texts",
              "labelstream.source.partition=3",
              "labelstream.source.offset=41");
    }

    /** A dead letter that was mended and sent again, say. */
    @Test
    void doesNotCarryWhatAnEarlierPassHasAdded() throws Exception {
      OutputRecord before =
          route(new Outcome.Failed(source(Header.of("b", "1")), letter("correct it")));
      SourceRecord again =
          new SourceRecord(KEY, VALUE, before.headers(), "texts-again", 0, 7, Long.MAX_VALUE);
      SourceRecord third =
          new SourceRecord(
              KEY,
              VALUE,
              route(new Outcome.Labelled(again, VALUE, false)).headers(),
              "texts",
              1,
              8,
              5);

      assertThat(text(route(new Outcome.Labelled(again, VALUE, false))))
          .containsExactly(
              "b=1",
              "labelstream.source.topic=texts-again",
              "labelstream.source.partition=0",
              "labelstream.source.offset=7",
              "labelstream.source.timestamp=" + Long.MAX_VALUE);
      assertThat(text(route(new Outcome.Failed(third, letter("m")))))
          .containsExactly(
              "b=1",
              "labelstream.source.timestamp=" + Long.MAX_VALUE,
              "labelstream.source.topic=texts",
              "labelstream.source.partition=1",
              "labelstream.source.offset=8",
              "labelstream.error.code=not_utf8",
              "labelstream.error.message=m",
              "labelstream.error.stage=decode",
              "labelstream.pipeline=sentiment");
    }

    @Test
    void hasNoPartitionWhereItIsALineOfAFile() throws Exception {
      OutputRecord record =
          route(
              new Outcome.Labelled(
                  new SourceRecord(
                      null, VALUE, List.of(), "in.txt", SourceRecord.NO_PARTITION, 12, -1),
                  VALUE,
                  false));

      assertThat(text(record))
          .containsExactly("labelstream.source.topic=in.txt", "labelstream.source.offset=12");
      assertThat(record.key()).isNull();
      assertThat(record.sourcePartition()).isEqualTo(SourceRecord.NO_PARTITION);
    }

    @Test
    void mayBeATombstoneThatIsPassedOn() throws Exception {
      OutputRecord record = route(new Outcome.Labelled(source(KEY, null, 5), null, false));

      assertThat(record.destination()).isEqualTo(Destination.LABELS);
      assertThat(record.key()).isEqualTo(KEY);
      assertThat(record.value()).isNull();
    }

    @Test
    void keepsNullAndBinaryHeaders() throws Exception {
      Header nothing = new Header("n", null);
      Header binary = new Header("x", new byte[] {0, -1});

      assertThat(route(new Outcome.Labelled(source(nothing, binary), VALUE, false)).headers())
          .startsWith(nothing, binary);
    }

    @Test
    void isADeadLetterWhereItIsTooLarge() throws Exception {
      OutputRecord record = route(new Outcome.Labelled(source(), new byte[LIMIT], false));

      assertThat(record.destination()).isEqualTo(Destination.DEAD_LETTERS);
      assertThat(record.value()).isEqualTo(VALUE);
      assertThat(text(record))
          .contains("labelstream.error.code=output_too_large", "labelstream.error.stage=output")
          .anySatisfy(
              header ->
                  assertThat(header)
                      .startsWith("labelstream.error.message=the labelled record would have ")
                      .endsWith(
                          " bytes, but the producer's max.request.size is 4000: shorten the record,"
                              + " or raise that setting and the output topic's max.message.bytes"));
    }

    @Test
    void isMeasuredWithItsKeyAndItsHeaders() throws Exception {
      Header large = new Header("h", new byte[LIMIT - 100]);

      assertThat(route(new Outcome.Labelled(source(large), VALUE, false)).destination())
          .isEqualTo(Destination.DEAD_LETTERS);
      assertThat(
              route(new Outcome.Labelled(source(new byte[LIMIT], VALUE, 5), VALUE, false))
                  .destination())
          .isEqualTo(Destination.DEAD_LETTERS);
      assertThat(route(new Outcome.Labelled(source(), new byte[LIMIT - 400], false)).destination())
          .isEqualTo(Destination.LABELS);
    }
  }

  @Nested
  class ATimestamp {

    @Test
    void thatIsNegativeIsLeftToTheBroker() throws Exception {
      assertThat(route(new Outcome.Labelled(source(KEY, VALUE, -2), VALUE, false)).timestamp())
          .isEqualTo(-1);
      assertThat(route(new Outcome.Failed(source(KEY, VALUE, -2), letter("m"))).timestamp())
          .isEqualTo(-1);
    }

    @Test
    void thatIsZeroIsKept() throws Exception {
      assertThat(route(new Outcome.Labelled(source(KEY, VALUE, 0), VALUE, false)).timestamp())
          .isZero();
    }

    @Test
    void thatTheBrokerWouldRefuseBecomesAHeader() throws Exception {
      for (long future : new long[] {System.currentTimeMillis() + 2 * HOUR, Long.MAX_VALUE}) {
        for (Outcome outcome :
            List.of(
                new Outcome.Labelled(source(KEY, VALUE, future), VALUE, false),
                new Outcome.Failed(source(KEY, VALUE, future), letter("m")))) {
          OutputRecord record = route(outcome);
          assertThat(record.timestamp()).isEqualTo(-1);
          assertThat(text(record)).contains("labelstream.source.timestamp=" + future);
        }
      }
    }

    @Test
    void thatIsALittleAheadIsKept() throws Exception {
      long soon = System.currentTimeMillis() + HOUR / 2;

      assertThat(route(new Outcome.Labelled(source(KEY, VALUE, soon), VALUE, false)).timestamp())
          .isEqualTo(soon);
    }
  }

  @Nested
  class ADeadLetter {

    @Test
    void isTheOriginalRecordAndSaysWhatIsWrong() throws Exception {
      OutputRecord record =
          route(new Outcome.Failed(source(Header.of("b", "1")), letter("é: correct it")));

      assertThat(record.destination()).isEqualTo(Destination.DEAD_LETTERS);
      assertThat(record.key()).isEqualTo(KEY);
      assertThat(record.value()).isEqualTo(VALUE);
      assertThat(record.timestamp()).isEqualTo(1_700_000_000_123L);
      assertThat(record.sourcePartition()).isEqualTo(3);
      assertThat(text(record))
          .containsExactly(
              "b=1",
              "labelstream.source.topic=texts",
              "labelstream.source.partition=3",
              "labelstream.source.offset=41",
              "labelstream.error.code=not_utf8",
              "labelstream.error.message=é: correct it",
              "labelstream.error.stage=decode",
              "labelstream.pipeline=sentiment");
    }

    @Test
    void ofATombstoneHasNoValue() throws Exception {
      assertThat(route(new Outcome.Failed(source(KEY, null, 5), letter("m"))).value()).isNull();
    }

    @Test
    void thatIsItselfTooLargeCarriesThePlaceAndNotTheValue() throws Exception {
      OutputRecord record =
          route(
              new Outcome.Failed(
                  source(KEY, new byte[LIMIT], 7, new Header("h", new byte[500])), letter("m")));

      assertThat(record.value()).isNull();
      assertThat(record.key()).isEqualTo(KEY);
      assertThat(record.timestamp()).isEqualTo(7);
      assertThat(text(record))
          .containsExactly(
              "labelstream.source.topic=texts",
              "labelstream.source.partition=3",
              "labelstream.source.offset=41",
              "labelstream.error.code=not_utf8",
              "labelstream.error.message=m",
              "labelstream.error.stage=decode",
              "labelstream.pipeline=sentiment");
    }

    @Test
    void dropsAKeyThatWouldMakeItTooLarge() throws Exception {
      OutputRecord record =
          route(new Outcome.Failed(source(new byte[LIMIT], VALUE, 7), letter("m")));

      assertThat(record.key()).isNull();
      assertThat(text(record)).contains("labelstream.source.offset=41");
    }

    @Test
    void shortensAMessageThatHoldsTheUsersOwnWords() throws Exception {
      String message = "there is no parameter " + "é".repeat(1_000_000) + ": did you mean top_k?";

      OutputRecord record = route(new Outcome.Failed(source(), letter(message)));

      String written =
          text(record).stream()
              .filter(header -> header.startsWith("labelstream.error.message="))
              .findFirst()
              .orElseThrow();
      assertThat(written)
          .startsWith("labelstream.error.message=there is no parameter éééé")
          .endsWith("éé: did you mean top_k?")
          .contains(" … ")
          .hasSizeLessThan(1_100);
    }
  }
}
