package org.labelstream.engine;

import ai.djl.Model;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtSymbolBlock;
import ai.djl.pytorch.jni.IValueUtils;
import ai.djl.pytorch.jni.JniUtils;
import ai.djl.training.ParameterStore;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The methods {@code embed} and {@code gradients} of a module.
 *
 * <p>The gradient is taken inside TorchScript: DJL's own collector is one for the JVM. DJL keeps
 * gradients off in all calls but those for training, so {@code gradients} is called as one of
 * these, by the way that leaves dropout off. It needs a module that was loaded with {@code
 * trainParam} and then frozen.
 */
final class GradientModule {

  private GradientModule() {}

  /**
   * @param inputs makes the module's inputs, each int64 {@code [rows, tokens]}, padded
   */
  static List<EmbeddingPath.Slope> slopes(
      Model module, List<EmbeddingPath.Point> points, RowInputs inputs, NDManager manager) {
    // Steps of one text come together and share its embeddings.
    Map<EmbeddingPath, List<Integer>> byPath = new LinkedHashMap<>();
    for (int i = 0; i < points.size(); i++) {
      byPath.computeIfAbsent(points.get(i).path(), any -> new ArrayList<>()).add(i);
    }
    List<EmbeddingPath> paths = List.copyOf(byPath.keySet());
    NDArray ends = embed(module, inputs.of(paths.stream().map(EmbeddingPath::text).toList()));
    NDArray starts = embed(module, inputs.of(paths.stream().map(EmbeddingPath::baseline).toList()));
    NDArray differences = ends.sub(starts);

    List<Integer> order = byPath.values().stream().flatMap(List::stream).toList();
    NDList between = new NDList();
    NDList along = new NDList();
    int path = 0;
    for (List<Integer> places : byPath.values()) {
      NDIndex row = new NDIndex().addSliceDim(path, path + 1).addAllDim().addAllDim();
      float[] alphas = new float[places.size()];
      for (int i = 0; i < alphas.length; i++) {
        alphas[i] = (float) points.get(places.get(i)).alpha();
      }
      NDArray difference = differences.get(row);
      NDArray steps = manager.create(alphas, new Shape(alphas.length, 1, 1));
      between.add(starts.get(row).add(difference.mul(steps)));
      for (int i = 0; i < alphas.length; i++) {
        along.add(difference);
      }
      path++;
    }
    NDArray embeddings = between.size() == 1 ? between.get(0) : NDArrays.concat(between);
    NDArray change = along.size() == 1 ? along.get(0) : NDArrays.concat(along);

    List<Tokens> rows = order.stream().map(i -> points.get(i).path().text()).toList();
    long[] logits = order.stream().mapToLong(i -> points.get(i).path().logit()).toArray();
    NDList arguments = new NDList(embeddings, manager.create(logits));
    arguments.addAll(inputs.of(rows));
    arguments.add(method("gradients", manager));
    JniUtils.setGraphExecutorOptimize(false); // which forward would set from DJL's property
    NDList results = IValueUtils.forward((PtSymbolBlock) module.getBlock(), arguments, true);
    float[] values = results.get(0).toFloatArray();
    NDArray products = results.get(1).mul(change).sum(new int[] {2});
    float[] slopes = products.toFloatArray();
    int width = (int) products.getShape().get(1);

    EmbeddingPath.Slope[] found = new EmbeddingPath.Slope[points.size()];
    for (int i = 0; i < found.length; i++) {
      float[] own = new float[rows.get(i).length()];
      System.arraycopy(slopes, i * width, own, 0, own.length);
      found[order.get(i)] = new EmbeddingPath.Slope(values[i], own);
    }
    return List.of(found);
  }

  /** The module's inputs for rows. */
  @FunctionalInterface
  interface RowInputs {
    NDList of(List<Tokens> rows);
  }

  private static NDArray embed(Model module, NDList inputs) {
    NDManager manager = inputs.get(0).getManager();
    NDList arguments = new NDList(inputs);
    arguments.add(method("embed", manager));
    return module
        .getBlock()
        .forward(new ParameterStore(manager, false), arguments, false)
        .singletonOrThrow();
  }

  /** DJL calls a method that is named by an array behind the arguments. */
  private static NDArray method(String name, NDManager manager) {
    NDArray marker = manager.create(0);
    marker.setName("module_method:" + name);
    return marker;
  }
}
