package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.labelstream.job.Topics.bytes;
import static org.labelstream.job.Topics.headers;
import static org.labelstream.job.Topics.text;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.apache.flink.api.common.JobID;
import org.apache.flink.client.program.ClusterClient;
import org.apache.flink.runtime.client.JobStatusMessage;
import org.apache.flink.runtime.testutils.MiniClusterResourceConfiguration;
import org.apache.flink.test.junit5.InjectClusterClient;
import org.apache.flink.test.junit5.MiniClusterExtension;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.TransactionListing;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.labelstream.kafka.LocalKafka;

/** Records that the broker would refuse, or does, and what they cost: never the job. */
@Timeout(value = 120, unit = TimeUnit.SECONDS)
class RefusedRecordsITCase {

  private static final Path SENTIMENT = Path.of("../model-assets/sentiment").toAbsolutePath();
  private static final int RECORDS = 100;
  private static final int LIMIT = 20_000;

  @RegisterExtension
  static final MiniClusterExtension FLINK =
      new MiniClusterExtension(
          new MiniClusterResourceConfiguration.Builder()
              .setNumberTaskManagers(1)
              .setNumberSlotsPerTaskManager(2)
              .build());

  private static LocalKafka kafka;
  private static Topics topics;
  private static Admin admin;

  @TempDir Path folder;

  @BeforeAll
  static void startKafka() {
    kafka =
        LocalKafka.builder()
            .property(
                "authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
            .property("allow.everyone.if.no.acl.found", "true")
            .start();
    topics = new Topics(kafka.bootstrapServers());
    admin = Admin.create(Map.of("bootstrap.servers", kafka.bootstrapServers()));
  }

  @AfterAll
  static void stopKafka() {
    admin.close();
    kafka.close();
  }

  private static ProducerRecord<byte[], byte[]> record(
      String topic, int i, Long timestamp, String key) {
    return new ProducerRecord<>(
        topic, 0, timestamp, key == null ? null : bytes(key), bytes("It was good, number " + i));
  }

  private static ProducerRecord<byte[], byte[]> large(String topic) {
    return new ProducerRecord<>(topic, 0, bytes("large"), bytes("y ".repeat(LIMIT)));
  }

  @ParameterizedTest
  @ValueSource(strings = {"at-least-once", "exactly-once"})
  void whatATopicTakesIsKnownBeforeTheSink(String delivery) throws Exception {
    String suffix = "-limits-" + delivery;
    kafka.createTopic("texts" + suffix, 1);
    kafka.createTopic(
        "labels" + suffix,
        1,
        Map.of(
            "max.message.bytes",
            Integer.toString(LIMIT),
            "cleanup.policy",
            "compact",
            "message.timestamp.before.max.ms",
            Long.toString(Duration.ofDays(1).toMillis())));
    kafka.createTopic("dead" + suffix, 1, Map.of("cleanup.policy", "compact"));
    List<ProducerRecord<byte[], byte[]>> sent = new ArrayList<>();
    long now = System.currentTimeMillis();
    long old = now - Duration.ofDays(2).toMillis();
    for (int i = 0; i < RECORDS; i++) {
      sent.add(
          record("texts" + suffix, i, i % 10 == 1 ? old : now, i % 10 == 2 ? null : "key-" + i));
    }
    sent.add(large("texts" + suffix));
    topics.send(sent);

    run(suffix, delivery, "latest");

    Map<String, Integer> codes = new HashMap<>();
    for (ConsumerRecord<byte[], byte[]> dead : topics.read("dead" + suffix)) {
      codes.merge(headers(dead).get("labelstream.error.code"), 1, Integer::sum);
      int offset = Integer.parseInt(headers(dead).get("labelstream.source.offset"));
      assertThat(dead.value()).isEqualTo(sent.get(offset).value());
      assertThat(text(dead.key()))
          .isEqualTo(offset == RECORDS ? "large" : "texts" + suffix + "-0@" + offset);
      Schemas.areDeadLetterHeaders(ours(dead));
    }
    assertThat(codes).isEqualTo(Map.of("missing_key", RECORDS / 10, "output_too_large", 1));
    int aged = 0;
    Set<String> labelled = new HashSet<>();
    for (ConsumerRecord<byte[], byte[]> label : topics.read("labels" + suffix)) {
      assertThat(labelled.add(text(label.key()))).isTrue();
      if (headers(label).containsKey("labelstream.source.timestamp")) {
        assertThat(headers(label)).containsEntry("labelstream.source.timestamp", "" + old);
        assertThat(label.timestamp()).isGreaterThanOrEqualTo(now);
        aged++;
      }
    }
    assertThat(labelled).hasSize(RECORDS - RECORDS / 10);
    assertThat(aged).isEqualTo(RECORDS / 10);
  }

  @ParameterizedTest
  @ValueSource(strings = {"at-least-once", "exactly-once"})
  void whatTheBrokerRefusesAllTheSameIsADeadLetter(String delivery) throws Exception {
    String suffix = "-refused-" + delivery;
    kafka.createTopic("texts" + suffix, 1);
    kafka.createTopic("labels" + suffix, 1, Map.of("max.message.bytes", Integer.toString(LIMIT)));
    kafka.createTopic("dead" + suffix, 1);
    hideSettings("labels" + suffix);
    List<ProducerRecord<byte[], byte[]>> sent = new ArrayList<>();
    for (int i = 0; i < RECORDS; i++) {
      sent.add(i == 30 ? large("texts" + suffix) : record("texts" + suffix, i, null, "key-" + i));
    }
    topics.send(sent);

    run(suffix, delivery, "latest");

    List<ConsumerRecord<byte[], byte[]>> dead = topics.read("dead" + suffix);
    assertThat(dead).hasSize(1);
    assertThat(dead.get(0).value()).isEqualTo(bytes("y ".repeat(LIMIT)));
    assertThat(headers(dead.get(0)))
        .containsEntry("labelstream.error.code", "output_refused")
        .containsEntry("labelstream.source.offset", "30");
    Schemas.areDeadLetterHeaders(ours(dead.get(0)));
    List<ConsumerRecord<byte[], byte[]>> labels = topics.read("labels" + suffix);
    Set<String> keys = new HashSet<>();
    labels.forEach(label -> keys.add(text(label.key())));
    assertThat(keys).hasSize(RECORDS - 1);
    if (delivery.equals("exactly-once")) {
      assertThat(labels).as("none twice").hasSize(RECORDS - 1);
    }
  }

  /** As a second job of the same name does it. */
  @Test
  void aFencedProducerCostsItsJobARestartAndNotTheTaskManager(
      @InjectClusterClient ClusterClient<?> cluster) throws Exception {
    for (String topic : List.of("texts-fenced", "labels-fenced", "dead-fenced")) {
      kafka.createTopic(topic, 1);
    }
    Thread job = new Thread(() -> runUnchecked("-fenced", "exactly-once", "never"));
    job.start();
    topics.send(List.of(record("texts-fenced", 0, null, "key-0")));
    topics.readUntil("labels-fenced", labels -> labels.size() == 1, Duration.ofMinutes(1));

    List<String> ids =
        admin.listTransactions().all().get().stream()
            .map(TransactionListing::transactionalId)
            .filter(id -> id.startsWith("job-fenced/"))
            .toList();
    assertThat(ids).isNotEmpty();
    for (int i = 1; i < RECORDS; i++) {
      topics.send(List.of(record("texts-fenced", i, null, "key-" + i)));
      if (i == 20) {
        admin.fenceProducers(ids).all().get();
      }
    }
    List<ConsumerRecord<byte[], byte[]>> labels =
        topics.readUntil("labels-fenced", some -> some.size() >= RECORDS, Duration.ofSeconds(60));

    assertThat(labels).hasSize(RECORDS);
    assertThat(topics.read("labels-fenced")).as("none twice").hasSize(RECORDS);
    JobID id =
        cluster.listJobs().get().stream()
            .filter(status -> status.getJobName().equals("job-fenced"))
            .map(JobStatusMessage::getJobId)
            .findFirst()
            .orElseThrow();
    cluster.cancel(id).get();
    job.join();
  }

  /** Takes from clients the right to ask what a topic takes, so that only a refusal tells. */
  private static void hideSettings(String topic) throws Exception {
    ResourcePattern resource = new ResourcePattern(ResourceType.TOPIC, topic, PatternType.LITERAL);
    admin
        .createAcls(
            List.of(
                new AclBinding(
                    resource,
                    new AccessControlEntry(
                        "User:*", "*", AclOperation.ALL, AclPermissionType.ALLOW)),
                new AclBinding(
                    resource,
                    new AccessControlEntry(
                        "User:*", "*", AclOperation.DESCRIBE_CONFIGS, AclPermissionType.DENY))))
        .all()
        .get();
  }

  private static Map<String, String> ours(ConsumerRecord<byte[], byte[]> record) {
    Map<String, String> named = headers(record);
    named.keySet().removeIf(name -> !name.startsWith("labelstream."));
    return named;
  }

  private void runUnchecked(String suffix, String delivery, String until) {
    try {
      run(suffix, delivery, until);
    } catch (Exception e) {
      // cancelled
    }
  }

  private void run(String suffix, String delivery, String until) throws Exception {
    Path file =
        Files.writeString(
            folder.resolve("job.yaml"),
            """
            name: job%s
            pipelines:
              - name: sentiment
                model: %s
                input: {topic: texts%s, until: %s}
                output: {topic: labels%s}
                dead-letters: {topic: dead%s}
                parallelism: 1
            kafka:
              common: {bootstrap.servers: "%s"}
              consumer: {group.id: test%s}
            delivery: %s
            flink: {execution.checkpointing.interval: 500ms}
            """
                .formatted(
                    suffix,
                    SENTIMENT,
                    suffix,
                    until,
                    suffix,
                    suffix,
                    kafka.bootstrapServers(),
                    suffix,
                    delivery));
    Main.main(new String[] {"--config", file.toString()});
  }
}
