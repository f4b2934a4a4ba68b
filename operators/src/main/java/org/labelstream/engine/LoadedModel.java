package org.labelstream.engine;

import ai.djl.Device;
import ai.djl.MalformedModelException;
import ai.djl.Model;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.training.ParameterStore;
import java.io.IOException;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.labelstream.model.ModelFolder;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A lease on a model: module and tokenizer of a folder, loaded once on each device of this JVM
 * however many slots lease them.
 *
 * <p><em>Contract.</em> No {@link #forward} may run, or start, once {@link #close} was called:
 * freeing a module under a native call ends the JVM. Whoever leases a model stops its work first
 * ({@link Workers.Lease#close}).
 *
 * <p><em>Thread-safety.</em> {@code forward} may be called from any thread, but native memory grows
 * with every thread that ever does: call it from {@link Workers}.
 */
public final class LoadedModel implements AutoCloseable {

  private static final Logger LOG = LoggerFactory.getLogger(LoadedModel.class);

  private static final Map<Key, Shared> LOADED = new HashMap<>();

  /** A folder by its name and content: fetched twice, it is one. */
  private record Key(String name, String version, int maxLength, String file, Device device) {}

  /** What the leases share. */
  private static final class Shared {
    final Model module;
    final TextTokenizer tokenizer;
    int leases;

    Shared(Model module, TextTokenizer tokenizer) {
      this.module = module;
      this.tokenizer = tokenizer;
    }
  }

  private final ModelFolder folder;
  private final Key key;
  private final Shared shared;
  private boolean closed;

  private LoadedModel(ModelFolder folder, Key key, Shared shared) {
    this.folder = folder;
    this.key = key;
    this.shared = shared;
  }

  /**
   * Leases the model of a folder, loading it where this JVM has not got it on that device.
   *
   * @throws EngineException when there is no such device, or the module or tokenizer cannot be
   *     loaded
   */
  public static LoadedModel lease(ModelFolder folder, DeviceChoice choice) {
    return lease(folder, ModelFolder.MODULE, Devices.lease(choice, Native.engine()));
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
    Devices.lease(key.device());
    return lease(folder, file, key.device());
  }

  /**
   * @param device leased already; given back when this fails
   */
  private static LoadedModel lease(ModelFolder folder, String file, Device device) {
    try {
      synchronized (LOADED) {
        Key key = new Key(folder.name(), folder.version(), folder.maxLength(), file, device);
        Shared shared = LOADED.get(key);
        if (shared == null) {
          shared = load(folder, file, device);
          LOADED.put(key, shared);
        }
        shared.leases++;
        return new LoadedModel(folder, key, shared);
      }
    } catch (RuntimeException | Error e) {
      Devices.giveBack(device);
      throw e;
    }
  }

  private static Shared load(ModelFolder folder, String file, Device device) {
    long start = System.nanoTime();
    Model module = Model.newInstance(folder.name(), device, "PyTorch");
    TextTokenizer tokenizer = null;
    try {
      boolean gradients = file.equals(folder.manifest().explain());
      if (!file.equals(ModelFolder.MODULE)) {
        folder.requireUnchanged(
            file); // the first explanation may come long after the folder was read
      }
      module.load(
          folder.path(),
          file,
          Map.of("mapLocation", "true", "trainParam", Boolean.toString(gradients)));
      if (gradients) {
        module
            .getBlock()
            .freezeParameters(true); // of embeddings gradients are taken, not of weights
      }
      tokenizer = TextTokenizer.load(folder);
      Shared shared = new Shared(module, tokenizer);
      // The first call switches the module to inference, which must not happen under another
      // thread's call.
      if (folder.manifest().cache() != null) {
        try (KeyValueCache probe = new KeyValueCache()) {
          int[][] anyToken = {{folder.manifest().padTokenId()}};
          step(shared, folder, List.of(probe), List.<int[][]>of(anyToken));
        }
      } else {
        forward(shared, folder, List.of(tokenizer.encode("", null)));
      }
      LOG.info(
          "Loaded {} (version {}) on {} in {} ms",
          folder.path().resolve(file),
          folder.version(),
          device,
          (System.nanoTime() - start) / 1_000_000);
      return shared;
    } catch (IOException | MalformedModelException | RuntimeException | LinkageError e) {
      if (tokenizer != null) {
        tokenizer.close();
      }
      module.close();
      throw e instanceof EngineException known
          ? known
          : new EngineException(
              folder.path().resolve(file)
                  + " cannot be loaded ("
                  + firstLine(e)
                  + "): export the checkpoint again",
              e);
    }
  }

  /** The folder that the model came from. */
  public ModelFolder folder() {
    return folder;
  }

  /** Whether it runs on a GPU. */
  public boolean onGpu() {
    return key.device().isGpu();
  }

  /** The folder's tokenizer. */
  public TextTokenizer tokenizer() {
    return shared.tokenizer;
  }

  /**
   * Runs rows as one batch, padded to the longest of them: {@code input_ids} with the pad id, all
   * else with 0.
   *
   * @return {@code [rows, …]}
   * @throws EngineException when the module fails
   */
  public Logits forward(List<Tokens> rows) {
    return forward(shared, folder, rows);
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
    return step(shared, folder, caches, tokens);
  }

  private static Logits step(
      Shared shared, ModelFolder folder, List<KeyValueCache> caches, List<int[][]> tokens) {
    NDManager modelManager = shared.module.getNDManager();
    try (NDManager manager = modelManager.newSubManager()) {
      DecodingStep step = new DecodingStep(folder.manifest(), caches, tokens);
      NDList outputs =
          shared
              .module
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

  private static Logits forward(Shared shared, ModelFolder folder, List<Tokens> rows) {
    try (NDManager manager = shared.module.getNDManager().newSubManager()) {
      NDList inputs = inputs(rows, folder, manager);
      NDList outputs =
          shared.module.getBlock().forward(new ParameterStore(manager, false), inputs, false);
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
    try (NDManager manager = shared.module.getNDManager().newSubManager()) {
      return GradientModule.slopes(
          shared.module, points, rows -> inputs(rows, folder, manager), manager);
    } catch (EngineException e) {
      throw e;
    } catch (RuntimeException e) {
      throw new EngineException("the model's gradients failed: " + firstLine(e), e);
    }
  }

  private static NDList inputs(List<Tokens> rows, ModelFolder folder, NDManager manager) {
    int length = 0;
    for (Tokens row : rows) {
      length = Math.max(length, row.length());
    }
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
        case "input_ids" -> System.arraycopy(row.ids(), 0, values, start, row.length());
        case "token_type_ids" -> System.arraycopy(row.typeIds(), 0, values, start, row.length());
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

  /** The first line of what went wrong: libtorch's messages carry a native stack trace below it. */
  private static String firstLine(Throwable e) {
    String message = e.getMessage() == null ? e.toString() : e.getMessage();
    return message
        .lines()
        .map(String::strip)
        .filter(line -> !line.isEmpty())
        .findFirst()
        .orElse("no reason given");
  }

  /** Gives the lease back; the last one frees the model. */
  @Override
  public void close() {
    synchronized (LOADED) {
      if (closed) {
        return;
      }
      closed = true;
      Devices.giveBack(key.device());
      if (--shared.leases == 0) {
        LOADED.remove(key);
        shared.tokenizer.close();
        shared.module.close();
      }
    }
  }
}
