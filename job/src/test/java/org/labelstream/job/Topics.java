package org.labelstream.job;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.function.Predicate;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** What tests put into topics and read from them. */
final class Topics {

  private final Map<String, Object> client = new HashMap<>();

  Topics(String bootstrapServers) {
    this(bootstrapServers, Map.of());
  }

  /**
   * @param properties what else a client of that broker needs
   */
  Topics(String bootstrapServers, Map<String, String> properties) {
    client.putAll(properties);
    client.put("bootstrap.servers", bootstrapServers);
  }

  private Map<String, Object> client(Map<String, ?> own) {
    Map<String, Object> all = new HashMap<>(client);
    all.putAll(own);
    return all;
  }

  /** Sends records and waits until the broker has them. */
  List<RecordMetadata> send(List<ProducerRecord<byte[], byte[]>> records) {
    Map<String, Object> properties = client(Map.of("linger.ms", 5, "acks", "all"));
    try (KafkaProducer<byte[], byte[]> producer =
        new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
      List<Future<RecordMetadata>> sent = new ArrayList<>();
      records.forEach(record -> sent.add(producer.send(record)));
      List<RecordMetadata> places = new ArrayList<>();
      for (Future<RecordMetadata> future : sent) {
        places.add(future.get());
      }
      return places;
    } catch (InterruptedException | ExecutionException e) {
      throw new AssertionError(e);
    }
  }

  /** Sends texts without keys. */
  void sendTexts(String topic, List<String> texts) {
    send(
        texts.stream()
            .map(text -> new ProducerRecord<byte[], byte[]>(topic, bytes(text)))
            .toList());
  }

  /** Sends texts without keys, to one partition after the other. */
  void sendTexts(String topic, List<String> texts, int partitions) {
    List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
    for (String text : texts) {
      records.add(new ProducerRecord<>(topic, records.size() % partitions, null, bytes(text)));
    }
    send(records);
  }

  /** All committed records of a topic, in the order of each partition. */
  List<ConsumerRecord<byte[], byte[]>> read(String topic) {
    List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
    try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
      List<TopicPartition> partitions = assign(consumer, topic);
      Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
      long deadline = System.nanoTime() + Duration.ofMinutes(1).toNanos();
      while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
        consumer.poll(Duration.ofMillis(200)).forEach(records::add);
        if (System.nanoTime() > deadline) {
          throw new AssertionError(topic + " could not be read to its end");
        }
      }
    }
    return records;
  }

  /** Reads a topic from its beginning until what was read is enough. */
  List<ConsumerRecord<byte[], byte[]>> readUntil(
      String topic, Predicate<List<ConsumerRecord<byte[], byte[]>>> enough, Duration limit) {
    List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
    long deadline = System.nanoTime() + limit.toNanos();
    try (KafkaConsumer<byte[], byte[]> consumer = consumer()) {
      assign(consumer, topic);
      while (!enough.test(records)) {
        if (System.nanoTime() > deadline) {
          throw new AssertionError(
              topic
                  + " has not what was expected within "
                  + limit
                  + ", but "
                  + records.size()
                  + " records");
        }
        consumer.poll(Duration.ofMillis(200)).forEach(records::add);
      }
    }
    return records;
  }

  private KafkaConsumer<byte[], byte[]> consumer() {
    return new KafkaConsumer<>(
        client(Map.of("isolation.level", "read_committed")),
        new ByteArrayDeserializer(),
        new ByteArrayDeserializer());
  }

  private static List<TopicPartition> assign(KafkaConsumer<?, ?> consumer, String topic) {
    List<TopicPartition> partitions =
        consumer.partitionsFor(topic).stream()
            .map(info -> new TopicPartition(topic, info.partition()))
            .toList();
    consumer.assign(partitions);
    consumer.seekToBeginning(partitions);
    return partitions;
  }

  /** A record's headers by name; of a name that repeats, the last. */
  static Map<String, String> headers(ConsumerRecord<byte[], byte[]> record) {
    Map<String, String> headers = new HashMap<>();
    for (Header header : record.headers()) {
      headers.put(header.key(), text(header.value()));
    }
    return headers;
  }

  static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  static String text(byte[] bytes) {
    return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
  }
}
