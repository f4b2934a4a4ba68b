package org.labelstream.codec;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import org.labelstream.codec.Rewriting.Edit;

/**
 * Builds a JSON object of members that are copied byte for byte and members that are written anew.
 * Names are copied too: one that holds an escaped lone surrogate could not be written again.
 */
final class Splice {

  /** Writes members into an object that is open. */
  interface Members {
    void write(JsonGenerator json) throws IOException;
  }

  private final ByteArrayOutputStream out;
  private final List<Edit> edits;
  private boolean first = true;

  /**
   * @param copied about how many bytes will be copied
   * @param edits what is written anew of what is copied, in its order
   */
  Splice(int copied, List<Edit> edits) {
    this.edits = edits;
    out = new ByteArrayOutputStream(copied + 512);
  }

  /** Opens the outermost object. */
  void begin() {
    out.write('{');
    first = true;
  }

  /** Opens an object as a member of the one that is open. */
  void begin(String name) {
    separate();
    generate(json -> json.writeString(name));
    out.write(':');
    begin();
  }

  /** Closes the object that is open. */
  void end() {
    out.write('}');
    first = false;
  }

  /** Copies members into the object that is open. */
  void copy(byte[] bytes, List<JsonObject.Member> members) {
    for (JsonObject.Member member : members) {
      separate();
      copy(bytes, member.nameStart(), member.valueEnd());
    }
  }

  /** Copies what stands outside of the object. */
  void copy(byte[] bytes, int from, int to) {
    int at = from;
    for (Edit edit : edits) {
      if (edit.start() >= from && edit.end() <= to) {
        out.write(bytes, at, edit.start() - at);
        out.writeBytes(edit.by());
        at = edit.end();
      }
    }
    out.write(bytes, at, to - at);
  }

  /** Writes members, at least one, into the object that is open. */
  void add(Members members) {
    separate();
    ByteArrayOutputStream object = new ByteArrayOutputStream(256);
    try (JsonGenerator json = JsonObject.JSON.createGenerator(object)) {
      json.writeStartObject();
      members.write(json);
      json.writeEndObject();
    } catch (IOException e) {
      throw new UncheckedIOException("writing to memory cannot fail", e);
    }
    out.write(object.toByteArray(), 1, object.size() - 2);
  }

  byte[] toByteArray() {
    return out.toByteArray();
  }

  private void generate(Members value) {
    try (JsonGenerator json = JsonObject.JSON.createGenerator(out)) {
      json.disable(JsonGenerator.Feature.AUTO_CLOSE_TARGET);
      value.write(json);
    } catch (IOException e) {
      throw new UncheckedIOException("writing to memory cannot fail", e);
    }
  }

  private void separate() {
    if (!first) {
      out.write(',');
    }
    first = false;
  }
}
