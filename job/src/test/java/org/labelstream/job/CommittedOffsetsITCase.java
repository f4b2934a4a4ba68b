package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.labelstream.job.Topics.text;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.core.execution.SavepointFormatType;
import org.apache.flink.runtime.testutils.MiniClusterResourceConfiguration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.test.junit5.MiniClusterExtension;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
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

/** What a job leaves behind as its group's offsets, and what another start from them does. */
class CommittedOffsetsITCase {

  private static final Path SENTIMENT = Path.of("../model-assets/sentiment").toAbsolutePath();
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int RECORDS = 200;
  private static final Duration LIMIT = Duration.ofMinutes(2);

  @RegisterExtension
  static final MiniClusterExtension FLINK =
      new MiniClusterExtension(
          new MiniClusterResourceConfiguration.Builder()
              .setNumberTaskManagers(1)
              .setNumberSlotsPerTaskManager(3)
              .build());

  private static LocalKafka kafka;
  private static Topics topics;

  @TempDir Path folder;

  @BeforeAll
  static void start() throws Exception {
    kafka = LocalKafka.start();
    topics = new Topics(kafka.bootstrapServers());
  }

  @AfterAll
  static void stop() {
    kafka.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"at-least-once", "exactly-once"})
  void whatWasWithTheModelWhenAJobWasCancelledIsReadAgain(String delivery) throws Exception {
    String name = "cancelled-" + delivery;
    createTopics(name);
    // Minutes of work to the first job, which reads all of each text; seconds to the second.
    sendTexts(name, "a long story ".repeat(900), RECORDS, ", \"parameters\": {\"stride\": 16}");

    JobClient first = submit(name, delivery, "until: never", 2, "");
    topics.readUntil(name + "-labels", labels -> labels.size() > 20, LIMIT);
    await(() -> !offsets(name).isEmpty()); // of a checkpoint that held records in flight
    first.cancel().get(1, TimeUnit.MINUTES);
    await(() -> first.getJobStatus().get().isGloballyTerminalState());
    int before = ids(name + "-labels").size();
    assertThat(before).as("labels before the cancellation").isLessThan(RECORDS);

    submit(name, delivery, "until: latest, control: {parameters: off}", 2, "")
        .getJobExecutionResult()
        .get(2, TimeUnit.MINUTES);

    assertThat(ids(name + "-labels")).as("texts with a label").hasSize(RECORDS);
  }

  @Test
  void anExplanationThatIsOwedIsReadAgainToo() throws Exception {
    String name = "owed";
    createTopics(name);
    sendTexts(name, "a good film, ".repeat(50), 40, ", \"explain\": true");
    // Minutes of work to the first job, seconds to the second.
    String explanations = "explanations: {topic: owed-why, steps: %d}";

    JobClient first =
        submit(name, "at-least-once", "until: never", 1, explanations.formatted(1_000));
    topics.readUntil(name + "-labels", labels -> labels.size() >= 40, LIMIT);
    await(() -> !offsets(name).isEmpty()); // of a checkpoint that held records in flight
    first.cancel().get(1, TimeUnit.MINUTES);
    await(() -> first.getJobStatus().get().isGloballyTerminalState());
    assertThat(ids(name + "-why").size()).as("explanations before").isLessThan(40);

    submit(name, "at-least-once", "until: latest", 1, explanations.formatted(10))
        .getJobExecutionResult()
        .get(2, TimeUnit.MINUTES);

    assertThat(ids(name + "-why")).hasSize(40);
  }

  @ParameterizedTest
  @ValueSource(strings = {"at-least-once", "exactly-once"})
  void aJobThatHasEndedLeavesNothingToRepeat(String delivery) throws Exception {
    String name = "ended-" + delivery;
    createTopics(name);
    sendTexts(name, "a good film");

    // Three subtasks for two partitions: one has nothing to read, and ends at once.
    for (int run = 0; run < 2; run++) {
      submit(name, delivery, "until: latest", 3, "")
          .getJobExecutionResult()
          .get(2, TimeUnit.MINUTES);
    }

    assertThat(topics.read(name + "-labels")).hasSize(RECORDS);
    assertThat(offsets(name)).containsValues(RECORDS / 2L).hasSize(2);
  }

  @ParameterizedTest
  @ValueSource(strings = {"at-least-once", "exactly-once"})
  void aJobThatWasStoppedLeavesNothingToRepeatOnceAllHasComeOut(String delivery) throws Exception {
    String name = "stopped-" + delivery;
    createTopics(name);
    sendTexts(name, "a good film");
    JobClient first = submit(name, delivery, "until: never", 2, "");
    topics.readUntil(name + "-labels", labels -> labels.size() >= RECORDS, LIMIT);

    first
        .stopWithSavepoint(false, folder.toUri().toString(), SavepointFormatType.CANONICAL)
        .get(1, TimeUnit.MINUTES);
    submit(name, delivery, "until: latest", 2, "").getJobExecutionResult().get(2, TimeUnit.MINUTES);

    assertThat(topics.read(name + "-labels")).hasSize(RECORDS);
  }

  @Test
  void whatIsStillInTheLogIsReadThoughTheSavepointsOffsetsAreNot() throws Exception {
    String name = "retention";
    createTopics(name);
    String latest = "start: latest, until: never";
    JobClient first = submit(name, "at-least-once", latest, 1, "");
    await(() -> first.getJobStatus().get() == JobStatus.RUNNING);
    // What comes before the source has looked for the end is not its own, so it is sent until it
    // is.
    await(
        () -> {
          topics.sendTexts(name, List.of("{\"id\": 0, \"text\": \"fine\"}"), 1);
          topics.sendTexts(name, List.of("{\"id\": 0, \"text\": \"fine\"}"), 2);
          return !topics.read(name + "-labels").isEmpty();
        });
    String savepoint =
        first
            .stopWithSavepoint(false, folder.toUri().toString(), SavepointFormatType.CANONICAL)
            .get(1, TimeUnit.MINUTES);
    sendTexts(name, "behind the savepoint, and removed");
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", kafka.bootstrapServers()))) {
      RecordsToDelete all = RecordsToDelete.beforeOffset(-1);
      admin
          .deleteRecords(Map.of(new TopicPartition(name, 0), all, new TopicPartition(name, 1), all))
          .all()
          .get();
    }
    topics.sendTexts(
        name,
        IntStream.range(1_000, 1_020)
            .mapToObj(i -> "{\"id\": %d, \"text\": \"still there\"}".formatted(i))
            .toList(),
        2);

    JobClient second =
        submit(
            name,
            "at-least-once",
            latest,
            1,
            "",
            ", execution.state-recovery.path: \"" + savepoint + "\"");
    try {
      await(() -> ids(name + "-labels").size() >= 21);
    } finally {
      second.cancel().get();
    }
  }

  private static void await(Callable<Boolean> condition) throws Exception {
    long deadline = System.nanoTime() + LIMIT.toNanos();
    while (!condition.call()) {
      assertThat(System.nanoTime()).as("it comes to be within %s", LIMIT).isLessThan(deadline);
      Thread.sleep(50);
    }
  }

  private static void createTopics(String name) throws Exception {
    kafka.createTopic(name, 2);
    kafka.createTopic(name + "-labels", 2);
    kafka.createTopic(name + "-dead", 1);
    kafka.createTopic(name + "-why", 1);
  }

  private static void sendTexts(String name, String text) {
    sendTexts(name, text, RECORDS, "");
  }

  private static void sendTexts(String name, String text, int count, String more) {
    topics.sendTexts(
        name,
        IntStream.range(0, count)
            .mapToObj(i -> "{\"id\": %d, \"text\": \"%s\"%s}".formatted(i, text, more))
            .toList(),
        2);
  }

  private static Map<Integer, Long> offsets(String name) throws Exception {
    try (Admin admin = Admin.create(Map.of("bootstrap.servers", kafka.bootstrapServers()))) {
      Map<TopicPartition, OffsetAndMetadata> committed =
          admin
              .listConsumerGroupOffsets("group-" + name + "-sentiment")
              .partitionsToOffsetAndMetadata()
              .get();
      Map<Integer, Long> offsets = new HashMap<>();
      committed.forEach((partition, at) -> offsets.put(partition.partition(), at.offset()));
      return offsets;
    }
  }

  private static Set<Integer> ids(String topic) throws Exception {
    Set<Integer> ids = new TreeSet<>();
    for (ConsumerRecord<byte[], byte[]> record : topics.read(topic)) {
      ids.add(JSON.readTree(text(record.value())).get("id").asInt());
    }
    return ids;
  }

  private static JobClient submit(
      String name, String delivery, String input, int parallelism, String explanations)
      throws Exception {
    return submit(name, delivery, input, parallelism, explanations, "");
  }

  private static JobClient submit(
      String name,
      String delivery,
      String input,
      int parallelism,
      String explanations,
      String flink)
      throws Exception {
    String text =
        """
        name: %1$s
        pipelines:
          - name: sentiment
            model: %2$s
            cache: {in-flight: false}
            input: {topic: %1$s, %3$s}
            output: {topic: %1$s-labels}
            dead-letters: {topic: %1$s-dead}
            parallelism: %4$d
            %5$s
        kafka:
          common: {bootstrap.servers: "%6$s"}
          consumer: {group.id: group-%1$s}
        delivery: %7$s
        flink: {execution.checkpointing.interval: 300ms%8$s}
        """
            .formatted(
                name,
                SENTIMENT,
                input,
                parallelism,
                explanations,
                kafka.bootstrapServers(),
                delivery,
                flink);
    JobSpec job = JobFile.read("job.yaml", text, model -> model);
    StreamExecutionEnvironment env = Main.environment(job);
    KafkaPipelines.build(env, job);
    return env.executeAsync(job.name());
  }
}
