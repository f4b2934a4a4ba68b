package org.labelstream.operator;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.InstanceOfAssertFactories.MAP;

import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.flink.metrics.groups.UnregisteredMetricsGroup;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.engine.EngineRuntime;
import org.labelstream.engine.LoadedModel;
import org.labelstream.model.ModelFolder;
import org.labelstream.operator.InferenceSettings.Batching;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.Prediction;
import org.labelstream.record.TextEvent;

@Timeout(120)
class PredictorTest {

  private static final Path MODEL =
      Path.of("src/test/resources/explanations/bert-sequence_classification-trained");
  private static final InferenceSettings SETTINGS = InferenceSettings.of("m", MODEL.toString());

  /** What comes of events. */
  private static final class Answers implements Predictor.Answer {
    final BlockingQueue<Object> all = new LinkedBlockingQueue<>();

    @Override
    public void predicted(Prediction prediction) {
      all.add(prediction);
    }

    @Override
    public void unexplained(Prediction prediction, DeadLetter why) {
      all.add(why);
    }

    @Override
    public void rejected(DeadLetter letter) {
      all.add(letter);
    }
  }

  private static Predictor open(
      EngineRuntime runtime, InferenceSettings settings, boolean explaining) throws Exception {
    return Predictor.open(
        runtime, settings, explaining, new UnregisteredMetricsGroup(), cause -> {});
  }

  private static TextEvent text(String text) {
    return TextEvent.ofText("a row", text);
  }

  @Test
  void givesItsModelBackWhenItCannotStart() throws Exception {
    try (EngineRuntime runtime = new EngineRuntime(1, 1 << 20)) {
      InferenceSettings settings =
          new InferenceSettings(
              "m",
              SETTINGS.model(),
              SETTINGS.device(),
              SETTINGS.form(),
              SETTINGS.maxValueBytes(),
              SETTINGS.tombstones(),
              SETTINGS.parameters(),
              SETTINGS.timeout(),
              SETTINGS.callTimeout(),
              new Batching(0, null, Duration.ZERO, Duration.ZERO),
              SETTINGS.verify(),
              null,
              SETTINGS.results(),
              Caching.DEFAULT,
              null);
      assertThatThrownBy(() -> open(runtime, settings, false))
          .hasStackTraceContaining("The model m cannot start: ");
      assertThat(runtime).extracting("models.loaded", MAP).isEmpty();
    }
  }

  @Test
  @SuppressWarnings("try") // the workers are busy until it is closed
  void takesNoMoreInThanTheMemoryForTextsInFlightAllows() throws Exception {
    try (EngineRuntime runtime = new EngineRuntime(1, 100_000);
        Predictor predictor = open(runtime, SETTINGS, false);
        LoadedModel model =
            runtime.lease(
                ModelFolder.read(MODEL, ModelFolder.Verify.IF_PRESENT), DeviceChoice.CPU)) {
      Answers answers = new Answers();
      String text = "a good film ".repeat(100); // 1,200 bytes of 40 each, twice that is more
      CompletableFuture<Void> second;
      try (BusyWorkers busy = new BusyWorkers(runtime.workers(model))) {
        predictor.predict(text(text), answers);
        assertThat(runtime.inFlight().reserved()).isBetween(50_000L, 60_000L);
        second =
            CompletableFuture.runAsync(
                () -> {
                  try {
                    predictor.predict(text(text), answers);
                  } catch (InterruptedException e) {
                    throw new AssertionError(e);
                  }
                });
        Thread.sleep(300);
        assertThat(second).isNotDone();
      }
      second.get(60, TimeUnit.SECONDS);
      for (int i = 0; i < 2; i++) {
        assertThat(answers.all.poll(60, TimeUnit.SECONDS)).isInstanceOf(Prediction.class);
      }
      for (int i = 0; runtime.inFlight().reserved() > 0 && i < 6_000; i++) {
        Thread.sleep(10);
      }
      assertThat(runtime.inFlight().reserved()).isZero();
    }
  }

  @Test
  void givesTheExplanationWithThePrediction() throws Exception {
    try (EngineRuntime runtime = new EngineRuntime(1, 1 << 20);
        Predictor plain = open(runtime, SETTINGS, false);
        Predictor explaining = open(runtime, SETTINGS, true)) {
      Answers labels = new Answers();
      Answers both = new Answers();
      plain.predict(text("a good film"), labels);
      explaining.predict(text("a good film"), both);
      Prediction label = (Prediction) labels.all.poll(60, TimeUnit.SECONDS);
      Prediction explained = (Prediction) both.all.poll(60, TimeUnit.SECONDS);
      assertThat(explained.fields())
          .containsAllEntriesOf(label.fields())
          .containsKeys("words", "importances", "delta");
      assertThat(explained.tokens()).isEqualTo(label.tokens());
    }
  }
}
