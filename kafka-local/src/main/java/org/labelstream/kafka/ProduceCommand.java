package org.labelstream.kafka;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.labelstream.kafka.Main.Console;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code produce}: standard input to a topic, a record for each line, byte for byte. */
@Command(
    name = "produce",
    description =
        "Reads standard input and sends each line, byte for byte, as a record; makes the topic if"
            + " it is missing.",
    mixinStandardHelpOptions = true)
final class ProduceCommand implements Callable<Integer> {
  @Parameters(paramLabel = "TOPIC", description = "Where the records go.")
  private String topic;

  @Mixin private Connection connection;

  @Option(
      names = "--key-separator",
      paramLabel = "TEXT",
      description =
          "What stands before the first of these in a line is the record's key; \\t is a tab."
              + " Otherwise records have no key.")
  private String keySeparator;

  @Option(
      names = "--header",
      paramLabel = "NAME=VALUE",
      description = "A header for every record; may be repeated.")
  private Map<String, String> headers = new LinkedHashMap<>();

  @Option(
      names = "--partition",
      paramLabel = "N",
      description = "The partition; otherwise by key, or Kafka's choice.")
  private Integer partition;

  @Option(
      names = "--partitions",
      paramLabel = "N",
      defaultValue = "1",
      description = "How many partitions the topic gets if it is missing (default 1).")
  private int partitions;

  private final Console console;

  ProduceCommand(Console console) {
    this.console = console;
  }

  @Override
  public Integer call() throws IOException {
    makeTopic();
    AtomicLong arrived = new AtomicLong();
    AtomicReference<Exception> failure = new AtomicReference<>();
    try (KafkaProducer<byte[], byte[]> producer =
        new KafkaProducer<>(
            connection.properties(Map.of(ProducerConfig.MAX_BLOCK_MS_CONFIG, 10_000)),
            new ByteArraySerializer(),
            new ByteArraySerializer())) {
      byte[] separator =
          keySeparator == null
              ? null
              : keySeparator.replace("\\t", "\t").getBytes(StandardCharsets.UTF_8);
      InputStream in = new BufferedInputStream(console.in());
      long number = 0;
      for (byte[] line = readLine(in); line != null && failure.get() == null; line = readLine(in)) {
        ProducerRecord<byte[], byte[]> record = record(line, separator, ++number);
        headers.forEach(
            (name, value) -> record.headers().add(name, value.getBytes(StandardCharsets.UTF_8)));
        var unused =
            producer.send(
                record,
                (metadata, e) -> {
                  if (e == null) {
                    arrived.incrementAndGet();
                  } else {
                    failure.compareAndSet(null, e);
                  }
                });
      }
      producer.flush();
    } finally {
      console
          .err()
          .println(arrived + (arrived.get() == 1 ? " record" : " records") + " sent to " + topic);
    }
    if (failure.get() != null) {
      throw new LocalKafkaException(
          "A record could not be sent: " + failure.get().getMessage(), failure.get());
    }
    return 0;
  }

  private void makeTopic() {
    try (Admin admin = connection.admin()) {
      if (Connection.topics(admin).contains(topic)) {
        return;
      }
      NewTopic missing = new NewTopic(topic, Optional.of(partitions), Optional.empty());
      try {
        admin.createTopics(List.of(missing)).all().get();
        console.err().println("Made the topic " + topic + ", partitions: " + partitions);
      } catch (ExecutionException e) {
        if (!(e.getCause() instanceof TopicExistsException)) { // somebody was faster
          throw new LocalKafkaException(
              "The topic " + topic + " cannot be made: " + e.getCause().getMessage(), e);
        }
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new LocalKafkaException("Interrupted while making the topic " + topic + ".", e);
      }
    }
  }

  private ProducerRecord<byte[], byte[]> record(byte[] line, byte[] separator, long number) {
    if (separator == null) {
      return new ProducerRecord<>(topic, partition, null, line);
    }
    int at = indexOf(line, separator);
    if (at < 0) {
      throw new LocalKafkaException(
          "Line "
              + number
              + " has no key: put one and \""
              + keySeparator
              + "\" before the value, or leave out --key-separator.");
    }
    return new ProducerRecord<>(
        topic,
        partition,
        Arrays.copyOf(line, at),
        Arrays.copyOfRange(line, at + separator.length, line.length));
  }

  private static int indexOf(byte[] line, byte[] part) {
    for (int at = 0; at + part.length <= line.length; at++) {
      if (Arrays.equals(line, at, at + part.length, part, 0, part.length)) {
        return at;
      }
    }
    return -1;
  }

  /** The next line without its end, as the bytes that it is made of; null at the end. */
  private static byte[] readLine(InputStream in) throws IOException {
    int next = in.read();
    if (next < 0) {
      return null;
    }
    ByteArrayOutputStream line = new ByteArrayOutputStream(256);
    while (next >= 0 && next != '\n') {
      line.write(next);
      next = in.read();
    }
    return line.toByteArray();
  }
}
