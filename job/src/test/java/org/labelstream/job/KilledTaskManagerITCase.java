package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.labelstream.job.Topics.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.labelstream.kafka.LocalKafka;

/**
 * A TaskManager's process that is killed while explanations are owed, or in the middle of an {@code
 * INSERT}, and what becomes of them.
 */
class KilledTaskManagerITCase {

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int RECORDS = 60;

  @TempDir static Path folder;

  private static LocalKafka kafka;
  private static Topics topics;
  private static Script scripts;
  private static int port;

  @BeforeAll
  static void start() throws Exception {
    kafka = LocalKafka.start();
    topics = new Topics(kafka.bootstrapServers());
    scripts = new Script(folder.resolve("state"));
    try (ServerSocket free = new ServerSocket(0)) {
      port = free.getLocalPort();
    }
    scripts
        .run(
            "flink-local.sh",
            "start",
            "--port",
            Integer.toString(port),
            "--taskmanagers",
            "2", // the second takes over
            "--slots",
            "1",
            "--option",
            "heartbeat.interval=1000",
            "--option",
            "heartbeat.timeout=5000")
        .succeeded();
  }

  /** Whichever was killed comes back, so that each test has another to take over. */
  @BeforeEach
  void startBoth() throws Exception {
    for (String number : List.of("1", "2")) {
      scripts.run("flink-local.sh", "taskmanager", "start", number);
    }
    long deadline = System.nanoTime() + Duration.ofMinutes(1).toNanos();
    while (get("/overview").get("slots-available").asInt() < 2 && System.nanoTime() < deadline) {
      Thread.sleep(200);
    }
  }

  @AfterAll
  static void stop() throws Exception {
    scripts.run("flink-local.sh", "stop").succeeded();
    kafka.close();
  }

  @Test
  void whatIsOwedComesOutOnceAfterTheRestart() throws Exception {
    for (String topic : Set.of("texts", "labels", "dead", "explanations")) {
      kafka.createTopic(topic, 1);
    }
    topics.sendTexts(
        "texts",
        IntStream.range(0, RECORDS)
            .mapToObj(
                i ->
                    "{\"id\": %d, \"text\": \"%s number %d\", \"explain\": true%s}"
                        .formatted(
                            i,
                            "It was a wonderful day and nobody was bored, ".repeat(2),
                            i,
                            i % 10 == 0 ? ", \"target\": 99" : ""))
            .toList());
    Path jobFile =
        Files.writeString(
            folder.resolve("job.yaml"),
            """
            name: killed
            pipelines:
              - name: sentiment
                model: %s
                cache: {in-flight: false}
                input: {topic: texts, until: never}
                output: {topic: labels}
                dead-letters: {topic: dead}
                explanations: {topic: explanations, steps: 200, share: 0.2}
                parallelism: 1
            kafka:
              common: {bootstrap.servers: "%s"}
              consumer: {group.id: killed}
            delivery: exactly-once
            flink: {execution.checkpointing.interval: 500ms}
            """
                .formatted(
                    Script.ROOT.resolve("model-assets/sentiment"), kafka.bootstrapServers()));
    String job =
        scripts.run("flink-local.sh", "submit", jobFile.toString()).succeeded().out().strip();
    // They are committed with a checkpoint, which then holds what is owed.
    topics.readUntil("labels", labels -> labels.size() >= RECORDS, Duration.ofMinutes(2));
    ProcessHandle taskManager = taskManagerOf("sentiment/explain");
    int before = topics.read("explanations").size();

    assertThat(taskManager.destroyForcibly()).isTrue();

    assertThat(before).as("explanations before the kill").isLessThan(RECORDS);
    Duration limit = Duration.ofMinutes(2);
    topics.readUntil("explanations", some -> some.size() >= RECORDS, limit);
    // Another one behind them, with which all that is to be repeated would have come out too.
    topics.sendTexts("texts", List.of("{\"id\": -1, \"text\": \"the last\", \"explain\": true}"));
    topics.readUntil(
        "explanations",
        some -> some.stream().anyMatch(record -> text(record.value()).startsWith("{\"id\":-1,")),
        limit);
    assertThat(get("/jobs/" + job + "/checkpoints").at("/counts/restored").asInt()).isPositive();
    scripts.run("flink-local.sh", "cancel", job).succeeded();

    Map<Integer, Integer> explained = new HashMap<>();
    for (ConsumerRecord<byte[], byte[]> record : topics.read("explanations")) {
      JsonNode explanation = JSON.readTree(record.value());
      Schemas.isExplanation(explanation);
      int id = explanation.get("id").asInt();
      assertThat(explanation.has("error")).as("%s", explanation).isEqualTo(id % 10 == 0);
      explained.merge(id, 1, Integer::sum);
    }
    assertThat(explained).hasSize(RECORDS + 1);
    assertThat(explained.values()).as("times that an explanation came out").containsOnly(1);
    assertThat(topics.read("labels")).hasSize(RECORDS + 1);
    System.out.printf(
        "%d explanations came out before the TaskManager was killed, %d after it%n",
        before, RECORDS - before);
  }

  @Test
  void eachRowThatSqlLabelsComesOutOnceOverTheRestart() throws Exception {
    int rows = 30_000;
    kafka.createTopic("sql-texts", 1);
    kafka.createTopic("sql-labels", 1);
    topics.sendTexts(
        "sql-texts",
        IntStream.range(0, rows)
            .mapToObj(
                i ->
                    "{\"id\": %d, \"text\": \"It was a wonderful day, number %d\"}".formatted(i, i))
            .toList());
    Path statements =
        Files.writeString(
            folder.resolve("insert.sql"),
            """
            SET 'parallelism.default' = '1';
            SET 'execution.checkpointing.interval' = '500 ms';
            SET 'table.exec.async-ml-predict.max-concurrent-operations' = '256';
            CREATE TABLE texts (id INT, text STRING) WITH (
              'connector' = 'kafka', 'properties.bootstrap.servers' = '%1$s', 'topic' = 'sql-texts',
              'properties.group.id' = 'killed-sql', 'scan.startup.mode' = 'earliest-offset', 'format' = 'json');
            CREATE TABLE labels (id INT, label STRING) WITH (
              'connector' = 'kafka', 'properties.bootstrap.servers' = '%1$s', 'topic' = 'sql-labels', 'format' = 'json',
              'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'killed-sql',
              'properties.transaction.timeout.ms' = '900000');
            CREATE TEMPORARY MODEL sentiment INPUT (text STRING) OUTPUT (label STRING)
            WITH ('provider' = 'labelstream', 'model' = '%2$s');
            INSERT INTO labels SELECT id, label FROM ML_PREDICT(TABLE texts, MODEL sentiment, DESCRIPTOR(text));
            """
                .formatted(
                    kafka.bootstrapServers(), Script.ROOT.resolve("model-assets/sentiment")));
    String printed =
        scripts.run("flink-local.sh", "sql", "-f", statements.toString()).succeeded().out();
    String job =
        Pattern.compile("Job ID: ([0-9a-f]{32})")
            .matcher(printed)
            .results()
            .findFirst()
            .orElseThrow(() -> new AssertionError(printed))
            .group(1);
    Duration limit = Duration.ofMinutes(2);
    topics.readUntil("sql-labels", labels -> !labels.isEmpty(), limit);

    assertThat(taskManagerOf("MLPredict").destroyForcibly()).isTrue();

    int before = topics.read("sql-labels").size();
    topics.readUntil("sql-labels", labels -> labels.size() >= rows, limit);
    topics.sendTexts("sql-texts", List.of("{\"id\": -1, \"text\": \"the last\"}"));
    topics.readUntil(
        "sql-labels",
        labels -> labels.stream().anyMatch(row -> text(row.value()).startsWith("{\"id\":-1,")),
        limit);
    assertThat(get("/jobs/" + job + "/checkpoints").at("/counts/restored").asInt()).isPositive();
    scripts.run("flink-local.sh", "cancel", job).succeeded();

    List<Integer> labelled = new ArrayList<>();
    for (ConsumerRecord<byte[], byte[]> record : topics.read("sql-labels")) {
      JsonNode label = JSON.readTree(record.value());
      assertThat(label.get("label").asText()).isIn("POSITIVE", "NEGATIVE");
      labelled.add(label.get("id").asInt());
    }
    assertThat(labelled)
        .as("each row once, in the order of the input")
        .isEqualTo(IntStream.concat(IntStream.range(0, rows), IntStream.of(-1)).boxed().toList());
    assertThat(before).as("rows before the kill").isLessThan(rows);
  }

  /** The process that runs an operator, as its log tells. */
  private static ProcessHandle taskManagerOf(String operator) throws IOException {
    Path cluster = folder.resolve("state/flink");
    for (String name : new String[] {"taskmanager-1", "taskmanager-2"}) {
      if (Files.readString(cluster.resolve("log/" + name + ".log")).contains(operator)) {
        String pid = Files.readString(cluster.resolve("run/" + name + ".pid")).strip();
        return ProcessHandle.of(Long.parseLong(pid)).orElseThrow();
      }
    }
    throw new AssertionError("no TaskManager has run " + operator);
  }

  private static JsonNode get(String path) throws Exception {
    HttpResponse<String> response =
        HttpClient.newHttpClient()
            .send(
                HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + path)).build(),
                HttpResponse.BodyHandlers.ofString());
    assertThat(response.statusCode()).as(path).isEqualTo(200);
    return JSON.readTree(response.body());
  }
}
