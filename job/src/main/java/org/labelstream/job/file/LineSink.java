package org.labelstream.job.file;

import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.labelstream.record.OutputRecord;

/**
 * Writes records as lines, each as soon as it comes, so that they can be read while more are on the
 * way.
 */
final class LineSink implements Sink<OutputRecord> {
  private static final long serialVersionUID = 1L;

  static final String STDOUT = "/dev/stdout";
  static final String STDERR = "/dev/stderr";

  private final String target;

  /**
   * @param target a file, {@link #STDOUT} or {@link #STDERR}
   */
  LineSink(String target) {
    this.target = target;
  }

  @Override
  public SinkWriter<OutputRecord> createWriter(WriterInitContext context) throws IOException {
    return new Writer(target, open());
  }

  private OutputStream open() throws IOException {
    return switch (target) {
      case STDOUT -> new FileOutputStream(FileDescriptor.out);
      case STDERR -> new FileOutputStream(FileDescriptor.err);
      default -> Files.newOutputStream(Path.of(target));
    };
  }

  private static final class Writer implements SinkWriter<OutputRecord> {
    private final String target;
    private final OutputStream out;

    Writer(String target, OutputStream out) {
      this.target = target;
      this.out = new BufferedOutputStream(out, 1 << 16);
    }

    @Override
    public void write(OutputRecord record, Context context) throws IOException {
      try {
        out.write(OutputLine.of(record));
        out.write('\n');
        out.flush();
      } catch (IOException e) {
        throw new OutputException(target, e);
      }
    }

    @Override
    public void flush(boolean endOfInput) {
      // Each line is out when it is written.
    }

    @Override
    public void close() {
      // Standard output belongs to the JVM. What could not be written cannot be now either, and
      // Flink would end its TaskManager for a second exception.
    }
  }
}
