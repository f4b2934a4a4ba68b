package org.labelstream.operator;

import java.io.Serializable;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import org.labelstream.avro.AvroSettings;
import org.labelstream.codec.EventForm;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.model.ModelFolder;
import org.labelstream.result.ResultSettings;
import org.labelstream.schedule.BatchPolicy;
import org.labelstream.schedule.LaneSettings;

/**
 * What a pipeline's async stage is told.
 *
 * @param pipeline the pipeline's name
 * @param model the model folder: a local path, or a URI of any file system that Flink reads
 * @param device where the model runs
 * @param form how values are read
 * @param maxValueBytes the largest value that is read, in bytes
 * @param tombstones what becomes of records without a value
 * @param parameters the task's settings, which a record's own override
 * @param timeout how long the model may work on a record, its waiting and the others of its batches
 *     not counted
 * @param callTimeout how long one call of the model may take
 * @param batch how rows are batched
 * @param verify whether SHA-256 sums must be there
 * @param modelSha256 the SHA-256 that the model folder had at submission or that the job file pins,
 *     in lower-case hex, or null where neither is known
 * @param results what becomes of results
 * @param caching what becomes of texts that come again
 * @param avro where schemas are, or null where neither records nor results are in Avro
 */
public record InferenceSettings(
    String pipeline,
    String model,
    DeviceChoice device,
    EventForm form,
    long maxValueBytes,
    Tombstones tombstones,
    HashMap<String, Object> parameters,
    Duration timeout,
    Duration callTimeout,
    Batching batch,
    ModelFolder.Verify verify,
    String modelSha256,
    ResultSettings results,
    Caching caching,
    AvroSettings avro)
    implements Serializable {

  private static final int MAX_TOKENS_CPU = 256;
  private static final int MAX_TOKENS_GPU = 8192;
  private static final int LEAST_LOOK_AHEAD = 128;
  private static final int MOST_LOOK_AHEAD = 4096;

  /** Settings with their defaults. */
  public static InferenceSettings of(String pipeline, String model) {
    return new InferenceSettings(
        pipeline,
        model,
        DeviceChoice.AUTO,
        EventForm.DEFAULT,
        1 << 20,
        Tombstones.DEAD_LETTER,
        new HashMap<>(),
        Duration.ofSeconds(60),
        LaneSettings.CALL_TIMEOUT,
        Batching.DEFAULT,
        ModelFolder.Verify.IF_PRESENT,
        null,
        ResultSettings.DEFAULT,
        Caching.DEFAULT,
        null);
  }

  /** The same with other task settings. */
  public InferenceSettings withParameters(Map<String, Object> others) {
    return with(form, new HashMap<>(others), modelSha256, results, caching, avro);
  }

  /** The same for values of another form. */
  public InferenceSettings withForm(EventForm other) {
    return with(other, parameters, modelSha256, results, caching, avro);
  }

  /** The same with results of which something else becomes. */
  public InferenceSettings withResults(ResultSettings others) {
    return with(form, parameters, modelSha256, others, caching, avro);
  }

  /** The same for the model folder with that SHA-256 only. */
  public InferenceSettings withModelSha256(String sha256) {
    return with(form, parameters, sha256, results, caching, avro);
  }

  /** The same with schemas from a registry. */
  public InferenceSettings withAvro(AvroSettings other) {
    return with(form, parameters, modelSha256, results, caching, other);
  }

  /** The same with texts that come again treated so. */
  public InferenceSettings withCaching(Caching other) {
    return with(form, parameters, modelSha256, results, other, avro);
  }

  private InferenceSettings with(
      EventForm otherForm,
      HashMap<String, Object> otherParameters,
      String otherSha256,
      ResultSettings otherResults,
      Caching otherCaching,
      AvroSettings otherAvro) {
    return new InferenceSettings(
        pipeline,
        model,
        device,
        otherForm,
        maxValueBytes,
        tombstones,
        otherParameters,
        timeout,
        callTimeout,
        batch,
        verify,
        otherSha256,
        otherResults,
        otherCaching,
        otherAvro);
  }

  /**
   * A {@link BatchPolicy} of which a part may be left to the device where the job runs.
   *
   * @param maxTokens the budget in padded tokens, or null for one that suits the device
   * @param lookAhead how many waiting rows a batch is chosen from, or null for as many as give
   *     dense batches of that budget
   */
  public record Batching(Integer maxTokens, Integer lookAhead, Duration maxAge, Duration linger)
      implements Serializable {

    public static final Batching DEFAULT =
        new Batching(null, null, Duration.ofSeconds(1), Duration.ZERO);

    /**
     * The policy for a device.
     *
     * @throws IllegalArgumentException with a sentence, when the settings cannot work together
     */
    public BatchPolicy policy(boolean onGpu) {
      int budget = maxTokens != null ? maxTokens : onGpu ? MAX_TOKENS_GPU : MAX_TOKENS_CPU;
      return new BatchPolicy(
          budget, lookAhead != null ? lookAhead : lookAhead(budget), maxAge, linger);
    }

    /** Larger budgets take more rows, of which fewer have the same length. */
    private static int lookAhead(int budget) {
      return Math.max(LEAST_LOOK_AHEAD, Math.min(MOST_LOOK_AHEAD, budget / 4));
    }
  }

  /**
   * How many records may be in the async stage at once: as many as the batcher looks ahead over,
   * and those in a batch of the shortest rows at each worker. With fewer, the window would never
   * fill.
   *
   * @param workers how many threads run the model
   */
  public int capacity(boolean onGpu, int workers) {
    BatchPolicy policy = batch.policy(onGpu);
    long shortest = policy.maxTokens() / 2L * (workers + 1);
    return policy.lookAhead() + (int) Math.max(64, Math.min(4096, shortest));
  }

  /** How a stage over the model runs its rows. */
  LaneSettings lane(boolean onGpu) {
    return new LaneSettings(batch.policy(onGpu), timeout, callTimeout, 1);
  }
}
