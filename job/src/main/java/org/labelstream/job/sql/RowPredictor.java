package org.labelstream.job.sql;

import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.table.data.RowData;
import org.labelstream.operator.InferenceSettings;
import org.labelstream.operator.PipelineException;
import org.labelstream.operator.Predictor;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.Prediction;
import org.labelstream.record.TextEvent;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Rows to a model and back, while a task runs. */
final class RowPredictor implements AutoCloseable {

  private static final Logger LOG = LoggerFactory.getLogger(RowPredictor.class);

  private final InferenceSettings settings;
  private final Inputs inputs;
  private final Outputs outputs;
  private final OnError onError;
  private final Predictor predictor;
  private final Set<Answer> inFlight = ConcurrentHashMap.newKeySet();
  private final FewInFlight few = new FewInFlight();
  private volatile Throwable failure;

  RowPredictor(
      InferenceSettings settings,
      Inputs inputs,
      Outputs outputs,
      OnError onError,
      MetricGroup metrics)
      throws Exception {
    this.settings = settings;
    this.inputs = inputs;
    this.outputs = outputs;
    this.onError = onError;
    this.predictor = Predictor.open(settings, outputs.explaining(), metrics, this::failed);
  }

  /** Takes a row, on the task's thread; what the future gives is never an exception. */
  CompletableFuture<Collection<RowData>> predict(RowData row) {
    CompletableFuture<Collection<RowData>> future = new CompletableFuture<>();
    TextEvent event = inputs.event(row);
    if (event == null) {
      future.complete(List.of(outputs.nulls()));
      return future;
    }
    Answer answer = new Answer(future);
    inFlight.add(answer); // before the look at failure, which is set before the look at these
    if (few.isCertain(inFlight.size())) {
      LOG.warn(FewInFlight.told(settings.pipeline()));
    }
    Throwable failed = failure;
    if (failed != null) {
      answer.fail(cannotGoOn(failed));
      return future;
    }
    try {
      predictor.predict(event, answer);
    } catch (InterruptedException e) {
      // The task ends. The row is in its checkpoint and will run again.
      Thread.currentThread().interrupt();
    }
    return future;
  }

  /** Brings an answer back to Flink. */
  private final class Answer implements Predictor.Answer {
    private final CompletableFuture<Collection<RowData>> future;

    Answer(CompletableFuture<Collection<RowData>> future) {
      this.future = future;
    }

    @Override
    public void predicted(Prediction prediction) {
      answer(List.of(outputs.row(prediction, predictor.version())));
    }

    @Override
    public void unexplained(Prediction prediction, DeadLetter why) {
      answer(why, () -> outputs.row(prediction, why, predictor.version()));
    }

    @Override
    public void rejected(DeadLetter letter) {
      answer(letter, () -> outputs.row(letter, predictor.version()));
    }

    private void answer(DeadLetter letter, Supplier<RowData> row) {
      switch (onError) {
        case NULL -> answer(List.of(row.get()));
        case DROP -> answer(List.of());
        case FAIL ->
            fail(
                new PipelineException(
                    "The model "
                        + settings.pipeline()
                        + " could not label a row ("
                        + letter.code().wireName()
                        + "): "
                        + letter.message()
                        + ". Mend the row, or set 'on-error' = 'null'",
                    null));
      }
    }

    void fail(Exception cause) {
      answer(List.of(FailingRow.of(cause)));
    }

    private void answer(List<RowData> rows) {
      inFlight.remove(this);
      future.complete(rows);
    }
  }

  /** Fails the job: something went wrong for which no row is to blame. */
  private void failed(Throwable cause) {
    LOG.error("The model {} cannot go on", settings.pipeline(), cause);
    failure = cause;
    inFlight.forEach(answer -> answer.fail(cannotGoOn(cause)));
  }

  private PipelineException cannotGoOn(Throwable cause) {
    return new PipelineException(
        "The model " + settings.pipeline() + " cannot go on: " + cause, cause);
  }

  @Override
  public void close() {
    predictor.close();
  }
}
