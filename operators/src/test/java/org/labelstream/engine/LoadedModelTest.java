package org.labelstream.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.InstanceOfAssertFactories.MAP;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.labelstream.model.ModelFolder;
import org.labelstream.model.ModelFolder.Verify;

class LoadedModelTest {

  @TempDir Path temporary;

  private ModelFolder folder() {
    return ModelFolder.read(TextTokenizerTest.FIXTURE, Verify.REQUIRED);
  }

  @Test
  void secondLeaseLoadsNothingAnew() {
    try (LoadedModel first = LoadedModel.lease(folder(), DeviceChoice.CPU);
        LoadedModel second = LoadedModel.lease(folder(), DeviceChoice.AUTO)) {
      assertThat(second.tokenizer()).isSameAs(first.tokenizer());
    }
  }

  @Test
  void lastCloseFreesTheModelAndNoneBefore() {
    LoadedModel first = LoadedModel.lease(folder(), DeviceChoice.CPU);
    LoadedModel second = LoadedModel.lease(folder(), DeviceChoice.CPU);
    TextTokenizer tokenizer = first.tokenizer();

    first.close();
    first.close(); // the lease is given back once
    Logits logits = second.forward(List.of(second.tokenizer().encode("a good film", null)));
    assertThat(logits.width()).isEqualTo(3);

    second.close();
    assertThatThrownBy(() -> tokenizer.encode("a", null)).isInstanceOf(IllegalStateException.class);
    try (LoadedModel third = LoadedModel.lease(folder(), DeviceChoice.CPU)) {
      assertThat(third.tokenizer()).isNotSameAs(tokenizer);
    }
  }

  @Test
  void modelsOfTwoFoldersAreTwo() throws IOException {
    ModelFolder copy = ModelFolder.read(TextTokenizerTest.copy(temporary), Verify.IF_PRESENT);
    try (LoadedModel first = LoadedModel.lease(folder(), DeviceChoice.CPU);
        LoadedModel second = LoadedModel.lease(copy, DeviceChoice.CPU)) {
      assertThat(second.tokenizer()).isNotSameAs(first.tokenizer());
    }
  }

  @Test
  void rowsOfABatchGetWhatTheyGetAlone() {
    try (LoadedModel model = LoadedModel.lease(folder(), DeviceChoice.CPU)) {
      Tokens brief = model.tokenizer().encode("good", null);
      Tokens longer = model.tokenizer().encode("a film that is not good at all", "a pair");
      Logits together = model.forward(List.of(brief, longer));

      assertThat(together.shape()).containsExactly(2, 3);
      for (int i = 0; i < 2; i++) {
        float[] alone = model.forward(List.of(i == 0 ? brief : longer)).row(0);
        assertThat(together.row(i))
            .containsExactly(alone, org.assertj.core.data.Offset.offset(1e-5f));
      }
    }
  }

  @Test
  void moduleRunsOnALibtorchWithoutOneDnn() throws IOException {
    Path module = TextTokenizerTest.copy(temporary).resolve(ModelFolder.MODULE);
    Files.delete(module);
    // Built without oneDNN, libtorch knows none of its operators, as this one does not know that.
    AtomicInteger changed = new AtomicInteger();
    PlainModule.copy(
        TextTokenizerTest.FIXTURE.resolve(ModelFolder.MODULE),
        module,
        code -> {
          changed.addAndGet(code.contains("mkldnn._linear_pointwise(") ? 1 : 0);
          return code.replace("mkldnn._linear_pointwise(", "mkldnn._of_another_libtorch(");
        });
    assertThat(changed).hasValue(1);

    ModelFolder without = ModelFolder.read(temporary, Verify.IF_PRESENT);
    try (LoadedModel packed = LoadedModel.lease(folder(), DeviceChoice.CPU);
        LoadedModel plain = LoadedModel.lease(without, DeviceChoice.CPU)) {
      List<Tokens> rows = List.of(packed.tokenizer().encode("a film that is not good", null));
      assertThat(plain.forward(rows).row(0))
          .containsExactly(packed.forward(rows).row(0), org.assertj.core.data.Offset.offset(1e-5f));
    }
  }

  @Test
  void moduleThatCannotBeLoadedIsNamedInOneSentence() throws IOException {
    ModelFolder broken = ModelFolder.read(TextTokenizerTest.copy(temporary), Verify.IF_PRESENT);
    Path module = temporary.resolve("model.pt");
    for (byte[] content :
        List.of(new byte[0], "no module".getBytes(java.nio.charset.StandardCharsets.UTF_8))) {
      Files.write(module, content);

      assertThatExceptionOfType(EngineException.class)
          .isThrownBy(() -> LoadedModel.lease(broken, DeviceChoice.CPU))
          .withMessageStartingWith(module + " cannot be loaded (")
          .withMessageEndingWith("): export the checkpoint again")
          .satisfies(e -> assertThat(e.getMessage()).doesNotContain("\n"));
    }
  }

  @Test
  void moduleForGradientsThatHasChangedSinceTheFolderWasReadIsRefused() throws IOException {
    Path manifest = TextTokenizerTest.copy(temporary).resolve("labelstream.json");
    Files.writeString(
        manifest,
        Files.readString(manifest).replace("\"task\":", "\"explain\": \"explain.pt\", \"task\":"));
    Path twin = Files.copy(temporary.resolve("model.pt"), temporary.resolve("explain.pt"));
    ModelFolder folder = ModelFolder.read(temporary, Verify.IF_PRESENT);
    byte[] other = Files.readAllBytes(twin);
    other[other.length - 1] ^= 1;
    Files.write(twin, other);

    try (LoadedModel model = LoadedModel.lease(folder, DeviceChoice.CPU)) {
      assertThatExceptionOfType(EngineException.class)
          .isThrownBy(model::leaseForGradients)
          .withMessageContaining(twin + " has changed since the job started");
    }
  }

  @Test
  void moduleThatWantsAnUnknownInputIsRefused() throws IOException {
    Path manifest = TextTokenizerTest.copy(temporary).resolve("labelstream.json");
    Files.writeString(
        manifest, Files.readString(manifest).replace("\"attention_mask\"", "\"pixel_values\""));
    ModelFolder folder = ModelFolder.read(temporary, Verify.IF_PRESENT);

    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> LoadedModel.lease(folder, DeviceChoice.CPU))
        .withMessage(
            temporary
                + " wants the input pixel_values, which this version does not know: use the version that exported it");
  }

  /** A lease holds its model whoever else gives back theirs, and the last one frees it. */
  @Test
  void isThereForEachLeaseHoweverManyComeAndGoAtOnce() throws Exception {
    try (EngineRuntime runtime = new EngineRuntime(1, 1 << 20)) {
      ModelFolder folder = folder();
      List<Callable<Float>> users = new ArrayList<>();
      for (int i = 0; i < 200; i++) {
        users.add(
            () -> {
              try (LoadedModel model = runtime.lease(folder, DeviceChoice.CPU)) {
                Tokens tokens = model.tokenizer().encode("a good film", null);
                return model.forward(List.of(tokens)).row(0)[0];
              }
            });
      }
      ExecutorService threads = Executors.newFixedThreadPool(4);
      try {
        Set<Float> seen = new HashSet<>();
        for (Future<Float> logit : threads.invokeAll(users)) {
          seen.add(logit.get());
        }
        assertThat(seen).hasSize(1);
      } finally {
        threads.shutdown();
        assertThat(threads.awaitTermination(1, TimeUnit.MINUTES)).isTrue();
      }
      assertThat(runtime).extracting("models.loaded", MAP).isEmpty();
    }
  }
}
