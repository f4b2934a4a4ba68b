package org.labelstream.operator;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.runtime.checkpoint.OperatorSubtaskState;
import org.apache.flink.streaming.api.datastream.AsyncDataStream.OutputMode;
import org.apache.flink.streaming.util.OneInputStreamOperatorTestHarness;
import org.apache.flink.util.InstantiationUtil;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.engine.EngineRuntime;
import org.labelstream.engine.LoadedModel;
import org.labelstream.model.ModelFolder;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Outcome;
import org.labelstream.record.SourceRecord;
import org.labelstream.task.TaskType.Order;

/** What the operator does beside what the function does: admission, order by key, failing. */
@Timeout(120)
class ModelOperatorTest {

  private static final String MODEL =
      "src/test/resources/parity/distilbert-sequence_classification";
  private static final InferenceSettings SETTINGS = InferenceSettings.of("reviews", MODEL);
  private static final long LIMIT = 200_000;

  private EngineRuntime runtime = new EngineRuntime(1, LIMIT);
  private final List<Stage> open = new ArrayList<>();

  @SuppressWarnings("try") // the harness may be interrupted while it closes
  private static final class Stage
      extends OneInputStreamOperatorTestHarness<SourceRecord, Outcome> {
    final InferenceFunction function;
    private boolean closed;

    private Stage(InferenceFunction function, OutputMode mode) throws Exception {
      super(new ModelOperatorFactory<>(function, mode, null), SourceRecordSerializer.INSTANCE);
      this.function = function;
      setup(OutcomeSerializer.INSTANCE);
    }

    void read(SourceRecord record) throws Exception {
      processElement(record, record.timestamp());
    }

    @Override
    public void close() throws Exception {
      if (!closed) {
        closed = true;
        super.close();
      }
    }
  }

  private Stage stage(Order order) throws Exception {
    InferenceFunction function =
        InstantiationUtil.clone(new InferenceFunction(SETTINGS, order)); // as the cluster gets it
    function.use(runtime);
    Stage stage =
        new Stage(function, order == Order.PARTITION ? OutputMode.ORDERED : OutputMode.UNORDERED);
    open.add(stage);
    return stage;
  }

  @AfterEach
  void close() throws Exception {
    for (Stage stage : open) {
      stage.close();
    }
    assertThat(runtime.inFlight().reserved()).isZero();
    runtime.close();
  }

  private static SourceRecord record(String key, int offset, String text) {
    byte[] bytes = key == null ? null : key.getBytes(UTF_8);
    return new SourceRecord(
        bytes, text.getBytes(UTF_8), List.of(), "texts", 0, offset, 1_000 + offset);
  }

  private List<Outcome> finish(Stage stage) throws Exception {
    stage.endInput();
    List<Outcome> outcomes = stage.extractOutputValues();
    stage.close();
    return outcomes;
  }

  @Test
  void takesInNoMoreThanTheMemoryForTextsInFlightAllows() throws Exception {
    Stage first = stage(Order.PARTITION);
    Stage second = stage(Order.NONE);
    first.open();
    second.open();
    String text = "a good film ".repeat(60);
    long each = first.function.inFlightBytes(record(null, 0, text));
    long most = 0;
    for (int i = 0; i < 100; i++) {
      first.read(record(null, i, text));
      most = Math.max(most, runtime.inFlight().reserved());
    }
    assertThat(finish(first)).hasSize(100).allMatch(Outcome.Labelled.class::isInstance);
    for (int i = 0; i < 100; i++) {
      second.read(record(null, i, text));
      most = Math.max(most, runtime.inFlight().reserved());
    }

    assertThat(most).isBetween(2 * each, LIMIT);
    assertThat(finish(second)).hasSize(100).allMatch(Outcome.Labelled.class::isInstance);
  }

  @Test
  void aRecordAloneBeyondTheBoundIsADeadLetterThatNamesIt() throws Exception {
    Stage stage = stage(Order.PARTITION);
    stage.open();
    stage.read(record(null, 0, "good"));
    stage.read(record(null, 1, "good ".repeat(1_500)));
    stage.read(record(null, 2, "good"));

    List<Outcome> outcomes = finish(stage);

    assertThat(outcomes.get(0)).isInstanceOf(Outcome.Labelled.class);
    assertThat(outcomes.get(1))
        .isInstanceOfSatisfying(
            Outcome.Failed.class,
            failed -> {
              assertThat(failed.letter().code()).isEqualTo(ErrorCode.TOO_LARGE);
              assertThat(failed.letter().message())
                  .isEqualTo(
                      "a value of 7500 bytes may hold 0.3 MiB while it is labelled, but all texts in flight on this TaskManager together may hold 0.2 MiB: shorten it, or give the TaskManager more heap (or raise labelstream.in-flight-bytes)");
            });
    assertThat(outcomes.get(2)).isInstanceOf(Outcome.Labelled.class);
  }

  @Test
  void takesInNoMoreThanACheckpointInTheJobManagersMemoryCanHold() throws Exception {
    haveMemory(1L << 30);
    Stage stage = stage(Order.PARTITION);
    stage.open();
    String text = "a good film ".repeat(3_400); // 40 kB; the harness keeps checkpoints in memory
    for (int i = 0; i < 200; i++) {
      stage.read(record(null, i, text));
    }

    OperatorSubtaskState snapshot = stage.snapshot(1, 1);

    assertThat(snapshot.getStateSize()).isBetween(1L << 20, 5L << 20);
    assertThat(finish(stage)).hasSize(200);
  }

  @Test
  void failsTheTaskWithTheCauseAndTakesInNoMore() throws Exception {
    Stage stage = stage(Order.PARTITION);
    stage.open();
    OutOfMemoryError cause = new OutOfMemoryError("Java heap space");
    stage.getEnvironment().setExpectedExternalFailureCause(PipelineException.class);

    stage.function.lanes().get(0).failed(cause);

    assertThat(stage.getEnvironment().getActualExternalFailureCause())
        .hasValueSatisfying(
            failure ->
                assertThat(failure)
                    .hasMessage(
                        "Pipeline reviews cannot go on: java.lang.OutOfMemoryError: Java heap space")
                    .hasCause(cause));
    assertThatThrownBy(() -> stage.read(record(null, 0, "good"))).hasStackTraceContaining("heap");
  }

  private BusyWorkers busy() throws Exception {
    try (LoadedModel model =
        runtime.lease(
            ModelFolder.read(Path.of(MODEL), ModelFolder.Verify.REQUIRED), DeviceChoice.CPU)) {
      return new BusyWorkers(runtime.workers(model));
    }
  }

  private static List<Long> offsets(List<Outcome> outcomes, String key) {
    return outcomes.stream()
        .map(Outcome::source)
        .filter(source -> new String(source.key(), UTF_8).equals(key))
        .map(SourceRecord::offset)
        .toList();
  }

  private void haveMemory() {
    haveMemory(64 << 20);
  }

  private void haveMemory(long bytes) {
    runtime.close();
    runtime = new EngineRuntime(1, bytes);
  }

  @Test
  void eachKeyKeepsItsOrderAndNothingElseDoes() throws Exception {
    haveMemory();
    Stage stage = stage(Order.KEY);
    stage.open();
    for (int i = 0; i < 200; i++) {
      // Of one key all are long, of the others long and short ones stand in turn.
      stage.read(record("key-" + i % 5, i, "good ".repeat(i % 5 == 0 ? 60 : i % 2 == 0 ? 20 : 1)));
    }

    List<Outcome> outcomes = finish(stage);

    assertThat(outcomes).hasSize(200);
    for (int key = 0; key < 5; key++) {
      assertThat(offsets(outcomes, "key-" + key)).hasSize(40).isSorted();
    }
    assertThat(outcomes.stream().map(outcome -> outcome.source().offset()).toList())
        .isNotEqualTo(
            outcomes.stream().map(outcome -> outcome.source().offset()).sorted().toList());
  }

  @Test
  void eachKeyKeepsItsOrderOverARestore() throws Exception {
    haveMemory();
    OperatorSubtaskState snapshot;
    Stage before = stage(Order.KEY);
    BusyWorkers busy = busy();
    try {
      before.open();
      for (int i = 0; i < 150; i++) {
        before.read(record("key-" + i % 5, i, "good ".repeat(1 + (i * 7919) % 40)));
      }
      snapshot = before.snapshot(1, 1);
      assertThat(before.extractOutputValues()).isEmpty();
    } finally {
      busy.close();
    }
    before.close();

    haveMemory(LIMIT); // a TaskManager with less than what is restored holds
    Stage after = stage(Order.KEY);
    after.initializeState(snapshot);
    after.open();
    for (int i = 150; i < 200; i++) {
      after.read(record("key-" + i % 5, i, "good"));
    }
    List<Outcome> outcomes = finish(after);

    assertThat(outcomes).hasSize(200);
    for (int key = 0; key < 5; key++) {
      assertThat(offsets(outcomes, "key-" + key)).hasSize(40).isSorted();
    }
  }
}
