package org.labelstream.operator;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.stream.Collectors;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.streaming.api.functions.async.ResultFuture;
import org.apache.flink.streaming.api.functions.async.RichAsyncFunction;
import org.labelstream.avro.AvroReader;
import org.labelstream.avro.LabelledSchemas;
import org.labelstream.avro.SchemaRegistry;
import org.labelstream.codec.EventCodec;
import org.labelstream.engine.EngineRuntime;
import org.labelstream.engine.LoadedModel;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;
import org.labelstream.schedule.InFlightBudget;
import org.labelstream.schedule.Lane;
import org.labelstream.schedule.LaneSettings;
import org.labelstream.schedule.Runner;
import org.labelstream.task.Parameters;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * An async function over model folders: it leases the models in {@code open()} and gives them back
 * in {@code close()}.
 *
 * <p>Flink fails a job whose async function completes with an exception, so what happens to a
 * record is always a value. Flink's own timeout must be off (0), since it would count a record's
 * waiting; the settings' counts the model's work.
 *
 * @param <T> what becomes of a record
 */
abstract class ModelFunction<T> extends RichAsyncFunction<SourceRecord, T> {
  private static final long serialVersionUID = 1L;

  private static final Logger LOG = LoggerFactory.getLogger(ModelFunction.class);

  /** What hosts a function on a task: what an async function cannot do by itself. */
  interface Host {

    /** Told that a record goes out, as soon as it is its turn. */
    void leaving(SourceRecord record, Object outcome);

    /** Told that the function cannot go on: the task fails with this cause. */
    void failed(Throwable cause);

    /** What the records in flight hold, in bytes. */
    long inFlightBytes();
  }

  /**
   * What a byte of a value may cost in flight for a model, in bytes: the value itself, the text,
   * the result, and a token for each byte at worst.
   */
  private static final int COST_PER_BYTE = 40;

  /** What a record costs in flight however short it is, in bytes. */
  private static final int COST_PER_RECORD = 4 << 10;

  /** What the stage is told of its models, at least one. */
  final ArrayList<PipelineModel> models;

  /** What it is told beside that; of the models' own it has the first's. */
  final InferenceSettings settings;

  private transient EngineRuntime runtime;
  private transient Host host;
  private transient Preparation preparing;
  private transient boolean memoryIsFull;
  private transient volatile Throwable failure;
  transient StageMetrics metrics;
  transient EventCodec codec;

  /** Where schemas are, or null where the settings name none. */
  transient SchemaRegistry schemas;

  /** The models, in the order of {@link #models}. */
  transient List<LeasedModel> leased;

  ModelFunction(List<PipelineModel> models) {
    this.models = new ArrayList<>(models);
    this.settings = models.get(0).settings();
  }

  /** Whether there are several models, of which each has an entry of its own in the record. */
  final boolean isOfSeveral() {
    return models.size() > 1;
  }

  /** The runtime that the function uses: the process's, unless a test has given it another. */
  final EngineRuntime runtime() {
    if (runtime == null) {
      runtime = EngineRuntime.ofProcess();
    }
    return runtime;
  }

  final void use(EngineRuntime other) {
    runtime = other;
  }

  final void beHostedBy(Host operator) {
    host = operator;
  }

  /** How many records may be in the stage at once, here where it runs. */
  abstract int capacity();

  /** What a record may hold between its arrival and its going out, in bytes. */
  final long inFlightBytes(SourceRecord record) {
    return inFlightBytes(length(record), models.size());
  }

  /** What a value of so many bytes may hold with so many models, in bytes. */
  static long inFlightBytes(long length, int models) {
    return COST_PER_RECORD + COST_PER_BYTE * length * models;
  }

  private static int length(SourceRecord record) {
    return record.value() == null ? 0 : record.value().length;
  }

  /** Whether a record for which there is no memory is given up, and does not wait for it. */
  boolean givesUpWhenFull() {
    return false;
  }

  /** Told of the record that comes next whether there was no memory for it. */
  final void memoryIsFull(boolean full) {
    memoryIsFull = full;
  }

  final boolean memoryIsFull() {
    return memoryIsFull;
  }

  /** Told when all records that were in flight when the state was saved have come in. */
  void restored() {
    // most stages do not care
  }

  /** Starts the work, once the model is there. */
  abstract void start();

  /** Ends the work; none of it may run when this returns. Called even if it never started. */
  abstract void stop();

  @Override
  public void open(OpenContext context) throws Exception {
    RequiredEngine.check();
    metrics = new StageMetrics(getRuntimeContext().getMetricGroup());
    preparing = new Preparation(metrics, this::failed);
    leased = new ArrayList<>();
    InferenceSettings opening = settings;
    try {
      for (PipelineModel model : models) {
        opening = model.settings();
        leased.add(LeasedModel.open(opening, runtime()));
      }
      schemas = settings.avro() == null ? null : settings.avro().registry().open();
      codec = codec();
      start();
      tellOfModels();
    } catch (IOException | RuntimeException | LinkageError e) {
      if (LeasedModel.isOfStart(e)) {
        throw LeasedModel.failure("Pipeline " + settings.pipeline(), opening, e);
      }
      throw e;
    }
  }

  private EventCodec codec() {
    Set<String> entries =
        models.stream().map(PipelineModel::name).collect(Collectors.toCollection(HashSet::new));
    Set<String> fields = new HashSet<>();
    leased.forEach(model -> fields.addAll(model.type().fields()));
    AvroReader avro = null;
    if (schemas != null) {
      avro = new AvroReader(schemas, settings.maxValueBytes());
      models.forEach(model -> entries.add(LabelledSchemas.nameOf(model.name())));
    }
    return new EventCodec(
        settings.pipeline(), entries, settings.form(), settings.maxValueBytes(), fields, avro);
  }

  /**
   * A model's settings for one record.
   *
   * @param given the record's own
   */
  final Parameters parametersOf(LeasedModel model, Map<String, Object> given)
      throws RejectedRecordException {
    if (given.isEmpty()) {
      return model.defaults();
    }
    try {
      return model.defaults().overriddenBy(model.type().parameters().parse(given));
    } catch (IllegalArgumentException e) {
      throw new RejectedRecordException(
          ErrorCode.INVALID_PARAMETER,
          Stage.DECODE,
          "in parameters, "
              + e.getMessage()
              + (e.getMessage().startsWith("there is no parameter") && !isOfSeveral()
                  ? "; where the field is somebody else's, set input.control.parameters: off"
                  : ""));
    }
  }

  private void tellOfModels() {
    leased.stream().map(LeasedModel::folder).distinct().forEach(metrics::model);
    long loadMillis = leased.stream().mapToLong(model -> model.model().loadMillis()).sum();
    metrics.gauge("model_load_ms", () -> loadMillis);
    metrics.watch(() -> host == null ? 0 : host.inFlightBytes(), runtime().inFlight(), this::lanes);
  }

  /** The lanes of the stage's work; none before there is any. */
  abstract List<Lane> lanes();

  /** Opens a lane for a model's task. */
  final Lane open(LeasedModel model, LaneSettings how) {
    return open(model.task(), model.model(), how);
  }

  /** Opens a lane for work with a model. */
  final Lane open(Runner rows, LoadedModel model, LaneSettings how) {
    return new Lane(
        rows, how, runtime().workers(model), runtime().joiner(model), metrics, this::failed);
  }

  /**
   * Makes a record ready on a thread for that, so that the task's own thread takes in others, and
   * lets results and checkpoints through.
   *
   * @param task throws nothing but what is fatal
   */
  final void prepare(SourceRecord record, Runnable task) {
    preparing.execute(threadsFor(record), task);
  }

  /** The threads that read and tokenize a record. */
  Executor threadsFor(SourceRecord record) {
    return Preparation.threads(runtime(), length(record));
  }

  /**
   * Refuses a record that alone would hold more than all texts in flight may.
   *
   * @throws RejectedRecordException with the bound
   */
  final void checkFits(SourceRecord record) throws RejectedRecordException {
    checkFits(length(record), models.size(), runtime().inFlight());
  }

  static void checkFits(long length, int models, InFlightBudget budget)
      throws RejectedRecordException {
    long limit = budget.limit();
    if (inFlightBytes(length, models) > limit) {
      throw new RejectedRecordException(
          ErrorCode.TOO_LARGE,
          Stage.DECODE,
          "a value of "
              + length
              + " bytes may hold "
              + mebibytes(inFlightBytes(length, models))
              + " while it is labelled, but all texts in flight on this TaskManager together may hold "
              + mebibytes(limit)
              + ": shorten it, or give the TaskManager more heap (or raise labelstream.in-flight-bytes)");
    }
  }

  private static String mebibytes(long bytes) {
    return String.format(Locale.ROOT, "%.1f MiB", bytes / (double) (1 << 20));
  }

  /** Fails the task: something went wrong for which no record is to blame. */
  final void failed(Throwable cause) {
    LOG.error("Pipeline {} cannot go on", settings.pipeline(), cause);
    failure = cause;
    if (host != null) {
      host.failed(cannotGoOn(cause));
    }
  }

  private PipelineException cannotGoOn(Throwable cause) {
    return new PipelineException(
        "Pipeline " + settings.pipeline() + " cannot go on: " + cause, cause);
  }

  @Override
  public final void asyncInvoke(SourceRecord record, ResultFuture<T> future) throws Exception {
    if (failure != null) {
      throw cannotGoOn(failure);
    }
    metrics.came();
    take(record, future);
  }

  /** Takes a record, whose result is completed later. */
  abstract void take(SourceRecord record, ResultFuture<T> future);

  /** Hands a record's result to Flink. */
  final void complete(SourceRecord record, ResultFuture<T> future, T result) {
    if (host != null) {
      host.leaving(record, result);
    }
    try {
      future.complete(List.of(result));
    } catch (RejectedExecutionException e) {
      // The task has ended while the model worked for it; the record is in its checkpoint and will
      // run again.
      LOG.debug("A result came after its task had ended");
    }
  }

  @Override
  public void close() {
    // In this order: freeing a module under a native call ends the JVM.
    if (preparing != null) {
      preparing.close();
    }
    stop();
    if (leased != null) {
      leased.forEach(LeasedModel::close);
    }
  }
}
