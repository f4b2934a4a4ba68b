package org.labelstream.job.sql;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.CoreOptions;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.engine.EngineRuntime;
import org.labelstream.engine.LoadedModel;
import org.labelstream.job.file.LineSource;
import org.labelstream.model.ModelFolder;
import org.labelstream.operator.InferenceSettings;
import org.labelstream.operator.ModelOperatorFactory;
import org.labelstream.task.TaskType.Order;

/**
 * What SQL costs: texts per second through {@code ML_PREDICT}, with 256 rows in flight and with
 * Flink's 10, to those of the job's operators. Not a test: {@code scripts/bench.sh --sql} runs it
 * by its name.
 */
class SqlBenchmark {

  private static final int TEXTS = Integer.getInteger("texts", 12_000);
  private static final int ROUNDS = 3;
  private static final String WORDS =
      "what a wonderful film and the soup was cold but nobody minded";

  @TempDir Path folder;

  private final String model =
      Path.of(System.getProperty("model", "../model-assets/sentiment")).toAbsolutePath().toString();

  /** Texts of mixed lengths. */
  private Path texts() throws Exception {
    Random random = new Random(1);
    List<String> words = List.of(WORDS.split(" ", -1));
    List<String> lines = new ArrayList<>();
    for (int i = 0; i < TEXTS; i++) {
      int length = (int) Math.min(190, Math.exp(3.4 + 0.7 * random.nextGaussian()));
      StringBuilder line = new StringBuilder("text " + i);
      for (int j = 0; j < length; j++) {
        line.append(' ').append(words.get(random.nextInt(words.size())));
      }
      lines.add(line.toString());
    }
    return Files.write(folder.resolve("texts.txt"), lines);
  }

  private double job(Path texts) throws Exception {
    StreamExecutionEnvironment env = StreamExecutionEnvironment.createLocalEnvironment(1);
    ModelOperatorFactory.infer(
            env.fromSource(
                new LineSource(List.of(texts.toString()), 1 << 20),
                WatermarkStrategy.noWatermarks(),
                "lines"),
            InferenceSettings.of("p", model),
            Order.PARTITION)
        .sinkTo(new DiscardingSink<>());
    long start = System.nanoTime();
    env.execute();
    return TEXTS * 1e9 / (System.nanoTime() - start);
  }

  private double sql(Path texts, int inFlight) throws Exception {
    TableEnvironment env =
        TableEnvironment.create(
            EnvironmentSettings.newInstance()
                .inStreamingMode()
                .withConfiguration(new Configuration().set(CoreOptions.DEFAULT_PARALLELISM, 1))
                .build());
    env.executeSql(
        "CREATE TABLE t (txt STRING) WITH ('connector' = 'filesystem', 'format' = 'raw', 'path' = '"
            + texts
            + "')");
    env.executeSql(
        "CREATE TABLE nowhere (label STRING, score DOUBLE) WITH ('connector' = 'blackhole')");
    env.executeSql(
        "CREATE TEMPORARY MODEL m INPUT (text STRING) OUTPUT (label STRING, score DOUBLE)"
            + " WITH ('provider' = 'labelstream', 'cache.in-flight' = 'false', 'model' = '"
            + model
            + "')");
    long start = System.nanoTime();
    env.executeSql(
            "INSERT INTO nowhere SELECT label, score FROM ML_PREDICT(TABLE t, MODEL m,"
                + " DESCRIPTOR(txt), MAP['max-concurrent-operations', '"
                + inFlight
                + "'])")
        .await();
    return TEXTS * 1e9 / (System.nanoTime() - start);
  }

  @Test
  @SuppressWarnings("try") // leased, so that none of the runs loads it
  void compares() throws Exception {
    Path texts = texts();
    ModelFolder read = ModelFolder.read(Path.of(model), ModelFolder.Verify.IF_PRESENT);
    try (LoadedModel leased = EngineRuntime.ofProcess().lease(read, DeviceChoice.AUTO)) {
      job(texts);
      sql(texts, 256);
      for (int round = 0; round < ROUNDS; round++) {
        double job = job(texts);
        double many = sql(texts, 256);
        double ten = sql(texts, 10);
        System.out.printf(
            "texts/s: job %.1f; ML_PREDICT with 256 in flight %.1f (%.2f), with 10 %.1f (%.2f)%n",
            job, many, many / job, ten, ten / job);
      }
    }
  }
}
