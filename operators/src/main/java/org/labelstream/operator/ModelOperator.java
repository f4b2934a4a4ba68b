package org.labelstream.operator;

import java.util.IdentityHashMap;
import java.util.concurrent.RejectedExecutionException;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.runtime.event.WatermarkEvent;
import org.apache.flink.streaming.api.datastream.AsyncDataStream.OutputMode;
import org.apache.flink.streaming.api.operators.Output;
import org.apache.flink.streaming.api.operators.StreamOperatorParameters;
import org.apache.flink.streaming.api.operators.async.AsyncWaitOperator;
import org.apache.flink.streaming.api.watermark.Watermark;
import org.apache.flink.streaming.runtime.streamrecord.LatencyMarker;
import org.apache.flink.streaming.runtime.streamrecord.RecordAttributes;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.runtime.tasks.ProcessingTimeService;
import org.apache.flink.streaming.runtime.watermarkstatus.WatermarkStatus;
import org.apache.flink.streaming.util.retryable.AsyncRetryStrategies;
import org.apache.flink.util.OutputTag;
import org.labelstream.record.SourceRecord;
import org.labelstream.schedule.InFlightBudget;

/**
 * Flink's async operator over a {@link ModelFunction}, with what only an operator can do: it takes
 * in no more records than the memory for texts in flight allows, from their arrival until they have
 * gone out, and lets results and checkpoints through while it waits; it tells the function when all
 * restored records have come; and it fails the task when the function says so.
 */
final class ModelOperator<T> extends AsyncWaitOperator<SourceRecord, T>
    implements ModelFunction.Host {
  private static final long serialVersionUID = 1L;

  private final transient ModelFunction<T> function;
  private final transient MailboxExecutor mailbox;

  /** What records hold that have an outcome, by the outcome, until it has gone out. */
  private final transient IdentityHashMap<Object, Long> leaving = new IdentityHashMap<>();

  private transient InFlightBudget.Account account;

  @SuppressWarnings("unchecked") // Flink's strategy of no retries has no type
  private ModelOperator(
      StreamOperatorParameters<T> parameters,
      Exit<T> exit,
      ModelFunction<T> function,
      int capacity,
      OutputMode mode,
      ProcessingTimeService time,
      MailboxExecutor mailbox) {
    // A timeout of 0 is none: Flink's would count a record's waiting, ours counts the model's work.
    super(
        parameters,
        function,
        0,
        capacity,
        mode,
        AsyncRetryStrategies.NO_RETRY_STRATEGY,
        time,
        mailbox);
    this.function = function;
    this.mailbox = mailbox;
    exit.operator = this;
  }

  static <T> ModelOperator<T> create(
      StreamOperatorParameters<T> parameters,
      ModelFunction<T> function,
      int capacity,
      OutputMode mode,
      ProcessingTimeService time,
      MailboxExecutor mailbox) {
    Exit<T> exit = new Exit<>(parameters.getOutput());
    StreamOperatorParameters<T> watched =
        new StreamOperatorParameters<>(
            parameters.getContainingTask(),
            parameters.getStreamConfig(),
            exit,
            parameters::getProcessingTimeService,
            parameters.getOperatorEventDispatcher(),
            parameters.getMailboxExecutor());
    return new ModelOperator<>(watched, exit, function, capacity, mode, time, mailbox);
  }

  @Override
  public void open() throws Exception {
    account = function.runtime().inFlight().open(this::wakeUp);
    function.beHostedBy(this);
    super.open(); // which also takes in what is restored
    function.restored();
  }

  private void wakeUp() {
    try {
      mailbox.execute(() -> {}, "memory for texts in flight is free");
    } catch (RejectedExecutionException e) {
      // The task has ended, so it waits for nothing.
    }
  }

  @Override
  public void processElement(StreamRecord<SourceRecord> record) throws Exception {
    long bytes = reserved(record.getValue());
    while (!account.tryReserve(bytes)) {
      mailbox.yield();
    }
    super.processElement(record);
  }

  /** One that is larger than all that there is gets a dead letter, and needs little for that. */
  private long reserved(SourceRecord record) {
    return Math.min(function.inFlightBytes(record), function.runtime().inFlight().limit());
  }

  @Override
  public long inFlightBytes() {
    return account.held();
  }

  @Override
  public void leaving(SourceRecord record, Object outcome) {
    synchronized (leaving) {
      leaving.put(outcome, reserved(record));
    }
  }

  private void left(Object outcome) {
    Long bytes;
    synchronized (leaving) {
      bytes = leaving.remove(outcome);
    }
    if (bytes != null) {
      account.release(bytes);
    }
  }

  @Override
  public void failed(Throwable cause) {
    getContainingTask().getEnvironment().failExternally(cause);
  }

  @Override
  public void close() throws Exception {
    try {
      super.close();
    } finally {
      if (account != null) {
        account.close();
      }
    }
  }

  /** Sees what has gone out. */
  private static final class Exit<T> implements Output<StreamRecord<T>> {
    private final Output<StreamRecord<T>> next;
    private ModelOperator<T> operator;

    Exit(Output<StreamRecord<T>> next) {
      this.next = next;
    }

    @Override
    public void collect(StreamRecord<T> record) {
      Object outcome = record.getValue(); // the wrapper is used again
      next.collect(record);
      operator.left(outcome);
    }

    @Override
    public <X> void collect(OutputTag<X> tag, StreamRecord<X> record) {
      next.collect(tag, record);
    }

    @Override
    public void emitWatermark(Watermark mark) {
      next.emitWatermark(mark);
    }

    @Override
    public void emitWatermarkStatus(WatermarkStatus status) {
      next.emitWatermarkStatus(status);
    }

    @Override
    public void emitLatencyMarker(LatencyMarker marker) {
      next.emitLatencyMarker(marker);
    }

    @Override
    public void emitRecordAttributes(RecordAttributes attributes) {
      next.emitRecordAttributes(attributes);
    }

    @Override
    public void emitWatermark(WatermarkEvent watermark) {
      next.emitWatermark(watermark);
    }

    @Override
    public void close() {
      next.close();
    }
  }
}
