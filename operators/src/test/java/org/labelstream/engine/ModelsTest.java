package org.labelstream.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.labelstream.model.ModelFolder;
import org.labelstream.model.ModelFolder.Verify;

/** A model that does not end loading, and what it costs: neither its task's thread nor others. */
@Timeout(60)
class ModelsTest {

  private final CountDownLatch end = new CountDownLatch(1);
  private final EngineRuntime runtime = new EngineRuntime(1, 1 << 20);
  private final ModelFolder folder = ModelFolder.read(TextTokenizerTest.FIXTURE, Verify.REQUIRED);

  @AfterEach
  void close() {
    end.countDown();
    runtime.close();
  }

  private Models models(Duration within) {
    return new Models(
        runtime,
        (shared, of) -> {
          try {
            end.await(); // as native code does, it does not hear of interrupts
          } catch (InterruptedException e) {
            throw new AssertionError(e);
          }
        },
        within);
  }

  private static void lease(Models models, ModelFolder folder) {
    models.leaseDevice(ai.djl.Device.cpu());
    models.lease(folder, ModelFolder.MODULE, ai.djl.Device.cpu());
  }

  @Test
  void isGivenUpWithASentence() {
    Models models = models(Duration.ofSeconds(1));

    assertThatThrownBy(() -> lease(models, folder))
        .isInstanceOf(EngineException.class)
        .hasMessageContaining("has not loaded and run once within 1 s");
  }

  @Test
  void doesNotHoldTheTaskThatIsCancelled() throws Exception {
    Models models = models(Duration.ofMinutes(10));
    AtomicReference<Throwable> outcome = new AtomicReference<>();
    Thread task =
        new Thread(
            () -> {
              try {
                lease(models, folder);
              } catch (RuntimeException e) {
                outcome.set(e);
              }
            });
    task.start();
    while (task.getState() != Thread.State.TIMED_WAITING) {
      Thread.sleep(10);
    }

    task.interrupt(); // as Flink cancels

    task.join();
    assertThat(outcome.get()).isInstanceOf(EngineException.class).hasMessageContaining("interrupt");
  }
}
