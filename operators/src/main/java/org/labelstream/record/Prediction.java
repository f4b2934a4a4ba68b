package org.labelstream.record;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What a task says of a record, as the fields of its {@code inference} object.
 *
 * @param fields the task's own fields in the order in which they are written; values are String,
 *     Boolean, Integer, Long, Float, Double, List, Map or null
 * @param tokens how many tokens the model saw, special ones included
 * @param truncated whether the model did not see the whole text
 */
public record Prediction(Map<String, Object> fields, int tokens, boolean truncated) {
  public Prediction {
    fields = Collections.unmodifiableMap(new LinkedHashMap<>(fields));
  }
}
