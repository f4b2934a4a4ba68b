package org.labelstream.engine;

import ai.djl.Device;
import ai.djl.Model;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.training.ParameterStore;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.labelstream.model.ModelFolder;
import org.labelstream.schedule.BatchPolicy;

/**
 * A lease on a model: module and tokenizer of a folder, loaded once on each device of this process
 * however many slots lease them.
 *
 * <p><em>Contract.</em> No {@link #forward} may run, or start, once {@link #close} was called:
 * freeing a module under a native call ends the JVM. Whoever leases a model stops its work first
 * ({@link org.labelstream.schedule.Workers.Lease#close}).
 *
 * <p><em>Thread-safety.</em> {@code forward} may be called from any thread, but native memory grows
 * with every thread that ever does: call it from {@link org.labelstream.schedule.Workers}.
 */
public final class LoadedModel implements AutoCloseable {

  private static final Pattern TORCHSCRIPT_ERROR = Pattern.compile("(?:[A-Za-z.]+Error): (.+)");

  private final Models models;
  private final ModelFolder folder;
  private final Models.Shared shared;
  private boolean closed;

  LoadedModel(Models models, ModelFolder folder, Models.Shared shared) {
    this.models = models;
    this.folder = folder;
    this.shared = shared;
  }

  /**
   * Leases the model of a folder in the runtime of this process.
   *
   * @throws EngineException as {@link EngineRuntime#lease}
   */
  public static LoadedModel lease(ModelFolder folder, DeviceChoice choice) {
    return EngineRuntime.ofProcess().lease(folder, choice);
  }

  /**
   * Leases the module of the folder that gives gradients, in full precision and on the same device:
   * this model itself, or its twin.
   *
   * @throws EngineException when it cannot be loaded, or the folder has none
   */
  public LoadedModel leaseForGradients() {
    String file = folder.manifest().explain();
    if (file == null) {
      throw new EngineException(
          folder.path()
              + " was exported without the methods that explanations need: export it again");
    }
    models.leaseDevice(device());
    return models.lease(folder, file, device());
  }

  Device device() {
    return shared.device();
  }

  /** The folder that the model came from. */
  public ModelFolder folder() {
    return folder;
  }

  /** Whether it runs on a GPU. */
  public boolean onGpu() {
    return device().isGpu();
  }

  /** How long it took to load, in milliseconds. */
  public long loadMillis() {
    return shared.loadMillis();
  }

  /** The folder's tokenizer. */
  public TextTokenizer tokenizer() {
    return shared.tokenizer();
  }

  /**
   * Runs rows as one batch, padded to the {@link BatchPolicy#width width} of the longest of them:
   * {@code input_ids} with the pad id, all else with 0.
   *
   * @return {@code [rows, …]}
   * @throws EngineException when the module fails
   */
  public Logits forward(List<Tokens> rows) {
    return forward(shared.module(), folder, rows);
  }

  /**
   * Lets a generator read on, as one batch: the beginnings of texts of any length, or the next
   * token of texts that it has read before.
   *
   * @param caches what it has read of each; afterwards they hold the new tokens too. Unchanged when
   *     the module fails.
   * @param tokens the new tokens of each, {@code [sequences][new]}
   * @return the logits behind the last token, {@code [sequences of all, vocabulary]}
   * @throws EngineException when the module fails
   */
  public Logits step(List<KeyValueCache> caches, List<int[][]> tokens) {
    return step(shared.module(), folder, caches, tokens);
  }

  static Logits step(
      Model module, ModelFolder folder, List<KeyValueCache> caches, List<int[][]> tokens) {
    NDManager modelManager = module.getNDManager();
    try (NDManager manager = modelManager.newSubManager()) {
      DecodingStep step = new DecodingStep(folder.manifest(), caches, tokens);
      NDList outputs =
          module
              .getBlock()
              .forward(new ParameterStore(manager, false), step.inputs(manager), false);
      NDArray logits = outputs.get(0);
      Logits copied = new Logits(logits.toFloatArray(), logits.getShape().getShape());
      NDArray past = outputs.get(1);
      past.attach(modelManager); // it outlives the step; with the model it ends at the latest
      step.moveTo(past);
      return copied;
    } catch (RuntimeException e) {
      throw new EngineException("the model failed: " + firstLine(e), e);
    }
  }

  static Logits forward(Model module, ModelFolder folder, List<Tokens> rows) {
    try (NDManager manager = module.getNDManager().newSubManager()) {
      NDList inputs = inputs(rows, width(rows, folder), folder, manager);
      NDList outputs = module.getBlock().forward(new ParameterStore(manager, false), inputs, false);
      NDArray logits = outputs.get(0);
      return new Logits(logits.toFloatArray(), logits.getShape().getShape());
    } catch (EngineException e) {
      throw e;
    } catch (RuntimeException e) {
      throw new EngineException("the model failed: " + firstLine(e), e);
    }
  }

  /**
   * How a logit changes on the way from the embeddings of a baseline to those of a text, at each of
   * some points. Points of any texts run as one batch.
   *
   * @throws EngineException when the module fails
   */
  public List<EmbeddingPath.Slope> slopes(List<EmbeddingPath.Point> points) {
    try (NDManager manager = shared.module().getNDManager().newSubManager()) {
      return GradientModule.slopes(
          shared.module(), points, rows -> inputs(rows, longest(rows), folder, manager), manager);
    } catch (EngineException e) {
      throw e;
    } catch (RuntimeException e) {
      throw new EngineException("the model's gradients failed: " + firstLine(e), e);
    }
  }

  /** How wide rows are padded, in tokens: never beyond what the model takes. */
  static int width(List<Tokens> rows, ModelFolder folder) {
    int longest = longest(rows);
    int most = Math.max(longest, folder.manifest().maxLength());
    return Math.min(most, BatchPolicy.width(rows.size(), longest));
  }

  private static int longest(List<Tokens> rows) {
    int longest = 0;
    for (Tokens row : rows) {
      longest = Math.max(longest, row.length());
    }
    return longest;
  }

  private static NDList inputs(
      List<Tokens> rows, int length, ModelFolder folder, NDManager manager) {
    Shape shape = new Shape(rows.size(), length);
    NDList inputs = new NDList();
    for (String name : folder.manifest().inputs()) {
      inputs.add(manager.create(padded(name, rows, length, folder), shape));
    }
    return inputs;
  }

  private static long[] padded(String name, List<Tokens> rows, int length, ModelFolder folder) {
    long[] values = new long[rows.size() * length];
    if (name.equals("input_ids")) {
      Arrays.fill(values, folder.manifest().padTokenId());
    }
    for (int i = 0; i < rows.size(); i++) {
      Tokens row = rows.get(i);
      int start = i * length;
      switch (name) {
        case "input_ids" -> row.copyIds(values, start);
        case "token_type_ids" -> row.copyTypeIds(values, start);
        case "attention_mask" -> Arrays.fill(values, start, start + row.length(), 1);
        default ->
            throw new EngineException(
                folder.path()
                    + " wants the input "
                    + name
                    + ", which this version does not know: use the version that exported it");
      }
    }
    return values;
  }

  /**
   * What went wrong, in a line: libtorch's messages carry a native stack trace below the first, and
   * those of TorchScript a trace of its code above the last.
   */
  static String firstLine(Throwable e) {
    String message = e.getMessage() == null ? e.toString() : e.getMessage();
    List<String> lines = message.lines().map(String::strip).filter(s -> !s.isEmpty()).toList();
    for (int i = lines.size() - 1; i > 0; i--) {
      Matcher error = TORCHSCRIPT_ERROR.matcher(lines.get(i));
      if (error.matches()) {
        return error.group(1);
      }
    }
    return lines.isEmpty() ? "no reason given" : lines.get(0);
  }

  /** Gives the lease back; the last one frees the model. */
  @Override
  public synchronized void close() {
    if (!closed) {
      closed = true;
      models.giveBack(shared);
    }
  }

  /**
   * Gives the lease up for ever, because a call of the model has not returned: what it holds is
   * never freed, since freeing a module under a native call ends the JVM.
   */
  public synchronized void abandon() {
    closed = true;
  }
}
