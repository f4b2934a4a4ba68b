package org.labelstream.kafka;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The broker keeps what it is given, and says in a sentence why it cannot start. */
class LocalKafkaTest {
  private static LocalKafka kafka;

  @BeforeAll
  static void start() {
    kafka = LocalKafka.start();
  }

  @AfterAll
  static void stop() {
    kafka.close();
    assertThat(kafka.folder()).doesNotExist();
  }

  @Test
  void recordsComeBackWithKeyPartitionAndTimestampFromLongAgo() {
    kafka.createTopic("round-trip", 3);
    try (KafkaProducer<String, String> producer = producer(kafka, Map.of())) {
      producer.send(new ProducerRecord<>("round-trip", 2, 17L, "k", "v")).get();
    } catch (Exception e) {
      throw new AssertionError(e);
    }
    try (KafkaConsumer<String, String> consumer = consumer(kafka, "round-trip", 2)) {
      var record = consumer.poll(Duration.ofSeconds(10)).iterator().next();
      assertThat(record.key()).isEqualTo("k");
      assertThat(record.value()).isEqualTo("v");
      assertThat(record.timestamp()).isEqualTo(17L);
    }
  }

  @Test
  void whatAnAbortedTransactionWroteIsNotSeenByReadersOfCommittedRecords() {
    kafka.createTopic("transactions", 1);
    try (KafkaProducer<String, String> producer =
        producer(kafka, Map.of("transactional.id", "test"))) {
      producer.initTransactions();
      producer.beginTransaction();
      var aborted = producer.send(new ProducerRecord<>("transactions", "aborted"));
      producer.flush();
      producer.abortTransaction();
      producer.beginTransaction();
      var committed = producer.send(new ProducerRecord<>("transactions", "committed"));
      producer.commitTransaction();
      assertThat(aborted).isDone();
      assertThat(committed).isDone();
    }
    try (KafkaConsumer<String, String> consumer = consumer(kafka, "transactions", 0)) {
      assertThat(values(consumer, 1)).containsExactly("committed");
    }
  }

  @Test
  void aTopicThatExistsIsNotCreatedAgain() {
    kafka.createTopic("once", 1, Map.of("max.message.bytes", "2000000"));
    assertThatThrownBy(() -> kafka.createTopic("once", 1))
        .isInstanceOf(LocalKafkaException.class)
        .hasMessageContaining("once")
        .hasMessageContaining("exists");
  }

  @Test
  void topicsAndRecordsSurviveARestartOnOtherPorts(@TempDir Path folder) {
    int before;
    try (LocalKafka first = LocalKafka.builder().folder(folder).start()) {
      before = first.port();
      first.createTopic("kept", 1);
      try (KafkaProducer<String, String> producer = producer(first, Map.of())) {
        producer.send(new ProducerRecord<>("kept", "value")).get();
      } catch (Exception e) {
        throw new AssertionError(e);
      }
    }
    try (LocalKafka second = LocalKafka.builder().folder(folder).start();
        KafkaConsumer<String, String> consumer = consumer(second, "kept", 0)) {
      assertThat(second.port()).isNotEqualTo(before);
      assertThat(values(consumer, 1)).containsExactly("value");
    }
  }

  @Test
  void aTakenPortIsNamedWithTheWayOut() throws IOException {
    try (ServerSocket other = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      assertThatThrownBy(() -> LocalKafka.builder().port(other.getLocalPort()).start())
          .isInstanceOf(LocalKafkaException.class)
          .hasMessage(
              "The port %d on 127.0.0.1 is taken by another program: stop that program, or choose"
                  + " another port.",
              other.getLocalPort());
      assertThatThrownBy(() -> LocalKafka.builder().controllerPort(other.getLocalPort()).start())
          .isInstanceOf(LocalKafkaException.class)
          .hasMessageContaining("controller port " + other.getLocalPort());
    }
  }

  @Test
  void aFolderWithARunningBrokerIsNamedWithTheWayOut() {
    assertThatThrownBy(() -> LocalKafka.builder().folder(kafka.folder()).start())
        .isInstanceOf(LocalKafkaException.class)
        .hasMessage(
            "The folder %s is in use by another running broker: stop that one, or choose another"
                + " folder.",
            kafka.folder());
  }

  @Test
  void aBadBrokerPropertyIsNamed() {
    assertThatThrownBy(
            () -> LocalKafka.builder().property("transaction.max.timeout.ms", "soon").start())
        .isInstanceOf(LocalKafkaException.class)
        .hasMessageContaining("transaction.max.timeout.ms");
  }

  /** The commands, on streams in place of the terminal. */
  @Nested
  class Console {
    @Test
    void linesGoInAndComeOutByteForByte() {
      Result produced = run(new byte[] {'a', '\n', (byte) 0xff, '\n', '\n', 'z'}, "produce", "raw");
      assertThat(produced.status).isZero();
      assertThat(produced.out).isEmpty();
      assertThat(produced.err)
          .contains("Made the topic raw, partitions: 1", "4 records sent to raw");

      Result consumed = run(new byte[0], "consume", "raw", "--max", "4");
      assertThat(consumed.status).isZero();
      assertThat(consumed.latin1).isEqualTo("a\n\u00ff\n\nz\n");
    }

    @Test
    void keysHeadersPartitionsAndTopicsAreShown() {
      run(
          "k\tv".getBytes(UTF_8),
          "produce",
          "keyed",
          "--key-separator",
          "\\t",
          "--header",
          "a=1",
          "--header",
          "b=2",
          "--partition",
          "1",
          "--partitions",
          "2");
      Result consumed =
          run(new byte[0], "consume", "keyed", "--keys", "--headers", "--timeout", "500ms");
      assertThat(consumed.out).isEqualTo("k\ta=1,b=2\tv\n");
      assertThat(run(new byte[0], "topics").out).contains("keyed\t2\t1\n");
    }

    @Test
    void aGroupGoesOnWhereItLeftOff() {
      run("1\n2\n3\n".getBytes(UTF_8), "produce", "grouped");
      String[] command = {"consume", "grouped", "--group", "g", "--max", "2"};
      assertThat(run(new byte[0], command).out).isEqualTo("1\n2\n");
      command[5] = "1";
      assertThat(run(new byte[0], command).out).isEqualTo("3\n");
    }

    @Test
    void aLineWithoutItsKeyIsNamed() {
      Result result = run("a:1\nb\n".getBytes(UTF_8), "produce", "keyless", "--key-separator", ":");
      assertThat(result.status).isEqualTo(1);
      assertThat(result.err).contains("Line 2 has no key").doesNotContain("\tat ");
    }

    @Test
    void aTopicThatIsNotThereIsNamed() {
      Result result = run(new byte[0], "consume", "nowhere");
      assertThat(result.status).isEqualTo(1);
      assertThat(result.err).startsWith("There is no topic nowhere").doesNotContain("\tat ");
    }

    @Test
    void wrongUseIsStatusTwo() {
      assertThat(run(new byte[0], "produce").status).isEqualTo(2);
      assertThat(run(new byte[0], "topics", "--nonsense").status).isEqualTo(2);
      assertThat(run(new byte[0]).status).isEqualTo(2);
    }

    @Test
    void everyCommandHasHelp() {
      for (String command : List.of("start", "produce", "consume", "create", "topics")) {
        Result result = run(new byte[0], command, "--help");
        assertThat(result.status).isZero();
        assertThat(result.out).contains("Usage: kafka-local.sh " + command);
      }
    }

    @Test
    void aSilentAddressIsNamed() throws IOException {
      int nobody;
      try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
        nobody = socket.getLocalPort();
      }
      Result result = run(new byte[0], "topics", "--bootstrap", "127.0.0.1:" + nobody);
      assertThat(result.status).isEqualTo(1);
      assertThat(result.err).startsWith("No broker answers at 127.0.0.1:" + nobody);
    }
  }

  private record Result(int status, String latin1, String out, String err) {}

  private static Result run(byte[] in, String... args) {
    List<String> all = new ArrayList<>(List.of(args));
    if (args.length > 0
        && !all.contains("--bootstrap")
        && !all.contains("--help")
        && !all.contains("--nonsense")) {
      all.addAll(List.of("--bootstrap", kafka.bootstrapServers()));
    }
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    ByteArrayOutputStream err = new ByteArrayOutputStream();
    int status =
        Main.run(
            all.toArray(String[]::new),
            new ByteArrayInputStream(in),
            new PrintStream(out, true, UTF_8),
            new PrintStream(err, true, UTF_8));
    return new Result(status, out.toString(ISO_8859_1), out.toString(UTF_8), err.toString(UTF_8));
  }

  private static KafkaProducer<String, String> producer(LocalKafka kafka, Map<String, String> own) {
    Map<String, Object> properties = new HashMap<>(own);
    properties.put("bootstrap.servers", kafka.bootstrapServers());
    return new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer());
  }

  private static KafkaConsumer<String, String> consumer(
      LocalKafka kafka, String topic, int partition) {
    KafkaConsumer<String, String> consumer =
        new KafkaConsumer<>(
            Map.of(
                "bootstrap.servers",
                kafka.bootstrapServers(),
                "isolation.level",
                "read_committed",
                "auto.offset.reset",
                "earliest"),
            new StringDeserializer(),
            new StringDeserializer());
    consumer.assign(List.of(new TopicPartition(topic, partition)));
    return consumer;
  }

  /** Reads until there are so many values, and a little longer in case there are more. */
  private static List<String> values(KafkaConsumer<String, String> consumer, int expected) {
    List<String> values = new ArrayList<>();
    long deadline = System.nanoTime() + Duration.ofSeconds(20).toNanos();
    while (values.size() < expected && System.nanoTime() < deadline) {
      consumer.poll(Duration.ofMillis(100)).forEach(record -> values.add(record.value()));
    }
    consumer.poll(Duration.ofMillis(500)).forEach(record -> values.add(record.value()));
    return values;
  }
}
