package org.labelstream.operator;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.InstanceOfAssertFactories.LIST;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.apache.flink.api.common.functions.DefaultOpenContext;
import org.apache.flink.streaming.api.functions.async.CollectionSupplier;
import org.apache.flink.streaming.api.functions.async.ResultFuture;
import org.apache.flink.streaming.util.MockStreamingRuntimeContext;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.engine.Encodings;
import org.labelstream.engine.LoadedModel;
import org.labelstream.model.ModelFolder;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Outcome;
import org.labelstream.record.Prediction;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;
import org.labelstream.record.TextEvent;
import org.labelstream.schedule.BatchPolicy;
import org.labelstream.schedule.Lane;
import org.labelstream.schedule.LaneListener;
import org.labelstream.schedule.LaneSettings;
import org.labelstream.schedule.Plan;
import org.labelstream.schedule.Row;
import org.labelstream.schedule.Workers;
import org.labelstream.task.Parameters;
import org.labelstream.task.Task;
import org.labelstream.task.TaskType;
import org.labelstream.task.TaskType.Order;
import org.labelstream.task.Tasks;

/** Texts that come and go between the steps of the others. */
@Timeout(120)
class GenerationLaneTest {

  private static final Path FOLDER = Path.of("src/test/resources/parity/gpt2-text_generation");
  private static final TaskType TYPE = Tasks.named("text_generation").orElseThrow();
  private static final int MAX_TOKENS = 64;
  private static final int MOST_UNDER_WAY = MAX_TOKENS / 8;
  private static final Duration LONG = Duration.ofMinutes(10);
  private static final ObjectMapper JSON = new ObjectMapper();

  private Workers workers = new Workers("", 1);
  private LoadedModel model;
  private int weights;
  private Watched task;
  private Lane lane;

  @BeforeEach
  void load() {
    ModelFolder folder = ModelFolder.read(FOLDER, ModelFolder.Verify.REQUIRED);
    model = LoadedModel.lease(folder, DeviceChoice.CPU);
    weights = arrays();
    task = new Watched(TYPE.factory().create(model));
  }

  @AfterEach
  void leaveNothingBehind() {
    if (lane != null) {
      lane.close();
    }
    assertThat(blocks()).isZero();
    model.close();
  }

  /** How many arrays there are in native memory that outlive a step. */
  private int arrays() {
    return assertThat(model)
        .extracting("shared.module.NDManager.managedArrays", LIST)
        .actual()
        .size();
  }

  /** How many blocks of keys and values texts hold. */
  private int blocks() {
    return arrays() - weights;
  }

  private void open(Duration timeout) {
    BatchPolicy policy = new BatchPolicy(MAX_TOKENS, 128, Duration.ofSeconds(1), Duration.ZERO);
    lane =
        new Lane(
            task,
            new LaneSettings(policy, timeout),
            workers,
            Runnable::run,
            LaneListener.NONE,
            failure -> {
              throw new AssertionError(failure);
            });
  }

  /** The task, with an eye on the rows that it runs. */
  private static final class Watched implements Task {
    private final Task task;
    private final Map<Row, Integer> steps = new ConcurrentHashMap<>();
    private final Set<Row> underWay = ConcurrentHashMap.newKeySet();
    private final AtomicInteger mostUnderWay = new AtomicInteger();
    private final AtomicInteger mostSequences = new AtomicInteger();
    private final AtomicInteger companies = new AtomicInteger();
    private volatile Consumer<List<? extends Row>> before = batch -> {};

    Watched(Task task) {
      this.task = task;
    }

    @Override
    public Plan plan(TextEvent event, Parameters parameters, Encodings encodings) {
      throw new IllegalStateException("this test plans with the task itself");
    }

    /** How often a row has been run. */
    int steps(Row row) {
      return steps.getOrDefault(row, 0);
    }

    @Override
    public void run(List<? extends Row> batch) {
      before.accept(batch);
      task.run(batch);
      for (Row row : batch) {
        steps.merge(row, 1, Integer::sum);
      }
      if (batch.size() > 1) {
        companies.incrementAndGet();
      }
      underWay.addAll(batch);
      underWay.removeIf(Row::done);
      mostUnderWay.accumulateAndGet(underWay.size(), Math::max);
      mostSequences.accumulateAndGet(
          underWay.stream().mapToInt(Row::length).sum(), Math::max); // each goes on by a token
    }
  }

  /** A text on its way, and its answer. */
  private static final class Text implements Lane.Answer {
    final Plan plan;
    final Row row;
    final CompletableFuture<Object> answer = new CompletableFuture<>();
    final AtomicInteger answers = new AtomicInteger();

    Text(Plan plan) {
      this.plan = plan;
      this.row = plan.rows().get(0);
    }

    @Override
    public void predicted(Prediction prediction) {
      answers.incrementAndGet();
      answer.complete(prediction);
    }

    @Override
    public void rejected(DeadLetter letter) {
      answers.incrementAndGet();
      answer.complete(letter);
    }

    Object get() throws Exception {
      Object given = answer.get(60, TimeUnit.SECONDS);
      assertThat(answers).hasValue(1);
      return given;
    }
  }

  private Text text(String prompt, Map<String, Object> given) throws Exception {
    Parameters parameters = TYPE.parameters().parse(given);
    return new Text(task.task.plan(TextEvent.ofText("texts-0@0", prompt), parameters));
  }

  private Text text(String prompt, int newTokens) throws Exception {
    return text(prompt, Map.of("max_new_tokens", newTokens, "eos_token_id", List.of()));
  }

  private Text submit(Text text) {
    lane.submit(text.plan, text);
    return text;
  }

  /** What the same text becomes alone. */
  private Prediction alone(String prompt, int newTokens) throws Exception {
    Text text = text(prompt, newTokens);
    while (!text.row.done()) {
      task.task.run(List.of(text.row));
    }
    return text.plan.join();
  }

  private static void await(CountDownLatch latch) {
    try {
      assertThat(latch.await(60, TimeUnit.SECONDS)).isTrue();
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  private static void sleep(long millis) {
    try {
      Thread.sleep(millis);
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  private void textsThatComeOverTimeAreWhatTheyAreAlone() throws Exception {
    Random random = new Random(40);
    List<Text> texts = new ArrayList<>();
    List<Prediction> alone = new ArrayList<>();
    for (int i = 0; i < 40; i++) {
      String prompt = "We waited for the soup, and it was cold. ".substring(random.nextInt(40));
      int newTokens = 1 + random.nextInt(40);
      texts.add(text(prompt, newTokens));
      alone.add(alone(prompt, newTokens));
    }
    task.before = batch -> sleep(2); // else a fast machine would be done before the next one comes
    open(LONG);
    Thread submitting =
        new Thread(
            () -> {
              for (Text text : texts) {
                submit(text);
                sleep(random.nextInt(8));
              }
            });
    submitting.start();
    submitting.join();

    for (int i = 0; i < texts.size(); i++) {
      assertThat(texts.get(i).get()).as("text %d", i).isEqualTo(alone.get(i));
    }
    assertThat(task.companies).hasValueGreaterThan(20);
    assertThat(task.mostUnderWay.get())
        .as("those with room, and a batch that begins")
        .isBetween(3, 2 * MOST_UNDER_WAY);
    assertThat(lane.waiting()).isZero();
  }

  @Test
  void textsThatComeOverTimeAreWhatTheyAreAloneWithOneWorker() throws Exception {
    textsThatComeOverTimeAreWhatTheyAreAlone();
  }

  @Test
  void textsThatComeOverTimeAreWhatTheyAreAloneWithTwoWorkers() throws Exception {
    workers = new Workers("", 2);
    textsThatComeOverTimeAreWhatTheyAreAlone();
  }

  /** Submits texts while the worker is kept busy, so that they all wait when it takes a batch. */
  private List<Text> atOnce(int count, String prompt, Map<String, Object> given) throws Exception {
    CountDownLatch started = new CountDownLatch(1);
    CountDownLatch gate = new CountDownLatch(1);
    task.before =
        batch -> {
          started.countDown();
          await(gate);
        };
    open(LONG);
    submit(text("a", 1));
    await(started);
    List<Text> texts = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      texts.add(submit(text(prompt, given)));
    }
    gate.countDown();
    for (Text text : texts) {
      assertThat(text.get()).isInstanceOf(Prediction.class);
    }
    return texts;
  }

  @Test
  void noMoreTextsAreUnderWayThanThereIsRoomForHoweverShortTheirPromptsAre() throws Exception {
    atOnce(60, "a", Map.of("max_new_tokens", 5, "eos_token_id", List.of()));

    assertThat(task.mostUnderWay.get())
        .as("those with room, and a batch that begins")
        .isBetween(MOST_UNDER_WAY, 2 * MOST_UNDER_WAY);
  }

  @Test
  void eachBeamTakesThePlaceOfAText() throws Exception {
    atOnce(20, "Once", Map.of("num_beams", 4, "max_new_tokens", 5, "eos_token_id", List.of()));

    assertThat(task.mostSequences.get())
        .as("those with room, and a batch that begins")
        .isBetween(MOST_UNDER_WAY, 2 * MOST_UNDER_WAY);
  }

  @Test
  void aTextWhoseTimeIsOverIsADeadLetterAndHoldsNothingWhileTheOthersGoOn() throws Exception {
    Text slow = text("Once upon a time", 120);
    CountDownLatch begun = new CountDownLatch(1);
    CountDownLatch joined = new CountDownLatch(1);
    task.before =
        batch -> {
          if (!batch.contains(slow.row) || slow.answer.isDone()) {
            return;
          }
          if (task.steps(slow.row) < 3) {
            sleep(600); // it has worked for longer than the others when they come
          } else if (batch.size() == 1) {
            begun.countDown();
            await(joined);
          } else {
            slow.answer.join(); // until its alarm rings
          }
        };
    open(Duration.ofSeconds(3));
    submit(slow);
    await(begun);
    List<Text> others = new ArrayList<>();
    for (int i = 1; i <= 4; i++) {
      others.add(submit(text("The film was long", 4 * i)));
    }
    joined.countDown();

    assertThat(slow.get())
        .isEqualTo(
            new DeadLetter(
                ErrorCode.TIMEOUT,
                Stage.INFERENCE,
                "the model has worked on this record for longer than the timeout of 3000 ms: shorten the text, or raise timeout"));
    for (int i = 1; i <= 4; i++) {
      assertThat(others.get(i - 1).get()).isEqualTo(alone("The film was long", 4 * i));
    }
    assertThat(submit(text("a", 9)).get()).isEqualTo(alone("a", 9));
    assertThat(slow.row.done()).isFalse();
    assertThat(task.steps(slow.row)).isBetween(4, 8);
    assertThat(slow.row).extracting("cache.block").isNull();
    assertThat(blocks()).isZero();
  }

  private static boolean isAtStep(Watched task, Text text, int step, List<? extends Row> batch) {
    return batch.contains(text.row) && task.steps(text.row) >= step;
  }

  @Test
  void aTextOnWhichTheModelFailsCostsNoOther() throws Exception {
    Text bad = text("Once upon a time", 30);
    List<Text> texts = new ArrayList<>(List.of(bad));
    for (int i = 1; i <= 6; i++) {
      texts.add(text("The film was long", 4 * i));
    }
    task.before =
        batch -> {
          if (isAtStep(task, bad, 5, batch)) {
            throw new IllegalStateException("shape mismatch");
          }
        };
    open(LONG);
    texts.forEach(this::submit);

    assertThat(bad.get())
        .isEqualTo(
            new DeadLetter(
                ErrorCode.INFERENCE_FAILED,
                Stage.INFERENCE,
                "the model failed on this record (shape mismatch): try the text with scripts/label.sh, and see the TaskManager's log"));
    for (int i = 1; i <= 6; i++) {
      assertThat(texts.get(i).get()).isEqualTo(alone("The film was long", 4 * i));
    }
    assertThat(task.steps(bad.row)).isEqualTo(5);
    assertThat(bad.row).extracting("cache.block").isNull();
  }

  @Test
  void aFailureThatDoesNotComeAgainCostsNoText() throws Exception {
    AtomicInteger failures = new AtomicInteger();
    List<Text> texts = new ArrayList<>();
    for (int i = 1; i <= 6; i++) {
      texts.add(text("The film was long", 6 * i));
    }
    task.before =
        batch -> {
          if (batch.size() > 1
              && isAtStep(task, texts.get(2), 3, batch)
              && failures.getAndIncrement() == 0) {
            throw new IllegalStateException("once");
          }
        };
    open(LONG);
    texts.forEach(this::submit);

    for (int i = 1; i <= 6; i++) {
      assertThat(texts.get(i - 1).get()).isEqualTo(alone("The film was long", 6 * i));
    }
    assertThat(failures).hasPositiveValue();
  }

  @Test
  void nothingIsLeftWhenItIsClosedWithTextsUnderWay() throws Exception {
    CountDownLatch underWay = new CountDownLatch(1);
    AtomicInteger batches = new AtomicInteger();
    task.before =
        batch -> {
          if (batches.incrementAndGet() == 12) {
            underWay.countDown();
          }
          sleep(5);
        };
    open(LONG);
    List<Text> texts = new ArrayList<>();
    for (int i = 0; i < 30; i++) {
      texts.add(submit(text("Once upon a time, " + i, 100)));
    }
    await(underWay);
    assertThat(blocks()).isPositive();

    lane.close();

    assertThat(task.underWay).hasSizeGreaterThan(2);
    assertThat(blocks()).isZero();
    assertThat(texts).allMatch(text -> text.answers.get() == 0);
    lane.close(); // a second time does nothing
  }

  /** Keeps what a record became. */
  private record Kept(CompletableFuture<Outcome> outcome) implements ResultFuture<Outcome> {
    @Override
    public void complete(Collection<Outcome> outcomes) {
      outcome.complete(outcomes.iterator().next());
    }

    @Override
    public void complete(CollectionSupplier<Outcome> supplier) {
      throw new IllegalStateException("outcomes are given as they are");
    }

    @Override
    public void completeExceptionally(Throwable error) {
      outcome.completeExceptionally(error);
    }
  }

  @Test
  void recordsWithTheirOwnParametersBecomeTextsOrDeadLetters() throws Exception {
    InferenceSettings settings =
        InferenceSettings.of("stories", FOLDER.toString())
            .withParameters(Map.of("max_new_tokens", 4, "return_full_text", false));
    InferenceFunction function = new InferenceFunction(settings, Order.NONE);
    function.setRuntimeContext(new MockStreamingRuntimeContext(1, 0));
    function.open(DefaultOpenContext.INSTANCE);
    List<Outcome> outcomes = new ArrayList<>();
    try {
      for (String parameters :
          List.of(
              "{}",
              "{\"max_new_tokens\": 6, \"do_sample\": true}",
              "{\"max_new_tokens\": \"6\"}",
              "{\"min_new_tokens\": 5}")) {
        byte[] value = ("{\"text\": \"a\", \"parameters\": " + parameters + "}").getBytes(UTF_8);
        Kept kept = new Kept(new CompletableFuture<>());
        function.asyncInvoke(new SourceRecord(null, value, List.of(), "texts", 0, 7, 1_000), kept);
        outcomes.add(kept.outcome().get(60, TimeUnit.SECONDS));
      }
    } finally {
      function.close();
    }

    List<Integer> generated = new ArrayList<>();
    List<DeadLetter> letters = new ArrayList<>();
    for (Outcome outcome : outcomes) {
      if (outcome instanceof Outcome.Labelled labelled) {
        JsonNode result = JSON.readTree(labelled.value()).get("inference").get("stories");
        assertThat(result.get("task").asText()).isEqualTo("text_generation");
        assertThat(result.get("finish_reason").asText()).isEqualTo("length");
        assertThat(result.get("generated_text").isTextual()).isTrue();
        generated.add(result.get("generated_tokens").asInt());
      } else {
        letters.add(((Outcome.Failed) outcome).letter());
      }
    }
    assertThat(generated).containsExactly(4, 6);
    assertThat(letters)
        .containsExactly(
            new DeadLetter(
                ErrorCode.INVALID_PARAMETER,
                Stage.DECODE,
                "in parameters, max_new_tokens is \"6\", but must be a whole number from 1 to 1000000"),
            new DeadLetter(
                ErrorCode.INVALID_PARAMETER,
                Stage.DECODE,
                "in parameters, min_new_tokens is 5, but max_new_tokens only 4: raise the one or lower the other"));
  }
}
