package org.labelstream.kafka;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.labelstream.kafka.Main.Console;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code consume}: topics to standard output, a line for each record. */
@Command(
    name = "consume",
    description =
        "Prints the records of topics as they are, one a line, from the beginning, and goes on"
            + " until Ctrl-C, --max or --timeout.",
    mixinStandardHelpOptions = true)
final class ConsumeCommand implements Callable<Integer> {
  private static final byte[] NULL = "null".getBytes(StandardCharsets.UTF_8);

  /** Which records of transactions are seen. */
  enum Isolation {
    read_committed,
    read_uncommitted
  }

  @Parameters(arity = "1..*", paramLabel = "TOPIC", description = "What is read.")
  private List<String> topics = List.of();

  @Mixin private Connection connection;

  @Option(
      names = "--latest",
      description = "Only what comes from now on; otherwise from the beginning.")
  private boolean latest;

  @Option(names = "--max", paramLabel = "N", description = "Leave after so many records.")
  private Long max;

  @Option(
      names = "--timeout",
      paramLabel = "DURATION",
      description = "Leave when nothing has come for so long, as in 10s; otherwise wait for more.")
  private Duration timeout;

  @Option(
      names = "--timestamps",
      description = "Print each record's timestamp and a tab before it.")
  private boolean timestamps;

  @Option(names = "--keys", description = "Print each record's key and a tab before it.")
  private boolean keys;

  @Option(
      names = "--headers",
      description = "Print each record's headers, as name=value,name=value, and a tab before it.")
  private boolean headers;

  @Option(
      names = "--group",
      paramLabel = "NAME",
      description = "Go on where this consumer group left off, and remember how far it came.")
  private String group;

  @Option(
      names = "--isolation",
      defaultValue = "read_committed",
      description = "${COMPLETION-CANDIDATES} (default ${DEFAULT-VALUE}).")
  private Isolation isolation = Isolation.read_committed;

  private final Console console;

  ConsumeCommand(Console console) {
    this.console = console;
  }

  @Override
  public Integer call() throws IOException {
    checkTopics();
    Map<String, Object> own = new HashMap<>();
    own.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, isolation.name().toLowerCase(Locale.ROOT));
    own.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, latest ? "latest" : "earliest");
    own.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false);
    if (group != null) {
      own.put(ConsumerConfig.GROUP_ID_CONFIG, group);
    }
    try (KafkaConsumer<byte[], byte[]> consumer =
        new KafkaConsumer<>(
            connection.properties(own), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      if (group != null) {
        consumer.subscribe(topics);
      } else {
        List<TopicPartition> all = new ArrayList<>();
        for (String topic : topics) {
          consumer
              .partitionsFor(topic)
              .forEach(p -> all.add(new TopicPartition(topic, p.partition())));
        }
        consumer.assign(all);
      }
      print(consumer);
    }
    return 0;
  }

  private void checkTopics() {
    try (Admin admin = connection.admin()) {
      Set<String> known = Connection.topics(admin);
      for (String topic : topics) {
        if (!known.contains(topic)) {
          throw Connection.unknownTopic(topic, known);
        }
      }
    }
  }

  private void print(KafkaConsumer<byte[], byte[]> consumer) throws IOException {
    PrintStream out = console.out();
    long left = max == null ? Long.MAX_VALUE : max;
    long lastSeen = System.nanoTime();
    while (left > 0) {
      ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(100));
      Map<TopicPartition, OffsetAndMetadata> seen = new HashMap<>(); // with --max, not all of them
      for (ConsumerRecord<byte[], byte[]> record : records) {
        if (left == 0) {
          break;
        }
        print(record, out);
        left--;
        seen.put(
            new TopicPartition(record.topic(), record.partition()),
            new OffsetAndMetadata(record.offset() + 1));
      }
      out.flush();
      if (out.checkError()) {
        return; // whoever read our output has left, as head does
      }
      if (!records.isEmpty()) {
        lastSeen = System.nanoTime();
        if (group != null) {
          consumer.commitSync(seen);
        }
      } else if (timeout != null && System.nanoTime() - lastSeen > timeout.toNanos()) {
        return;
      }
    }
  }

  private void print(ConsumerRecord<byte[], byte[]> record, PrintStream out) throws IOException {
    if (timestamps) {
      write(
          out,
          Instant.ofEpochMilli(record.timestamp()).toString().getBytes(StandardCharsets.UTF_8));
      out.write('\t');
    }
    if (keys) {
      write(out, record.key());
      out.write('\t');
    }
    if (headers) {
      write(
          out,
          StreamSupport.stream(record.headers().spliterator(), false)
              .map(ConsumeCommand::header)
              .collect(Collectors.joining(","))
              .getBytes(StandardCharsets.UTF_8));
      out.write('\t');
    }
    write(out, record.value());
    out.write('\n');
  }

  private static String header(Header header) {
    return header.key()
        + "="
        + (header.value() == null ? "null" : new String(header.value(), StandardCharsets.UTF_8));
  }

  private static void write(PrintStream out, byte[] bytes) {
    byte[] known = bytes == null ? NULL : bytes;
    out.write(known, 0, known.length);
  }
}
