package org.labelstream.codec;

import org.labelstream.codec.Rewriting.Edit;

/**
 * Where an event stands in a value.
 *
 * @param bytes the value, or the content of the JSON string that it is
 * @param from the first byte that is carried through: the envelope's, or the event's own
 * @param start the event's first byte
 * @param end the byte behind its last
 * @param to the byte behind the last that is carried through
 * @param path what stands before a field's own path in messages: empty, or {@code payload.after.}
 * @param id the id that the envelope gives the event, as JSON, or null
 * @param edit what the envelope says otherwise once the event is labelled, or null
 */
record Content(
    byte[] bytes, int from, int start, int end, int to, String path, String id, Edit edit) {

  /** An event that is all of a value, but for white space before it. */
  static Content whole(byte[] bytes, int start, String id) {
    return new Content(bytes, start, start, bytes.length, bytes.length, "", id, null);
  }

  boolean isEnveloped() {
    return from < start || end < to;
  }
}
