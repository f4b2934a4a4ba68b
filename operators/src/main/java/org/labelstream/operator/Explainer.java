package org.labelstream.operator;

import java.time.Duration;
import java.util.function.BiFunction;
import org.labelstream.engine.LoadedModel;
import org.labelstream.explain.LayerIntegratedGradients;
import org.labelstream.explain.Quadrature;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.TextEvent;
import org.labelstream.schedule.BatchPolicy;
import org.labelstream.schedule.Lane;
import org.labelstream.schedule.LaneSettings;
import org.labelstream.schedule.Runner;
import org.labelstream.task.Parameters;
import org.labelstream.task.Task;

/**
 * Explanations of what a model in use predicts: the module for gradients, which may be a second
 * one, and the lane of its rows.
 *
 * @param gradients null where the folder has no methods for explanations
 */
record Explainer(
    LoadedModel model, LoadedModel gradients, LayerIntegratedGradients method, Lane lane)
    implements AutoCloseable {

  /** A step costs two forwards, and a batch of this many times the tokens runs fastest. */
  private static final int BATCH_FACTOR = 2;

  /** An explanation is so much more work than a label that its timeout is so much longer. */
  private static final int TIMEOUT_FACTOR = 10;

  /**
   * Loads the module for gradients.
   *
   * @param steps how many gradients an explanation takes, or null for as many as it needs
   * @param share the part of the workers' time that explanations may take from labels
   * @param lanes opens a lane
   * @throws org.labelstream.engine.EngineException when the module cannot be loaded
   */
  static Explainer open(
      InferenceSettings settings,
      Integer steps,
      double share,
      LoadedModel model,
      Task task,
      BiFunction<Runner, LaneSettings, Lane> lanes) {
    Quadrature quadrature =
        steps == null ? Quadrature.gaussPatterson() : Quadrature.gaussLegendre(steps);
    BatchPolicy labels = settings.batch().policy(model.onGpu());
    BatchPolicy policy =
        new BatchPolicy(
            BATCH_FACTOR * Math.min(labels.maxTokens(), Integer.MAX_VALUE / BATCH_FACTOR),
            labels.lookAhead(),
            labels.maxAge(),
            Duration.ZERO);
    Duration timeout = settings.timeout().multipliedBy(TIMEOUT_FACTOR);
    LoadedModel gradients =
        model.folder().manifest().explain() == null ? null : model.leaseForGradients();
    try {
      LayerIntegratedGradients method = new LayerIntegratedGradients(task, gradients, quadrature);
      LaneSettings how = new LaneSettings(policy, timeout, settings.callTimeout(), share);
      return new Explainer(model, gradients, method, lanes.apply(method, how));
    } catch (RuntimeException | Error e) {
      if (gradients != null) {
        gradients.close();
      }
      throw e;
    }
  }

  /**
   * Takes an event; its explanation comes later, from another thread.
   *
   * @throws RejectedRecordException when there is nothing to explain
   */
  void explain(TextEvent event, Parameters parameters, Lane.Answer answer)
      throws RejectedRecordException {
    lane.submit(method.plan(event, parameters), answer);
  }

  @Override
  public void close() {
    lane.close();
    boolean stuck = lane.isStuck();
    if (stuck) {
      model.abandon();
    }
    if (gradients != null) {
      if (stuck) {
        gradients.abandon();
      }
      gradients.close();
    }
  }
}
