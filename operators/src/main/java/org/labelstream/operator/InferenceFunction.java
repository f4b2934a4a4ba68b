package org.labelstream.operator;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReferenceArray;
import java.util.function.UnaryOperator;
import org.apache.flink.streaming.api.functions.async.ResultFuture;
import org.labelstream.avro.AvroWriter;
import org.labelstream.avro.LabelledSchemas;
import org.labelstream.codec.DecodedEvent;
import org.labelstream.codec.EventForm.Envelope;
import org.labelstream.engine.Encodings;
import org.labelstream.engine.EngineException;
import org.labelstream.model.InvalidModelException;
import org.labelstream.model.ModelFolder;
import org.labelstream.model.Names;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Outcome;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Result;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;
import org.labelstream.record.TextEvent;
import org.labelstream.result.RedactSettings;
import org.labelstream.result.Redaction;
import org.labelstream.result.Routes;
import org.labelstream.schedule.Faults;
import org.labelstream.schedule.Lane;
import org.labelstream.schedule.ThrottledLog;
import org.labelstream.task.FieldType;
import org.labelstream.task.Parameters;
import org.labelstream.task.TaskType;
import org.labelstream.task.TaskType.Order;
import org.labelstream.task.Tasks;
import org.slf4j.LoggerFactory;

/**
 * Labels records with a model, or with several: on a GPU where there is one, else on the CPU. A
 * record's fate is always an {@link Outcome}.
 *
 * <p>Decoding and tokenizing happen on threads of their own, while the workers run the batch
 * before. Each model has a lane of its own; a record goes out when all of them have answered, and
 * has no label only where none of them has.
 */
public final class InferenceFunction extends ModelFunction<Outcome> {
  private static final long serialVersionUID = 1L;

  private static final ThrottledLog LOG =
      new ThrottledLog(LoggerFactory.getLogger(InferenceFunction.class));

  private final Order order;

  private transient Routes routes;
  private transient List<Branch> branches;
  private transient Encodings.Sharing sharing;
  private transient KeyOrder<Outcome> keys;

  /** The schemas of labelled records, or null where these are JSON. */
  private transient LabelledSchemas labelled;

  /**
   * A stage with one model.
   *
   * @param order which records keep their order; {@code PARTITION} is kept by Flink's operator
   */
  public InferenceFunction(InferenceSettings settings, Order order) {
    this(PipelineModel.only(settings), order);
  }

  /**
   * A stage with some models, each behind those that it waits for.
   *
   * @param order which records keep their order; {@code PARTITION} is kept by Flink's operator
   */
  public InferenceFunction(List<PipelineModel> models, Order order) {
    super(models);
    this.order = order;
  }

  /** A model at work. */
  private static final class Branch {
    private final PipelineModel model;
    private final LeasedModel leased;
    private final Lane lane;
    private final Repeats repeats;

    /** Those that wait for what this one says, by their places. */
    private final List<Integer> next = new ArrayList<>();

    /** The one that it waits for itself, or -1. */
    private int before = -1;

    Branch(PipelineModel model, LeasedModel leased, Lane lane, Runnable onRepeat) {
      this.model = model;
      this.leased = leased;
      this.lane = lane;
      this.repeats = new Repeats(leased.task(), model.settings().caching(), onRepeat);
    }

    boolean findsEntities() {
      return leased.type().results().containsKey("entities");
    }
  }

  /** The task that a folder's model was made for. */
  public static TaskType taskType(ModelFolder folder) {
    String name = folder.manifest().task();
    return Tasks.named(name)
        .orElseThrow(
            () ->
                new InvalidModelException(
                    folder.path()
                        + " is for the task "
                        + name
                        + ", which this version does not have: it has "
                        + String.join(", ", Tasks.ALL.stream().map(TaskType::name).toList())));
  }

  @Override
  int capacity() {
    try {
      int most = 1;
      for (PipelineModel model : models) {
        boolean onGpu = runtime().onGpu(model.settings().device());
        most = Math.max(most, model.settings().capacity(onGpu, runtime().workerCount(onGpu)));
      }
      return most;
    } catch (IllegalArgumentException | EngineException e) {
      return 1; // open() comes next, and says what is wrong
    }
  }

  @Override
  void start() {
    routes = routes();
    branches = new ArrayList<>();
    sharing = new Encodings.Sharing();
    for (int i = 0; i < models.size(); i++) {
      PipelineModel model = models.get(i);
      LeasedModel of = leased.get(i);
      sharing.add(of.model(), of.task().details());
      branches.add(
          new Branch(
              model, of, open(of, model.settings().lane(of.model().onGpu())), metrics::repeated));
      if (model.when() != null) {
        waitFor(model, i);
      }
    }
    if (settings.results().redact() != null && branches.stream().noneMatch(Branch::findsEntities)) {
      throw new InvalidModelException(
          "redact needs a model that finds entities, and "
              + settings.model()
              + " is for "
              + leased.get(0).type().name()
              + ": remove redact, or name another model");
    }
    labelled = labelledSchemas();
    keys = order == Order.KEY ? new KeyOrder<>(capacity()) : null;
  }

  private LabelledSchemas labelledSchemas() {
    if (settings.avro() == null || settings.avro().subject() == null) {
      return null;
    }
    Map<String, TaskType> entries = new HashMap<>();
    for (int i = 0; i < models.size(); i++) {
      entries.put(models.get(i).name(), leased.get(i).type());
    }
    return new LabelledSchemas(
        schemas,
        settings.avro().subject(),
        entries,
        settings.form().control().names(),
        settings.form().envelope() == Envelope.DEBEZIUM ? List.of("after") : List.of());
  }

  private Routes routes() {
    if (!isOfSeveral()) {
      return new Routes(settings.results().routes(), leased.get(0).type().results());
    }
    Map<String, Map<String, FieldType>> fields = new HashMap<>();
    for (int i = 0; i < models.size(); i++) {
      fields.put(models.get(i).name(), leased.get(i).type().results());
    }
    return Routes.ofSeveral(settings.results().routes(), fields);
  }

  /** Checks again what a submission could not check of a remote model. */
  private void waitFor(PipelineModel model, int place) {
    for (int i = 0; i < place; i++) {
      if (models.get(i).name().equals(model.when().model())) {
        List<String> problems =
            model.when().problems(leased.get(i).type(), leased.get(i).folder().labels());
        if (!problems.isEmpty()) {
          throw new IllegalArgumentException(
              "models." + model.name() + ".when.label " + String.join("; ", problems));
        }
        branches.get(i).next.add(place);
        branches.get(place).before = i;
        return;
      }
    }
    throw new IllegalArgumentException(
        model.name() + " waits for " + model.when().model() + ", which does not stand before it");
  }

  @Override
  List<Lane> lanes() {
    return branches == null ? List.of() : branches.stream().map(branch -> branch.lane).toList();
  }

  @Override
  void restored() {
    if (keys != null) {
      keys.restored();
    }
  }

  @Override
  void stop() {
    if (branches == null) {
      return;
    }
    for (Branch branch : branches) {
      branch.lane.close();
      if (branch.lane.isStuck()) {
        branch.leased.model().abandon();
      }
    }
  }

  @Override
  void take(SourceRecord record, ResultFuture<Outcome> future) {
    Labelling labelling =
        new Labelling(record, keys == null ? future : keys.inTurn(record, future));
    if (record.value() == null && settings.tombstones() == Tombstones.FORWARD) {
      labelling.passedOn();
    } else {
      prepare(record, labelling::begin);
    }
  }

  /** A record on its way through the models, and its answer back to Flink. */
  private final class Labelling {
    private final SourceRecord record;
    private final ResultFuture<Outcome> future;
    private final long came = System.nanoTime();

    /** What the models say, by their places; null where one was not run. */
    private final AtomicReferenceArray<Result> results;

    /** How many of them have not said anything as yet. */
    private final AtomicInteger awaited = new AtomicInteger(models.size());

    private final AtomicBoolean answered = new AtomicBoolean();
    private final Encodings encodings = new Encodings(sharing, metrics::tokenized);
    private volatile DecodedEvent decoded;

    /** What writes the labelled record in Avro, or null where it is JSON. */
    private volatile AvroWriter writer;

    Labelling(SourceRecord record, ResultFuture<Outcome> future) {
      this.record = record;
      this.future = future;
      this.results = new AtomicReferenceArray<>(models.size());
    }

    void begin() {
      try {
        checkFits(record);
        decoded = codec.decode(record);
        if (decoded.isDeletion()) {
          passedOn();
          return;
        }
        checkParameters(decoded.event().parameters());
        if (labelled != null) {
          writer = labelled.of(decoded.writer()); // here, where it may wait for the registry
        }
      } catch (RejectedRecordException e) {
        rejected(e.letter());
        return;
      } catch (RuntimeException | Error e) {
        rejected(unready(e));
        return;
      }
      for (int i = 0; i < branches.size(); i++) {
        if (branches.get(i).before < 0) {
          submit(i);
        }
      }
    }

    private DeadLetter unready(Throwable e) {
      Faults.rethrowFatal(e);
      LOG.warn("The record at " + record.position() + " could not be encoded", e);
      return new DeadLetter(
          ErrorCode.INFERENCE_FAILED,
          Stage.ENCODE,
          "the record could not be made ready for the model ("
              + e.getMessage()
              + "): see the TaskManager's log");
    }

    /** Several models have settings of their own, each under its name. */
    private void checkParameters(Map<String, Object> given) throws RejectedRecordException {
      if (!isOfSeveral()) {
        return;
      }
      List<String> names = models.stream().map(PipelineModel::name).toList();
      for (Map.Entry<String, Object> own : given.entrySet()) {
        boolean known = names.contains(own.getKey());
        if (!known || !(own.getValue() instanceof Map)) {
          throw new RejectedRecordException(
              ErrorCode.INVALID_PARAMETER,
              Stage.DECODE,
              "in parameters, "
                  + (known
                      ? own.getKey() + " is no object"
                      : "there is no model "
                          + Names.shown(own.getKey())
                          + ": "
                          + Names.didYouMean(own.getKey(), names))
                  + "; each model has its settings under its name, as in {\""
                  + names.get(0)
                  + "\": {…}}");
        }
      }
    }

    /** The record's own settings for a model. */
    @SuppressWarnings("unchecked") // checked when it was read
    private Map<String, Object> parameters(Branch branch) {
      Map<String, Object> given = decoded.event().parameters();
      return isOfSeveral()
          ? (Map<String, Object>) given.getOrDefault(branch.model.name(), Map.of())
          : given;
    }

    /** Hands the record to a model; its answer comes to {@link #said}. */
    private void submit(int place) {
      Branch branch = branches.get(place);
      try {
        Map<String, Object> given = parameters(branch);
        if (settings.results().redact() != null && given.containsKey("ignore_labels")) {
          throw new RejectedRecordException(
              ErrorCode.INVALID_PARAMETER,
              Stage.DECODE,
              "in parameters, ignore_labels would keep entities from being redacted: remove it");
        }
        TextEvent event = decoded.event();
        Parameters parameters = parametersOf(branch.leased, given);
        branch.repeats.submit(
            event,
            parameters,
            new Lane.Answer() {
              @Override
              public void predicted(Prediction prediction) {
                said(place, Result.of(result(branch), prediction));
              }

              @Override
              public void rejected(DeadLetter letter) {
                said(place, Result.of(result(branch), letter));
              }
            },
            answer ->
                branch.lane.submit(
                    branch.leased.task().plan(event, parameters, encodings), answer));
      } catch (RejectedRecordException e) {
        said(place, Result.of(result(branch), e.letter()));
      } catch (RuntimeException | Error e) {
        said(place, Result.of(result(branch), unready(e)));
      }
    }

    private Result result(Branch branch) {
      ModelFolder folder = branch.leased.model().folder();
      return new Result(
          branch.model.name(),
          branch.leased.type().name(),
          folder.name(),
          folder.version(),
          null,
          null);
    }

    /** Takes what a model says, and goes on with those that wait for it. */
    private void said(int place, Result result) {
      if (results.getAndSet(place, result) != null) {
        rejected(result.error()); // the record could not be answered, and the lane tries again
        return;
      }
      int done = 1;
      for (int next : branches.get(place).next) {
        if (result.prediction() != null
            && branches.get(next).model.when().holds(result.prediction())) {
          prepare(record, () -> submit(next));
        } else {
          done += withAllBehind(next);
        }
      }
      if (awaited.addAndGet(-done) == 0) {
        finish();
      }
    }

    /** How many models are not run where one is not. */
    private int withAllBehind(int place) {
      return 1 + branches.get(place).next.stream().mapToInt(this::withAllBehind).sum();
    }

    private void finish() {
      List<Result> said = new ArrayList<>();
      for (int i = 0; i < results.length(); i++) {
        if (results.get(i) != null) {
          said.add(results.get(i));
        }
      }
      if (said.stream().allMatch(result -> result.error() != null)) {
        rejected(said.get(0).error());
        return;
      }
      try {
        Routes.Choice choice =
            isOfSeveral()
                ? routes.choose(record, said)
                : routes.choose(record, said.get(0).prediction());
        RedactSettings redact = settings.results().redact();
        if (redact == null) {
          labelled(record, said, UnaryOperator.identity(), choice);
        } else {
          Redaction redaction = Redaction.of(redact, decoded.event().text(), entities());
          labelled(
              redaction.applied(record),
              said.stream().map(redaction::applied).toList(),
              redaction.rewriting(),
              choice);
        }
      } catch (RejectedRecordException e) {
        rejected(e.letter());
      } catch (RuntimeException | Error e) {
        Faults.rethrowFatal(e);
        LOG.warn("The results of the record at " + record.position() + " could not be written", e);
        rejected(
            new DeadLetter(
                ErrorCode.INFERENCE_FAILED,
                Stage.OUTPUT,
                "the results could not be written ("
                    + e.getMessage()
                    + "): see the TaskManager's log"));
      }
    }

    /**
     * What the models found that find entities.
     *
     * @throws RejectedRecordException when there is one that should have looked and has not, or
     *     none that should have
     */
    private List<Prediction> entities() throws RejectedRecordException {
      List<Prediction> found = new ArrayList<>();
      for (int i = 0; i < branches.size(); i++) {
        if (!branches.get(i).findsEntities()) {
          continue;
        }
        Result failed = failed(i);
        if (failed != null) {
          throw notRedacted(
              "the model "
                  + failed.name()
                  + " failed on the text, so what "
                  + branches.get(i).model.name()
                  + " would have found could not be redacted: "
                  + failed.error().message());
        }
        if (results.get(i) != null) {
          found.add(results.get(i).prediction());
        }
      }
      if (found.isEmpty()) {
        throw notRedacted(
            "no model that finds entities was run on the text, so nothing could be redacted: add"
                + " one without when");
      }
      return found;
    }

    /** The error of a model, or of the one because of which it was not run; null without one. */
    private Result failed(int place) {
      Result result = results.get(place);
      int before = branches.get(place).before;
      if (result == null) {
        return before < 0 ? null : failed(before);
      }
      return result.error() == null ? null : result;
    }

    private RejectedRecordException notRedacted(String message) {
      return new RejectedRecordException(ErrorCode.NOT_REDACTED, Stage.OUTPUT, message);
    }

    private void labelled(
        SourceRecord source,
        List<Result> said,
        UnaryOperator<String> rewriting,
        Routes.Choice choice)
        throws RejectedRecordException {
      byte[] json = decoded.labelled(said.stream().map(this::shortened).toList(), rewriting);
      byte[] value = writer == null ? json : writer.write(json);
      for (Result result : said) {
        if (result.error() != null) {
          metrics.modelFailed();
        } else if (result.prediction().fields().get("generated_tokens") instanceof Integer count) {
          metrics.generated(count);
        }
      }
      labelled(
          new Outcome.Labelled(
              source, value, decoded.event().explain(), choice.topics(), choice.moved()));
    }

    private Result shortened(Result result) {
      DeadLetter error = result.error();
      return error == null
          ? result
          : Result.of(
              result,
              new DeadLetter(
                  error.code(), error.stage(), OutputRecords.shortened(error.message())));
    }

    private void labelled(Outcome.Labelled outcome) {
      answer(outcome, () -> metrics.succeeded(System.nanoTime() - came));
    }

    void passedOn() {
      labelled(new Outcome.Labelled(record, null, false));
    }

    void rejected(DeadLetter letter) {
      answer(
          new Outcome.Failed(record, letter),
          () -> metrics.failed(letter.code(), System.nanoTime() - came));
    }

    /** Answers once. What cannot be given stays owed, so that whoever tries again is told too. */
    private void answer(Outcome outcome, Runnable count) {
      if (answered.compareAndSet(false, true)) {
        count.run();
        try {
          complete(record, future, outcome);
        } catch (RuntimeException | Error e) {
          answered.set(false);
          throw e;
        }
      }
    }
  }

  @Override
  public void timeout(SourceRecord record, ResultFuture<Outcome> future) {
    new Labelling(record, future)
        .rejected(
            new DeadLetter(
                ErrorCode.TIMEOUT, Stage.INFERENCE, "the record was not labelled in time"));
  }
}
