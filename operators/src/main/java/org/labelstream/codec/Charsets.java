package org.labelstream.codec;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.Charset;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;

/** Brings values to UTF-8, and tells by its first bytes what a value is that is not. */
final class Charsets {

  private static final int SEEN = 8;

  private Charsets() {}

  /**
   * A value in UTF-8.
   *
   * @throws RejectedRecordException when it is not in that charset
   */
  static byte[] toUtf8(byte[] value, Charset charset) throws RejectedRecordException {
    try {
      ByteBuffer read = UTF_8.encode(charset.newDecoder().decode(ByteBuffer.wrap(value)));
      byte[] utf8 = new byte[read.remaining()];
      read.get(utf8);
      return utf8;
    } catch (CharacterCodingException e) {
      throw new RejectedRecordException(
          ErrorCode.NOT_TEXT,
          Stage.DECODE,
          "the value is not in "
              + charset.name()
              + ", which input.charset names: send it so, or name the charset that it is in");
    }
  }

  /**
   * Refuses what is not UTF-8.
   *
   * @param what the value's name in messages
   */
  static void checkUtf8(byte[] value, String what) throws RejectedRecordException {
    for (byte b : value) {
      if (b < 0) {
        try {
          UTF_8.newDecoder().decode(ByteBuffer.wrap(value));
        } catch (CharacterCodingException e) {
          throw notUtf8(value, what);
        }
        return;
      }
    }
  }

  /** Refuses UTF-16 and UTF-32 that is UTF-8 by chance: letters of ASCII with zeros between. */
  static void checkNoZeros(byte[] value, String what) throws RejectedRecordException {
    String charset = ofZeros(value);
    if (charset != null) {
      throw new RejectedRecordException(ErrorCode.NOT_TEXT, Stage.DECODE, itIs(what, charset));
    }
  }

  private static RejectedRecordException notUtf8(byte[] value, String what) {
    ErrorCode code = ErrorCode.NOT_UTF8;
    String message;
    String charset = ofMark(value) == null ? ofZeros(value) : ofMark(value);
    if (charset != null) {
      message = itIs(what, charset);
    } else if (value[0] == 0) {
      code = ErrorCode.NOT_TEXT;
      message = what + EventCodec.OF_A_REGISTRY;
    } else if (begins(value, 0x1F, 0x8B)) {
      message =
          what
              + " is compressed with gzip, which is not read: send it as it is (a producer's"
              + " compression.type compresses on the way)";
    } else {
      message =
          what
              + " is not UTF-8: send UTF-8 or, where it is a text of another charset, set"
              + " input.charset, such as windows-1252";
    }
    return new RejectedRecordException(code, Stage.DECODE, message);
  }

  private static String itIs(String what, String charset) {
    return what
        + " is in "
        + charset
        + ", as its first bytes tell: set input.charset: "
        + charset
        + ", or send UTF-8";
  }

  /** The charset whose byte order mark a value begins with, or null. */
  private static String ofMark(byte[] value) {
    if (begins(value, 0xFF, 0xFE, 0, 0)) {
      return "UTF-32LE";
    }
    if (begins(value, 0, 0, 0xFE, 0xFF)) {
      return "UTF-32BE";
    }
    if (begins(value, 0xFF, 0xFE)) {
      return "UTF-16LE";
    }
    return begins(value, 0xFE, 0xFF) ? "UTF-16BE" : null;
  }

  /** The charset in which a value's first characters are ASCII, as RFC 4627 had it, or null. */
  private static String ofZeros(byte[] value) {
    if (value.length < SEEN) {
      return null;
    }
    StringBuilder pattern = new StringBuilder();
    for (int i = 0; i < SEEN; i++) {
      pattern.append(value[i] == 0 ? '0' : value[i] >= '\t' ? 'x' : '-');
    }
    return switch (pattern.toString()) {
      case "x000x000" -> "UTF-32LE";
      case "000x000x" -> "UTF-32BE";
      case "x0x0x0x0" -> "UTF-16LE";
      case "0x0x0x0x" -> "UTF-16BE";
      default -> null;
    };
  }

  private static boolean begins(byte[] value, int... bytes) {
    if (value.length < bytes.length) {
      return false;
    }
    for (int i = 0; i < bytes.length; i++) {
      if (value[i] != (byte) bytes[i]) {
        return false;
      }
    }
    return true;
  }
}
