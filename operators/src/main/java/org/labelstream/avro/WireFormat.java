package org.labelstream.avro;

import java.nio.ByteBuffer;

/** What a registry's serializers put before a value: a byte 0, and the schema's id in four. */
final class WireFormat {

  static final int HEADER = 5;

  private WireFormat() {}

  static boolean isOf(byte[] value) {
    return value.length >= HEADER && value[0] == 0;
  }

  static int id(byte[] value) {
    return ByteBuffer.wrap(value, 1, Integer.BYTES).getInt();
  }

  static byte[] header(int id) {
    return ByteBuffer.allocate(HEADER).put((byte) 0).putInt(id).array();
  }
}
