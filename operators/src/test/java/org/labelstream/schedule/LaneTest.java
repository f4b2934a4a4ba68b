package org.labelstream.schedule;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.labelstream.engine.Encodings;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;
import org.labelstream.record.TextEvent;
import org.labelstream.task.Parameters;
import org.labelstream.task.Task;

@Timeout(60)
class LaneTest {

  private static final BatchPolicy POLICY =
      new BatchPolicy(256, 128, Duration.ofSeconds(1), Duration.ZERO);
  private static final Duration LONG = Duration.ofMinutes(10);

  private final List<Lane> lanes = new ArrayList<>();

  private final List<Throwable> failures = new CopyOnWriteArrayList<>();
  private Workers workers = new Workers("", 1);

  @AfterEach
  void closeLanes() {
    lanes.forEach(Lane::close);
  }

  /** A row that is done after some rounds. */
  private static final class FakeRow implements Row {
    private final AtomicInteger roundsLeft;

    FakeRow(int rounds) {
      roundsLeft = new AtomicInteger(rounds);
    }

    @Override
    public int length() {
      return 4;
    }

    @Override
    public boolean done() {
      return roundsLeft.get() <= 0;
    }
  }

  private static FakeRow row() {
    return new FakeRow(1);
  }

  private record FakePlan(List<FakeRow> rows, Prediction prediction) implements Plan {

    FakePlan(FakeRow... rows) {
      this(List.of(rows), new Prediction(Map.of(), rows.length, false));
    }

    @Override
    public Prediction join() {
      assertThat(rows).allMatch(Row::done);
      return prediction;
    }
  }

  /** A plan whose results cannot be joined. */
  private record Unjoinable(FakeRow row, Throwable problem) implements Plan {
    @Override
    public List<? extends Row> rows() {
      return List.of(row);
    }

    @Override
    public Prediction join() throws RejectedRecordException {
      if (problem instanceof RejectedRecordException e) {
        throw e;
      }
      if (problem instanceof RuntimeException e) {
        throw e;
      }
      throw (Error) problem;
    }
  }

  /** A task that does something with each batch and then counts a round for each row. */
  private static final class FakeTask implements Task {
    final List<List<Row>> batches = new CopyOnWriteArrayList<>();
    private final Consumer<List<? extends Row>> work;

    FakeTask(Consumer<List<? extends Row>> work) {
      this.work = work;
    }

    @Override
    public Plan plan(TextEvent event, Parameters parameters, Encodings encodings) {
      throw new IllegalStateException("this test never plans");
    }

    @Override
    public void run(List<? extends Row> batch) {
      batches.add(List.copyOf(batch));
      work.accept(batch);
      for (Row row : batch) {
        ((FakeRow) row).roundsLeft.decrementAndGet();
      }
    }
  }

  /** Keeps all answers; there should be one. */
  private static final class Answers implements Lane.Answer {
    private final CompletableFuture<Object> first = new CompletableFuture<>();
    private final AtomicInteger count = new AtomicInteger();

    @Override
    public void predicted(Prediction prediction) {
      count.incrementAndGet();
      first.complete(prediction);
    }

    @Override
    public void rejected(DeadLetter letter) {
      count.incrementAndGet();
      first.complete(letter);
    }

    Object get() throws Exception {
      Object answer = first.get(30, TimeUnit.SECONDS);
      assertThat(count).hasValue(1);
      return answer;
    }

    DeadLetter letter() throws Exception {
      return (DeadLetter) get();
    }
  }

  private Lane lane(FakeTask task, Duration timeout) {
    return lane(task, new LaneSettings(POLICY, timeout));
  }

  private Lane lane(Runner task, LaneSettings settings) {
    Lane lane = new Lane(task, settings, workers, Runnable::run, LaneListener.NONE, failures::add);
    lanes.add(lane);
    return lane;
  }

  private static Answers submit(Lane lane, Plan plan) {
    Answers answers = new Answers();
    lane.submit(plan, answers);
    return answers;
  }

  private static void await(CountDownLatch latch) {
    try {
      assertThat(latch.await(30, TimeUnit.SECONDS)).isTrue();
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  /** A task whose first batch waits for the gate, so that what comes after it meets in a batch. */
  private static FakeTask gated(
      CountDownLatch started, CountDownLatch gate, Consumer<List<? extends Row>> work) {
    AtomicInteger batches = new AtomicInteger();
    return new FakeTask(
        batch -> {
          if (batches.getAndIncrement() == 0) {
            started.countDown();
            await(gate);
          } else {
            work.accept(batch);
          }
        });
  }

  @Test
  void joinsARecordOnceAllItsRowsAreDone() throws Exception {
    FakeTask task = new FakeTask(batch -> {});
    FakePlan plan = new FakePlan(row(), new FakeRow(3), row(), new FakeRow(2));

    assertThat(submit(lane(task, LONG), plan).get()).isSameAs(plan.prediction());
    assertThat(task.batches.stream().mapToInt(List::size).sum()).isEqualTo(7);
  }

  @Test
  void takesARowAgainUntilItIsDone() throws Exception {
    FakeTask task = new FakeTask(batch -> {});
    Lane lane = lane(task, LONG);

    assertThat(submit(lane, new FakePlan(new FakeRow(25))).get()).isInstanceOf(Prediction.class);
    assertThat(task.batches).hasSize(25);
    assertThat(lane.waiting()).isZero();
  }

  @Test
  void answersAPlanWithoutRowsAtOnce() throws Exception {
    FakeTask task = new FakeTask(batch -> {});
    FakePlan plan = new FakePlan();

    assertThat(submit(lane(task, LONG), plan).get()).isSameAs(plan.prediction());
    assertThat(task.batches).isEmpty();
  }

  @Test
  void bisectsABatchUntilOnlyWhatFailsAloneHasFailed() throws Exception {
    CountDownLatch started = new CountDownLatch(1);
    CountDownLatch gate = new CountDownLatch(1);
    List<FakePlan> plans = new ArrayList<>();
    for (int i = 0; i < 16; i++) {
      plans.add(new FakePlan(row()));
    }
    List<FakeRow> bad = List.of(plans.get(3).rows().get(0), plans.get(12).rows().get(0));
    FakeTask task =
        gated(
            started,
            gate,
            batch -> {
              if (batch.stream().anyMatch(bad::contains)) {
                throw new IllegalStateException("shape mismatch");
              }
            });
    Lane lane = lane(task, LONG);
    Answers plug = submit(lane, new FakePlan(row()));
    await(started);
    List<Answers> answers = new ArrayList<>();
    plans.forEach(plan -> answers.add(submit(lane, plan)));
    assertThat(lane.waiting()).isEqualTo(16);
    gate.countDown();

    assertThat(plug.get()).isInstanceOf(Prediction.class);
    for (int i = 0; i < 16; i++) {
      if (i == 3 || i == 12) {
        assertThat(answers.get(i).letter())
            .isEqualTo(
                new DeadLetter(
                    ErrorCode.INFERENCE_FAILED,
                    Stage.INFERENCE,
                    "the model failed on this record (shape mismatch): try the text with scripts/label.sh, and see the TaskManager's log"));
      } else {
        assertThat(answers.get(i).get()).isSameAs(plans.get(i).prediction());
      }
    }
    assertThat(task.batches.get(1)).hasSize(16);
  }

  @Test
  void failsARecordOfManyRowsOnce() throws Exception {
    FakeTask task =
        new FakeTask(
            batch -> {
              throw new IllegalArgumentException("no");
            });

    assertThat(submit(lane(task, LONG), new FakePlan(row(), row(), row())).letter().code())
        .isEqualTo(ErrorCode.INFERENCE_FAILED);
  }

  static List<Error> errors() {
    return List.of(
        new StackOverflowError(),
        new NoClassDefFoundError("ai/djl/X"),
        new UnsatisfiedLinkError("libtorch"),
        new AssertionError("an invariant"));
  }

  @ParameterizedTest
  @MethodSource("errors")
  void answersWhenTheTaskThrowsAnError(Error error) throws Exception {
    AtomicInteger runs = new AtomicInteger();
    FakeTask task =
        new FakeTask(
            batch -> {
              if (runs.getAndIncrement() == 0) {
                throw error;
              }
            });
    Lane lane = lane(task, LONG);

    assertThat(submit(lane, new FakePlan(row())).letter().code())
        .isEqualTo(ErrorCode.INFERENCE_FAILED);
    assertThat(submit(lane, new FakePlan(row())).get()).isInstanceOf(Prediction.class);
  }

  @Test
  void answersWhenAResultCannotBeJoined() throws Exception {
    Lane lane = lane(new FakeTask(batch -> {}), LONG);
    RejectedRecordException notANumber =
        new RejectedRecordException(ErrorCode.INFERENCE_FAILED, Stage.INFERENCE, "not a number");

    assertThat(submit(lane, new Unjoinable(row(), notANumber)).letter())
        .isEqualTo(notANumber.letter());
    for (Throwable problem :
        List.of(new IllegalStateException("a bug"), new StackOverflowError("deep"))) {
      DeadLetter letter = submit(lane, new Unjoinable(row(), problem)).letter();
      assertThat(letter.code()).isEqualTo(ErrorCode.INFERENCE_FAILED);
      assertThat(letter.message()).contains(problem.getMessage());
    }
  }

  @Test
  void answersWhenTheTimeIsOverAndTheLateResultGoesNowhere() throws Exception {
    CountDownLatch gate = new CountDownLatch(1);
    Lane lane = lane(new FakeTask(batch -> await(gate)), Duration.ofMillis(5));

    Answers answers = submit(lane, new FakePlan(row(), row()));

    assertThat(answers.letter())
        .isEqualTo(
            new DeadLetter(
                ErrorCode.TIMEOUT,
                Stage.INFERENCE,
                "the model has worked on this record for longer than the timeout of 5 ms: shorten the text, or raise timeout"));
    gate.countDown();
    lane.close();
    assertThat(answers.get()).isInstanceOf(DeadLetter.class);
  }

  @Test
  void countsTheModelsWorkAndNotTheWaiting() throws Exception {
    CountDownLatch started = new CountDownLatch(1);
    CountDownLatch gate = new CountDownLatch(1);
    Lane lane = lane(gated(started, gate, batch -> {}), Duration.ofSeconds(1));
    Answers first = submit(lane, new FakePlan(row()));
    await(started);
    Answers waiting = submit(lane, new FakePlan(row()));
    // It waits in the queue: no alarm is set for it.
    assertThat(first.get()).isInstanceOf(DeadLetter.class);
    gate.countDown();

    assertThat(waiting.get()).isInstanceOf(Prediction.class);
  }

  @Test
  void endsTheWaitingOfEachRecordInABatchThatIsStuck() throws Exception {
    CountDownLatch gate = new CountDownLatch(1);
    Answers second = new Answers();
    Lane[] lane = new Lane[1];
    AtomicInteger runs = new AtomicInteger();
    CountDownLatch submitted = new CountDownLatch(1);
    FakeTask task =
        new FakeTask(
            batch -> {
              if (runs.getAndIncrement() == 0) {
                await(submitted);
                lane[0].submit(new FakePlan(new FakeRow(2)), second);
              } else if (runs.get() == 4) { // each has run on its own, now both go on
                await(gate);
              }
            });
    lane[0] = lane(task, Duration.ofMillis(300));
    Answers first = submit(lane[0], new FakePlan(new FakeRow(3)));
    submitted.countDown();

    // Their times run out one after the other, since the first was at work before.
    assertThat(first.letter().code()).isEqualTo(ErrorCode.TIMEOUT);
    assertThat(second.letter().code()).isEqualTo(ErrorCode.TIMEOUT);
    gate.countDown();
  }

  @Test
  void waitsForRunningWorkWhenItIsClosedAndRunsNoMore() throws Exception {
    CountDownLatch started = new CountDownLatch(1);
    CountDownLatch gate = new CountDownLatch(1);
    FakeTask task = gated(started, gate, batch -> {});
    Lane lane = lane(task, LONG);
    submit(lane, new FakePlan(row()));
    await(started);
    Answers waiting = submit(lane, new FakePlan(row()));
    Thread closing = new Thread(lane::close);
    closing.start();
    while (closing.getState() != Thread.State.TIMED_WAITING) {
      Thread.onSpinWait();
    }

    assertThat(closing.isAlive()).isTrue();
    gate.countDown();
    closing.join();

    assertThat(task.batches).hasSize(1);
    assertThat(waiting.count).hasValue(0);
    lane.close(); // a second time does nothing
  }

  @Test
  void losesNothingWhenManyThreadsSubmit() throws Exception {
    workers = new Workers("", 3);
    Lane first = lane(new FakeTask(batch -> {}), LONG);
    Lane second =
        lane(
            new FakeTask(batch -> {}),
            new LaneSettings(
                new BatchPolicy(64, 16, Duration.ofMillis(5), Duration.ofMillis(1)), LONG));
    int threads = 6;
    int each = 1_500;
    List<Answers> answers = new CopyOnWriteArrayList<>();
    List<Thread> running = new ArrayList<>();
    for (int t = 0; t < threads; t++) {
      Random random = new Random(t);
      Thread thread =
          new Thread(
              () -> {
                List<Answers> own = new ArrayList<>();
                for (int i = 0; i < each; i++) {
                  FakeRow[] rows = new FakeRow[random.nextInt(4)];
                  for (int r = 0; r < rows.length; r++) {
                    rows[r] = new FakeRow(1 + random.nextInt(3));
                  }
                  own.add(submit(random.nextBoolean() ? first : second, new FakePlan(rows)));
                  if (random.nextInt(20) == 0) {
                    own.get(i).first.join(); // lets the workers fall asleep now and then
                  }
                }
                answers.addAll(own);
              });
      thread.start();
      running.add(thread);
    }
    for (Thread thread : running) {
      thread.join();
    }

    assertThat(answers).hasSize(threads * each);
    for (Answers answer : answers) {
      assertThat(answer.get()).isInstanceOf(Prediction.class);
    }
  }

  /** Steps that cost more the more texts are in them, as those of a generator do. */
  private static void step(List<? extends Row> batch) {
    pause(1 + batch.size() / 2);
  }

  private static void pause(long millis) {
    try {
      Thread.sleep(millis);
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  /** A text that goes on for some steps, and holds a sequence meanwhile. */
  private static final class FakeText implements Row {
    private final AtomicInteger stepsLeft;

    FakeText(int steps) {
      stepsLeft = new AtomicInteger(steps);
    }

    @Override
    public int length() {
      return 8;
    }

    @Override
    public int sequences() {
      return 1;
    }

    @Override
    public boolean done() {
      return stepsLeft.get() <= 0;
    }
  }

  private record Rows(List<? extends Row> rows) implements Plan {
    @Override
    public Prediction join() {
      return new Prediction(Map.of(), rows.size(), false);
    }
  }

  /** One alone takes about 40 ms; 32 side by side take longer than the timeout. */
  @ParameterizedTest
  @ValueSource(ints = {1, 16, 32, 64, 256})
  void noTextTimesOutBecauseOthersAreThere(int count) throws Exception {
    Lane lane =
        lane(
            batch -> {
              step(batch);
              batch.forEach(row -> ((FakeText) row).stepsLeft.decrementAndGet());
            },
            new LaneSettings(POLICY, Duration.ofMillis(300)));
    List<Answers> answers = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      answers.add(submit(lane, new Rows(List.of(new FakeText(20)))));
    }

    for (Answers answer : answers) {
      assertThat(answer.get()).isInstanceOf(Prediction.class);
    }
  }

  @Test
  void windowsThatRunSideBySideCountOnce() throws Exception {
    workers = new Workers("", 8);
    FakeTask task = new FakeTask(batch -> pause(50));
    Lane lane =
        lane(
            task,
            new LaneSettings(
                new BatchPolicy(4, 128, Duration.ofSeconds(1), Duration.ZERO),
                Duration.ofMillis(1_200)));
    FakeRow[] windows = new FakeRow[64]; // 3.2 s of calls, 0.4 s one beside the other
    for (int i = 0; i < windows.length; i++) {
      windows[i] = row();
    }

    assertThat(submit(lane, new FakePlan(windows)).get()).isInstanceOf(Prediction.class);
  }

  @Test
  void aShortTextDoesNotWaitForTheWindowsOfADocument() throws Exception {
    CountDownLatch started = new CountDownLatch(1);
    CountDownLatch gate = new CountDownLatch(1);
    List<Integer> lengths = new CopyOnWriteArrayList<>();
    AtomicInteger batches = new AtomicInteger();
    Lane lane =
        lane(
            batch -> {
              if (batches.getAndIncrement() == 0) {
                started.countDown();
                await(gate);
              }
              batch.forEach(row -> lengths.add(row.length()));
              batch.forEach(row -> ((Window) row).done = true);
            },
            new LaneSettings(POLICY, LONG));
    List<Window> windows = new ArrayList<>();
    for (int i = 0; i < 2_000; i++) {
      windows.add(new Window(384));
    }
    Answers document = submit(lane, new Rows(windows));
    await(started);
    Answers text = submit(lane, new Rows(List.of(new Window(10))));
    gate.countDown();

    assertThat(text.get()).isInstanceOf(Prediction.class);
    assertThat(document.get()).isInstanceOf(Prediction.class);
    assertThat(lengths.indexOf(10)).isLessThanOrEqualTo(5);
  }

  private static final class Window implements Row {
    private final int length;
    private volatile boolean done;

    Window(int length) {
      this.length = length;
    }

    @Override
    public int length() {
      return length;
    }

    @Override
    public boolean done() {
      return done;
    }
  }

  @Test
  void goesOnWithAPlanThatBeginsWithoutRows() throws Exception {
    Lane lane = lane(new FakeTask(batch -> {}), LONG);
    submit(lane, new FakePlan(row())).get();
    pause(100); // the worker sleeps
    FakeRow later = row();
    Plan plan =
        new Plan() {
          @Override
          public List<? extends Row> rows() {
            return List.of();
          }

          @Override
          public List<? extends Row> next() {
            return later.done() ? List.of() : List.of(later);
          }

          @Override
          public Prediction join() {
            return new Prediction(Map.of(), 1, false);
          }
        };

    assertThat(submit(lane, plan).get()).isInstanceOf(Prediction.class);
  }

  /** Throws what it is given, so many times, and then takes an answer. */
  private static final class Throwing implements Lane.Answer {
    private final Error problem;
    private final AtomicInteger times;
    private final CompletableFuture<Object> taken = new CompletableFuture<>();

    Throwing(Error problem, int times) {
      this.problem = problem;
      this.times = new AtomicInteger(times);
    }

    private void take(Object answer) {
      if (times.getAndDecrement() > 0) {
        throw problem;
      }
      taken.complete(answer);
    }

    @Override
    public void predicted(Prediction prediction) {
      take(prediction);
    }

    @Override
    public void rejected(DeadLetter letter) {
      take(letter);
    }
  }

  private Throwable failure() throws Exception {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
    while (failures.isEmpty() && System.nanoTime() < end) {
      pause(1);
    }
    assertThat(failures).hasSize(1);
    return failures.get(0);
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void anAnswerThatThrowsOnceIsGivenAgainAsADeadLetter(boolean modelFails) throws Exception {
    Lane lane =
        lane(
            new FakeTask(
                batch -> {
                  if (modelFails) {
                    throw new IllegalStateException("no");
                  }
                }),
            LONG);
    Throwing answer = new Throwing(new AssertionError("in the answer's JSON"), 1);
    lane.submit(new FakePlan(row()), answer);

    assertThat(answer.taken.get(30, TimeUnit.SECONDS)).isInstanceOf(DeadLetter.class);
    assertThat(failures).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void failsWhereAnAnswerCannotBeGiven(boolean modelFails) throws Exception {
    Lane lane =
        lane(
            new FakeTask(
                batch -> {
                  if (modelFails) {
                    throw new IllegalStateException("no");
                  }
                }),
            LONG);
    AssertionError problem = new AssertionError("in the answer's JSON");
    lane.submit(new FakePlan(row()), new Throwing(problem, 2));

    assertThat(failure()).isSameAs(problem);
    submit(lane, new FakePlan(row())); // which a lane that has failed does not run
    assertThat(lane.waiting()).isOne();
  }

  @Test
  void failsWhereJavaHasNoMemoryLeft() throws Exception {
    OutOfMemoryError none = new OutOfMemoryError("Java heap space");
    Lane inTheModel =
        lane(
            new FakeTask(
                batch -> {
                  throw none;
                }),
            LONG);
    submit(inTheModel, new FakePlan(row()));
    assertThat(failure()).isSameAs(none);

    failures.clear();
    Lane inTheJoin = lane(new FakeTask(batch -> {}), LONG);
    submit(inTheJoin, new Unjoinable(row(), none));
    assertThat(failure()).isSameAs(none);

    failures.clear();
    Lane inTheAnswer = lane(new FakeTask(batch -> {}), LONG);
    inTheAnswer.submit(new FakePlan(row()), new Throwing(none, 1));
    assertThat(failure()).isSameAs(none);
  }

  @Test
  void aCallThatDoesNotReturnEndsTheWaitingOfItsRecordsAndThenFailsTheStage() throws Exception {
    CountDownLatch started = new CountDownLatch(1);
    CountDownLatch gate = new CountDownLatch(1);
    Lane lane =
        lane(
            gated(started, gate, batch -> {}),
            new LaneSettings(POLICY, LONG, Duration.ofMillis(200), 1));
    Answers stuck = submit(lane, new FakePlan(row()));
    await(started);
    Answers behind = submit(lane, new FakePlan(row()));

    assertThat(stuck.letter().code()).isEqualTo(ErrorCode.TIMEOUT);
    assertThat(stuck.letter().message()).contains("has not returned").contains("call-timeout");
    assertThat(failure())
        .hasMessageMatching("1 rows wait for the model, and no batch has ended for \\d+ s.*");
    assertThat(behind.count).hasValue(0);
    gate.countDown();
  }

  @Test
  void aStageThatWaitsWhileOthersHaveTheWorkersHasNotFailed() throws Exception {
    Lane busy = lane(new FakeTask(batch -> pause(40)), LONG);
    List<Answers> answers = new ArrayList<>();
    for (int i = 0; i < 40; i++) {
      answers.add(submit(busy, new FakePlan(new FakeRow(1), new FakeRow(1))));
    }
    LaneSettings patient =
        new LaneSettings(POLICY, LONG, Duration.ofMillis(60), 0.05); // fails after 120 ms
    Lane back = lane(new FakeTask(batch -> {}), patient);
    answers.add(submit(back, new FakePlan(new FakeRow(6))));

    for (Answers answer : answers) {
      assertThat(answer.get()).isInstanceOf(Prediction.class);
    }
    assertThat(failures).isEmpty();
  }
}
