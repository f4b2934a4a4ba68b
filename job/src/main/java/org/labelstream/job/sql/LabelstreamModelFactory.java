package org.labelstream.job.sql;

import java.util.Set;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.table.factories.ModelProviderFactory;
import org.apache.flink.table.functions.AsyncPredictFunction;
import org.apache.flink.table.ml.AsyncPredictRuntimeProvider;
import org.apache.flink.table.ml.ModelProvider;
import org.labelstream.operator.RequiredEngine;

/**
 * {@code 'provider' = 'labelstream'}: a model folder, run where the row is. Flink finds this class
 * by its service file. It must not need the engine's classes before it has looked for them.
 */
public final class LabelstreamModelFactory implements ModelProviderFactory {

  @Override
  public String factoryIdentifier() {
    return "labelstream";
  }

  @Override
  public Set<ConfigOption<?>> requiredOptions() {
    return Set.of(SqlOptions.MODEL);
  }

  /** Beside these a statement may give the task's parameters, which depend on the model. */
  @Override
  public Set<ConfigOption<?>> optionalOptions() {
    return SqlOptions.OPTIONAL;
  }

  /**
   * Plans a model.
   *
   * @throws org.apache.flink.table.api.ValidationException with everything that is wrong with the
   *     statement
   */
  @Override
  public ModelProvider createModelProvider(Context context) {
    RequiredEngine.check();
    return new Provider(
        Statement.read(
            context.getObjectIdentifier().getObjectName(),
            context.getCatalogModel().getOptions(),
            context.getCatalogModel().getResolvedInputSchema(),
            context.getCatalogModel().getResolvedOutputSchema()));
  }

  /** Immutable, so a copy is itself. */
  private record Provider(PredictFunction function) implements AsyncPredictRuntimeProvider {
    @Override
    public AsyncPredictFunction createAsyncPredictFunction(ModelProvider.Context context) {
      return function;
    }

    @Override
    public ModelProvider copy() {
      return this;
    }
  }
}
