package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.runtime.testutils.MiniClusterResourceConfiguration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.test.junit5.MiniClusterExtension;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.labelstream.job.jobfile.JobFile;
import org.labelstream.job.jobfile.JobSpec;
import org.labelstream.job.kafka.KafkaPipelines;
import org.labelstream.kafka.LocalKafka;

/** Flink's Prometheus reporter has every metric that docs/metrics.md names. */
@Timeout(180)
class MetricsITCase {

  private static final String PREFIX = "flink_taskmanager_job_task_operator_model_inference_";
  private static final Path ASSETS = Path.of("../model-assets").toAbsolutePath();
  private static final int PORT = freePort();

  @RegisterExtension
  static final MiniClusterExtension FLINK =
      new MiniClusterExtension(
          new MiniClusterResourceConfiguration.Builder()
              .setNumberTaskManagers(1)
              .setNumberSlotsPerTaskManager(2)
              .setConfiguration(
                  Configuration.fromMap(
                      java.util.Map.of(
                          "metrics.reporter.prom.factory.class",
                          "org.apache.flink.metrics.prometheus.PrometheusReporterFactory",
                          "metrics.reporter.prom.port",
                          Integer.toString(PORT))))
              .build());

  private static int freePort() {
    try (ServerSocket free = new ServerSocket(0)) {
      return free.getLocalPort();
    } catch (java.io.IOException e) {
      throw new AssertionError(e);
    }
  }

  /** The names in the first column of the table. */
  private static List<String> documented() throws Exception {
    List<String> names = new ArrayList<>();
    Matcher rows =
        Pattern.compile("(?m)^\\| `([a-z_]+)` \\|")
            .matcher(Files.readString(Path.of("../docs/metrics.md")));
    while (rows.find()) {
      names.add(rows.group(1));
    }
    return names;
  }

  private static List<String> scraped() throws Exception {
    HttpRequest request =
        HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + PORT + "/metrics")).build();
    return HttpClient.newHttpClient()
        .send(request, HttpResponse.BodyHandlers.ofLines())
        .body()
        .filter(line -> line.startsWith(PREFIX))
        .map(line -> line.substring(PREFIX.length()))
        .toList();
  }

  /** The value of a metric of a stage, with labels among those that are given. */
  private static double value(List<String> lines, String name, String... labels) {
    return lines.stream()
        .filter(line -> line.startsWith(name + "{"))
        .filter(line -> List.of(labels).stream().allMatch(line::contains))
        .mapToDouble(line -> Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1)))
        .filter(value -> !Double.isNaN(value)) // of a histogram that has no values yet
        .max()
        .orElse(Double.NaN);
  }

  @Test
  void everyDocumentedNameIsThereAndCounts() throws Exception {
    try (LocalKafka kafka = LocalKafka.start()) {
      for (String topic : List.of("texts", "labels", "stories", "dead", "why")) {
        kafka.createTopic(topic, 1);
      }
      Topics topics = new Topics(kafka.bootstrapServers());
      List<String> texts = new ArrayList<>();
      for (int i = 0; i < 20; i++) {
        texts.add("{\"text\": \"Once upon a time, %d\", \"explain\": true}".formatted(i));
      }
      texts.add("{\"broken");
      topics.sendTexts("texts", texts);
      JobSpec job =
          JobFile.read(
              "job.yaml",
              """
              name: seen
              pipelines:
                - name: sentiment
                  model: %s/sentiment
                  cache: {entries: 100}
                  input: {topic: texts}
                  output: {topic: labels}
                  dead-letters: {topic: dead}
                  explanations: {topic: why, steps: 4}
                - name: writer
                  model: %s/writer
                  input: {topic: texts}
                  output: {topic: stories}
                  dead-letters: {topic: dead}
                  parameters: {max_new_tokens: 5}
              kafka:
                common: {bootstrap.servers: "%s"}
                consumer: {group.id: seen}
              """
                  .formatted(ASSETS, ASSETS, kafka.bootstrapServers()),
              model -> model);
      StreamExecutionEnvironment env = Main.environment(job);
      env.setParallelism(1);
      KafkaPipelines.build(env, job);
      JobClient running = env.executeAsync(job.name());
      topics.readUntil("why", records -> records.size() >= 20, Duration.ofMinutes(1));
      topics.readUntil("stories", records -> records.size() >= 20, Duration.ofMinutes(1));
      topics.readUntil("dead", records -> records.size() >= 2, Duration.ofMinutes(1));
      topics.sendTexts("texts", List.of("Once upon a time, 7"));
      topics.readUntil("labels", records -> records.size() >= 21, Duration.ofMinutes(1));
      topics.readUntil("stories", records -> records.size() >= 21, Duration.ofMinutes(1));

      List<String> lines = scraped();
      List<String> names = documented();
      assertThat(names).hasSizeGreaterThan(25);
      for (String name : names) {
        assertThat(lines).as(name).anyMatch(line -> line.startsWith(name + "{"));
      }
      String infer = "operator_name=\"sentiment_infer\"";
      assertThat(value(lines, "requests", infer)).isEqualTo(22);
      assertThat(value(lines, "requests_success", infer)).isEqualTo(21);
      assertThat(value(lines, "requests_failure", infer)).isEqualTo(1);
      assertThat(value(lines, "code_dead_letters", infer, "code=\"malformed_json\"")).isEqualTo(1);
      assertThat(value(lines, "rows", infer)).isEqualTo(20);
      assertThat(value(lines, "repeats", infer)).isEqualTo(1);
      assertThat(value(lines, "tokens", infer)).isGreaterThan(80);
      assertThat(value(lines, "latency_count", infer)).isEqualTo(22);
      assertThat(value(lines, "in_flight_bytes", infer)).isZero();
      assertThat(value(lines, "requests_success", "operator_name=\"sentiment_explain\""))
          .isEqualTo(20);
      String writer = "operator_name=\"writer_infer\"";
      assertThat(value(lines, "generated_tokens", writer)).isBetween(21.0, 105.0);
      assertThat(value(lines, "first_token_ms_count", writer)).isEqualTo(21);
      assertThat(value(lines, "model_version_model_info", writer, "model=\"writer\"")).isEqualTo(1);
      running.cancel().get();
    }
  }
}
