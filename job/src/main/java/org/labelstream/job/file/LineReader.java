package org.labelstream.job.file;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.apache.flink.api.connector.source.ReaderOutput;
import org.apache.flink.api.connector.source.SourceReader;
import org.apache.flink.core.io.InputStatus;
import org.labelstream.record.SourceRecord;

/**
 * Reads lines on a thread of its own, so that results go out while the reader waits for the next
 * line of standard input.
 *
 * <p>Lines are bytes: what is not UTF-8 is told by the decoder, as for records of Kafka. Of a line
 * beyond the limit one byte more than the limit is kept, which is enough for the decoder to refuse
 * it.
 */
final class LineReader implements SourceReader<SourceRecord, LineSource.NoSplit> {

  private static final int QUEUE = 64;

  private final List<String> files;
  private final long maxLineBytes;

  private final Deque<SourceRecord> lines = new ArrayDeque<>();
  private CompletableFuture<Void> available = new CompletableFuture<>();
  private boolean ended;
  private Throwable failure;
  private boolean closed;

  LineReader(List<String> files, long maxLineBytes) {
    this.files = files;
    this.maxLineBytes = maxLineBytes;
  }

  @Override
  public void start() {
    Thread thread = new Thread(this::readAll, "labelstream-lines");
    thread.setDaemon(true); // a read of standard input cannot be interrupted
    thread.start();
  }

  private void readAll() {
    Throwable problem = null;
    try {
      for (String file : files) {
        if (file.equals("-")) {
          read("stdin", System.in);
        } else {
          try (InputStream in = Files.newInputStream(Path.of(file))) {
            read(file, in);
          }
        }
      }
    } catch (IOException | RuntimeException | OutOfMemoryError e) {
      problem = e; // told by pollNext: without it the job would wait for lines for ever
    }
    synchronized (lines) {
      ended = true;
      failure = problem;
      available.complete(null);
    }
  }

  private void read(String name, InputStream source) throws IOException {
    BufferedInputStream in = new BufferedInputStream(source, 1 << 16);
    ByteArrayOutputStream line = new ByteArrayOutputStream();
    long number = 0;
    boolean begun = false;
    for (int b = in.read(); b >= 0; b = in.read()) {
      begun = true;
      if (b == '\n') {
        add(name, ++number, line);
        begun = false;
      } else if (line.size() <= maxLineBytes) {
        line.write(b);
      }
    }
    if (begun) {
      add(name, ++number, line);
    }
  }

  private void add(String name, long number, ByteArrayOutputStream line) {
    byte[] bytes = line.toByteArray();
    line.reset();
    int length = bytes.length;
    if (length > 0 && bytes[length - 1] == '\r') {
      bytes = Arrays.copyOf(bytes, length - 1);
    }
    SourceRecord record =
        new SourceRecord(null, bytes, List.of(), name, SourceRecord.NO_PARTITION, number, -1);
    synchronized (lines) {
      while (lines.size() >= QUEUE && !closed) {
        try {
          lines.wait();
        } catch (InterruptedException e) {
          return; // nobody interrupts this thread but the end of the JVM
        }
      }
      lines.add(record);
      available.complete(null);
    }
  }

  @Override
  public InputStatus pollNext(ReaderOutput<SourceRecord> output) throws IOException {
    SourceRecord next;
    synchronized (lines) {
      next = lines.poll();
      lines.notifyAll();
      if (next == null && ended) {
        if (failure != null) {
          throw new IOException("The lines cannot be read: " + failure.getMessage(), failure);
        }
        return InputStatus.END_OF_INPUT;
      }
      if (next == null) {
        available = new CompletableFuture<>();
        return InputStatus.NOTHING_AVAILABLE;
      }
    }
    output.collect(next);
    return InputStatus.MORE_AVAILABLE;
  }

  @Override
  public CompletableFuture<Void> isAvailable() {
    synchronized (lines) {
      return available;
    }
  }

  @Override
  public List<LineSource.NoSplit> snapshotState(long checkpointId) {
    return List.of();
  }

  @Override
  public void addSplits(List<LineSource.NoSplit> splits) {}

  @Override
  public void notifyNoMoreSplits() {}

  @Override
  public void close() {
    synchronized (lines) {
      closed = true;
      lines.notifyAll();
    }
  }
}
