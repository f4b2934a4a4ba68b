package org.labelstream.operator;

import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.concurrent.RejectedExecutionException;
import org.apache.flink.api.common.operators.MailboxExecutor;
import org.apache.flink.runtime.event.WatermarkEvent;
import org.apache.flink.runtime.operators.coordination.OperatorEventGateway;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.runtime.state.memory.MemoryBackendCheckpointStorageAccess;
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
import org.labelstream.operator.PositionsEvent.Position;
import org.labelstream.operator.ReadPositions.Partition;
import org.labelstream.record.Header;
import org.labelstream.record.SourceRecord;
import org.labelstream.schedule.InFlightBudget;

/**
 * Flink's async operator over a {@link ModelFunction}, with what only an operator can do: it takes
 * in no more records than the memory for texts in flight allows, from their arrival until they go
 * out, and lets results through while it waits; it tells the function when all restored records
 * have come, and its coordinator, at each checkpoint, up to where all of them are out; and it fails
 * the task when the function says so.
 */
final class ModelOperator<T> extends AsyncWaitOperator<SourceRecord, T>
    implements ModelFunction.Host {
  private static final long serialVersionUID = 1L;

  /**
   * What the stage's records may hold in a checkpoint that is kept in the JobManager's memory, in
   * bytes: Flink takes 5 MiB of each state there, and 10 MiB in a message, in which another stage
   * of the task may have its state too.
   */
  private static final long MOST_STATE_IN_MEMORY = 4 << 20;

  /** What a record holds in a checkpoint beside its key, value and headers, at most. */
  private static final int STATE_PER_RECORD = 512;

  private final transient ModelFunction<T> function;
  private final transient MailboxExecutor mailbox;

  /** Records that have an outcome, by the outcome, until it has gone out. */
  private final transient IdentityHashMap<Object, Held> leaving = new IdentityHashMap<>();

  /** What was reserved for records that have no outcome yet, by the record. */
  private final transient IdentityHashMap<SourceRecord, Long> taken = new IdentityHashMap<>();

  /** Behind the last record of each partition that came since the operator started. */
  private final transient Map<Partition, Long> next = new HashMap<>();

  private final transient OperatorEventGateway coordinator;
  private transient InFlightBudget.Account account;
  private transient boolean restoring;
  private transient long stateLimit;

  /** What the records that are in would hold in a checkpoint, in bytes; of the task's thread. */
  private transient long state;

  /** A record on its way out, and what it holds, in bytes. */
  private record Held(SourceRecord record, long bytes) {}

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
    this.coordinator =
        parameters.getOperatorEventDispatcher().getOperatorEventGateway(getOperatorID());
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
    stateLimit =
        getContainingTask().getCheckpointStorage() instanceof MemoryBackendCheckpointStorageAccess
            ? MOST_STATE_IN_MEMORY
            : Long.MAX_VALUE;
    restoring = true;
    super.open(); // which also takes in what is restored
    restoring = false;
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
    SourceRecord value = record.getValue();
    long bytes = Math.min(function.inFlightBytes(value), function.runtime().inFlight().limit());
    boolean full = false;
    if (restoring) {
      account.reserve(bytes); // it was taken in once; order by key may need all before any goes out
    } else if (function.givesUpWhenFull()) {
      full = !hasRoomFor(value) || !account.tryReserve(bytes);
      bytes = full ? 0 : bytes;
    } else {
      while (!hasRoomFor(value) || !account.tryReserve(bytes)) {
        mailbox.yield();
      }
    }
    state += stateBytes(value);
    synchronized (leaving) {
      taken.put(value, bytes);
    }
    next.merge(new Partition(value.topic(), value.partition()), value.offset() + 1, Math::max);
    function.memoryIsFull(full);
    super.processElement(record);
  }

  /** Whether a checkpoint could hold the record beside those that are in; a first one it must. */
  private boolean hasRoomFor(SourceRecord record) {
    return state == 0 || state + stateBytes(record) <= stateLimit;
  }

  private static long stateBytes(SourceRecord record) {
    long bytes = STATE_PER_RECORD + length(record.key()) + length(record.value());
    for (Header header : record.headers()) {
      bytes += header.key().length() + length(header.value()) + Long.BYTES;
    }
    return bytes;
  }

  private static long length(byte[] bytes) {
    return bytes == null ? 0 : bytes.length;
  }

  @Override
  public void snapshotState(StateSnapshotContext context) throws Exception {
    super.snapshotState(context);
    tell(context.getCheckpointId());
  }

  @Override
  public void endInput() throws Exception {
    super.endInput(); // which waits until all are out
    tell(PositionsEvent.FINISHED);
  }

  /** Tells the coordinator up to where all records are out. */
  private void tell(long checkpoint) {
    HashMap<Partition, Position> positions = new HashMap<>();
    next.forEach(
        (partition, offset) -> positions.put(partition, new Position(offset, Long.MAX_VALUE)));
    synchronized (leaving) {
      taken.keySet().forEach(record -> isInFlight(record, positions));
      leaving.values().forEach(held -> isInFlight(held.record(), positions));
    }
    coordinator.sendEventToCoordinator(new PositionsEvent(checkpoint, positions));
  }

  private static void isInFlight(SourceRecord record, Map<Partition, Position> positions) {
    positions.merge(
        new Partition(record.topic(), record.partition()),
        new Position(-1, record.offset()),
        Position::and);
  }

  @Override
  public long inFlightBytes() {
    return account.held();
  }

  @Override
  public void leaving(SourceRecord record, Object outcome) {
    synchronized (leaving) {
      Long bytes = taken.remove(record);
      if (bytes != null) {
        leaving.put(outcome, new Held(record, bytes));
      }
    }
  }

  private void left(Object outcome) {
    Held held;
    synchronized (leaving) {
      held = leaving.remove(outcome);
    }
    if (held != null) {
      state -= stateBytes(held.record());
      account.release(held.bytes());
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
      // Before the next stage takes it in, which may wait for memory itself.
      operator.left(record.getValue());
      next.collect(record);
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
