package org.labelstream.operator;

import java.io.Serializable;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.Header;
import org.labelstream.record.OutputRecord;
import org.labelstream.record.OutputRecord.Destination;
import org.labelstream.record.OutputRecord.Destination.Kind;
import org.labelstream.record.SourceRecord;
import org.labelstream.result.Redaction;

/**
 * Makes the records that a source record gives rise to: they carry its key, headers and timestamp,
 * and where it came from. What the receiving log would refuse is made so that it does not, where
 * nothing of the record is lost by that.
 *
 * @param pipeline the pipeline's name
 * @param log where they go
 */
public record OutputRecords(String pipeline, OutputLog log) implements Serializable {

  public static final String SOURCE_TOPIC = "labelstream.source.topic";
  public static final String SOURCE_PARTITION = "labelstream.source.partition";
  public static final String SOURCE_OFFSET = "labelstream.source.offset";

  private static final String SOURCE_TIMESTAMP = "labelstream.source.timestamp";
  private static final String CONTENT_TYPE = "content-type";
  private static final String ERROR = "labelstream.error.";
  private static final String PIPELINE = "labelstream.pipeline";

  /** What each record gets anew, so that one which comes for the second time does not have both. */
  private static final Set<String> OURS =
      Set.of(SOURCE_TOPIC, SOURCE_PARTITION, SOURCE_OFFSET, PIPELINE, Redaction.HEADER);

  /** An upper bound of what a batch and a record in it need beside key, value and headers. */
  private static final int FRAME_BYTES = 61 + 21 + 5 * 3;

  private static final int HEADER_BYTES = 2 * 5;

  private static final int LONGEST_MESSAGE = 1000; // characters

  /**
   * Records for a log with bounds that do not change.
   *
   * @param maxRecordBytes the largest record that may be sent, in bytes, with key and headers
   * @param maxFutureMillis how far in the future a timestamp may lie
   */
  public OutputRecords(String pipeline, long maxRecordBytes, long maxFutureMillis) {
    this(pipeline, OutputLog.bounded(maxRecordBytes, maxFutureMillis));
  }

  OutputRecord labelled(SourceRecord source, byte[] value) {
    return labelled(Destination.LABELS, source, value);
  }

  /** The labelled record for the output's topic or that of a route. */
  OutputRecord labelled(Destination destination, SourceRecord source, byte[] value) {
    return outputRecord(
        destination, source, value, value == null ? headers(source) : headersOfJson(source));
  }

  OutputRecord explanation(SourceRecord source, byte[] value) {
    return outputRecord(Destination.EXPLANATIONS, source, value, headersOfJson(source));
  }

  OutputRecord deadLetter(SourceRecord source, DeadLetter letter) {
    List<Header> about = new ArrayList<>();
    about.add(Header.of(ERROR + "code", letter.code().wireName()));
    about.add(Header.of(ERROR + "message", shortened(letter.message())));
    about.add(Header.of(ERROR + "stage", letter.stage().wireName()));
    about.add(Header.of(PIPELINE, pipeline));
    List<Header> headers = headers(source);
    headers.addAll(about);
    OutputRecord whole = outputRecord(Destination.DEAD_LETTERS, source, source.value(), headers);
    if (fits(whole)) {
      return whole;
    }
    // Too large to carry: the place where the record stands is what can be kept of it.
    List<Header> place = sourceHeaders(source);
    place.addAll(about);
    return bare(Destination.DEAD_LETTERS, source, null, place);
  }

  /** A record without what its source's key and headers add to it, but for where that stands. */
  OutputRecord withoutSource(OutputRecord record, SourceRecord source) {
    return bare(record.destination(), source, record.value(), sourceHeaders(source));
  }

  private OutputRecord bare(
      Destination destination, SourceRecord source, byte[] value, List<Header> headers) {
    byte[] key = source.key() == null || source.key().length <= 1024 ? source.key() : null;
    return new OutputRecord(
        destination,
        key(destination, source, key),
        value,
        headers,
        sendable(destination, source.timestamp()),
        source.partition());
  }

  /**
   * The key, or the place of the source record where there is none and the log wants one. A
   * labelled record keeps having none: its consumers take the key for the event's.
   */
  private byte[] key(Destination destination, SourceRecord source, byte[] key) {
    return key == null && !isLabelled(destination) && log.wantsKeys(destination)
        ? source.position().getBytes(StandardCharsets.UTF_8)
        : key;
  }

  private static boolean isLabelled(Destination destination) {
    return destination.kind() == Kind.LABELS || destination.kind() == Kind.ROUTE;
  }

  /** A message without its middle, where it quotes so much of the record that it is too long. */
  static String shortened(String message) {
    int length = message.length();
    return length <= LONGEST_MESSAGE
        ? message
        : message.substring(0, LONGEST_MESSAGE * 3 / 4)
            + " … "
            + message.substring(length - LONGEST_MESSAGE / 4);
  }

  private OutputRecord outputRecord(
      Destination destination, SourceRecord source, byte[] value, List<Header> headers) {
    long timestamp = sendable(destination, source.timestamp());
    if (timestamp != source.timestamp() && source.timestamp() >= 0) {
      headers.removeIf(header -> header.key().equals(SOURCE_TIMESTAMP));
      headers.add(Header.of(SOURCE_TIMESTAMP, Long.toString(source.timestamp())));
    }
    return new OutputRecord(
        destination,
        key(destination, source, source.key()),
        value,
        headers,
        timestamp,
        source.partition());
  }

  /**
   * A timestamp that a broker takes, or -1 where it would refuse this one and has to set its own.
   */
  private long sendable(Destination destination, long timestamp) {
    return timestamp < 0 || !log.takesTimestamp(destination, timestamp) ? -1 : timestamp;
  }

  private static List<Header> headers(SourceRecord source) {
    List<Header> headers = new ArrayList<>(source.headers());
    headers.removeIf(header -> OURS.contains(header.key()) || header.key().startsWith(ERROR));
    headers.addAll(sourceHeaders(source));
    return headers;
  }

  /** The headers, where one that says that the value is no JSON says that it is. */
  private static List<Header> headersOfJson(SourceRecord source) {
    List<Header> headers = headers(source);
    headers.replaceAll(
        header ->
            header.key().equalsIgnoreCase(CONTENT_TYPE)
                    && header.value() != null
                    && !new String(header.value(), StandardCharsets.UTF_8)
                        .toLowerCase(Locale.ROOT)
                        .contains("json")
                ? Header.of(header.key(), "application/json")
                : header);
    return headers;
  }

  private static List<Header> sourceHeaders(SourceRecord source) {
    List<Header> headers = new ArrayList<>(8);
    headers.add(Header.of(SOURCE_TOPIC, source.topic()));
    if (source.partition() != SourceRecord.NO_PARTITION) {
      headers.add(Header.of(SOURCE_PARTITION, Integer.toString(source.partition())));
    }
    headers.add(Header.of(SOURCE_OFFSET, Long.toString(source.offset())));
    return headers;
  }

  /** Whether the log takes a record, as far as is known. */
  boolean fits(OutputRecord record) {
    return log.refusal(record).isEmpty();
  }

  /** The bytes of a record with key and headers, at most. */
  public static long size(OutputRecord record) {
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
