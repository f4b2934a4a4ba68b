package org.labelstream.task;

import java.util.LinkedHashMap;
import java.util.Map;
import org.labelstream.model.LabelMapping;
import org.labelstream.model.Names;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Target;

/** Classes as targets of explanations. */
final class Targets {

  private Targets() {}

  /**
   * The class that a target names.
   *
   * @param kind what the task takes as a target, in words
   * @throws RejectedRecordException when there is no such class
   */
  static int classOf(Target target, LabelMapping labels, String kind)
      throws RejectedRecordException {
    if (target instanceof Target.Index given) {
      return classOf(given.index(), labels);
    }
    if (target instanceof Target.Label given) {
      int index = labels.indexOf(given.label());
      if (index < 0) {
        throw Explainable.invalidTarget(
            "the target is the label "
                + Names.shown(given.label())
                + ", which the model does not have: "
                + Names.didYouMean(given.label(), labels.names()));
      }
      return index;
    }
    throw Explainable.invalidTarget(
        "the target is a pair, but this task explains "
            + kind
            + ": give the index of a class, or its label");
  }

  /** A class by its index, if there is one. */
  static int classOf(int index, LabelMapping labels) throws RejectedRecordException {
    if (index >= labels.size()) {
      throw Explainable.invalidTarget(
          "the target is class "
              + index
              + ", but the model has the classes 0 to "
              + (labels.size() - 1)
              + ": name one of them");
    }
    return index;
  }

  /** A label with its score. */
  static Map<String, Object> scored(String label, float score) {
    Map<String, Object> scored = new LinkedHashMap<>();
    scored.put("label", label);
    scored.put("score", score);
    return scored;
  }

  /** A class as an explanation tells it. */
  static Map<String, Object> named(int index, LabelMapping labels) {
    Map<String, Object> named = new LinkedHashMap<>();
    named.put("index", index);
    named.put("label", labels.name(index));
    return named;
  }
}
