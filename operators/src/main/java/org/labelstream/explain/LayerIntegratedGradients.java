package org.labelstream.explain;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.labelstream.engine.EmbeddingPath;
import org.labelstream.engine.Encodings;
import org.labelstream.engine.LoadedModel;
import org.labelstream.engine.Tokens;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;
import org.labelstream.record.Target;
import org.labelstream.record.TextEvent;
import org.labelstream.schedule.Plan;
import org.labelstream.schedule.Row;
import org.labelstream.task.Explainable;
import org.labelstream.task.Explainable.Explained;
import org.labelstream.task.Parameters;
import org.labelstream.task.Task;

/**
 * Explains predictions, as Captum's {@code LayerIntegratedGradients} over the embeddings module
 * does: how much each token accounts for the difference between the target's logit and that for a
 * baseline of padding.
 *
 * <p>An explanation goes through the workers as a prediction does: first the rows of the task
 * itself, which tell what there is to explain, then a row for each step, which share batches with
 * those of other texts. Its prediction's fields are those of an explanation.
 */
public final class LayerIntegratedGradients implements Task {

  /** The method's name in explanations. */
  public static final String METHOD = "layer_integrated_gradients";

  private final Task task;
  private final LoadedModel gradients;
  private final Quadrature quadrature;

  /**
   * @param task over the model that predicts
   * @param gradients the same model in full precision, with the methods for gradients, or null
   *     where its folder has none
   * @param quadrature where gradients are taken; a finer rule of it where the coarser is not good
   *     enough
   */
  public LayerIntegratedGradients(Task task, LoadedModel gradients, Quadrature quadrature) {
    this.task = task;
    this.gradients = gradients;
    this.quadrature = quadrature;
  }

  @Override
  public Plan plan(TextEvent event, Parameters parameters, Encodings encodings)
      throws RejectedRecordException {
    if (!(task.plan(explained(event), parameters, encodings) instanceof Explainable prediction)) {
      throw unsupported("there are no explanations for this task: do not ask for them");
    }
    if (gradients == null) {
      throw unsupported(
          "the model was exported without the methods that explanations need: export its checkpoint again");
    }
    return new Explanation(prediction, event.target());
  }

  /** The event as one that asks for an explanation: only then a task keeps what it takes. */
  private static TextEvent explained(TextEvent event) {
    return new TextEvent(
        event.position(),
        event.text(),
        event.textPair(),
        event.question(),
        event.context(),
        true,
        event.target(),
        event.parameters());
  }

  private static RejectedRecordException unsupported(String message) {
    return new RejectedRecordException(
        ErrorCode.EXPLANATION_UNSUPPORTED, Stage.EXPLANATION, message);
  }

  @Override
  public void run(List<? extends Row> batch) {
    List<Row> predicting = new ArrayList<>();
    List<Row> integrating = new ArrayList<>();
    for (Row row : batch) {
      if (!row.done()) { // one that ran before another failed need not run again
        (PathIntegral.isOne(row) ? integrating : predicting).add(row);
      }
    }
    if (!predicting.isEmpty()) {
      task.run(predicting);
    }
    if (!integrating.isEmpty()) {
      PathIntegral.run(gradients, integrating);
    }
  }

  /** An explanation under way. */
  private final class Explanation implements Plan {
    private final Explainable prediction;
    private final Target target;
    private Explained explained;
    private final Map<String, PathIntegral> integrals = new LinkedHashMap<>();

    Explanation(Explainable prediction, Target target) {
      this.prediction = prediction;
      this.target = target;
    }

    @Override
    public List<? extends Row> rows() {
      return prediction.rows();
    }

    @Override
    public List<? extends Row> next() throws RejectedRecordException {
      List<Row> rows = new ArrayList<>();
      if (explained == null) {
        explained = prediction.explained(target);
        Tokens baseline = explained.tokens().replacedBy(gradients.folder().manifest().padTokenId());
        explained
            .logits()
            .forEach(
                (part, logit) -> {
                  EmbeddingPath path = new EmbeddingPath(explained.tokens(), baseline, logit);
                  PathIntegral integral = new PathIntegral(path, quadrature);
                  integrals.put(part, integral);
                  rows.addAll(integral.rows());
                });
      } else {
        integrals.values().forEach(integral -> rows.addAll(integral.refine()));
      }
      return rows;
    }

    @Override
    public Prediction join() throws RejectedRecordException {
      Tokens tokens = explained.tokens();
      Map<String, Object> fields = new LinkedHashMap<>();
      fields.put("method", METHOD);
      if (!explained.predicted().isEmpty()) {
        fields.put("predicted", explained.predicted());
      }
      fields.put("target", explained.target());
      fields.put("score", explained.score());
      fields.put("words", IntStream.range(0, tokens.length()).mapToObj(tokens::piece).toList());
      int steps = 0;
      for (Map.Entry<String, PathIntegral> part : integrals.entrySet()) {
        fields.put(named("importances", part.getKey()), importances(part.getValue()));
        steps = Math.max(steps, part.getValue().steps());
      }
      for (Map.Entry<String, PathIntegral> part : integrals.entrySet()) {
        String name = part.getKey().replace("answer_", "");
        fields.put(named("delta", name), (float) part.getValue().delta());
      }
      fields.put("spans", spans(tokens));
      if (explained.fields().size() > 1) {
        fields.put("fields", fields(tokens));
      }
      fields.put("steps", steps);
      fields.put("precision", "fp32");
      return new Prediction(fields, tokens.length(), explained.truncated());
    }

    private static String named(String name, String part) {
      return part.isEmpty() ? name : name + "_" + part;
    }

    /** The attributions divided by their L2 norm; all zero where that is zero. */
    private List<Float> importances(PathIntegral integral) throws RejectedRecordException {
      double[] attributions = integral.attributions();
      double squares = 0;
      for (double attribution : attributions) {
        squares += attribution * attribution;
      }
      if (!Double.isFinite(squares) || !Double.isFinite(integral.delta())) {
        throw new RejectedRecordException(
            ErrorCode.EXPLANATION_FAILED,
            Stage.EXPLANATION,
            "the model gave a gradient that is not a number: check the checkpoint, and its precision");
      }
      double norm = Math.sqrt(squares);
      List<Float> importances = new ArrayList<>(attributions.length);
      for (double attribution : attributions) {
        importances.add(norm == 0 ? 0f : (float) (attribution / norm));
      }
      return importances;
    }

    private List<Object> spans(Tokens tokens) {
      List<Object> spans = new ArrayList<>();
      for (int i = 0; i < tokens.length(); i++) {
        spans.add(tokens.special(i) ? null : List.of(tokens.start(i), tokens.end(i)));
      }
      return spans;
    }

    private List<String> fields(Tokens tokens) {
      List<String> fields = new ArrayList<>();
      for (int i = 0; i < tokens.length(); i++) {
        fields.add(tokens.special(i) ? null : explained.fields().get(tokens.sequence(i)));
      }
      return fields;
    }
  }
}
