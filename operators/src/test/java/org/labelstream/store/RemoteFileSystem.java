package org.labelstream.store;

import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.net.URI;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.flink.core.fs.FSDataInputStream;
import org.apache.flink.core.fs.FileStatus;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.core.fs.FileSystemFactory;
import org.apache.flink.core.fs.Path;
import org.apache.flink.core.fs.local.LocalFileSystem;

/** A store for tests, {@code remote:/path}: the files of this machine, with faults on demand. */
public final class RemoteFileSystem extends LocalFileSystem {

  public static final URI ADDRESS = URI.create("remote:/");

  /** The names of the files that were read, in turn. */
  public static final List<String> READ = new CopyOnWriteArrayList<>();

  /** What reading does instead, or null. */
  public static volatile Fault fault;

  /** What a store does to a stream. */
  @FunctionalInterface
  public interface Fault {
    /** The bytes that come before the end, or the fault. */
    int read(String name, FileInputStream in, byte[] buffer, int offset, int length)
        throws IOException;
  }

  /** Found by Flink. */
  public static final class Factory implements FileSystemFactory {
    @Override
    public String getScheme() {
      return "remote";
    }

    @Override
    public FileSystem create(URI address) {
      return new RemoteFileSystem();
    }
  }

  public static void reset() {
    READ.clear();
    fault = null;
  }

  public static String address(java.nio.file.Path folder) {
    return "remote:" + folder.toAbsolutePath().normalize();
  }

  @Override
  public URI getUri() {
    return ADDRESS;
  }

  @Override
  public FileStatus[] listStatus(Path folder) throws IOException {
    FileStatus[] files = super.listStatus(folder);
    if (files == null) {
      throw new FileNotFoundException("no such key: " + folder);
    }
    return files;
  }

  @Override
  public FSDataInputStream open(Path file) throws IOException {
    READ.add(file.getName());
    FileInputStream in = new FileInputStream(file.getPath());
    return new FSDataInputStream() {
      @Override
      public void seek(long position) throws IOException {
        in.getChannel().position(position);
      }

      @Override
      public long getPos() throws IOException {
        return in.getChannel().position();
      }

      @Override
      public int read() throws IOException {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
      }

      @Override
      public int read(byte[] buffer, int offset, int length) throws IOException {
        Fault now = fault;
        return now == null
            ? in.read(buffer, offset, length)
            : now.read(file.getName(), in, buffer, offset, length);
      }

      @Override
      public void close() throws IOException {
        in.close();
      }
    };
  }
}
