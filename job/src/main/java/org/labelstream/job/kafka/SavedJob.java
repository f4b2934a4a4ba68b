package org.labelstream.job.kafka;

import java.io.DataInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.core.fs.FileStatus;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.core.fs.Path;
import org.apache.flink.runtime.checkpoint.Checkpoints;
import org.apache.flink.runtime.checkpoint.OperatorState;
import org.apache.flink.runtime.checkpoint.metadata.CheckpointMetadata;
import org.apache.flink.runtime.state.memory.ByteStreamStateHandle;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A checkpoint or savepoint from which a job can go on.
 *
 * @param path its folder
 * @param time when it was completed, in milliseconds since the epoch
 */
public record SavedJob(String path, long time) {

  private static final Logger LOG = LoggerFactory.getLogger(SavedJob.class);

  private static final String METADATA = "_metadata";
  private static final String MARK = "labelstream job ";

  /** What the state of a job's checkpoints has in it, so that they can be told from others'. */
  static byte[] mark(String job) {
    return (MARK + job).getBytes(StandardCharsets.UTF_8);
  }

  /**
   * The newest one of a job's name, in the folders for checkpoints and savepoints that this machine
   * knows.
   *
   * @throws IOException when such a folder cannot be read
   */
  public static Optional<SavedJob> newest(String job, ReadableConfig options) throws IOException {
    List<FileStatus> saved = new ArrayList<>();
    for (String folder : folders(options)) {
      // Checkpoints: <folder>/<job id>/chk-<n>; savepoints: <folder>/savepoint-<id>, or named by
      // whoever took them.
      collect(new Path(folder), 2, saved);
    }
    saved.sort(Comparator.comparingLong(FileStatus::getModificationTime).reversed());
    for (FileStatus file : saved) {
      if (isOf(job, file.getPath())) {
        return Optional.of(
            new SavedJob(file.getPath().getParent().toString(), file.getModificationTime()));
      }
    }
    return Optional.empty();
  }

  /** The folders where checkpoints and savepoints go. */
  public static List<String> folders(ReadableConfig options) {
    List<String> folders = new ArrayList<>();
    options.getOptional(CheckpointingOptions.CHECKPOINTS_DIRECTORY).ifPresent(folders::add);
    options.getOptional(CheckpointingOptions.SAVEPOINT_DIRECTORY).ifPresent(folders::add);
    return folders.stream().distinct().toList();
  }

  private static void collect(Path folder, int levels, List<FileStatus> saved) throws IOException {
    FileSystem files = folder.getFileSystem();
    FileStatus[] children;
    try {
      children = files.listStatus(folder);
    } catch (FileNotFoundException e) {
      return;
    }
    if (children == null) {
      return;
    }
    for (FileStatus child : children) {
      if (!child.isDir() && child.getPath().getName().equals(METADATA)) {
        saved.add(child);
      } else if (child.isDir() && levels > 0) {
        collect(child.getPath(), levels - 1, saved);
      }
    }
  }

  private static boolean isOf(String job, Path metadata) {
    try (DataInputStream in = new DataInputStream(metadata.getFileSystem().open(metadata))) {
      CheckpointMetadata content =
          Checkpoints.loadCheckpointMetadata(
              in, SavedJob.class.getClassLoader(), metadata.getParent().toString());
      for (OperatorState operator : content.getOperatorStates()) {
        ByteStreamStateHandle state = operator.getCoordinatorState();
        if (state != null && Arrays.equals(state.getData(), mark(job))) {
          return true;
        }
      }
    } catch (IOException | RuntimeException e) {
      LOG.info("{} cannot be read, and is passed over", metadata, e);
    }
    return false;
  }
}
