package org.labelstream.job;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
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
import java.util.Map;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.labelstream.kafka.LocalKafka;

/** A TaskManager with its everyday heap, as a process of its own, under more than fits into it. */
@Timeout(600)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class FullTaskManagerITCase {

  private static final ObjectMapper JSON = new ObjectMapper();

  /** Each may hold 40 MiB while it is labelled: together more than twice the heap. */
  private static final int DOCUMENTS = Integer.getInteger("labelstream.documents", 48);

  @TempDir static Path folder;

  private LocalKafka kafka;
  private Topics topics;
  private Script scripts;
  private int port;

  @BeforeAll
  void start() throws Exception {
    kafka = LocalKafka.start();
    topics = new Topics(kafka.bootstrapServers());
    scripts = new Script(folder.resolve("state"));
    try (ServerSocket free = new ServerSocket(0)) {
      port = free.getLocalPort();
    }
    scripts.run("flink-local.sh", "start", "--port", Integer.toString(port)).succeeded();
  }

  @AfterAll
  void stop() throws Exception {
    scripts.run("flink-local.sh", "stop").succeeded();
    kafka.close();
  }

  private JsonNode get(String path) throws Exception {
    HttpResponse<String> response =
        HttpClient.newHttpClient()
            .send(
                HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + path)).build(),
                HttpResponse.BodyHandlers.ofString());
    assertThat(response.statusCode()).as(path).isEqualTo(200);
    return JSON.readTree(response.body());
  }

  private String submit(String name, String pipelines) throws Exception {
    Path jobFile =
        Files.writeString(
            folder.resolve(name + ".yaml"),
            """
            name: %s
            pipelines:
            %s
            kafka:
              common: {bootstrap.servers: "%s"}
              consumer: {group.id: %s, max.partition.fetch.bytes: "2000000"}
              producer: {max.request.size: "2000000"}
            """
                .formatted(name, pipelines, kafka.bootstrapServers(), name));
    return scripts.run("flink-local.sh", "submit", jobFile.toString()).succeeded().out().strip();
  }

  private static String pipeline(String model, String in, String out, String more) {
    return """
      - name: %s
        model: %s
        cache: {in-flight: false}
        input: {topic: %s}
        output: {topic: %s}
        dead-letters: {topic: dead-%s}
        parallelism: 1
    %s"""
        .formatted(model, Script.ROOT.resolve("model-assets").resolve(model), in, out, out, more);
  }

  private String taskManager() throws Exception {
    JsonNode all = get("/taskmanagers").get("taskmanagers");
    assertThat(all).as("TaskManagers").hasSize(1);
    return all.get(0).get("id").asText();
  }

  /** Texts of a mebibyte, of which a stride makes nearly as many windows as there may be. */
  @Test
  void documentsBeyondTheHeapAreEachAnsweredWithoutARestart() throws Exception {
    kafka.createTopic("documents", 1, Map.of("max.message.bytes", "2000000"));
    kafka.createTopic("answers", 1, Map.of("max.message.bytes", "2000000"));
    kafka.createTopic("dead-answers", 1, Map.of("max.message.bytes", "2000000"));
    String sentence =
        "What a wonderful film, and the soup was cold but nobody in Nairobi minded it. ";
    byte[] document =
        "{\"question\": \"What was cold?\", \"parameters\": {\"doc_stride\": 20}, \"context\": \"%s\"}"
            .formatted(sentence.repeat((1 << 20) / sentence.length() - 3))
            .getBytes(UTF_8);
    List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
    for (int i = 0; i < DOCUMENTS; i++) {
      records.add(new ProducerRecord<>("documents", document));
    }
    topics.send(records);
    String taskManager = taskManager();

    // Their windows wait like any others, and the time of each is bounded, or this took minutes.
    String timeout = System.getProperty("labelstream.documents.timeout", "500ms");
    String job =
        submit(
            "documents",
            pipeline("answers", "documents", "answers", "    timeout: " + timeout + "\n"));

    long end = System.nanoTime() + Duration.ofMinutes(9).toNanos();
    int answered = 0;
    long peak = 0;
    while (answered < DOCUMENTS && System.nanoTime() < end) {
      Thread.sleep(1_000);
      answered = topics.read("answers").size() + topics.read("dead-answers").size();
      peak = Math.max(peak, get("/taskmanagers/" + taskManager).at("/metrics/heapUsed").asLong());
    }
    int labelled = topics.read("answers").size();
    System.out.printf(
        "%d documents of 1 MiB: %d labelled, %d dead letters, heap used at most %d MiB%n",
        DOCUMENTS, labelled, answered - labelled, peak >> 20);

    assertThat(answered).isEqualTo(DOCUMENTS);
    assertThat(taskManager()).as("the TaskManager that it was").isEqualTo(taskManager);
    assertThat(get("/jobs/" + job).get("state").asText()).isEqualTo("RUNNING");
    assertThat(get("/jobs/" + job + "/checkpoints").at("/counts/restored").asInt()).isZero();
    scripts.run("flink-local.sh", "cancel", job).succeeded();
  }
}
