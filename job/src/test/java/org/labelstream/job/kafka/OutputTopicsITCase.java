package org.labelstream.job.kafka;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.labelstream.kafka.LocalKafka;
import org.labelstream.record.Header;
import org.labelstream.record.OutputRecord;
import org.labelstream.record.OutputRecord.Destination;

/** What topics take, held against what the broker does. */
class OutputTopicsITCase {

  private static final int LIMIT = 5_000;

  private static LocalKafka kafka;

  @BeforeAll
  static void startKafka() {
    kafka = LocalKafka.start();
  }

  @AfterAll
  static void stopKafka() {
    kafka.close();
  }

  /** Half noise and half repeats, so that it can be compressed somewhat. */
  private static byte[] value(int length) {
    byte[] value = new byte[length];
    new Random(length).nextBytes(value);
    for (int i = 0; i < length; i += 2) {
      value[i] = 'e';
    }
    return value;
  }

  @ParameterizedTest
  @CsvSource({
    "none, producer",
    "gzip, producer",
    "lz4, producer",
    "snappy, producer",
    "zstd, producer",
    "none, gzip",
    "zstd, uncompressed"
  })
  void whatIsSaidToFitIsWhatTheBrokerTakes(String sent, String stored) throws Exception {
    String topic = "labels-" + sent + "-" + stored;
    kafka.createTopic(
        topic, 1, Map.of("max.message.bytes", Integer.toString(LIMIT), "compression.type", stored));
    Map<String, String> properties =
        Map.of("bootstrap.servers", kafka.bootstrapServers(), "compression.type", sent);
    OutputTopics topics = new OutputTopics(null, Map.of(Destination.LABELS, topic), properties);
    topics.open();
    int taken = 0;
    int refused = 0;
    try (KafkaProducer<byte[], byte[]> producer =
        new KafkaProducer<>(
            Map.copyOf(properties), new ByteArraySerializer(), new ByteArraySerializer())) {
      // A search for the length where the broker's answer changes, and its neighbours.
      int low = 100;
      int high = 4 * LIMIT;
      while (high - low > 1) {
        int length = (low + high) / 2;
        OutputRecord record =
            new OutputRecord(
                Destination.LABELS,
                new byte[] {1},
                value(length),
                List.of(Header.of("h", "x")),
                1_700_000_000_000L,
                0);
        boolean takes = takes(producer, topic, record);
        assertThat(topics.refusal(record).isEmpty()).as("%d bytes", length).isEqualTo(takes);
        if (takes) {
          low = length;
          taken++;
        } else {
          high = length;
          refused++;
        }
      }
    } finally {
      topics.close();
    }
    assertThat(taken).isPositive();
    assertThat(refused).isPositive();
  }

  private static boolean takes(
      KafkaProducer<byte[], byte[]> producer, String topic, OutputRecord record) throws Exception {
    try {
      producer
          .send(
              new ProducerRecord<>(
                  topic,
                  0,
                  record.timestamp(),
                  record.key(),
                  record.value(),
                  List.of(new RecordHeader("h", record.headers().get(0).value()))))
          .get();
      return true;
    } catch (ExecutionException e) {
      assertThat(e).hasCauseInstanceOf(RecordTooLargeException.class);
      return false;
    }
  }

  @Test
  void limitsThatChangeAreLearntAndStandWhenTheBrokerIsAway() throws Exception {
    LocalKafka other = LocalKafka.start();
    Map<String, String> client = Map.of("bootstrap.servers", other.bootstrapServers());
    try (Admin admin = Admin.create(Map.copyOf(client))) {
      other.createTopic("labels", 1);
      TopicLimits limits = TopicLimits.lease(client, Set.of("labels"), Duration.ofMillis(100));
      try (TopicLimits same = TopicLimits.lease(client, Set.of("labels"))) {
        assertThat(same).isSameAs(limits);
      }
      assertThat(limits.of("labels").maxBytes()).isEqualTo(1_048_588);
      assertThat(limits.of("labels").compacted()).isFalse();

      admin
          .incrementalAlterConfigs(
              Map.of(
                  new ConfigResource(ConfigResource.Type.TOPIC, "labels"),
                  List.of(
                      set("max.message.bytes", "2000"),
                      set("cleanup.policy", "compact"),
                      set("message.timestamp.type", "LogAppendTime"))))
          .all()
          .get();
      await(() -> limits.of("labels").maxBytes() == 2_000);
      assertThat(limits.of("labels").compacted()).isTrue();
      assertThat(limits.of("labels").takesTimestamp(Long.MAX_VALUE)).isTrue();

      other.close();
      Thread.sleep(1_000); // ten questions without an answer
      assertThat(limits.of("labels").maxBytes()).isEqualTo(2_000);
      limits.close();
      assertThat(Thread.getAllStackTraces().keySet())
          .noneMatch(thread -> thread.getName().equals("labelstream-topic-limits"));
    } finally {
      other.close();
    }
  }

  private static AlterConfigOp set(String name, String value) {
    return new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET);
  }

  private static void await(BooleanSupplier condition) throws InterruptedException {
    long deadline = System.nanoTime() + Duration.ofSeconds(20).toNanos();
    while (!condition.getAsBoolean()) {
      assertThat(System.nanoTime()).isLessThan(deadline);
      Thread.sleep(20);
    }
  }
}
