package org.labelstream.codec;

/** How a record's value is read. */
public enum EventFormat {
  /**
   * A value that begins with <code>{</code> is a JSON object, a JSON string is its content, any
   * other that can be one is a text.
   */
  AUTO,
  JSON,
  TEXT,
  /** A record or string of Avro, in the wire format of a schema registry. */
  AVRO
}
