package org.labelstream.schedule.violation;

import com.fasterxml.jackson.core.JsonToken;

/** What {@code ArchitectureTest} must refuse: only the codec knows Jackson. */
public final class KnowsJackson {
  private KnowsJackson() {}

  public static boolean isName(Object token) {
    return token == JsonToken.FIELD_NAME;
  }
}
