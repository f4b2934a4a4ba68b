package org.labelstream.operator;

import java.io.Serializable;
import java.util.Optional;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.OutputRecord;
import org.labelstream.record.OutputRecord.Destination;
import org.labelstream.record.Stage;

/**
 * The log that records go to, as far as it refuses some. A record that it refuses fails the job, so
 * it is asked before one is sent; what it answers may change while the job runs.
 *
 * <p>{@link #refusal} is called from any thread, all else from that of the task.
 */
public interface OutputLog extends Serializable, AutoCloseable {

  /**
   * Looks for what keeps the job from working at all.
   *
   * @param restored whether the job goes on from a checkpoint, so that giving it up would lose that
   * @throws Exception with all that was found, as one that suppresses restarts where these cannot
   *     mend it and nothing is lost without them
   */
  default void check(boolean restored) throws Exception {}

  /** Gets to know the log, on the machine that sends. */
  default void open() {}

  /** Called even if it was never opened. */
  @Override
  default void close() {}

  /** Whether a record may have this timestamp, in milliseconds since the epoch. */
  boolean takesTimestamp(Destination destination, long timestamp);

  /** Whether it refuses records without a key. */
  default boolean wantsKeys(Destination destination) {
    return false;
  }

  /** Why it would refuse a record, if it would. */
  Optional<DeadLetter> refusal(OutputRecord record);

  /** A log with two bounds that do not change. */
  static OutputLog bounded(long maxRecordBytes, long maxFutureMillis) {
    return new OutputLog() {
      private static final long serialVersionUID = 1L;

      @Override
      public boolean takesTimestamp(Destination destination, long timestamp) {
        return timestamp <= System.currentTimeMillis() + maxFutureMillis;
      }

      @Override
      public Optional<DeadLetter> refusal(OutputRecord record) {
        return refusalBySize(record, maxRecordBytes);
      }
    };
  }

  /** The refusal of a record beyond what the producer sends, in bytes. */
  static Optional<DeadLetter> refusalBySize(OutputRecord record, long maxRequestBytes) {
    long size = OutputRecords.size(record);
    return size <= maxRequestBytes
        ? Optional.empty()
        : Optional.of(
            tooLarge(
                record,
                size,
                "the producer's max.request.size is "
                    + maxRequestBytes
                    + ": shorten the record, or raise that setting and the output topic's"
                    + " max.message.bytes"));
  }

  /** A dead letter for a record of so many bytes. */
  static DeadLetter tooLarge(OutputRecord record, long size, String but) {
    return new DeadLetter(
        ErrorCode.OUTPUT_TOO_LARGE,
        Stage.OUTPUT,
        "the " + noun(record.destination()) + " would have " + size + " bytes, but " + but);
  }

  /** What a record for this destination is called in messages. */
  static String noun(Destination destination) {
    return switch (destination.kind()) {
      case LABELS, ROUTE -> "labelled record";
      case DEAD_LETTERS -> "dead letter";
      case EXPLANATIONS -> "explanation";
    };
  }
}
