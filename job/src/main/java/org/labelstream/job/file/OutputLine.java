package org.labelstream.job.file;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.labelstream.record.Header;
import org.labelstream.record.OutputRecord;
import org.labelstream.record.OutputRecord.Destination.Kind;

/**
 * Output records as lines: a labelled record as it is, a dead letter as a JSON object of its
 * headers and its value.
 */
final class OutputLine {

  private static final JsonFactory JSON = new JsonFactory();
  private static final String PREFIX = "labelstream.";

  private OutputLine() {}

  static byte[] of(OutputRecord record) throws IOException {
    if (record.destination().kind() != Kind.DEAD_LETTERS) {
      return record.value();
    }
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (JsonGenerator json = JSON.createGenerator(out)) {
      json.writeStartObject();
      for (Header header : record.headers()) {
        if (header.key().startsWith(PREFIX)) {
          json.writeStringField(header.key().substring(PREFIX.length()), text(header.value()));
        }
      }
      if (record.value() != null) {
        json.writeStringField("value", text(record.value()));
      }
      json.writeEndObject();
    }
    return out.toByteArray();
  }

  private static String text(byte[] bytes) {
    return new String(bytes, StandardCharsets.UTF_8);
  }
}
