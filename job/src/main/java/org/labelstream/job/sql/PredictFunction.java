package org.labelstream.job.sql;

import java.io.IOException;
import java.io.ObjectInputStream;
import java.util.Collection;
import java.util.concurrent.CompletableFuture;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.functions.AsyncPredictFunction;
import org.apache.flink.table.functions.FunctionContext;
import org.labelstream.operator.InferenceSettings;
import org.labelstream.operator.RequiredEngine;

/**
 * {@code ML_PREDICT} over a model of this process. Public, for Flink's generated code calls it.
 * What needs the engine's classes is in {@link RowPredictor}: this one is there before the engine
 * has been looked for.
 */
public final class PredictFunction extends AsyncPredictFunction {
  private static final long serialVersionUID = 1L;

  private final InferenceSettings settings;
  private final Inputs inputs;
  private final Outputs outputs;
  private final OnError onError;

  private transient RowPredictor rows;

  PredictFunction(InferenceSettings settings, Inputs inputs, Outputs outputs, OnError onError) {
    this.settings = settings;
    this.inputs = inputs;
    this.outputs = outputs;
    this.onError = onError;
  }

  private void readObject(ObjectInputStream in) throws IOException, ClassNotFoundException {
    RequiredEngine.check();
    in.defaultReadObject();
  }

  @Override
  public void open(FunctionContext context) throws Exception {
    rows = new RowPredictor(settings, inputs, outputs, onError, context.getMetricGroup());
  }

  @Override
  public CompletableFuture<Collection<RowData>> asyncPredict(RowData row) {
    return rows.predict(row);
  }

  @Override
  public void close() {
    if (rows != null) {
      rows.close();
    }
  }
}
