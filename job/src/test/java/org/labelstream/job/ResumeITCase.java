package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.labelstream.job.Topics.text;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.labelstream.kafka.LocalKafka;

/** A job that is cancelled and resumed, whose JobManager and TaskManager are killed behind that. */
class ResumeITCase {

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int RECORDS = 400;
  private static final Duration LIMIT = Duration.ofMinutes(3);

  @TempDir static Path folder;

  private static LocalKafka kafka;
  private static Topics topics;
  private static Script scripts;

  @BeforeAll
  static void start() throws Exception {
    kafka = LocalKafka.start();
    topics = new Topics(kafka.bootstrapServers());
    scripts = new Script(folder.resolve("state"));
    int port;
    try (ServerSocket free = new ServerSocket(0)) {
      port = free.getLocalPort();
    }
    scripts
        .run(
            "flink-local.sh",
            "start",
            "--ha",
            "--port",
            Integer.toString(port),
            "--slots",
            "2",
            "--option",
            "heartbeat.interval=1000",
            "--option",
            "heartbeat.timeout=8000")
        .succeeded();
  }

  @AfterAll
  static void stop() throws Exception {
    scripts.run("flink-local.sh", "stop").succeeded();
    kafka.close();
  }

  @Test
  void nothingIsLostAndNothingComesTwice() throws Exception {
    kafka.createTopic("texts", 2);
    kafka.createTopic("labels", 2);
    kafka.createTopic("dead", 1);
    topics.sendTexts(
        "texts",
        IntStream.range(0, RECORDS)
            .mapToObj(
                i ->
                    "{\"id\": %d, \"text\": \"%s\", \"parameters\": {\"stride\": 16}}"
                        .formatted(i, "a long story ".repeat(600)))
            .toList(),
        2);
    Path jobFile =
        Files.writeString(
            folder.resolve("job.yaml"),
            """
            name: resumed
            pipelines:
              - name: sentiment
                model: %s
                cache: {in-flight: false}
                input: {topic: texts}
                output: {topic: labels}
                dead-letters: {topic: dead}
                parallelism: 2
            kafka:
              common: {bootstrap.servers: "%s"}
              consumer: {group.id: resumed}
            delivery: exactly-once
            flink: {execution.checkpointing.interval: 500ms}
            """
                .formatted(
                    Script.ROOT.resolve("model-assets/sentiment"), kafka.bootstrapServers()));

    Script.Result fresh = submit(jobFile);
    assertThat(fresh.err()).contains("There is no checkpoint or savepoint of a job named resumed");
    awaitLabels(20);
    scripts.run("flink-local.sh", "cancel", fresh.out().strip()).succeeded();
    int cancelled = topics.read("labels").size();
    assertThat(cancelled).isLessThan(RECORDS);

    Script.Result resumed = submit(jobFile);
    assertThat(resumed.err()).contains("It goes on from ", "/chk-");
    awaitLabels(cancelled + 20);
    scripts.run("flink-local.sh", "jobmanager", "kill").succeeded();
    scripts.run("flink-local.sh", "jobmanager", "start").succeeded();
    int killed = topics.read("labels").size();
    assertThat(killed).isLessThan(RECORDS);
    awaitLabels(Math.min(RECORDS, killed + 20));
    scripts.run("flink-local.sh", "taskmanager", "kill", "1").succeeded();
    assertThat(scripts.run("flink-local.sh", "taskmanager", "kill", "1").err())
        .contains("Flink's taskmanager-1 is not running.");
    scripts.run("flink-local.sh", "taskmanager", "start", "1").succeeded();
    awaitLabels(RECORDS);

    scripts.run("flink-local.sh", "cancel", resumed.out().strip()).succeeded();
    Map<Integer, Integer> times = new HashMap<>();
    for (ConsumerRecord<byte[], byte[]> record : topics.read("labels")) {
      times.merge(JSON.readTree(text(record.value())).get("id").asInt(), 1, Integer::sum);
    }
    assertThat(topics.read("dead")).isEmpty();
    assertThat(times).hasSize(RECORDS);
    assertThat(times.values()).as("times that a record came out").containsOnly(1);
    System.out.printf(
        "%d records came out before the job was cancelled, %d before its JobManager was killed%n",
        cancelled, killed);
  }

  private static Script.Result submit(Path jobFile) throws Exception {
    return scripts.run("flink-local.sh", "submit", "--resume", jobFile.toString()).succeeded();
  }

  private static void awaitLabels(int count) {
    List<ConsumerRecord<byte[], byte[]>> labels =
        topics.readUntil("labels", records -> records.size() >= count, LIMIT);
    assertThat(labels).hasSizeGreaterThanOrEqualTo(count);
  }
}
