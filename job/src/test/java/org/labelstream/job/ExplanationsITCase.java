package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.labelstream.job.Topics.bytes;
import static org.labelstream.job.Topics.headers;
import static org.labelstream.job.Topics.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.runtime.testutils.MiniClusterResourceConfiguration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.test.junit5.MiniClusterExtension;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.labelstream.job.jobfile.JobFile;
import org.labelstream.job.jobfile.JobSpec;
import org.labelstream.job.kafka.KafkaPipelines;
import org.labelstream.kafka.LocalKafka;

/** Explanations from Kafka to Kafka, on a broker and a Flink of this JVM. */
class ExplanationsITCase {

  private static final Path MODELS = Path.of("../model-assets").toAbsolutePath();
  private static final ObjectMapper JSON = new ObjectMapper();

  @RegisterExtension
  static final MiniClusterExtension FLINK =
      new MiniClusterExtension(
          new MiniClusterResourceConfiguration.Builder()
              .setNumberTaskManagers(1)
              .setNumberSlotsPerTaskManager(4)
              .build());

  private static LocalKafka kafka;
  private static Topics topics;

  @TempDir Path folder;

  @BeforeAll
  static void startKafka() {
    kafka = LocalKafka.start();
    topics = new Topics(kafka.bootstrapServers());
  }

  @AfterAll
  static void stopKafka() {
    kafka.close();
  }

  private static void createTopics(String suffix, int partitions) {
    for (String topic : List.of("texts", "labels", "dead", "explanations")) {
      kafka.createTopic(topic + suffix, partitions);
    }
  }

  /** A job of one pipeline over what its topic holds; {@code explanations} may be empty. */
  private static String job(
      String model, String suffix, String until, String delivery, String explanations) {
    return """
    name: explaining%2$s
    pipelines:
      - name: %1$s
        model: %7$s
        input: {topic: texts%3$s, until: %4$s}
        output: {topic: labels%2$s}
        dead-letters: {topic: dead%2$s}
        parallelism: 2
    %6$s
    kafka:
      common: {bootstrap.servers: "%8$s"}
      consumer: {group.id: explaining%2$s}
    delivery: %5$s
    flink: {execution.checkpointing.interval: 500ms}
    """
        .formatted(
            model,
            suffix,
            suffix.replace("-plain", ""),
            until,
            delivery,
            explanations.isEmpty()
                ? ""
                : "    explanations: {topic: explanations%s, %s}".formatted(suffix, explanations),
            MODELS.resolve(model),
            kafka.bootstrapServers());
  }

  private void run(String jobFile) throws Exception {
    Path file = Files.writeString(folder.resolve("job.yaml"), jobFile);
    Main.main(new String[] {"--config", file.toString()});
  }

  private JobClient start(String jobFile) throws Exception {
    JobSpec job = JobFile.read("job.yaml", jobFile, model -> model);
    StreamExecutionEnvironment env = Main.environment(job);
    KafkaPipelines.build(env, job);
    return env.executeAsync(job.name());
  }

  private static JsonNode json(ConsumerRecord<byte[], byte[]> record) {
    try {
      return JSON.readTree(record.value());
    } catch (IOException e) {
      throw new AssertionError(text(record.value()), e);
    }
  }

  /** The records of a topic by their ids, each of which must be there once. */
  private static Map<String, JsonNode> byId(String topic) {
    Map<String, JsonNode> byId = new HashMap<>();
    for (ConsumerRecord<byte[], byte[]> record : topics.read(topic)) {
      JsonNode json = json(record);
      assertThat(byId.put(json.get("id").asText(), json)).as("another %s", json).isNull();
    }
    return byId;
  }

  private static String review(int i) {
    return i % 2 == 0 ? "What a wonderful film, number " + i : "Terrible service on day " + i;
  }

  @Test
  void thoseThatAreAskedForFollowLabelsThatAreAsWithoutThem() throws Exception {
    int records = 120;
    createTopics("-asked", 2);
    createTopics("-asked-plain", 2);
    Map<String, String> expected = new HashMap<>(); // what is asked for: a code, or "" for none
    List<ProducerRecord<byte[], byte[]>> sent = new ArrayList<>();
    for (int i = 0; i < records; i++) {
      String more =
          switch (i % 8) {
            case 0, 4 -> "\"explain\": true";
            case 1 -> "\"explain\": true, \"target\": \"NEGATIVE\"";
            case 2 -> "\"explain\": true, \"target\": 2";
            case 3 -> "\"explain\": true, \"target\": \"POSITIV\"";
            case 5 -> "\"explain\": false, \"target\": 99";
            case 6 -> "\"target\": [1, 2]";
            default -> "\"explain\": true, \"broken";
          };
      if (i % 8 <= 4) {
        expected.put(Integer.toString(i), i % 8 == 2 || i % 8 == 3 ? "invalid_target" : "");
      }
      RecordHeaders headers = new RecordHeaders();
      headers.add("trace", bytes("t-" + i));
      sent.add(
          new ProducerRecord<>(
              "texts-asked",
              i % 2,
              1_700_000_000_000L + i,
              bytes("key-" + i),
              bytes("{\"id\": %d, \"text\": \"%s\", %s}".formatted(i, review(i), more)),
              headers));
    }
    topics.send(sent);

    run(job("sentiment", "-asked-plain", "latest", "exactly-once", ""));
    run(job("sentiment", "-asked", "latest", "exactly-once", "steps: 10"));

    assertThat(topics.read("explanations-asked-plain")).isEmpty();
    assertThat(topics.read("dead-asked")).hasSize(records / 8);
    Map<String, JsonNode> plain = byId("labels-asked-plain");
    Map<String, JsonNode> labels = byId("labels-asked");
    assertThat(labels.keySet()).hasSize(records * 7 / 8).isEqualTo(plain.keySet());
    labels.forEach(
        (id, record) -> {
          JsonNode own = record.at("/inference/sentiment");
          JsonNode without = plain.get(id).at("/inference/sentiment");
          assertThat(own.get("label")).isEqualTo(without.get("label"));
          assertThat(own.get("score").asDouble())
              .isCloseTo(without.get("score").asDouble(), within(1e-5));
        });
    Map<String, JsonNode> explanations = byId("explanations-asked");
    assertThat(explanations.keySet()).isEqualTo(expected.keySet());
    explanations.forEach(
        (id, explanation) -> {
          Schemas.isExplanation(explanation);
          assertThat(explanation.at("/error/code").asText()).isEqualTo(expected.get(id));
          if (expected.get(id).isEmpty()) {
            assertThat(explanation.at("/predicted/label"))
                .isEqualTo(labels.get(id).at("/inference/sentiment/label"));
            assertThat(explanation.get("steps").asInt()).isEqualTo(10);
            assertThat(explanation.at("/target/label").asText())
                .isEqualTo(
                    Integer.parseInt(id) % 8 == 1
                        ? "NEGATIVE"
                        : explanation.at("/predicted/label").asText());
          }
        });
    for (ConsumerRecord<byte[], byte[]> record : topics.read("explanations-asked")) {
      int i = json(record).get("id").asInt();
      assertThat(text(record.key())).isEqualTo("key-" + i);
      assertThat(record.timestamp()).isEqualTo(1_700_000_000_000L + i);
      assertThat(headers(record))
          .containsEntry("trace", "t-" + i)
          .containsEntry("labelstream.source.topic", "texts-asked")
          .containsEntry("labelstream.source.partition", Integer.toString(i % 2))
          .containsKey("labelstream.source.offset");
    }
  }

  @Test
  void labelsDoNotWaitForThem() throws Exception {
    int records = 30;
    createTopics("-first", 2);
    topics.sendTexts(
        "texts-first", IntStream.range(0, records).mapToObj(ExplanationsITCase::review).toList());
    Duration limit = Duration.ofMinutes(1);

    JobClient job =
        start(job("sentiment", "-first", "never", "at-least-once", "when: always, steps: 500"));
    topics.readUntil("labels-first", labels -> labels.size() >= records, limit);
    int explained = topics.read("explanations-first").size();
    topics.readUntil("explanations-first", some -> some.size() >= records, limit);
    job.stopWithSavepoint(false, folder.toUri().toString(), SavepointFormatType.CANONICAL).get();

    assertThat(explained)
        .as("explanations that were there with the last label")
        .isLessThan(records);
    assertThat(byId("explanations-first").keySet()).isEqualTo(byId("labels-first").keySet());
  }

  @Test
  void thoseBeyondTheQueueAreOnTheTopicToo() throws Exception {
    int records = 150;
    createTopics("-drop", 2);
    topics.sendTexts(
        "texts-drop",
        IntStream.range(0, records)
            .mapToObj(i -> "{\"id\": \"r-%d\", \"text\": \"%s\"}".formatted(i, review(i)))
            .toList());

    run(
        job(
            "sentiment",
            "-drop",
            "latest",
            "exactly-once",
            "when: always, steps: 200, queue: 3, when-full: drop"));

    assertThat(byId("labels-drop")).hasSize(records);
    Map<String, JsonNode> explanations = byId("explanations-drop");
    assertThat(explanations.keySet()).isEqualTo(byId("labels-drop").keySet());
    explanations.values().forEach(Schemas::isExplanation);
    long dropped =
        explanations.values().stream()
            .filter(some -> some.at("/error/code").asText().equals("explanation_dropped"))
            .count();
    long made = explanations.values().stream().filter(some -> some.has("importances")).count();
    assertThat(dropped).isPositive();
    assertThat(made).isPositive();
    assertThat(dropped + made).isEqualTo(records);
  }

  /** Each form that a record can have is held against the schema. */
  @ParameterizedTest
  @ValueSource(strings = {"entities", "answers"})
  void otherTasksHaveThemToo(String model) throws Exception {
    String suffix = "-" + model;
    createTopics(suffix, 1);
    boolean answers = model.equals("answers");
    String event =
        answers
            ? "{\"id\": %d, \"question\": \"Who lives in Paris?\", \"context\": \"Anna lives in Paris with Peter.\"%s}"
            : "{\"id\": %d, \"text\": \"Anna Miller lives in Paris.\"%s}";
    topics.sendTexts(
        "texts" + suffix,
        List.of(
            event.formatted(0, ""),
            event.formatted(1, ", \"target\": [1, 2]"),
            event.formatted(2, ", \"target\": [500, 1]"),
            event.formatted(3, ", \"target\": \"no such\"")));

    run(job(model, suffix, "latest", "at-least-once", "when: always, steps: adaptive"));

    Map<String, JsonNode> explanations = byId("explanations" + suffix);
    assertThat(explanations.keySet()).isEqualTo(byId("labels" + suffix).keySet()).hasSize(4);
    explanations.values().forEach(Schemas::isExplanation);
    for (String id : List.of("2", "3")) {
      assertThat(explanations.get(id).at("/error/code").asText()).isEqualTo("invalid_target");
    }
    JsonNode labelled = byId("labels" + suffix).get("0").at("/inference/" + model);
    assertThat(explanations.get("0").has("error")).isFalse();
    if (answers) {
      assertThat(labelled.get("answer").asText())
          .contains(explanations.get("0").at("/target/answer").asText());
      assertThat(explanations.get("1").at("/target/start").asInt()).isEqualTo(1);
    } else {
      assertThat(labelled.get("entities"))
          .anySatisfy(
              entity -> {
                assertThat(entity.get("index"))
                    .isEqualTo(explanations.get("0").at("/target/token"));
                assertThat(entity.get("entity"))
                    .isEqualTo(explanations.get("0").at("/target/label"));
              });
      assertThat(explanations.get("1").at("/target/token").asInt()).isEqualTo(1);
    }
  }
}
