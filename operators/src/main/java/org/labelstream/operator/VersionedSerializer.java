package org.labelstream.operator;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.typeutils.base.TypeSerializerSingleton;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.labelstream.record.Header;

/**
 * A serializer of an immutable value, written by hand.
 *
 * <p>Queued inputs of an async operator are state, and so are records in flight under unaligned
 * checkpoints: what a version wrote, every later one must read. Each value therefore begins with
 * the version of its form; a new form gets a new number and a branch in {@link #read}, and the old
 * branch stays.
 */
abstract class VersionedSerializer<T> extends TypeSerializerSingleton<T> {
  private static final long serialVersionUID = 1L;

  private static final int ABSENT = -1;

  private final int version;

  VersionedSerializer(int version) {
    this.version = version;
  }

  /** Writes the newest form. */
  abstract void write(T value, DataOutputView out) throws IOException;

  /** Reads a form, the newest or an older one. */
  abstract T read(int version, DataInputView in) throws IOException;

  @Override
  public void serialize(T value, DataOutputView out) throws IOException {
    out.writeByte(version);
    write(value, out);
  }

  @Override
  public T deserialize(DataInputView in) throws IOException {
    int found = in.readUnsignedByte();
    if (found < 1 || found > version) {
      throw new IOException(
          "A stored record has form "
              + found
              + ", but this version of Labelstream reads forms 1 to "
              + version
              + ": restore it with the version that wrote it, or a newer one.");
    }
    return read(found, in);
  }

  @Override
  public T deserialize(T reuse, DataInputView in) throws IOException {
    return deserialize(in);
  }

  @Override
  public boolean isImmutableType() {
    return true;
  }

  @Override
  public T createInstance() {
    return null;
  }

  @Override
  public T copy(T from) {
    return from;
  }

  @Override
  public T copy(T from, T reuse) {
    return from;
  }

  @Override
  public void copy(DataInputView source, DataOutputView target) throws IOException {
    serialize(deserialize(source), target);
  }

  @Override
  public int getLength() {
    return -1;
  }

  static void writeBytes(byte[] bytes, DataOutputView out) throws IOException {
    if (bytes == null) {
      out.writeInt(ABSENT);
    } else {
      out.writeInt(bytes.length);
      out.write(bytes);
    }
  }

  static byte[] readBytes(DataInputView in) throws IOException {
    int length = in.readInt();
    if (length == ABSENT) {
      return null;
    }
    byte[] bytes = new byte[length];
    in.readFully(bytes);
    return bytes;
  }

  static void writeText(String text, DataOutputView out) throws IOException {
    writeBytes(text.getBytes(StandardCharsets.UTF_8), out);
  }

  static String readText(DataInputView in) throws IOException {
    return new String(readBytes(in), StandardCharsets.UTF_8);
  }

  static void writeHeaders(List<Header> headers, DataOutputView out) throws IOException {
    out.writeInt(headers.size());
    for (Header header : headers) {
      writeText(header.key(), out);
      writeBytes(header.value(), out);
    }
  }

  static List<Header> readHeaders(DataInputView in) throws IOException {
    int count = in.readInt();
    List<Header> headers = new ArrayList<>(count);
    for (int i = 0; i < count; i++) {
      headers.add(new Header(readText(in), readBytes(in)));
    }
    return headers;
  }
}
