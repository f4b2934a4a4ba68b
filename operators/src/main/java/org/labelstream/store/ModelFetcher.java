package org.labelstream.store;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.io.OutputStream;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.locks.ReentrantLock;
import org.apache.flink.core.fs.FileStatus;
import org.apache.flink.core.fs.FileSystem;
import org.labelstream.model.InvalidModelException;
import org.labelstream.model.ModelFolder;
import org.labelstream.model.ModelFolder.Verify;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Brings model folders to this machine, through Flink's file systems where they are remote, and
 * reads them: each once for a process however many slots and stages ask, as long as one of them has
 * its lease. A local folder is read again where a file of it has changed.
 *
 * <p>A process makes one ({@link #instance}). <em>Thread-safety.</em> Any thread may call.
 */
public final class ModelFetcher implements AutoCloseable {

  /** Names the cache folder of the process. */
  public static final String CACHE_PROPERTY = "labelstream.model.cache";

  private static final Logger LOG = LoggerFactory.getLogger(ModelFetcher.class);

  /** The cache folder cannot be used: a fault of this machine, not of the model. */
  public static final class CacheException extends IOException {
    private static final long serialVersionUID = 1L;

    public CacheException(Path cache, Throwable cause) {
      super(
          "the cache folder "
              + cache
              + " cannot be used ("
              + cause
              + "): make room there and make it writable, or name another one with -D"
              + CACHE_PROPERTY,
          cause);
    }
  }

  /** A store does not give a folder. */
  public static final class StoreException extends IOException {
    private static final long serialVersionUID = 1L;

    public StoreException(String model, Throwable cause) {
      super(
          "the model folder "
              + model
              + " cannot be fetched ("
              + cause.getMessage()
              + "): check the address, and that Flink has the plugin and the permissions for it",
          cause);
    }
  }

  /** The one of this process. */
  private static final class Instance {
    static final ModelFetcher OF_PROCESS = new ModelFetcher(ModelCache.ofProcess());
  }

  /**
   * A folder that is asked for.
   *
   * @param sha256 of a remote folder, what it must have; null for a local one, or where any will do
   */
  private record Key(String model, String sha256) {}

  /** What the leases on a folder share. */
  private static final class Entry {
    final ReentrantLock reading = new ReentrantLock();
    int leases; // guarded by the fetcher
    // What follows is guarded by reading, and by nobody once the last lease has been given back.
    Path fetched;
    ModelFolder folder;
    FolderState state;
    Verify verify;
  }

  private final ModelCache cache;
  private final Map<Key, Entry> entries = new HashMap<>();

  /**
   * @param cache where remote folders are kept; closed with this
   */
  ModelFetcher(ModelCache cache) {
    this.cache = cache;
  }

  /** The one of this process. */
  public static ModelFetcher instance() {
    return Instance.OF_PROCESS;
  }

  /** A folder on this machine, which stays as long as the lease is not closed. */
  public final class Lease implements AutoCloseable {
    private final Key key;
    private final Entry entry;
    private final ModelFolder folder;
    private boolean closed;

    private Lease(Key key, Entry entry, ModelFolder folder) {
      this.key = key;
      this.entry = entry;
      this.folder = folder;
    }

    /** The folder, read and found sound. */
    public ModelFolder folder() {
      return folder;
    }

    /** Gives the lease back; with the last one what was fetched goes. A local folder stays. */
    @Override
    public void close() {
      synchronized (ModelFetcher.this) {
        if (!closed) {
          closed = true;
          giveBack(key, entry);
        }
      }
    }
  }

  /**
   * Brings a folder here, or finds it where it lies, and reads it.
   *
   * @param model a local path, or a URI of a file system that Flink has
   * @param sha256 the SHA-256 that the folder must have, or null
   * @throws InvalidModelException with a sentence, when it is not there, unsound, or another one
   * @throws IOException with a sentence, when a store does not give it, or the cache cannot take it
   */
  public Lease fetch(String model, Verify verify, String sha256) throws IOException {
    Key key = new Key(model, isLocal(model) ? null : sha256);
    Entry entry;
    synchronized (this) {
      entry = entries.computeIfAbsent(key, any -> new Entry());
      entry.leases++;
    }
    try {
      ModelFolder folder = read(key, entry, verify);
      if (sha256 != null && !sha256.equals(folder.sha256())) {
        throw another(model, folder, sha256);
      }
      return new Lease(key, entry, folder);
    } catch (IOException | RuntimeException | Error e) {
      synchronized (this) {
        giveBack(key, entry);
      }
      throw e;
    }
  }

  private static InvalidModelException another(String model, ModelFolder folder, String sha256) {
    return new InvalidModelException(
        model
            + " is not the model folder of this job: its SHA-256 begins with "
            + folder.version()
            + ", that of the job (taken when it was submitted, or pinned by model-sha256) with "
            + sha256.substring(0, 8)
            + ". Submit the job again, or put the same folder on every TaskManager");
  }

  private ModelFolder read(Key key, Entry entry, Verify verify) throws IOException {
    try {
      entry.reading.lockInterruptibly(); // a task that is cancelled does not wait for a download
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new InterruptedIOException("interrupted while another slot reads " + key.model());
    }
    try {
      boolean local = isLocal(key.model());
      if (!local && entry.fetched == null) {
        entry.folder = fetched(key, verify);
        entry.fetched = entry.folder.path();
        entry.state = FolderState.of(entry.fetched);
        entry.verify = verify;
        return entry.folder;
      }
      Path path = local ? localPath(key.model()) : entry.fetched;
      FolderState state = FolderState.of(path);
      boolean known =
          entry.folder != null
              && entry.state.isStill(state)
              && (entry.verify == Verify.REQUIRED || verify == entry.verify);
      if (!known) {
        entry.folder = ModelFolder.read(path, verify);
        entry.state = state;
        entry.verify = verify;
      }
      return entry.folder;
    } finally {
      entry.reading.unlock();
    }
  }

  private ModelFolder fetched(Key key, Verify verify) throws IOException {
    org.apache.flink.core.fs.Path source = new org.apache.flink.core.fs.Path(key.model());
    if (key.sha256() != null) {
      ModelFolder left = cache.leftover(key.sha256(), source.getName(), verify);
      if (left != null) {
        LOG.info("Found {} again in {}", key.model(), left.path());
        return left;
      }
    }
    long start = System.nanoTime();
    try (ModelCache.Part part = cache.newPart(source.getName())) {
      download(key.model(), source, part.folder());
      ModelFolder folder;
      try {
        folder = ModelFolder.read(part.folder(), verify);
      } catch (InvalidModelException e) {
        throw new InvalidModelException(key.model() + " was fetched, but " + e.getMessage(), e);
      }
      if (key.sha256() != null && !key.sha256().equals(folder.sha256())) {
        throw another(key.model(), folder, key.sha256());
      }
      ModelFolder kept = part.keep(folder);
      LOG.info(
          "Fetched {} to {} in {} ms",
          key.model(),
          kept.path(),
          (System.nanoTime() - start) / 1_000_000);
      return kept;
    }
  }

  private void download(String model, org.apache.flink.core.fs.Path source, Path target)
      throws IOException {
    try {
      FileSystem files = FileSystem.get(source.toUri());
      FileStatus[] entries = files.listStatus(source);
      if (entries == null || entries.length == 0) {
        throw new FileNotFoundException("there is nothing there");
      }
      copy(files, entries, target);
    } catch (CacheException e) {
      throw e;
    } catch (FileNotFoundException e) {
      throw new InvalidModelException(
          "the model folder "
              + model
              + " cannot be fetched ("
              + e.getMessage()
              + "): check the address",
          e);
    } catch (IOException | RuntimeException | LinkageError e) {
      throw new StoreException(model, e);
    }
  }

  private void copy(FileSystem files, FileStatus[] entries, Path target) throws IOException {
    for (FileStatus entry : entries) {
      Path to = target.resolve(entry.getPath().getName());
      if (!target.equals(to.normalize().getParent())) {
        throw new IOException(entry.getPath() + " is no name of a file here");
      }
      if (entry.isDir()) {
        cache.create(to);
        copy(files, files.listStatus(entry.getPath()), to);
      } else {
        copy(files, entry, to);
      }
    }
  }

  private void copy(FileSystem files, FileStatus entry, Path to) throws IOException {
    byte[] buffer = new byte[1 << 16];
    long bytes = 0;
    try (InputStream in = files.open(entry.getPath());
        OutputStream out = cache.write(to)) {
      for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
        out.write(buffer, 0, read);
        bytes += read;
      }
    }
    if (bytes != entry.getLen()) {
      throw new IOException(
          entry.getPath() + " has ended after " + bytes + " of " + entry.getLen() + " bytes");
    }
  }

  private synchronized void giveBack(Key key, Entry entry) {
    if (--entry.leases == 0 && entries.remove(key, entry)) {
      cache.remove(entry.fetched);
      if (entries.keySet().stream().allMatch(other -> isLocal(other.model()))) {
        cache.close();
      }
    }
  }

  /** Gives all leases back. */
  @Override
  public synchronized void close() {
    entries.clear();
    cache.close();
  }

  /** Whether a model is named by a path of this machine. */
  public static boolean isLocal(String model) {
    String scheme = scheme(model);
    return scheme == null || scheme.equals("file");
  }

  /** The path of a local model. */
  public static Path localPath(String model) {
    if (scheme(model) == null) {
      return Path.of(model);
    }
    try {
      return Path.of(new URI(model).getPath());
    } catch (URISyntaxException e) {
      return Path.of(new org.apache.flink.core.fs.Path(model).getPath()); // blanks as they are
    }
  }

  private static String scheme(String model) {
    int end = model.indexOf(":/");
    return end < 2 ? null : model.substring(0, end); // one letter is a drive, not a scheme
  }
}
