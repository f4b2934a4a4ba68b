package org.labelstream.operator;

import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.stream.Stream;
import org.apache.flink.core.fs.FileStatus;
import org.apache.flink.core.fs.FileSystem;
import org.labelstream.model.InvalidModelException;

/** Brings a model folder to this machine, through Flink's file systems where it is remote. */
public final class ModelFetcher implements AutoCloseable {

  private final Path folder;
  private final Path temporary;

  private ModelFetcher(Path folder, Path temporary) {
    this.folder = folder;
    this.temporary = temporary;
  }

  /**
   * Fetches a folder, or finds it where it lies.
   *
   * @param model a local path, or a URI of a file system that Flink has
   * @throws InvalidModelException when it cannot be reached
   */
  public static ModelFetcher fetch(String model) {
    if (isLocal(model)) {
      return new ModelFetcher(localPath(model), null);
    }
    Path temporary = null;
    try {
      temporary = Files.createTempDirectory("labelstream-model-");
      org.apache.flink.core.fs.Path source = new org.apache.flink.core.fs.Path(model);
      Path target = temporary.resolve(source.getName());
      copy(FileSystem.get(source.toUri()), source, Files.createDirectory(target));
      return new ModelFetcher(target, temporary);
    } catch (IOException | RuntimeException e) {
      delete(temporary);
      throw new InvalidModelException(
          "the model folder "
              + model
              + " cannot be fetched ("
              + e.getMessage()
              + "): check the address, and that Flink has the plugin and the permissions for it",
          e);
    }
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

  private static void copy(FileSystem files, org.apache.flink.core.fs.Path source, Path target)
      throws IOException {
    FileStatus[] entries = files.listStatus(source);
    if (entries == null || entries.length == 0) {
      throw new IOException("there is nothing there");
    }
    for (FileStatus entry : entries) {
      Path to = target.resolve(entry.getPath().getName());
      if (entry.isDir()) {
        copy(files, entry.getPath(), Files.createDirectory(to));
      } else {
        try (InputStream in = files.open(entry.getPath())) {
          Files.copy(in, to);
        }
      }
    }
  }

  /** Where the folder lies on this machine. */
  public Path folder() {
    return folder;
  }

  /** Deletes what was fetched. A folder that was local from the start stays. */
  @Override
  public void close() {
    delete(temporary);
  }

  private static void delete(Path folder) {
    if (folder == null) {
      return;
    }
    try (Stream<Path> files = Files.walk(folder)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.deleteIfExists(file);
      }
    } catch (IOException e) {
      // What is left lies in the folder for temporary files, which somebody empties.
    }
  }
}
