package org.labelstream.operator;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Header;
import org.labelstream.record.Outcome;
import org.labelstream.record.OutputRecord;
import org.labelstream.record.OutputRecord.Destination;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;

/**
 * Sends each outcome on its way: labelled records to the main output, dead letters to a side
 * output. What the receiving log would refuse, and so fail the job, is found here and becomes a
 * dead letter too.
 */
public final class OutcomeRouter extends ProcessFunction<Outcome, OutputRecord> {
  private static final long serialVersionUID = 1L;

  /** The side output of dead letters. */
  public static final OutputTag<OutputRecord> DEAD_LETTERS =
      new OutputTag<>("dead-letters", RecordTypes.OUTPUT_RECORD);

  /** An upper bound of what a batch and a record in it need beside key, value and headers. */
  private static final int FRAME_BYTES = 61 + 21 + 5 * 3;

  private static final int HEADER_BYTES = 2 * 5;

  private static final int LONGEST_MESSAGE = 1000; // characters

  private final String pipeline;
  private final long maxRecordBytes;
  private final long maxFutureMillis;

  /**
   * @param maxRecordBytes the largest record that may be sent, in bytes, with key and headers
   * @param maxFutureMillis how far in the future a timestamp may lie
   */
  public OutcomeRouter(String pipeline, long maxRecordBytes, long maxFutureMillis) {
    this.pipeline = pipeline;
    this.maxRecordBytes = maxRecordBytes;
    this.maxFutureMillis = maxFutureMillis;
  }

  @Override
  public void processElement(Outcome outcome, Context context, Collector<OutputRecord> out) {
    if (outcome instanceof Outcome.Labelled labelled) {
      OutputRecord record =
          outputRecord(
              Destination.LABELS, labelled.source(), labelled.value(), headers(labelled.source()));
      if (size(record) <= maxRecordBytes) {
        out.collect(record);
      } else {
        context.output(
            DEAD_LETTERS,
            deadLetter(
                labelled.source(),
                new DeadLetter(
                    ErrorCode.OUTPUT_TOO_LARGE,
                    Stage.OUTPUT,
                    "the labelled record would have "
                        + size(record)
                        + " bytes, but the producer's max.request.size is "
                        + maxRecordBytes
                        + ": shorten the record, or raise that setting and the output topic's max.message.bytes")));
      }
    } else if (outcome instanceof Outcome.Failed failed) {
      context.output(DEAD_LETTERS, deadLetter(failed.source(), failed.letter()));
    }
  }

  private OutputRecord deadLetter(SourceRecord source, DeadLetter letter) {
    List<Header> about = new ArrayList<>();
    about.add(Header.of("labelstream.error.code", letter.code().wireName()));
    about.add(Header.of("labelstream.error.message", shortened(letter.message())));
    about.add(Header.of("labelstream.error.stage", letter.stage().wireName()));
    about.add(Header.of("labelstream.pipeline", pipeline));
    List<Header> headers = headers(source);
    headers.addAll(about);
    OutputRecord whole = outputRecord(Destination.DEAD_LETTERS, source, source.value(), headers);
    if (size(whole) <= maxRecordBytes) {
      return whole;
    }
    // Too large to carry: the place where the record stands is what can be kept of it.
    List<Header> place = sourceHeaders(source);
    place.addAll(about);
    byte[] key = source.key() == null || source.key().length <= 1024 ? source.key() : null;
    return new OutputRecord(
        Destination.DEAD_LETTERS,
        key,
        null,
        place,
        sendable(source.timestamp()),
        source.partition());
  }

  /** A message without its middle, where it quotes so much of the record that it is too long. */
  private static String shortened(String message) {
    int length = message.length();
    return length <= LONGEST_MESSAGE
        ? message
        : message.substring(0, LONGEST_MESSAGE * 3 / 4)
            + " … "
            + message.substring(length - LONGEST_MESSAGE / 4);
  }

  private OutputRecord outputRecord(
      Destination destination, SourceRecord source, byte[] value, List<Header> headers) {
    long timestamp = sendable(source.timestamp());
    if (timestamp != source.timestamp() && source.timestamp() >= 0) {
      headers.add(Header.of("labelstream.source.timestamp", Long.toString(source.timestamp())));
    }
    return new OutputRecord(
        destination, source.key(), value, headers, timestamp, source.partition());
  }

  /**
   * A timestamp that a broker takes, or -1 where it would refuse this one and has to set its own.
   */
  private long sendable(long timestamp) {
    return timestamp < 0 || timestamp > System.currentTimeMillis() + maxFutureMillis
        ? -1
        : timestamp;
  }

  private static List<Header> headers(SourceRecord source) {
    List<Header> headers = new ArrayList<>(source.headers());
    headers.addAll(sourceHeaders(source));
    return headers;
  }

  private static List<Header> sourceHeaders(SourceRecord source) {
    List<Header> headers = new ArrayList<>(8);
    headers.add(Header.of("labelstream.source.topic", source.topic()));
    if (source.partition() != SourceRecord.NO_PARTITION) {
      headers.add(Header.of("labelstream.source.partition", Integer.toString(source.partition())));
    }
    headers.add(Header.of("labelstream.source.offset", Long.toString(source.offset())));
    return headers;
  }

  private static long size(OutputRecord record) {
    long size = (long) FRAME_BYTES + length(record.key()) + length(record.value());
    for (Header header : record.headers()) {
      size +=
          (long) HEADER_BYTES
              + header.key().getBytes(StandardCharsets.UTF_8).length
              + length(header.value());
    }
    return size;
  }

  private static long length(byte[] bytes) {
    return bytes == null ? 0 : bytes.length;
  }
}
