package org.labelstream.job;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.labelstream.operator.OutputRecords;

/** Sends records of four tasks at a steady rate, reads what comes of them, and keeps account. */
final class ChaosLoad {

  static final List<String> INPUTS =
      List.of("sentiment-in", "entities-in", "answers-in", "writer-in");
  static final List<String> OUTPUTS =
      List.of("sentiment-out", "entities-out", "answers-out", "writer-out", "dead", "why");

  private static final int EACH_MILLIS = 60;

  private final String bootstrapServers;
  private final Random random;
  private final Thread sender = new Thread(this::send, "chaos-sender");
  private final Thread reader = new Thread(this::read, "chaos-reader");

  /** Places of the records that the broker has, and whether an explanation was asked for. */
  private final Map<String, Boolean> sent = new ConcurrentHashMap<>();

  /** Answers in the order in which they came, by the partition that they came from. */
  private final Map<TopicPartition, List<Answer>> answers = new ConcurrentHashMap<>();

  /** How many answers of each partition must be in order. */
  private final Map<TopicPartition, Integer> ordered = new HashMap<>();

  private volatile boolean sending = true;
  private volatile boolean reading = true;
  private volatile Throwable failure;
  private final AtomicLong answered = new AtomicLong();
  private volatile long longestGapNanos;

  /** A record that came out, by where its source stands. */
  private record Answer(String topic, int partition, long offset) {
    String place() {
      return topic + "-" + partition + "@" + offset;
    }
  }

  ChaosLoad(String bootstrapServers, long seed) {
    this.bootstrapServers = bootstrapServers;
    this.random = new Random(seed + 1);
  }

  void begin() {
    sender.start();
    reader.start();
  }

  /** What is sent next: of 20 records one is broken, and one or two are to be explained. */
  private ProducerRecord<byte[], byte[]> next(int number) {
    int kind = random.nextInt(20);
    String topic = INPUTS.get(kind < 10 ? 0 : kind < 15 ? 1 : kind < 19 ? 2 : 3);
    String words =
        "a good film that nobody in the town forgot ".repeat(1 + random.nextInt(4))
            + (random.nextInt(30) == 0 ? "and so on for a long time ".repeat(120) : "");
    String value =
        switch (topic) {
          case "answers-in" ->
              "{\"id\": %d, \"question\": \"Who saw it?\", \"context\": \"%s. Ada saw it.\"}";
          case "writer-in" ->
              "{\"id\": %d, \"text\": \"Once %s\", \"parameters\": {\"max_new_tokens\": 8}}";
          default -> "{\"id\": %d, \"text\": \"%s\"%s}";
        };
    boolean explain = topic.equals("sentiment-in") && random.nextInt(8) == 0;
    String event = value.formatted(number, words, explain ? ", \"explain\": true" : "");
    byte[] bytes =
        switch (random.nextInt(60)) {
          case 0 -> event.substring(0, event.length() / 2).getBytes(UTF_8);
          case 1 -> event.replace("}", ", \"parameters\": {\"topk\": 1}}").getBytes(UTF_8);
          case 2 -> new byte[] {'n', 'o', (byte) 0xFF};
          default -> event.getBytes(UTF_8);
        };
    return new ProducerRecord<>(topic, number % 2, null, bytes);
  }

  private static boolean asksForAnExplanation(byte[] value) {
    return new String(value, UTF_8).contains("\"explain\": true");
  }

  private void send() {
    // It outlasts every outage, and sends nothing twice.
    Map<String, Object> properties =
        Map.of(
            "bootstrap.servers",
            bootstrapServers,
            "enable.idempotence",
            true,
            "delivery.timeout.ms",
            (int) Duration.ofMinutes(20).toMillis(),
            "max.block.ms",
            Duration.ofMinutes(20).toMillis());
    try (KafkaProducer<byte[], byte[]> producer =
        new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
      for (int number = 0; sending; number++) {
        ProducerRecord<byte[], byte[]> record = next(number);
        Future<RecordMetadata> unused =
            producer.send(
                record,
                (place, e) -> {
                  if (e == null) {
                    sent.put(
                        new Answer(place.topic(), place.partition(), place.offset()).place(),
                        asksForAnExplanation(record.value()));
                  } else {
                    failure = e;
                  }
                });
        Thread.sleep(EACH_MILLIS);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } catch (RuntimeException e) {
      failure = e;
    }
  }

  private void read() {
    try (KafkaConsumer<byte[], byte[]> consumer =
        new KafkaConsumer<>(
            Map.of("bootstrap.servers", bootstrapServers, "isolation.level", "read_committed"),
            new ByteArrayDeserializer(),
            new ByteArrayDeserializer())) {
      List<TopicPartition> partitions =
          OUTPUTS.stream()
              .flatMap(
                  topic ->
                      List.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1)).stream())
              .toList();
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      long last = System.nanoTime();
      while (reading) {
        int came = 0;
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
          answers
              .computeIfAbsent(
                  new TopicPartition(record.topic(), record.partition()),
                  any -> Collections.synchronizedList(new ArrayList<>()))
              .add(answer(record));
          came++;
        }
        if (came > 0) {
          long now = System.nanoTime();
          longestGapNanos = Math.max(longestGapNanos, answered.get() == 0 ? 0 : now - last);
          last = now;
          answered.addAndGet(came);
        }
      }
    } catch (RuntimeException e) {
      failure = e;
    }
  }

  private static Answer answer(ConsumerRecord<byte[], byte[]> record) {
    return new Answer(
        header(record, OutputRecords.SOURCE_TOPIC),
        Integer.parseInt(header(record, OutputRecords.SOURCE_PARTITION)),
        Long.parseLong(header(record, OutputRecords.SOURCE_OFFSET)));
  }

  private static String header(ConsumerRecord<byte[], byte[]> record, String name) {
    Header header = record.headers().lastHeader(name);
    return new String(header.value(), UTF_8);
  }

  long answers() {
    return answered.get();
  }

  void awaitAnswers(long count, Duration within) throws InterruptedException {
    long deadline = System.nanoTime() + within.toNanos();
    while (answered.get() < count) {
      check();
      if (System.nanoTime() > deadline) {
        throw new AssertionError(
            "%d of %d answers within %s; %d records were sent"
                .formatted(answered.get(), count, within, sent.size()));
      }
      Thread.sleep(50);
    }
  }

  private void check() {
    if (failure != null) {
      throw new AssertionError("the load cannot go on", failure);
    }
  }

  /** Ends the sending; all that was sent is with the broker when this returns. */
  void end() throws InterruptedException {
    sending = false;
    sender.join();
    check();
  }

  /** Waits until nothing is owed any more, and a while for what might come twice. */
  void awaitAll(Duration within) throws InterruptedException {
    long deadline = System.nanoTime() + within.toNanos();
    while (System.nanoTime() < deadline) {
      check();
      Account account = account(true);
      if (account.lost().isEmpty() && account.explanationsLost().isEmpty()) {
        break;
      }
      Thread.sleep(500);
    }
    Thread.sleep(5_000);
  }

  /**
   * From here on records that were in flight may be overtaken: the job goes on at another
   * parallelism.
   */
  void orderedUntilNow() {
    answers.forEach((partition, came) -> ordered.putIfAbsent(partition, came.size()));
  }

  /**
   * What became of the records.
   *
   * @param outOfOrder places whose answer came behind that of a later record of its partition
   */
  record Account(
      int sent,
      int labelled,
      int dead,
      int explanationsOwed,
      int explanationsMade,
      Set<String> lost,
      Set<String> repeated,
      Set<String> explanationsLost,
      Set<String> explanationsRepeated,
      Set<String> outOfOrder,
      double longestGapSeconds) {

    @Override
    public String toString() {
      String line = "  %-46s %s%n";
      return (line.formatted("records sent", sent)
          + line.formatted("labelled", labelled)
          + line.formatted("dead letters", dead)
          + line.formatted("explanations owed / made", explanationsOwed + " / " + explanationsMade)
          + line.formatted("lost", lost.size() + explanationsLost.size())
          + line.formatted("repeated", repeated.size() + explanationsRepeated.size())
          + line.formatted("out of order", outOfOrder.size())
          + line.formatted("longest gap", "%.1f s".formatted(longestGapSeconds)));
    }
  }

  /**
   * @param rescaled whether only what came before {@link #orderedUntilNow} must be in order
   */
  Account account(boolean rescaled) {
    Map<String, Integer> times = new HashMap<>();
    Map<String, Integer> why = new HashMap<>();
    Set<String> labelled = new TreeSet<>();
    Set<String> outOfOrder = new TreeSet<>();
    answers.forEach(
        (partition, came) -> {
          Map<String, Long> last = new TreeMap<>();
          int number = 0;
          for (Answer answer : List.copyOf(came)) {
            if (partition.topic().equals("why")) {
              why.merge(answer.place(), 1, Integer::sum);
              continue;
            }
            times.merge(answer.place(), 1, Integer::sum);
            if (partition.topic().equals("dead")) {
              continue;
            }
            labelled.add(answer.place());
            Long before = last.put(answer.topic() + "-" + answer.partition(), answer.offset());
            boolean counts =
                !rescaled || number < ordered.getOrDefault(partition, Integer.MAX_VALUE);
            if (counts && before != null && before > answer.offset()) {
              outOfOrder.add(answer.place());
            }
            number++;
          }
        });
    Set<String> owed = new TreeSet<>();
    sent.forEach(
        (place, explain) -> {
          if (explain && labelled.contains(place)) {
            owed.add(place);
          }
        });
    return new Account(
        sent.size(),
        labelled.size(),
        times.size() - labelled.size(),
        owed.size(),
        why.size(),
        without(sent.keySet(), times.keySet()),
        twice(times),
        without(owed, why.keySet()),
        twice(why),
        outOfOrder,
        longestGapNanos / 1e9);
  }

  private static Set<String> without(Set<String> all, Set<String> some) {
    Set<String> rest = new TreeSet<>(all);
    rest.removeAll(some);
    return rest;
  }

  private static Set<String> twice(Map<String, Integer> times) {
    Set<String> twice = new TreeSet<>();
    times.forEach(
        (place, count) -> {
          if (count > 1) {
            twice.add(place);
          }
        });
    return twice;
  }

  void close() throws InterruptedException {
    sending = false;
    reading = false;
    sender.interrupt();
    sender.join();
    reader.join();
  }
}
