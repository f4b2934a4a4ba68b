package org.labelstream.operator;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicIntegerArray;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.labelstream.engine.Encodings;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;
import org.labelstream.record.TextEvent;
import org.labelstream.schedule.Lane;
import org.labelstream.schedule.Plan;
import org.labelstream.schedule.Row;
import org.labelstream.task.Parameters;
import org.labelstream.task.Task;
import org.labelstream.task.Tasks;

@Timeout(60)
class RepeatsTest {

  private static final Prediction GOOD = new Prediction(Map.of("label", "GOOD"), 3, false);

  private final AtomicInteger hits = new AtomicInteger();
  private final List<Lane.Answer> atWork = new ArrayList<>();

  private static Parameters parameters(Map<String, Object> given) {
    return Tasks.named("text_generation").orElseThrow().parameters().parse(given);
  }

  private static final Parameters NONE = parameters(Map.of());

  private static final Task TASK =
      new Task() {
        @Override
        public Plan plan(TextEvent event, Parameters parameters, Encodings encodings) {
          throw new AssertionError("nobody plans here");
        }

        @Override
        public boolean isRepeatable(Parameters parameters) {
          return !parameters.flag("do_sample", false);
        }

        @Override
        public void run(List<? extends Row> batch) {
          throw new AssertionError("nobody runs here");
        }
      };

  private Repeats repeats(int entries) {
    return new Repeats(TASK, new Caching(entries, true), hits::incrementAndGet);
  }

  /** What a record was told. */
  private static final class Told implements Lane.Answer {
    private final List<Object> answers = new ArrayList<>();

    @Override
    public void predicted(Prediction prediction) {
      answers.add(prediction);
    }

    @Override
    public void rejected(DeadLetter letter) {
      answers.add(letter.code());
    }
  }

  private static TextEvent text(String text) {
    return TextEvent.ofText("t-0@1", text);
  }

  private Told submit(Repeats repeats, TextEvent event, Parameters parameters)
      throws RejectedRecordException {
    Told told = new Told();
    repeats.submit(event, parameters, told, atWork::add);
    return told;
  }

  @Test
  void equalTextsInFlightAreComputedOnce() throws Exception {
    Repeats repeats = repeats(0);
    List<Told> told = new ArrayList<>();
    for (int i = 0; i < 5; i++) {
      told.add(submit(repeats, text("a"), NONE));
    }
    told.add(submit(repeats, text("b"), NONE));
    assertThat(atWork).hasSize(2);
    assertThat(hits).hasValue(4);
    atWork.get(0).predicted(GOOD);
    atWork.get(1).rejected(new DeadLetter(ErrorCode.TIMEOUT, Stage.INFERENCE, "late"));
    for (Told each : told.subList(0, 5)) {
      assertThat(each.answers).containsExactly(GOOD);
    }
    assertThat(told.get(5).answers).containsExactly(ErrorCode.TIMEOUT);
    submit(repeats, text("a"), NONE);
    assertThat(atWork).hasSize(3);
  }

  @Test
  void theLastResultsAreKept() throws Exception {
    Repeats repeats = repeats(100);
    submit(repeats, text("a"), NONE);
    atWork.get(0).predicted(GOOD);
    assertThat(submit(repeats, text("a"), NONE).answers).containsExactly(GOOD);
    submit(repeats, text("b"), NONE);
    atWork.get(1).rejected(new DeadLetter(ErrorCode.TIMEOUT, Stage.INFERENCE, "late"));
    submit(repeats, text("b"), NONE); // a failure is not
    assertThat(atWork).hasSize(3);
    for (int i = 0; i < 1_000; i++) {
      submit(repeats, text("text " + i), NONE);
      atWork.get(atWork.size() - 1).predicted(GOOD);
    }
    int before = hits.get();
    for (int i = 0; i < 1_000; i++) {
      submit(repeats, text("text " + i), NONE);
    }
    assertThat(hits.get() - before).isBetween(1, 100);
  }

  @Test
  void whatDiffersIsComputed() throws Exception {
    Repeats repeats = repeats(100);
    submit(repeats, text("ab"), NONE);
    submit(repeats, text("ab"), parameters(Map.of("num_beams", 2)));
    submit(repeats, pair("a", "b"), NONE);
    submit(repeats, pair("ab", ""), NONE);
    submit(repeats, pair("", "ab"), NONE);
    submit(repeats, text("?"), NONE);
    submit(repeats, text("\uD800"), NONE);
    submit(repeats, text("\uD801"), NONE);
    submit(repeats, new TextEvent("p", null, null, "a", "b", false, null, Map.of()), NONE);
    assertThat(atWork).hasSize(9);
    assertThat(hits).hasValue(0);
  }

  private static TextEvent pair(String text, String pair) {
    return new TextEvent("p", text, pair, null, null, false, null, Map.of());
  }

  @Test
  void whatIsSampledIsNeverShared() throws Exception {
    Repeats repeats = repeats(100);
    for (int i = 0; i < 3; i++) {
      submit(repeats, text("a"), parameters(Map.of("do_sample", true)));
    }
    assertThat(atWork).hasSize(3);
    atWork.get(0).predicted(GOOD);
    submit(repeats, text("a"), parameters(Map.of("do_sample", true)));
    assertThat(atWork).hasSize(4);
  }

  @Test
  void allAreToldWhenTheFirstCannotBeSubmitted() throws Exception {
    Repeats repeats = repeats(0);
    for (Exception refusal :
        List.of(
            new RejectedRecordException(ErrorCode.MISSING_FIELD, Stage.ENCODE, "no text"),
            new IllegalStateException("broken"))) {
      Told waiting = new Told();
      assertThatThrownBy(
              () ->
                  repeats.submit(
                      text("a"),
                      NONE,
                      new Told(),
                      answer -> {
                        // Another one comes while the first is made ready.
                        repeats.submit(text("a"), NONE, waiting, atWork::add);
                        if (refusal instanceof RejectedRecordException rejected) {
                          throw rejected;
                        }
                        throw (RuntimeException) refusal;
                      }))
          .isSameAs(refusal);
      assertThat(waiting.answers)
          .containsExactly(
              refusal instanceof RejectedRecordException
                  ? ErrorCode.MISSING_FIELD
                  : ErrorCode.INFERENCE_FAILED);
    }
    assertThat(atWork).isEmpty();
  }

  @Test
  void oneThatCannotBeAnsweredCostsNoOther() throws Exception {
    Repeats repeats = repeats(0);
    submit(repeats, text("a"), NONE);
    Told broken = new Told();
    repeats.submit(
        text("a"),
        NONE,
        new Lane.Answer() {
          @Override
          public void predicted(Prediction prediction) {
            throw new IllegalStateException("cannot be written");
          }

          @Override
          public void rejected(DeadLetter letter) {
            broken.rejected(letter);
          }
        },
        atWork::add);
    Told last = submit(repeats, text("a"), NONE);
    atWork.get(0).predicted(GOOD);
    assertThat(broken.answers).containsExactly(ErrorCode.INFERENCE_FAILED);
    assertThat(last.answers).containsExactly(GOOD);
  }

  @Test
  void eachIsAnsweredOnceWhateverTheThreadsDo() throws Exception {
    int records = 40_000;
    BlockingQueue<Lane.Answer> working = new LinkedBlockingQueue<>();
    AtomicIntegerArray answers = new AtomicIntegerArray(records);
    AtomicInteger left = new AtomicInteger(records);
    Repeats repeats = repeats(5);
    ExecutorService threads = Executors.newFixedThreadPool(4);
    List<Future<?>> running = new ArrayList<>();
    for (int thread = 0; thread < 3; thread++) {
      int first = thread;
      running.add(
          threads.submit(
              () -> {
                for (int i = first; i < records; i += 3) {
                  int record = i;
                  repeats.submit(
                      text("text " + i % 11),
                      NONE,
                      new Lane.Answer() {
                        @Override
                        public void predicted(Prediction prediction) {
                          answers.incrementAndGet(record);
                          left.decrementAndGet();
                        }

                        @Override
                        public void rejected(DeadLetter letter) {
                          throw new AssertionError(letter.message());
                        }
                      },
                      working::add);
                }
                return null;
              }));
    }
    running.add(
        threads.submit(
            () -> {
              while (left.get() > 0) {
                Lane.Answer next = working.poll(10, TimeUnit.MILLISECONDS);
                if (next != null) {
                  next.predicted(GOOD);
                }
              }
              return null;
            }));
    for (Future<?> each : running) {
      each.get();
    }
    threads.shutdown();
    for (int i = 0; i < records; i++) {
      assertThat(answers.get(i)).as("record " + i).isOne();
    }
    assertThat(hits.get()).isGreaterThan(records / 2);
  }
}
