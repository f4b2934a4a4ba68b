package org.labelstream.record;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * A header of a record, as Kafka has them: keys may repeat, and order counts.
 *
 * @param key the name
 * @param value the bytes, or null
 */
public record Header(String key, byte[] value) {

  /** A header whose value is text, in UTF-8. */
  public static Header of(String key, String value) {
    return new Header(key, value.getBytes(StandardCharsets.UTF_8));
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Header that && key.equals(that.key) && Arrays.equals(value, that.value);
  }

  @Override
  public int hashCode() {
    return 31 * key.hashCode() + Arrays.hashCode(value);
  }
}
