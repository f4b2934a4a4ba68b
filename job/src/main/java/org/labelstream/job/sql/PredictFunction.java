package org.labelstream.job.sql;

import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.functions.AsyncPredictFunction;
import org.apache.flink.table.functions.FunctionContext;
import org.labelstream.operator.InferenceSettings;
import org.labelstream.operator.PipelineException;
import org.labelstream.operator.Predictor;
import org.labelstream.record.DeadLetter;
import org.labelstream.record.Prediction;
import org.labelstream.record.TextEvent;
import org.labelstream.schedule.Lane;
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
  private transient volatile Throwable failure;

  PredictFunction(InferenceSettings settings, Inputs inputs, Outputs outputs, OnError onError) {
    this.settings = settings;
    this.inputs = inputs;
    this.outputs = outputs;
    this.onError = onError;
  }

  @Override
  public void open(FunctionContext context) throws Exception {
    inFlight = ConcurrentHashMap.newKeySet();
    predictor = Predictor.open(settings, context.getMetricGroup(), this::failed);
  }

  /** Flink's own would put the row's texts into the message of a failure, and so into the log. */
  @Override
  public void eval(CompletableFuture<Collection<RowData>> future, Object... row) {
    predict(GenericRowData.of(row), future);
  }

  @Override
  public CompletableFuture<Collection<RowData>> asyncPredict(RowData row) {
    CompletableFuture<Collection<RowData>> future = new CompletableFuture<>();
    predict(row, future);
    return future;
  }

  private void predict(RowData row, CompletableFuture<Collection<RowData>> future) {
    TextEvent event = inputs.event(row);
    if (event == null) {
      future.complete(List.of(outputs.nulls()));
      return;
    }
    Answer answer = new Answer(future);
    inFlight.add(answer); // before the look at failure, which is set before the look at these
    Throwable failed = failure;
    if (failed != null) {
      answer.fail(cannotGoOn(failed));
    } else {
      predictor.predict(event, answer);
    }
  }

  /** Brings an answer back to Flink. */
  private final class Answer implements Lane.Answer {
    private final CompletableFuture<Collection<RowData>> future;

    Answer(CompletableFuture<Collection<RowData>> future) {
      this.future = future;
    }

    @Override
    public void predicted(Prediction prediction) {
      answer(List.of(outputs.row(prediction, predictor.version())));
    }

    @Override
    public void rejected(DeadLetter letter) {
      switch (onError) {
        case NULL -> answer(List.of(outputs.row(letter, predictor.version())));
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
      inFlight.remove(this);
      future.completeExceptionally(cause);
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
