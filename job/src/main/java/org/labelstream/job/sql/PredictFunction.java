package org.labelstream.job.sql;

import java.io.IOException;
import java.io.ObjectInputStream;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.functions.AsyncPredictFunction;
import org.apache.flink.table.functions.FunctionContext;
import org.labelstream.operator.InferenceSettings;
import org.labelstream.operator.PipelineException;
import org.labelstream.operator.Predictor;
import org.labelstream.operator.RequiredEngine;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.Prediction;
import org.labelstream.record.TextEvent;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** {@code ML_PREDICT} over a model of this process. Public, for Flink's generated code calls it. */
public final class PredictFunction extends AsyncPredictFunction {
  private static final long serialVersionUID = 1L;

  private static final Logger LOG = LoggerFactory.getLogger(PredictFunction.class);

  private final InferenceSettings settings;
  private final Inputs inputs;
  private final Outputs outputs;
  private final OnError onError;

  private transient Predictor predictor;
  private transient Set<Answer> inFlight;
  private transient FewInFlight few;
  private transient volatile Throwable failure;

  PredictFunction(InferenceSettings settings, Inputs inputs, Outputs outputs, OnError onError) {
    this.settings = settings;
    this.inputs = inputs;
    this.outputs = outputs;
    this.onError = onError;
  }

  /** Its fields need the engine, which may be another here, or none. */
  private void readObject(ObjectInputStream in) throws IOException, ClassNotFoundException {
    RequiredEngine.check();
    in.defaultReadObject();
  }

  @Override
  public void open(FunctionContext context) throws Exception {
    inFlight = ConcurrentHashMap.newKeySet();
    few = new FewInFlight();
    predictor =
        Predictor.open(settings, outputs.explaining(), context.getMetricGroup(), this::failed);
  }

  @Override
  public CompletableFuture<Collection<RowData>> asyncPredict(RowData row) {
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
    if (predictor != null) {
      predictor.close();
    }
  }
}
