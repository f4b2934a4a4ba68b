package org.labelstream.operator;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.labelstream.model.LabelMapping;
import org.labelstream.model.Names;
import org.labelstream.record.Prediction;
import org.labelstream.task.TaskType;

/**
 * One of the models of a pipeline.
 *
 * @param name the name of its entry in a record's {@code inference}
 * @param settings the pipeline's, with this model's own
 * @param when the records that it runs on, or null where it runs on all
 */
public record PipelineModel(String name, InferenceSettings settings, Condition when)
    implements Serializable {

  /**
   * What another model must have said of a record.
   *
   * @param model that one's name; it stands before this one
   * @param labels the labels of which it gave one
   */
  public record Condition(String model, ArrayList<String> labels) implements Serializable {

    /**
     * What is wrong with it as a condition on a model, as the ends of sentences.
     *
     * @param type the task of the model that it names
     * @param known that model's labels, or null where it has none
     */
    public List<String> problems(TaskType type, LabelMapping known) {
      if (!type.results().containsKey("label")) {
        return List.of(
            "asks "
                + model
                + " for a label, but that is for "
                + type.name()
                + ", which has no single one: name a model for sequence classification");
      }
      List<String> names = IntStream.range(0, known.size()).mapToObj(known::name).toList();
      return labels.stream()
          .filter(label -> !names.contains(label))
          .map(
              label ->
                  "names "
                      + Names.shown(label)
                      + ", which is no label of "
                      + model
                      + ": "
                      + Names.didYouMean(label, names))
          .toList();
    }

    boolean holds(Prediction prediction) {
      return prediction.fields().get("label") instanceof String label && labels.contains(label);
    }
  }

  /** The only model of a pipeline, whose entry has the pipeline's name. */
  public static List<PipelineModel> only(InferenceSettings settings) {
    return List.of(new PipelineModel(settings.pipeline(), settings, null));
  }
}
