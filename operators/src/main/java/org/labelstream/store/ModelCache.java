package org.labelstream.store;

import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Comparator;
import java.util.List;
import java.util.UUID;
import java.util.stream.Stream;
import org.labelstream.model.InvalidModelException;
import org.labelstream.model.ModelFolder;
import org.labelstream.model.ModelFolder.Verify;
import org.labelstream.store.ModelFetcher.CacheException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Where a process keeps the model folders that it has fetched. Each process has a folder of its own
 * in the cache, and beside it a lock file which it holds locked while it lives:
 *
 * <pre>
 * 4711-1764115200000-….lock
 * 4711-1764115200000-…/
 *   part-…/NAME              a download under way
 *   SHA256-…/NAME            a folder that is whole and sound
 *   left/SHA256-…/NAME       one that a dead process left and that nobody has asked for yet
 * </pre>
 *
 * A process that begins takes over the whole folders of the dead ones. Those that the dead had only
 * taken over themselves it removes, so a folder that nobody needs outlives two processes at most;
 * with its last lease a process removes all of its own.
 *
 * <p><em>Thread-safety.</em> Any thread may call.
 */
final class ModelCache implements AutoCloseable {

  private static final Logger LOG = LoggerFactory.getLogger(ModelCache.class);

  private static final String LOCK = ".lock";
  private static final String LEFT = "left";

  /**
   * Names this process. Locks do not tell a process from itself: where two class loaders of it have
   * a cache each, closing one's file would release the other's lock.
   */
  private static final String PROCESS =
      ProcessHandle.current().pid()
          + "-"
          + ManagementFactory.getRuntimeMXBean().getStartTime()
          + "-";

  private final Path root;
  private final boolean shared;

  // Guarded by this; null while nothing is kept.
  private Path own;
  private FileChannel lock;

  /**
   * @param root the cache folder
   * @param shared whether it lies where any user may have made it, so that its owner is checked
   */
  ModelCache(Path root, boolean shared) {
    this.root = root;
    this.shared = shared;
  }

  /** The one that the system property names, else one in the folder for temporary files. */
  static ModelCache ofProcess() {
    String named = System.getProperty(ModelFetcher.CACHE_PROPERTY);
    if (named != null && !named.isBlank()) {
      return new ModelCache(Path.of(named).toAbsolutePath(), false);
    }
    String user = System.getProperty("user.name").replaceAll("[^A-Za-z0-9._-]", "_");
    return new ModelCache(
        Path.of(System.getProperty("java.io.tmpdir"), "labelstream-models-" + user)
            .toAbsolutePath(),
        true);
  }

  /** A download under way: it is kept, or it goes when this is closed. */
  final class Part implements AutoCloseable {
    private final Path around;
    private final Path folder;

    private Part(Path around, String name) throws IOException {
      this.around = around;
      this.folder = around.resolve(name);
      Files.createDirectory(around);
      Files.createDirectory(folder);
    }

    /** Where the files belong. */
    Path folder() {
      return folder;
    }

    /** Keeps it under its SHA-256, in one step. */
    ModelFolder keep(ModelFolder read) throws CacheException {
      Path kept = around.resolveSibling(read.sha256() + "-" + UUID.randomUUID());
      try {
        Files.move(around, kept, StandardCopyOption.ATOMIC_MOVE);
      } catch (IOException e) {
        throw new CacheException(root, e);
      }
      return read.movedTo(kept.resolve(folder.getFileName()));
    }

    @Override
    public void close() {
      delete(around);
    }
  }

  /**
   * Begins a download.
   *
   * @param name the folder's, which labelled records carry
   */
  Part newPart(String name) throws CacheException {
    try {
      return new Part(own().resolve("part-" + UUID.randomUUID()), name);
    } catch (IOException e) {
      throw new CacheException(root, e);
    }
  }

  /**
   * A folder that a dead process left, now this one's, or null where there is none that is sound
   * and has that SHA-256.
   */
  ModelFolder leftover(String sha256, String name, Verify verify) throws CacheException {
    Path left;
    try {
      left = own().resolve(LEFT);
    } catch (IOException e) {
      throw new CacheException(root, e);
    }
    for (Path around : list(left)) {
      if (around.getFileName().toString().startsWith(sha256)) {
        try (Part part = newPart(name)) {
          Files.delete(part.folder());
          Files.move(list(around).get(0), part.folder());
          delete(around);
          ModelFolder folder = ModelFolder.read(part.folder(), verify);
          if (folder.sha256().equals(sha256)) {
            return part.keep(folder);
          }
        } catch (IOException | InvalidModelException | IndexOutOfBoundsException e) {
          // Another caller was faster, or a byte of it has gone: it is fetched anew.
          LOG.info("{} cannot be used again: {}", around, e.getMessage());
        }
      }
    }
    return null;
  }

  /** Makes a folder below one of the parts. */
  void create(Path folder) throws CacheException {
    try {
      Files.createDirectory(folder);
    } catch (IOException e) {
      throw new CacheException(root, e);
    }
  }

  /** Writes a file of a part; what goes wrong is told as a fault of the cache. */
  OutputStream write(Path file) throws CacheException {
    try {
      return new FilterOutputStream(
          Files.newOutputStream(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
        @Override
        public void write(byte[] bytes, int offset, int length) throws CacheException {
          try {
            out.write(bytes, offset, length);
          } catch (IOException e) {
            throw new CacheException(root, e);
          }
        }
      };
    } catch (IOException e) {
      throw new CacheException(root, e);
    }
  }

  /**
   * Removes a folder that was kept.
   *
   * @param folder what {@link Part#keep} gave, or null
   */
  void remove(Path folder) {
    if (folder != null) {
      delete(folder.getParent());
    }
  }

  /** Removes all that this process keeps. It may keep something again later. */
  @Override
  public synchronized void close() {
    if (own != null) {
      deleteWithLock(own);
      release(lock);
      own = null;
      lock = null;
    }
  }

  private synchronized Path own() throws IOException {
    if (own == null) {
      createRoot();
      while (own == null) {
        claim(root.resolve(PROCESS + UUID.randomUUID()));
      }
      takeOverWhatIsLeft();
    }
    return own;
  }

  private void createRoot() throws IOException {
    if (Files.isDirectory(root)) {
      return;
    }
    if (shared) {
      Files.createDirectories(
          root, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    } else {
      Files.createDirectories(root);
    }
  }

  /** Makes a folder this process's, unless another one takes its lock for a dead one's. */
  private void claim(Path folder) throws IOException {
    FileChannel channel =
        FileChannel.open(lockOf(folder), StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
    try {
      if (shared && !Files.getOwner(root).equals(Files.getOwner(lockOf(folder)))) {
        throw new IOException("it belongs to " + Files.getOwner(root));
      }
      if (channel.tryLock() != null && Files.exists(lockOf(folder))) {
        Files.createDirectories(folder.resolve(LEFT));
        own = folder;
        lock = channel;
      }
    } finally {
      if (own == null) {
        delete(lockOf(folder));
        release(channel);
      }
    }
  }

  private void takeOverWhatIsLeft() {
    for (Path file : list(root)) {
      String name = file.getFileName().toString();
      if (name.endsWith(LOCK) && !name.startsWith(PROCESS)) {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE);
            FileLock dead = channel.tryLock()) {
          if (dead != null) {
            takeOver(root.resolve(name.substring(0, name.length() - LOCK.length())));
          }
        } catch (IOException | OverlappingFileLockException e) {
          LOG.debug("{} is another one's", file, e);
        }
      }
    }
  }

  private void takeOver(Path dead) throws IOException {
    for (Path folder : list(dead)) {
      if (folder.getFileName().toString().matches("[0-9a-f]{64}-.*")) {
        Files.move(folder, own.resolve(LEFT).resolve(folder.getFileName()));
      }
    }
    deleteWithLock(dead);
  }

  /** What cannot be removed keeps its lock file, by which another process finds it. */
  private static void deleteWithLock(Path folder) {
    delete(folder);
    if (!Files.exists(folder)) {
      delete(lockOf(folder));
    }
  }

  private static Path lockOf(Path folder) {
    return folder.resolveSibling(folder.getFileName() + LOCK);
  }

  private static void release(FileChannel channel) {
    try {
      channel.close();
    } catch (IOException e) {
      LOG.debug("A lock could not be given back", e);
    }
  }

  private static List<Path> list(Path folder) {
    try (Stream<Path> files = Files.list(folder)) {
      return files.sorted().toList();
    } catch (IOException e) {
      return List.of();
    }
  }

  private static void delete(Path folder) {
    if (!Files.exists(folder)) {
      return;
    }
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.deleteIfExists(file);
      }
    } catch (IOException e) {
      LOG.warn("{} cannot be removed", folder, e);
    }
  }
}
