package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.labelstream.job.Topics.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.DataInputStream;
import java.net.URI;
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
import org.apache.flink.runtime.checkpoint.Checkpoints;
import org.apache.flink.runtime.checkpoint.OperatorState;
import org.apache.flink.runtime.checkpoint.metadata.CheckpointMetadata;
import org.apache.flink.runtime.state.OperatorStateHandle;
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

/** A savepoint taken while the async stage holds records, and what becomes of them. */
class SavepointITCase {

  private static final Path SENTIMENT = Path.of("../model-assets/sentiment").toAbsolutePath();
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int RECORDS = 3_000;
  private static final String QUEUED_INPUTS = "_async_wait_operator_state_";

  @RegisterExtension
  static final MiniClusterExtension FLINK =
      new MiniClusterExtension(
          new MiniClusterResourceConfiguration.Builder()
              .setNumberTaskManagers(1)
              .setNumberSlotsPerTaskManager(2)
              .build());

  @TempDir Path folder;

  @Test
  void recordsInFlightAtASavepointAreNeitherLostNorRepeated() throws Exception {
    try (LocalKafka kafka = LocalKafka.start()) {
      kafka.createTopic("texts", 2);
      kafka.createTopic("labels", 2);
      kafka.createTopic("dead", 1);
      Topics topics = new Topics(kafka.bootstrapServers());
      // Long texts, so that the model is always behind the source.
      topics.sendTexts(
          "texts",
          IntStream.range(0, RECORDS)
              .mapToObj(
                  i -> "{\"id\": %d, \"text\": \"%s\"}".formatted(i, "a long story ".repeat(40)))
              .toList());

      JobClient first = start(kafka, null);
      topics.readUntil("labels", records -> !records.isEmpty(), Duration.ofMinutes(1));
      String savepoint =
          first
              .stopWithSavepoint(false, folder.toUri().toString(), SavepointFormatType.CANONICAL)
              .get();
      int before = topics.read("labels").size();
      int inFlight = queuedInputs(savepoint);
      assertThat(inFlight).as("records in the async stage at the savepoint").isPositive();
      assertThat(before).isLessThan(RECORDS);

      JobClient second = start(kafka, savepoint);
      topics.readUntil("labels", records -> records.size() >= RECORDS, Duration.ofMinutes(2));
      // Stopping commits what was labelled since the last checkpoint: what is repeated would come
      // out.
      second
          .stopWithSavepoint(false, folder.toUri().toString(), SavepointFormatType.CANONICAL)
          .get();

      Map<Integer, Integer> times = new HashMap<>();
      for (ConsumerRecord<byte[], byte[]> record : topics.read("labels")) {
        JsonNode labelled = JSON.readTree(text(record.value()));
        times.merge(labelled.get("id").asInt(), 1, Integer::sum);
      }
      assertThat(topics.read("dead")).isEmpty();
      assertThat(times).hasSize(RECORDS);
      assertThat(times.values()).as("times that a record came out").containsOnly(1);
      System.out.printf(
          "%d records came out before the savepoint, %d were in flight in it, %d came after it%n",
          before, inFlight, RECORDS - before);
    }
  }

  /** How many queued inputs of async operators a savepoint holds. */
  private static int queuedInputs(String savepoint) throws Exception {
    Path metadata = Path.of(URI.create(savepoint)).resolve("_metadata");
    int count = 0;
    try (DataInputStream in = new DataInputStream(Files.newInputStream(metadata))) {
      CheckpointMetadata content =
          Checkpoints.loadCheckpointMetadata(in, SavepointITCase.class.getClassLoader(), savepoint);
      for (OperatorState operator : content.getOperatorStates()) {
        for (var subtask : operator.getStates()) {
          for (OperatorStateHandle handle : subtask.getManagedOperatorState()) {
            var queued = handle.getStateNameToPartitionOffsets().get(QUEUED_INPUTS);
            count += queued == null ? 0 : queued.getOffsets().length;
          }
        }
      }
    }
    return count;
  }

  private JobClient start(LocalKafka kafka, String savepoint) throws Exception {
    List<String> flink = new ArrayList<>(List.of("execution.checkpointing.interval: 500ms"));
    if (savepoint != null) {
      flink.add("execution.state-recovery.path: \"" + savepoint + "\"");
    }
    String text =
        """
        name: savepoint
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
          consumer: {group.id: savepoint}
        delivery: exactly-once
        flink: {%s}
        """
            .formatted(SENTIMENT, kafka.bootstrapServers(), String.join(", ", flink));
    JobSpec job = JobFile.read("job.yaml", text, model -> model);
    StreamExecutionEnvironment env = Main.environment(job);
    KafkaPipelines.build(env, job);
    return env.executeAsync(job.name());
  }
}
