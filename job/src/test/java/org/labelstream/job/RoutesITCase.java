package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.labelstream.job.Topics.headers;
import static org.labelstream.job.Topics.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.runtime.testutils.MiniClusterResourceConfiguration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.test.junit5.MiniClusterExtension;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.labelstream.job.jobfile.JobFile;
import org.labelstream.job.jobfile.JobSpec;
import org.labelstream.job.kafka.KafkaPipelines;
import org.labelstream.kafka.LocalKafka;

/** Results that go to more topics than one, or to another, over an end in the middle. */
class RoutesITCase {

  private static final Path SENTIMENT = Path.of("../model-assets/sentiment").toAbsolutePath();
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int RECORDS = 10_000;
  private static final List<String> TEXTS =
      List.of("a good film", "a terrible film", "it was there", "so so", "never again, awful");

  @RegisterExtension
  static final MiniClusterExtension FLINK =
      new MiniClusterExtension(
          new MiniClusterResourceConfiguration.Builder()
              .setNumberTaskManagers(1)
              .setNumberSlotsPerTaskManager(2)
              .build());

  @TempDir Path folder;

  /** The results in a topic by the place of their records, of which none may be there twice. */
  private static Map<String, JsonNode> results(Topics topics, String topic) throws Exception {
    Map<String, JsonNode> results = new HashMap<>();
    for (ConsumerRecord<byte[], byte[]> record : topics.read(topic)) {
      JsonNode result = JSON.readTree(text(record.value())).at("/inference/sentiment");
      String place =
          headers(record).get("labelstream.source.partition")
              + "@"
              + headers(record).get("labelstream.source.offset");
      assertThat(results.put(place, result)).as(topic + " " + place).isNull();
    }
    return results;
  }

  @Test
  void eachRecordGoesOnceWhereItsResultSays() throws Exception {
    try (LocalKafka kafka = LocalKafka.start()) {
      for (String topic : List.of("texts", "labels", "review", "blocked", "audit")) {
        kafka.createTopic(topic, 2);
      }
      kafka.createTopic("dead", 1);
      Topics topics = new Topics(kafka.bootstrapServers());
      List<String> texts = new ArrayList<>();
      for (int i = 0; i < RECORDS; i++) {
        texts.add(TEXTS.get(i % TEXTS.size()) + (i % 7 == 0 ? "" : ", number " + i));
      }
      topics.sendTexts("texts", texts, 2);

      JobClient first = start(kafka, null);
      topics.readUntil("labels", records -> !records.isEmpty(), Duration.ofMinutes(1));
      String savepoint = stop(first);
      int before = topics.read("labels").size() + topics.read("blocked").size();
      JobClient second = start(kafka, savepoint);
      topics.readUntil(
          "labels",
          records -> records.size() + topics.read("blocked").size() >= RECORDS,
          Duration.ofMinutes(2));
      stop(second);

      Map<String, JsonNode> all = results(topics, "labels");
      Map<String, JsonNode> blocked = results(topics, "blocked");
      int labelled = all.size();
      all.putAll(blocked);
      assertThat(labelled + blocked.size()).isEqualTo(RECORDS);
      assertThat(all).hasSize(RECORDS);
      assertThat(topics.read("dead")).isEmpty();
      Map<String, JsonNode> toReview = new HashMap<>();
      Map<String, JsonNode> toBlock = new HashMap<>();
      all.forEach(
          (place, result) -> {
            if (result.get("score").asDouble() < 0.9) {
              toReview.put(place, result);
            }
            if (result.get("label").asText().equals("NEGATIVE")) {
              toBlock.put(place, result);
            }
          });
      assertThat(results(topics, "review")).isEqualTo(toReview).isNotEmpty();
      assertThat(blocked).isEqualTo(toBlock).isNotEmpty();
      assertThat(results(topics, "audit").size()).isBetween(RECORDS / 20, RECORDS * 3 / 20);
      System.out.printf(
          "%d records came out before the savepoint; of all %d were copied, %d moved%n",
          before, toReview.size(), toBlock.size());
    }
  }

  private String stop(JobClient job) throws Exception {
    return job.stopWithSavepoint(false, folder.toUri().toString(), SavepointFormatType.CANONICAL)
        .get();
  }

  private static JobClient start(LocalKafka kafka, String savepoint) throws Exception {
    String text =
        """
        name: routes
        pipelines:
          - name: sentiment
            model: %s
            input: {topic: texts}
            output: {topic: labels}
            dead-letters: {topic: dead}
            routes:
              - {when: "score < 0.9", topic: review}
              - {when: "label == 'NEGATIVE'", topic: blocked, move: true}
              - {sample: 0.1, topic: audit}
            parallelism: 2
        kafka:
          common: {bootstrap.servers: "%s"}
          consumer: {group.id: routes}
        delivery: exactly-once
        flink: {execution.checkpointing.interval: 500ms%s}
        """
            .formatted(
                SENTIMENT,
                kafka.bootstrapServers(),
                savepoint == null ? "" : ", execution.state-recovery.path: \"" + savepoint + "\"");
    JobSpec job = JobFile.read("job.yaml", text, model -> model);
    StreamExecutionEnvironment env = Main.environment(job);
    KafkaPipelines.build(env, job);
    return env.executeAsync(job.name());
  }
}
