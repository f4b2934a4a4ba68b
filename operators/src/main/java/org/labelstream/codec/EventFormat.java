package org.labelstream.codec;

/** How a record's value is read. */
public enum EventFormat {
  /** A value that begins with <code>{</code> is a JSON object, any other is a text. */
  AUTO,
  JSON,
  TEXT
}
