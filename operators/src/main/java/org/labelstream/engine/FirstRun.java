package org.labelstream.engine;

import ai.djl.Model;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.function.Supplier;
import org.labelstream.model.Manifest;
import org.labelstream.model.ModelFolder;

/**
 * The first call of a module that was loaded. It switches the module to inference, which must not
 * happen under another thread's call, and tells whether the module gives what its folder says: what
 * does not would be found by each record anew.
 */
final class FirstRun {

  /** A question answering head gives a start and an end for each token. */
  private static final int START_AND_END = 2;

  private final Model module;
  private final TextTokenizer tokenizer;
  private final ModelFolder folder;
  private final Manifest manifest;

  FirstRun(Model module, TextTokenizer tokenizer, ModelFolder folder) {
    this.module = module;
    this.tokenizer = tokenizer;
    this.folder = folder;
    this.manifest = folder.manifest();
  }

  /**
   * Runs two rows of different lengths, so that one is padded.
   *
   * @throws EngineException when the module fails, or gives something else
   */
  void check() {
    if (manifest.cache() == null) {
      checkForward();
    } else {
      checkStep(manifest.cache());
    }
  }

  private Logits run(Supplier<Logits> call) {
    try {
      return call.get();
    } catch (EngineException e) {
      if (e.getCause() == null) {
        throw e; // a sentence of ours already
      }
      throw new EngineException(
          "the model of "
              + folder.path()
              + " cannot label a short text: "
              + e.getMessage()
              + ": export the checkpoint again",
          e);
    }
  }

  private void checkForward() {
    // Without a pair, and of a tokenizer without special tokens: some text it must be.
    List<Tokens> rows = List.of(tokenizer.encode("a", null), tokenizer.encode("a good text", null));
    int width = LoadedModel.width(rows, folder);
    Logits logits = run(() -> LoadedModel.forward(module, folder, rows));
    long[] shape = logits.shape();
    int each = manifest.numLabels() > 0 ? manifest.numLabels() : START_AND_END;
    boolean forTokens = shape.length == 3 && shape[1] == width;
    if (shape[0] != rows.size() || !(forTokens || shape.length == 2)) {
      throw wrong("gives a result of the shape " + Arrays.toString(shape) + " for two texts");
    }
    if (shape[shape.length - 1] != each) {
      throw wrong(
          "gives "
              + shape[shape.length - 1]
              + " logits, but "
              + (manifest.numLabels() > 0
                  ? "its folder has num_labels: " + each
                  : "a start and an end are expected"));
    }
    for (int i = 0; i < rows.size(); i++) {
      int real = forTokens ? rows.get(i).length() * each : each;
      checkNumbers(Arrays.copyOf(logits.row(i), real));
    }
  }

  private void checkStep(Manifest.Cache sizes) {
    int any = manifest.padTokenId();
    try (KeyValueCache first = new KeyValueCache();
        KeyValueCache second = new KeyValueCache()) {
      List<int[][]> tokens = List.of(new int[][] {{any}}, new int[][] {{any, any}});
      Logits logits = run(() -> LoadedModel.step(module, folder, List.of(first, second), tokens));
      checkNumbers(logits.row(0));
      checkNumbers(logits.row(1));
      long[] expected = {sizes.layers(), 2, 2, sizes.heads(), 2, sizes.headDim()};
      long[] shape = Objects.requireNonNull(first.block()).values.getShape().getShape();
      if (!Arrays.equals(shape, expected)) {
        throw wrong(
            "keeps keys and values of the shape "
                + Arrays.toString(shape)
                + ", but its folder has "
                + Arrays.toString(expected)
                + " (cache: layers, heads, head_dim)");
      }
      Integer bos = manifest.bosTokenId();
      if (bos != null && bos >= logits.width()) {
        throw wrong("knows " + logits.width() + " tokens, and its folder has bos_token_id: " + bos);
      }
    }
  }

  private void checkNumbers(float[] logits) {
    for (float logit : logits) {
      if (Float.isNaN(logit)) {
        throw wrong("gives no numbers (NaN) for a short text: its weights are damaged");
      }
    }
  }

  private EngineException wrong(String what) {
    return new EngineException(
        "the model of " + folder.path() + " " + what + ": export the checkpoint again");
  }
}
