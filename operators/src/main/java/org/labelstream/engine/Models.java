package org.labelstream.engine;

import ai.djl.Device;
import ai.djl.MalformedModelException;
import ai.djl.Model;
import com.google.errorprone.annotations.concurrent.GuardedBy;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import org.labelstream.model.ModelFolder;
import org.labelstream.schedule.Threads;
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

  /** How long a model may load, its first run included. */
  private static final Duration LOAD_WITHIN = Duration.ofMinutes(10);

  private final EngineRuntime runtime;
  private final Loader loader;
  private final Duration within;
  private final Map<Key, Shared> loaded = new HashMap<>();

  Models(EngineRuntime runtime) {
    this(runtime, Models::load, LOAD_WITHIN);
  }

  Models(EngineRuntime runtime, Loader loader, Duration within) {
    this.runtime = runtime;
    this.loader = loader;
    this.within = within;
  }

  /** Loads what is shared. */
  interface Loader {
    void load(Shared shared, ModelFolder folder);
  }

  /** A folder by its name and content: fetched twice, it is one. */
  private record Key(String name, String sha256, int maxLength, String file, Device device) {}

  /** What the leases on a model share. */
  static final class Shared {
    private final Key key;
    private int leases;

    private final AtomicBoolean isLoading = new AtomicBoolean();
    private final CompletableFuture<Void> outcome = new CompletableFuture<>();

    @GuardedBy("this")
    private boolean isLoaded;

    @GuardedBy("this")
    private boolean isFree;

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

    /**
     * Loads the model, or waits until another has. It loads on a thread of its own: native code
     * cannot be interrupted, and a task that cannot be cancelled ends its TaskManager.
     *
     * @throws EngineException when it cannot be loaded, or not in time
     */
    private void load(ModelFolder folder, Loader loader, Duration within) {
      if (isLoading.compareAndSet(false, true)) {
        Threads.daemon("labelstream-load-" + folder.name(), () -> load(folder, loader)).start();
      }
      try {
        outcome.get(within.toMillis(), TimeUnit.MILLISECONDS);
      } catch (ExecutionException e) {
        Throwable cause = Objects.requireNonNullElse(e.getCause(), e);
        throw cause instanceof EngineException known
            ? known
            : new EngineException(folder.path() + " cannot be loaded: " + cause, cause);
      } catch (TimeoutException e) { // not a cause: what waits for no store does not pass by itself
        throw new EngineException(
            folder.path().resolve(key.file())
                + " has not loaded and run once within "
                + within.toSeconds()
                + " s; its thread goes on, for it cannot be interrupted: see whether the module ever"
                + " ends, and restart the TaskManager to be rid of it");
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new EngineException("loading " + folder.path() + " was interrupted", e);
      }
    }

    private void load(ModelFolder folder, Loader loader) {
      Throwable failure = null;
      try {
        loader.load(this, folder);
      } catch (Throwable e) {
        failure = e;
      }
      boolean isUnwanted;
      synchronized (this) {
        isLoaded = failure == null;
        isUnwanted = isFree;
      }
      if (isUnwanted && failure == null) {
        close();
      }
      if (failure == null) {
        outcome.complete(null);
      } else {
        outcome.completeExceptionally(failure);
      }
    }

    /** Frees the model, or sees to it that it is once it has loaded. */
    private void free() {
      synchronized (this) {
        isFree = true;
        if (!isLoaded) {
          return;
        }
      }
      close();
    }

    private void close() {
      tokenizer.close();
      module.close();
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
      shared.load(folder, loader, within);
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
      load(
          module,
          folder.path().resolve(file),
          Map.of("mapLocation", "true", "trainParam", Boolean.toString(gradients)));
      if (gradients) {
        module
            .getBlock()
            .freezeParameters(true); // of embeddings gradients are taken, not of weights
      }
      tokenizer = TextTokenizer.load(folder);
      new FirstRun(module, tokenizer, folder).check();
      shared.module = module;
      shared.tokenizer = tokenizer;
      shared.loadMillis = (System.nanoTime() - start) / 1_000_000;
      LOG.info(
          "Loaded {} (version {}) on {} in {} ms",
          folder.path().resolve(file),
          folder.version(),
          shared.device(),
          shared.loadMillis);
      boolean inBfloat16 = folder.manifest().precision().equals("bf16") && !gradients;
      if (inBfloat16 && !shared.device().isGpu() && !Processor.multipliesBfloat16()) {
        LOG.warn(
            "{} is in bf16, for which this processor has no instructions: in fp32 or int8 it is"
                + " faster here",
            folder.name());
      }
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

  private static void load(Model module, Path file, Map<String, String> options)
      throws IOException, MalformedModelException {
    try {
      module.load(file.getParent(), file.getFileName().toString(), options);
    } catch (RuntimeException e) {
      if (!PlainModule.isWantedFor(e)) {
        throw e;
      }
      LOG.info("{} runs without packed weights: this libtorch has no oneDNN", file);
      Path folder = Files.createTempDirectory("labelstream-plain-");
      Path copy = folder.resolve(ModelFolder.MODULE);
      try {
        PlainModule.copy(file, copy);
        module.load(folder, ModelFolder.MODULE, options);
      } finally {
        Files.deleteIfExists(copy);
        Files.deleteIfExists(folder);
      }
    }
  }
}
