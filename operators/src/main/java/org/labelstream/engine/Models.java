package org.labelstream.engine;

import ai.djl.Device;
import ai.djl.MalformedModelException;
import ai.djl.Model;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.labelstream.model.ModelFolder;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The models that a process has loaded, each once on each device.
 *
 * <p><em>Thread-safety.</em> All methods may be called from any thread. A model loads under no lock
 * but its own, so that one which takes long, or for ever, holds up nobody else's.
 */
final class Models {

  private static final Logger LOG = LoggerFactory.getLogger(Models.class);

  private final EngineRuntime runtime;
  private final Map<Key, Shared> loaded = new HashMap<>();

  Models(EngineRuntime runtime) {
    this.runtime = runtime;
  }

  /** A folder by its name and content: fetched twice, it is one. */
  private record Key(String name, String sha256, int maxLength, String file, Device device) {}

  /** What the leases on a model share. */
  static final class Shared {
    private final Key key;
    private int leases;

    // Both are set by load, before anybody has a lease.
    @SuppressWarnings("NullAway.Init")
    private Model module;

    @SuppressWarnings("NullAway.Init")
    private TextTokenizer tokenizer;

    private long loadMillis;

    Shared(Key key) {
      this.key = key;
    }

    Model module() {
      return module;
    }

    TextTokenizer tokenizer() {
      return tokenizer;
    }

    long loadMillis() {
      return loadMillis;
    }

    Device device() {
      return key.device();
    }

    private synchronized void load(ModelFolder folder) {
      if (module == null) {
        Models.load(this, folder);
      }
    }

    private synchronized void free() {
      if (module != null) {
        tokenizer.close();
        module.close();
      }
    }
  }

  void leaseDevice(Device device) {
    runtime.devices().lease(device);
  }

  /**
   * Leases a module of a folder, loading it where it has not been.
   *
   * @param device leased already; given back with the lease, or when this fails
   * @throws EngineException when it cannot be loaded
   */
  LoadedModel lease(ModelFolder folder, String file, Device device) {
    Key key = new Key(folder.name(), folder.sha256(), folder.maxLength(), file, device);
    Shared shared;
    synchronized (loaded) {
      shared = loaded.computeIfAbsent(key, Shared::new);
      shared.leases++;
    }
    try {
      shared.load(folder);
      return new LoadedModel(this, folder, shared);
    } catch (RuntimeException | Error e) {
      giveBack(shared);
      throw e;
    }
  }

  /** Gives a lease back; the last one frees the model. */
  void giveBack(Shared shared) {
    runtime.devices().giveBack(shared.device());
    synchronized (loaded) {
      if (--shared.leases > 0) {
        return;
      }
      loaded.remove(shared.key);
    }
    shared.free();
  }

  private static void load(Shared shared, ModelFolder folder) {
    long start = System.nanoTime();
    String file = shared.key.file();
    Model module = Model.newInstance(folder.name(), shared.device(), "PyTorch");
    TextTokenizer tokenizer = null;
    try {
      boolean gradients = file.equals(folder.manifest().explain());
      if (!file.equals(ModelFolder.MODULE)) {
        // The first explanation may come long after the folder was read.
        folder.requireUnchanged(file);
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
      warmUp(module, tokenizer, folder);
      shared.module = module;
      shared.tokenizer = tokenizer;
      shared.loadMillis = (System.nanoTime() - start) / 1_000_000;
      LOG.info(
          "Loaded {} (version {}) on {} in {} ms",
          folder.path().resolve(file),
          folder.version(),
          shared.device(),
          shared.loadMillis);
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
                  + LoadedModel.firstLine(e)
                  + "): export the checkpoint again",
              e);
    }
  }

  /**
   * The first call switches the module to inference, which must not happen under another thread's
   * call.
   */
  private static void warmUp(Model module, TextTokenizer tokenizer, ModelFolder folder) {
    if (folder.manifest().cache() != null) {
      try (KeyValueCache probe = new KeyValueCache()) {
        int[][] anyToken = {{folder.manifest().padTokenId()}};
        LoadedModel.step(module, folder, List.of(probe), List.<int[][]>of(anyToken));
      }
      return;
    }
    Tokens tokens = tokenizer.encode("", null);
    if (tokens.length() == 0) { // a tokenizer without special tokens
      tokens = tokenizer.encode("a", null);
    }
    LoadedModel.forward(module, folder, List.of(tokens));
  }
}
