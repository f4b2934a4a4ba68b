package org.labelstream.record;

import java.util.Locale;

/** Why a record got no label, or no explanation. The names are part of the public interface. */
public enum ErrorCode {
  NULL_VALUE,
  NOT_UTF8,
  NOT_TEXT,
  MALFORMED_JSON,
  MALFORMED_AVRO,
  UNKNOWN_SCHEMA,
  MISSING_FIELD,
  INVALID_FIELD,
  INVALID_PARAMETER,
  TOO_LARGE,
  INFERENCE_FAILED,
  TIMEOUT,
  OUTPUT_TOO_LARGE,
  OUTPUT_REFUSED,
  MISSING_KEY,
  NOT_REDACTED,
  ROUTE_FAILED,
  EXPLANATION_FAILED,
  EXPLANATION_UNSUPPORTED,
  EXPLANATION_DROPPED,
  INVALID_TARGET;

  /** The code as consumers read it, such as {@code null_value}. */
  public String wireName() {
    return name().toLowerCase(Locale.ROOT);
  }
}
