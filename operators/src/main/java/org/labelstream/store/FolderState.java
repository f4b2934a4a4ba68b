package org.labelstream.store;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/**
 * What a file system says of a folder's files without reading them.
 *
 * @param files size, time of modification and identity by path; null where they cannot be told
 * @param settled whether all of them were older than a clock's tick, so that none can change and
 *     look the same
 */
record FolderState(Map<String, List<Object>> files, boolean settled) {

  /** The coarsest tick of a file system's clock that there is (FAT's). */
  private static final Duration TICK = Duration.ofSeconds(2);

  static FolderState of(Path path) {
    Instant youngest = Instant.now().minus(TICK);
    Map<String, List<Object>> files = new TreeMap<>();
    boolean settled = true;
    try {
      Path folder = path.toRealPath();
      for (Path file : all(folder)) {
        BasicFileAttributes attributes = Files.readAttributes(file, BasicFileAttributes.class);
        settled &= attributes.lastModifiedTime().toInstant().isBefore(youngest);
        files.put(
            file.toString(),
            List.of(
                attributes.size(),
                attributes.lastModifiedTime(),
                String.valueOf(attributes.fileKey())));
      }
      return new FolderState(files, settled);
    } catch (IOException | UncheckedIOException e) {
      return new FolderState(null, false); // whoever reads the folder next tells why
    }
  }

  private static List<Path> all(Path folder) throws IOException {
    try (Stream<Path> files = Files.walk(folder)) {
      return files.filter(Files::isRegularFile).toList();
    }
  }

  /** Whether the folder is certainly the same as when this was taken. */
  boolean isStill(FolderState now) {
    return settled && files.equals(now.files);
  }
}
