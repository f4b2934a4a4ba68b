package org.labelstream.codec;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.SourceRecord;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** What reading and writing a record costs: {@code scripts/bench.sh --micro} runs it. */
@State(Scope.Benchmark)
public class EventCodecBenchmark {

  /** How the value is written. */
  @Param({"text", "object", "change"})
  public String form;

  private EventCodec codec;
  private SourceRecord record;
  private final Prediction prediction =
      new Prediction(Map.of("label", "POSITIVE", "score", 0.998f), 43, false);

  /** Values of some 200 bytes. */
  @Setup
  public void value() {
    String text = "a good film that nobody in the town forgot, ".repeat(4);
    String row = "{\"id\": 17, \"lang\": \"en\", \"text\": \"" + text + "\"}";
    String value =
        switch (form) {
          case "text" -> text;
          case "object" -> row;
          default -> "{\"before\": null, \"after\": " + row + ", \"op\": \"c\", \"ts_ms\": 1}";
        };
    EventForm.Envelope envelope =
        form.equals("change") ? EventForm.Envelope.DEBEZIUM : EventForm.Envelope.NONE;
    codec =
        new EventCodec(
            "sentiment",
            new EventForm(EventFormat.AUTO, envelope, new HashMap<>(), EventForm.Control.DEFAULT),
            1 << 20,
            List.of("text"));
    record = new SourceRecord(null, value.getBytes(UTF_8), List.of(), "texts", 0, 41, 0);
  }

  @Benchmark
  public DecodedEvent decode() throws RejectedRecordException {
    return codec.decode(record);
  }

  @Benchmark
  public byte[] decodeAndLabel() throws RejectedRecordException {
    return codec.decode(record).labelled("sequence_classification", "m", "v", prediction);
  }
}
