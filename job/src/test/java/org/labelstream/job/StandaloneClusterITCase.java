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
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.TransactionListing;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.labelstream.kafka.LocalKafka;

/**
 * The artefacts as users have them: the thin jar, submitted to a stand-alone cluster whose
 * JobManager and TaskManager are processes of their own and have the lib bundle in lib/.
 */
class StandaloneClusterITCase {

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int TEXTS = 200;

  /** Each may hold 40 MiB while it is labelled, and 27 fill the heap. */
  private static final int DOCUMENTS = Integer.getInteger("labelstream.documents", 36);

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
    scripts.run("flink-local.sh", "start", "--port", Integer.toString(port)).succeeded();
  }

  @AfterAll
  static void stop() throws Exception {
    scripts.run("flink-local.sh", "stop").succeeded();
    kafka.close();
  }

  @Test
  void threeSubmissionsInARowToOneTaskManagerLabelEverything() throws Exception {
    Set<String> taskManagers = new HashSet<>();
    for (int round = 1; round <= 3; round++) {
      kafka.createTopic("texts-" + round, 2);
      kafka.createTopic("labels-" + round, 2);
      kafka.createTopic("dead-" + round, 1);
      topics.sendTexts(
          "texts-" + round,
          IntStream.range(0, TEXTS)
              .mapToObj(
                  i -> "{\"id\": %d, \"text\": \"It was a good day, number %d\"}".formatted(i, i))
              .toList());
      Path jobFile =
          Files.writeString(
              folder.resolve("job-" + round + ".yaml"),
              """
              name: round-%d
              pipelines:
                - name: sentiment
                  model: %s
                  cache: {in-flight: false}
                  input: {topic: texts-%d, until: latest}
                  output: {topic: labels-%d}
                  dead-letters: {topic: dead-%d}
                  parallelism: 2
              kafka:
                common: {bootstrap.servers: "%s"}
                consumer: {group.id: rounds}
              delivery: exactly-once
              """
                  .formatted(
                      round,
                      Script.ROOT.resolve("model-assets/sentiment"),
                      round,
                      round,
                      round,
                      kafka.bootstrapServers()));

      String job =
          scripts.run("flink-local.sh", "submit", jobFile.toString()).succeeded().out().strip();
      assertThat(finalState(job)).as("round %d", round).isEqualTo("FINISHED");

      Set<Integer> labelled = new HashSet<>();
      for (ConsumerRecord<byte[], byte[]> record : topics.read("labels-" + round)) {
        JsonNode value = JSON.readTree(record.value());
        assertThat(value.at("/inference/sentiment/label").asText()).isIn("POSITIVE", "NEGATIVE");
        assertThat(labelled.add(value.get("id").asInt())).isTrue();
      }
      assertThat(labelled).as("round %d", round).hasSize(TEXTS);
      assertThat(topics.read("dead-" + round)).isEmpty();
      for (JsonNode taskManager : get("/taskmanagers").get("taskmanagers")) {
        taskManagers.add(taskManager.get("id").asText());
      }
    }
    assertThat(taskManagers).as("TaskManagers that there ever were").hasSize(1);
  }

  @Test
  void aJobFileWithProblemsIsRefusedAtSubmissionWithAllOfThemAndNoStackTrace() throws Exception {
    Path jobFile =
        Files.writeString(
            folder.resolve("wrong.yaml"),
            """
            name: wrong
            pipelines:
              - name: sentiment
                model: no/such/folder
                input: {topic: texts, formt: json}
                output: {}
                dead-letters: {topic: dead}
                paralelism: two
            kafka:
              common: {bootstrap.servers: "localhost:9092"}
            """);
    Script.Result result = scripts.run("flink-local.sh", "submit", jobFile.toString());
    assertThat(result.status()).isEqualTo(1);
    assertThat(result.out()).isEmpty();
    assertThat(result.errLines())
        .hasSize(6)
        .anySatisfy(line -> assertThat(line).contains("wrong.yaml has 5 problems"))
        .anySatisfy(line -> assertThat(line).contains("line 4", "no/such/folder does not exist"))
        .anySatisfy(line -> assertThat(line).contains("line 5", "formt", "did you mean format?"))
        .anySatisfy(line -> assertThat(line).contains("line 6", "output.topic is missing"))
        .anySatisfy(line -> assertThat(line).contains("line 8", "did you mean parallelism?"))
        .anySatisfy(line -> assertThat(line).contains("group.id is missing"))
        .noneSatisfy(line -> assertThat(line).contains("\tat "));
    assertThat(jobs()).noneSatisfy(job -> assertThat(job.get("name").asText()).isEqualTo("wrong"));
  }

  @Test
  void twoJobsOnOneTaskManagerShareItsWorkersAndTheModel() throws Exception {
    kafka.createTopic("shared-texts", 2);
    int loadedBefore = timesLoaded();
    List<String> jobs = new ArrayList<>();
    List<Long> workers = new ArrayList<>();
    for (int i = 1; i <= 2; i++) {
      String topics = "shared-" + i;
      kafka.createTopic(topics + "-labels", 1);
      kafka.createTopic(topics + "-dead", 1);
      Path jobFile =
          Files.writeString(
              folder.resolve(topics + ".yaml"),
              """
              name: %1$s
              pipelines:
                - name: sentiment
                  model: %2$s
                  cache: {in-flight: false}
                  input: {topic: shared-texts}
                  output: {topic: %1$s-labels}
                  dead-letters: {topic: %1$s-dead}
                  parallelism: 2
              kafka:
                common: {bootstrap.servers: "%3$s"}
                consumer: {group.id: %1$s}
              """
                  .formatted(
                      topics,
                      Script.ROOT.resolve("model-assets/sentiment"),
                      kafka.bootstrapServers()));
      String job =
          scripts.run("flink-local.sh", "submit", jobFile.toString()).succeeded().out().strip();
      jobs.add(job);
      awaitRunning(job);
      workers.add(workers());
    }
    Script.Result again =
        scripts.run("flink-local.sh", "submit", folder.resolve("shared-1.yaml").toString());
    assertThat(again.status()).isEqualTo(1);
    assertThat(again.err())
        .contains("A job named shared-1 runs on this cluster already")
        .doesNotContain("\tat ");

    assertThat(workers.get(0)).isPositive();
    assertThat(workers.get(1)).as("workers of two jobs").isEqualTo(workers.get(0));
    assertThat(timesLoaded() - loadedBefore).as("how often the model was loaded").isEqualTo(1);
    for (String job : jobs) {
      scripts.run("flink-local.sh", "cancel", job).succeeded();
    }
  }

  /**
   * As a second job of the same name does it, had the check before it not refused it: another
   * producer takes the transactional id, and what the job sends in its open transaction is refused.
   */
  @Test
  void aJobWhoseProducerIsFencedStartsAgainAndEndsNoProcess() throws Exception {
    for (String topic : List.of("fenced-texts", "fenced-labels", "fenced-dead")) {
      kafka.createTopic(topic, 1);
    }
    Path jobFile =
        Files.writeString(
            folder.resolve("fenced.yaml"),
            """
            name: fenced
            pipelines:
              - name: sentiment
                model: %s
                input: {topic: fenced-texts}
                output: {topic: fenced-labels}
                dead-letters: {topic: fenced-dead}
                parallelism: 1
            kafka:
              common: {bootstrap.servers: "%s"}
              consumer: {group.id: fenced}
              producer: {batch.size: "0"}
            delivery: exactly-once
            flink: {execution.checkpointing.interval: 4s}
            """
                .formatted(
                    Script.ROOT.resolve("model-assets/sentiment"), kafka.bootstrapServers()));
    String job =
        scripts.run("flink-local.sh", "submit", jobFile.toString()).succeeded().out().strip();
    String taskManager = taskManager();
    Duration limit = Duration.ofMinutes(1);
    sendNumbered("fenced-texts", 0, 50);
    topics.readUntil("fenced-labels", labels -> labels.size() >= 50, limit);

    // They are out with a checkpoint, and the next one is seconds away: this transaction is open.
    sendNumbered("fenced-texts", 50, 100);
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", kafka.bootstrapServers()))) {
      List<String> open = openTransactions(admin, "fenced/sentiment");
      admin.fenceProducers(open).all().get();
    }
    sendNumbered("fenced-texts", 100, 600);

    topics.readUntil("fenced-labels", labels -> labels.size() >= 600, limit);
    List<Integer> labelled = new ArrayList<>();
    for (ConsumerRecord<byte[], byte[]> record : topics.read("fenced-labels")) {
      labelled.add(JSON.readTree(record.value()).get("id").asInt());
    }
    assertThat(labelled).isEqualTo(IntStream.range(0, 600).boxed().toList());
    assertThat(topics.read("fenced-dead")).isEmpty();
    assertThat(get("/jobs/" + job + "/checkpoints").at("/counts/restored").asInt()).isPositive();
    assertThat(taskManager()).as("the TaskManager that it was").isEqualTo(taskManager);
    assertThat(Files.readString(folder.resolve("state/flink/log/taskmanager-1.log")))
        .contains("The Kafka writer could not be closed cleanly")
        .doesNotContain("exception in exception handler of task");
    scripts.run("flink-local.sh", "cancel", job).succeeded();
  }

  private static void sendNumbered(String topic, int from, int to) {
    topics.sendTexts(
        topic,
        IntStream.range(from, to)
            .mapToObj(i -> "{\"id\": %d, \"text\": \"A good day, number %d\"}".formatted(i, i))
            .toList());
  }

  /** The ids of transactions that hold records, once there are some. */
  private static List<String> openTransactions(Admin admin, String prefix) throws Exception {
    ListTransactionsOptions ongoing =
        new ListTransactionsOptions().filterStates(List.of(TransactionState.ONGOING));
    long deadline = System.nanoTime() + Duration.ofSeconds(20).toNanos();
    while (System.nanoTime() < deadline) {
      List<String> open =
          admin.listTransactions(ongoing).all().get().stream()
              .map(TransactionListing::transactionalId)
              .filter(id -> id.startsWith(prefix))
              .toList();
      if (!open.isEmpty()) {
        return open;
      }
      Thread.sleep(20);
    }
    throw new AssertionError("no transaction of " + prefix + " is open after 20 seconds");
  }

  private static String taskManager() throws Exception {
    JsonNode all = get("/taskmanagers").get("taskmanagers");
    assertThat(all).as("TaskManagers").hasSize(1);
    return all.get(0).get("id").asText();
  }

  @Test
  void sqlWithTwoModelsAndAJobShareTheWorkersAndTheModels() throws Exception {
    for (String topic : List.of("sql-texts", "sql-labels", "sql-dead", "sql-out")) {
      kafka.createTopic(topic, 1);
    }
    Path jobFile =
        Files.writeString(
            folder.resolve("beside-sql.yaml"),
            """
            name: beside-sql
            pipelines:
              - name: sentiment
                model: %s
                cache: {in-flight: false}
                input: {topic: sql-texts}
                output: {topic: sql-labels}
                dead-letters: {topic: sql-dead}
                parallelism: 1
            kafka:
              common: {bootstrap.servers: "%s"}
              consumer: {group.id: beside-sql}
            """
                .formatted(
                    Script.ROOT.resolve("model-assets/sentiment"), kafka.bootstrapServers()));
    Path statements =
        Files.writeString(
            folder.resolve("two-models.sql"),
            """
            SET 'parallelism.default' = '1';
            CREATE TABLE texts (text STRING) WITH (
              'connector' = 'kafka', 'properties.bootstrap.servers' = '%1$s', 'topic' = 'sql-texts',
              'properties.group.id' = 'sql', 'scan.startup.mode' = 'earliest-offset', 'format' = 'raw');
            CREATE TABLE results (text STRING, label STRING, entities ARRAY<ROW<word STRING>>) WITH (
              'connector' = 'kafka', 'properties.bootstrap.servers' = '%1$s', 'topic' = 'sql-out', 'format' = 'json');
            CREATE TEMPORARY MODEL sentiment INPUT (text STRING) OUTPUT (label STRING)
            WITH ('provider' = 'labelstream', 'model' = 'model-assets/sentiment');
            CREATE TEMPORARY MODEL entities INPUT (text STRING) OUTPUT (entities ARRAY<ROW<word STRING>>)
            WITH ('provider' = 'labelstream', 'model' = 'model-assets/entities', 'aggregation_strategy' = 'first');
            CREATE TEMPORARY VIEW labelled AS
            SELECT * FROM ML_PREDICT(TABLE texts, MODEL sentiment, DESCRIPTOR(text));
            INSERT INTO results SELECT * FROM ML_PREDICT(TABLE labelled, MODEL entities, DESCRIPTOR(text));
            """
                .formatted(kafka.bootstrapServers()));
    int loadedBefore = timesLoaded();

    String job =
        scripts.run("flink-local.sh", "submit", jobFile.toString()).succeeded().out().strip();
    awaitRunning(job);
    long workers = workers();
    String sql =
        scripts.run("flink-local.sh", "sql", "-f", statements.toString()).succeeded().out();
    String sqlJob =
        Pattern.compile("Job ID: ([0-9a-f]{32})")
            .matcher(sql)
            .results()
            .findFirst()
            .orElseThrow(() -> new AssertionError(sql))
            .group(1);
    awaitRunning(sqlJob);

    topics.sendTexts("sql-texts", List.of("Maria Jensen showed us Geneva, a wonderful day"));
    Duration limit = Duration.ofMinutes(1);
    JsonNode result =
        JSON.readTree(topics.readUntil("sql-out", rows -> !rows.isEmpty(), limit).get(0).value());
    JsonNode label =
        JSON.readTree(
            topics.readUntil("sql-labels", rows -> !rows.isEmpty(), limit).get(0).value());
    assertThat(result.get("label")).isEqualTo(label.at("/inference/sentiment/label"));
    assertThat(result.at("/entities/0/word").asText()).isEqualTo("Maria Jensen");
    assertThat(workers()).as("workers with SQL beside the job").isEqualTo(workers);
    assertThat(timesLoaded() - loadedBefore).as("how often sentiment was loaded").isEqualTo(1);
    for (String id : List.of(job, sqlJob)) {
      scripts.run("flink-local.sh", "cancel", id).succeeded();
    }
  }

  @Test
  void sqlThatCannotBePlannedIsRefusedInASentence() throws Exception {
    Path statements =
        Files.writeString(
            folder.resolve("wrong.sql"),
            """
            CREATE TEMPORARY VIEW texts AS SELECT * FROM (VALUES ('a good film')) AS t (text);
            CREATE TEMPORARY MODEL sentiment INPUT (text STRING) OUTPUT (lable STRING)
            WITH ('provider' = 'labelstream', 'model' = 'model-assets/sentiment');
            SELECT * FROM ML_PREDICT(TABLE texts, MODEL sentiment, DESCRIPTOR(text));
            """);
    Script.Result result = scripts.run("flink-local.sh", "sql", "-f", statements.toString());
    assertThat(result.status()).isNotZero();
    assertThat(result.out() + result.err())
        .contains(
            "Model sentiment cannot be used: there is no OUTPUT column lable of"
                + " sequence_classification: did you mean label?")
        .doesNotContain("\tat ");
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
    Path jobFile =
        Files.writeString(
            folder.resolve("documents.yaml"),
            """
            name: documents
            pipelines:
              - name: answers
                model: %s
                cache: {in-flight: false}
                input: {topic: documents}
                output: {topic: answers}
                dead-letters: {topic: dead-answers}
                parallelism: 1
                timeout: %s
            kafka:
              common: {bootstrap.servers: "%s"}
              consumer: {group.id: documents, max.partition.fetch.bytes: "2000000"}
              producer: {max.request.size: "2000000"}
            """
                .formatted(
                    Script.ROOT.resolve("model-assets/answers"),
                    timeout,
                    kafka.bootstrapServers()));
    String job =
        scripts.run("flink-local.sh", "submit", jobFile.toString()).succeeded().out().strip();

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

  /** Until each task has opened its operators. */
  private static void awaitRunning(String job) throws Exception {
    long deadline = System.nanoTime() + Duration.ofMinutes(2).toNanos();
    while (System.nanoTime() < deadline) {
      boolean running = true;
      for (JsonNode vertex : get("/jobs/" + job).get("vertices")) {
        running &= vertex.get("status").asText().equals("RUNNING");
      }
      if (running) {
        return;
      }
      Thread.sleep(250);
    }
    throw new AssertionError(job + " does not run after 2 minutes: " + get("/jobs/" + job));
  }

  private static long workers() throws Exception {
    long workers = 0;
    for (JsonNode thread :
        get("/taskmanagers/" + taskManager() + "/thread-dump").get("threadInfos")) {
      workers += thread.get("threadName").asText().startsWith("labelstream-worker-") ? 1 : 0;
    }
    return workers;
  }

  private static int timesLoaded() throws Exception {
    Path log = folder.resolve("state/flink/log/taskmanager-1.log");
    return (int)
        Files.readAllLines(log).stream()
            .filter(line -> line.contains("Loaded") && line.contains("sentiment"))
            .count();
  }

  private static String finalState(String job) throws Exception {
    long deadline = System.nanoTime() + Duration.ofMinutes(3).toNanos();
    while (System.nanoTime() < deadline) {
      String state = get("/jobs/" + job).get("state").asText();
      if (Set.of("FINISHED", "FAILED", "CANCELED").contains(state)) {
        return state;
      }
      Thread.sleep(250);
    }
    return "STILL RUNNING AFTER 3 MINUTES";
  }

  private static List<JsonNode> jobs() throws Exception {
    List<JsonNode> jobs = new ArrayList<>();
    get("/jobs/overview").get("jobs").forEach(jobs::add);
    return jobs;
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
