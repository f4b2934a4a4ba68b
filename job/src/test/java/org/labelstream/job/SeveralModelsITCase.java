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
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.labelstream.job.jobfile.JobFile;
import org.labelstream.job.jobfile.JobSpec;
import org.labelstream.job.kafka.KafkaPipelines;
import org.labelstream.kafka.LocalKafka;

/** Several models through Kafka: one that fails, and one that waits, over an end in the middle. */
@Timeout(180)
class SeveralModelsITCase {

  private static final Path ASSETS = Path.of("../model-assets").toAbsolutePath();
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int RECORDS = 2_000;

  @RegisterExtension
  static final MiniClusterExtension FLINK =
      new MiniClusterExtension(
          new MiniClusterResourceConfiguration.Builder()
              .setNumberTaskManagers(1)
              .setNumberSlotsPerTaskManager(1)
              .build());

  @TempDir Path folder;

  @Test
  void eachRecordComesOutOnceWithWhatEachModelSays() throws Exception {
    try (LocalKafka kafka = LocalKafka.start()) {
      for (String topic : List.of("texts", "labels", "dead", "named")) {
        kafka.createTopic(topic, 1);
      }
      Topics topics = new Topics(kafka.bootstrapServers());
      List<String> texts = new ArrayList<>();
      for (int i = 0; i < RECORDS; i++) {
        texts.add(
            "{\"text\": \"%s\"%s}"
                .formatted(
                    i % 2 == 0 ? "Maria Keller lives in Berlin and sees films" : "a terrible film",
                    i % 5 == 0 ? ", \"question\": \"what?\", \"context\": \"A film.\"" : ""));
      }
      texts.add("{\"question\": \"what?\"}"); // for none of them
      topics.sendTexts("texts", texts);

      JobClient first = start(kafka, null);
      topics.readUntil("labels", records -> !records.isEmpty(), Duration.ofMinutes(1));
      String savepoint =
          first
              .stopWithSavepoint(false, folder.toUri().toString(), SavepointFormatType.CANONICAL)
              .get();
      JobClient second = start(kafka, savepoint);
      topics.readUntil("dead", records -> !records.isEmpty(), Duration.ofMinutes(2));
      second.cancel().get();

      Map<String, JsonNode> results = new HashMap<>();
      int named = 0;
      for (ConsumerRecord<byte[], byte[]> record : topics.read("labels")) {
        JsonNode whole = JSON.readTree(text(record.value()));
        Schemas.isLabelledRecord(whole);
        String offset = headers(record).get("labelstream.source.offset");
        assertThat(results.put(offset, whole)).as(offset).isNull();
        JsonNode inference = whole.get("inference");
        boolean isGood = whole.get("text").asText().startsWith("Maria");
        assertThat(inference.at("/sentiment/label").asText())
            .isEqualTo(isGood ? "POSITIVE" : "NEGATIVE");
        assertThat(inference.has("entities")).isEqualTo(isGood);
        named += inference.at("/entities/entities").isEmpty() ? 0 : 1;
        if (whole.has("question")) {
          assertThat(inference.at("/answers/answer").isTextual()).isTrue();
        } else {
          assertThat(inference.at("/answers/error/code").asText()).isEqualTo("missing_field");
        }
      }
      assertThat(results).hasSize(RECORDS);
      assertThat(topics.read("named")).hasSize(named);
      assertThat(named).isPositive();
      assertThat(topics.read("dead"))
          .singleElement()
          .satisfies(
              record ->
                  assertThat(headers(record))
                      .containsEntry("labelstream.error.code", "missing_field"));
    }
  }

  private static JobClient start(LocalKafka kafka, String savepoint) throws Exception {
    String text =
        """
        name: several
        pipelines:
          - name: all
            models:
              - {name: sentiment, model: %1$s/sentiment}
              - {name: entities, model: %1$s/entities, when: {model: sentiment, label: POSITIVE}}
              - {name: answers, model: %1$s/answers}
            input: {topic: texts}
            output: {topic: labels}
            dead-letters: {topic: dead}
            routes: [{when: "entities.entities.size() > 0", topic: named}]
        kafka:
          common: {bootstrap.servers: "%2$s"}
          consumer: {group.id: several}
        delivery: exactly-once
        flink: {execution.checkpointing.interval: 300ms, parallelism.default: 1%3$s}
        """
            .formatted(
                ASSETS,
                kafka.bootstrapServers(),
                savepoint == null ? "" : ", execution.state-recovery.path: \"" + savepoint + "\"");
    JobSpec job = JobFile.read("job.yaml", text, model -> model);
    StreamExecutionEnvironment env = Main.environment(job);
    KafkaPipelines.build(env, job);
    return env.executeAsync(job.name());
  }
}
