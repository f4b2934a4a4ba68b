package org.labelstream.result;

import java.io.Serializable;
import java.util.ArrayList;

/**
 * What becomes of a pipeline's results.
 *
 * @param routes the topics that some of them go to, beside the output's or in its place
 * @param redact what is blotted out, or null where nothing is
 */
public record ResultSettings(ArrayList<RouteSettings> routes, RedactSettings redact)
    implements Serializable {

  /** All go to the output's topic as they are. */
  public static final ResultSettings DEFAULT = new ResultSettings(new ArrayList<>(), null);
}
