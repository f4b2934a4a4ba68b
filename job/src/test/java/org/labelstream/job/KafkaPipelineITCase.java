package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.labelstream.job.Topics.bytes;
import static org.labelstream.job.Topics.headers;
import static org.labelstream.job.Topics.text;

import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.apache.flink.runtime.testutils.MiniClusterResourceConfiguration;
import org.apache.flink.test.junit5.MiniClusterExtension;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.labelstream.kafka.LocalKafka;

/** The job from Kafka to Kafka, on a broker and a Flink of this JVM. */
class KafkaPipelineITCase {

  private static final Path SENTIMENT = Path.of("../model-assets/sentiment").toAbsolutePath();
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int RECORDS = 1_000;
  private static final int PARTITIONS = 3;
  private static final int MAX_VALUE_BYTES = 64 * 1024;

  @RegisterExtension
  static final MiniClusterExtension FLINK =
      new MiniClusterExtension(
          new MiniClusterResourceConfiguration.Builder()
              .setNumberTaskManagers(1)
              .setNumberSlotsPerTaskManager(4)
              .build());

  private static LocalKafka kafka;
  private static Topics topics;

  @TempDir Path folder;

  @BeforeAll
  static void startKafka() {
    kafka = LocalKafka.start();
    topics = new Topics(kafka.bootstrapServers());
  }

  @AfterAll
  static void stopKafka() {
    kafka.close();
  }

  /** A record to send, and what shall become of it: a code, or null for a label. */
  private record Sent(ProducerRecord<byte[], byte[]> record, String code) {}

  @ParameterizedTest
  @CsvSource({"at-least-once, partition", "exactly-once, partition", "at-least-once, key"})
  void eachRecordComesOutOnceWithAllThatItCarried(String delivery, String order) throws Exception {
    String suffix = "-" + delivery + "-" + order;
    for (String topic : List.of("texts", "labels", "dead")) {
      kafka.createTopic(topic + suffix, PARTITIONS);
    }
    List<Sent> sent = mixedRecords("texts" + suffix);
    List<RecordMetadata> places = topics.send(sent.stream().map(Sent::record).toList());

    run(
        """
        name: mixed
        pipelines:
          - name: sentiment
            model: %s
            input: {topic: texts%s, until: latest, max-value-bytes: 64KiB}
            output: {topic: labels%s}
            dead-letters: {topic: dead%s}
            parallelism: 2
            order: %s
        kafka:
          common: {bootstrap.servers: "%s"}
          consumer: {group.id: test%s}
          producer: {max.request.size: "66000"}
        delivery: %s
        """
            .formatted(
                SENTIMENT,
                suffix,
                suffix,
                suffix,
                order,
                kafka.bootstrapServers(),
                suffix,
                delivery));

    Map<String, Sent> expected = new HashMap<>();
    for (int i = 0; i < sent.size(); i++) {
      expected.put(places.get(i).partition() + "@" + places.get(i).offset(), sent.get(i));
    }
    Set<String> seen = new HashSet<>();
    for (ConsumerRecord<byte[], byte[]> record : topics.read("labels" + suffix)) {
      Sent source = expected.get(place(record));
      assertThat(seen.add(place(record))).as(place(record)).isTrue();
      assertThat(source.code()).as(text(source.record().value())).isNull();
      carriesWhatItsSourceHad(record, source);
      isLabelled(record, source);
    }
    assertThat(seen).hasSizeGreaterThan(RECORDS / 2);
    for (ConsumerRecord<byte[], byte[]> record : topics.read("dead" + suffix)) {
      Sent source = expected.get(place(record));
      assertThat(seen.add(place(record))).as(place(record)).isTrue();
      Schemas.areDeadLetterHeaders(headersNamed(record, "labelstream."));
      assertThat(headers(record))
          .containsEntry("labelstream.error.code", source.code())
          .containsEntry("labelstream.pipeline", "sentiment")
          .containsKeys("labelstream.error.message", "labelstream.error.stage");
      if (!"output_too_large".equals(source.code()) && !"too_large".equals(source.code())) {
        carriesWhatItsSourceHad(record, source);
        assertThat(record.value()).isEqualTo(source.record().value());
      }
    }
    assertThat(seen).containsExactlyInAnyOrderElementsOf(expected.keySet());
    if (order.equals("partition")) {
      keepTheirOrder(topics.read("labels" + suffix));
      keepTheirOrder(topics.read("dead" + suffix));
    }
    keysKeepTheirOrder(topics.read("labels" + suffix));
  }

  /** Each text three times, so that it stands in batches with different others. */
  @Test
  void decodersThatClassifyGiveTheReferencesScoresInAnyCompany() throws Exception {
    Path fixtures = Path.of("../operators/src/test/resources/parity").toAbsolutePath();
    JsonNode texts = JSON.readTree(fixtures.resolve("texts.json").toFile()).get("texts_of_words");
    assertThat(texts).hasSizeGreaterThanOrEqualTo(60);
    List<ProducerRecord<byte[], byte[]>> sent = new ArrayList<>();
    for (int i = 0; i < 3 * texts.size(); i++) {
      int text = i % texts.size();
      sent.add(
          new ProducerRecord<>(
              "decoders-in",
              JSON.writer()
                  .with(JsonWriteFeature.ESCAPE_NON_ASCII)
                  .writeValueAsBytes(
                      Map.of("id", text, "text", texts.get(text).get("text").asText()))));
    }
    Collections.shuffle(sent, new Random(5));
    kafka.createTopic("decoders-in", 1);
    kafka.createTopic("decoders-dead", 1);
    topics.send(sent);
    List<String> models = List.of("gpt2", "llama", "qwen3", "gemma3_text");
    StringBuilder pipelines = new StringBuilder();
    for (String model : models) {
      kafka.createTopic("decoders-" + model, 1);
      pipelines.append(
          """
            - name: %s
              model: %s
              input: {topic: decoders-in, until: latest}
              output: {topic: decoders-%s}
              dead-letters: {topic: decoders-dead}
              parameters: {top_k: 3}
          """
              .formatted(model, fixtures.resolve(model + "-sequence_classification"), model));
    }

    run(
        """
        name: decoders
        pipelines:
        %s
        kafka:
          common: {bootstrap.servers: "%s"}
          consumer: {group.id: decoders}
        """
            .formatted(pipelines, kafka.bootstrapServers()));

    assertThat(topics.read("decoders-dead")).isEmpty();
    for (String model : models) {
      JsonNode expected =
          JSON.readTree(fixtures.resolve(model + "-sequence_classification.expected.json").toFile())
              .at("/cases/0/results");
      List<ConsumerRecord<byte[], byte[]>> labels = topics.read("decoders-" + model);
      assertThat(labels).hasSize(sent.size());
      for (ConsumerRecord<byte[], byte[]> record : labels) {
        JsonNode value = JSON.readTree(record.value());
        Map<String, Double> scores = scores(value.at("/inference/" + model + "/scores"));
        scores(expected.get(value.get("id").asInt()).get("scores"))
            .forEach(
                (label, score) ->
                    assertThat(scores.get(label))
                        .as("%s of %s", label, value)
                        .isCloseTo(score, within(1e-4)));
      }
    }
  }

  private static Map<String, Double> scores(JsonNode entries) {
    Map<String, Double> scores = new HashMap<>();
    entries.forEach(
        entry -> scores.put(entry.get("label").asText(), entry.get("score").asDouble()));
    assertThat(scores).hasSize(3);
    return scores;
  }

  private static List<Sent> mixedRecords(String topic) {
    List<Sent> sent = new ArrayList<>();
    for (int i = 0; i < RECORDS; i++) {
      int partition = i % PARTITIONS;
      byte[] key = i % 5 == 0 ? null : bytes("key-" + i % 7);
      long timestamp = 1_700_000_000_000L + i;
      RecordHeaders headers = new RecordHeaders();
      if (i % 2 == 0) {
        headers.add("trace", bytes("t-" + i)).add("trace", bytes("again")).add("empty", null);
      }
      String code = null;
      byte[] value;
      switch (i % 16) {
        case 0 -> value = bytes("A plain text, number " + i);
        case 1 -> value = bytes("");
        case 2 ->
            value =
                bytes(
                    "{\"id\": \"e-%d\", \"text\": \"I loved it 😀\", \"a\": 1e400, \"b\": 0.10, \"c\": 12345678901234567890, \"d\": {\"e\": [1.0, null, \"\\ud800\"]}}"
                        .formatted(i));
        case 3 -> value = bytes("{\"text\": \"no id, top 2\", \"parameters\": {\"top_k\": 2}}");
        case 4 -> value = bytes(("word " + i + " ").repeat(400));
        case 5 -> {
          value = bytes("{\"text\": \"cut off");
          code = "malformed_json";
        }
        case 6 -> {
          value = null;
          code = "null_value";
        }
        case 7 -> {
          value = new byte[] {'o', 'k', (byte) 0xC3, '(', (byte) 0xFF};
          code = "not_utf8";
        }
        case 8 -> {
          value = bytes("{\"id\": 7, \"txt\": \"a wrong name\"}");
          code = "missing_field";
        }
        case 9 -> {
          value = bytes("{\"text\": 17}");
          code = "invalid_field";
        }
        case 10 -> {
          value = bytes("{\"text\": \"x\", \"parameters\": {\"topk\": 2}}");
          code = "invalid_parameter";
        }
        case 11 -> {
          value = i < 100 ? bytes("z".repeat(MAX_VALUE_BYTES + 1)) : bytes("small " + i);
          code = i < 100 ? "too_large" : null;
        }
        case 12 -> {
          // Within the limit as it came, beyond the producer's with its label.
          value = i < 100 ? bytes("y ".repeat(MAX_VALUE_BYTES / 2)) : bytes("fair " + i);
          code = i < 100 ? "output_too_large" : null;
        }
        default -> value = bytes("{\"id\": %d, \"text\": \"It was not bad at all\"}".formatted(i));
      }
      sent.add(
          new Sent(new ProducerRecord<>(topic, partition, timestamp, key, value, headers), code));
    }
    return sent;
  }

  private static void carriesWhatItsSourceHad(ConsumerRecord<byte[], byte[]> record, Sent source) {
    assertThat(record.key()).isEqualTo(source.record().key());
    assertThat(record.timestamp()).isEqualTo(source.record().timestamp());
    assertThat(
            Arrays.copyOf(record.headers().toArray(), source.record().headers().toArray().length))
        .isEqualTo(source.record().headers().toArray());
  }

  private static void isLabelled(ConsumerRecord<byte[], byte[]> record, Sent source)
      throws Exception {
    String given = text(source.record().value());
    String labelled = text(record.value());
    Schemas.isLabelledRecord(JSON.readTree(labelled));
    JsonNode result = JSON.readTree(labelled).get("inference").get("sentiment");
    assertThat(result.get("label").asText()).isIn("POSITIVE", "NEGATIVE");
    assertThat(result.get("score").floatValue()).isBetween(0.5f, 1f);
    if (!given.startsWith("{")) {
      assertThat(JSON.readTree(labelled).get("text").asText()).isEqualTo(given);
    } else if (given.contains("1e400")) {
      assertThat(labelled)
          .contains("\"a\": 1e400")
          .contains("\"b\": 0.10")
          .contains("\"c\": 12345678901234567890")
          .contains("\"d\": {\"e\": [1.0, null, \"\\ud800\"]}");
    } else if (given.contains("top_k")) {
      assertThat(result.get("scores")).hasSize(2);
      assertThat(result.get("request").get("parameters").get("top_k").asInt()).isEqualTo(2);
    }
  }

  private static void keepTheirOrder(List<ConsumerRecord<byte[], byte[]>> records) {
    Map<Integer, Long> last = new HashMap<>();
    for (ConsumerRecord<byte[], byte[]> record : records) {
      int source = Integer.parseInt(headers(record).get("labelstream.source.partition"));
      long offset = Long.parseLong(headers(record).get("labelstream.source.offset"));
      assertThat(record.partition()).isEqualTo(source);
      assertThat(offset).isGreaterThan(last.getOrDefault(source, -1L));
      last.put(source, offset);
    }
  }

  /** Records of one key and one source partition are in one partition, in order. */
  private static void keysKeepTheirOrder(List<ConsumerRecord<byte[], byte[]>> records) {
    Map<String, Long> last = new HashMap<>();
    Map<String, Integer> partitions = new HashMap<>();
    for (ConsumerRecord<byte[], byte[]> record : records) {
      if (record.key() == null) {
        continue;
      }
      String source =
          text(record.key()) + " of " + headers(record).get("labelstream.source.partition");
      long offset = Long.parseLong(headers(record).get("labelstream.source.offset"));
      assertThat(offset).isGreaterThan(last.getOrDefault(source, -1L));
      assertThat(record.partition()).isEqualTo(partitions.getOrDefault(source, record.partition()));
      last.put(source, offset);
      partitions.put(source, record.partition());
    }
  }

  private static Map<String, String> headersNamed(
      ConsumerRecord<byte[], byte[]> record, String prefix) {
    Map<String, String> named = headers(record);
    named.keySet().removeIf(name -> !name.startsWith(prefix));
    return named;
  }

  private static String place(ConsumerRecord<byte[], byte[]> record) {
    Map<String, String> headers = headers(record);
    return headers.get("labelstream.source.partition")
        + "@"
        + headers.get("labelstream.source.offset");
  }

  @Test
  void twoPipelinesBehindEachOtherAddToOneRecord() throws Exception {
    for (String topic : List.of("in", "between", "out", "lost")) {
      kafka.createTopic(topic, 1);
    }
    topics.sendTexts(
        "in", List.of("{\"id\": 1, \"text\": \"What a wonderful film\", \"keep\": 0.10}"));
    for (String[] stage :
        new String[][] {{"first", "in", "between"}, {"second", "between", "out"}}) {
      run(
          """
          name: chain-%s
          pipelines:
            - name: %s
              model: %s
              input: {topic: %s, until: latest}
              output: {topic: %s}
              dead-letters: {topic: lost}
          kafka:
            common: {bootstrap.servers: "%s"}
            consumer: {group.id: chain}
          """
              .formatted(
                  stage[0], stage[0], SENTIMENT, stage[1], stage[2], kafka.bootstrapServers()));
    }
    assertThat(topics.read("lost")).isEmpty();
    List<ConsumerRecord<byte[], byte[]>> out = topics.read("out");
    assertThat(out).hasSize(1);
    JsonNode record = JSON.readTree(out.get(0).value());
    assertThat(text(out.get(0).value())).contains("\"keep\": 0.10");
    assertThat(record.get("inference").get("first"))
        .isEqualTo(record.get("inference").get("second"));
    assertThat(record.get("inference").get("first").get("label").asText()).isEqualTo("POSITIVE");
  }

  private void run(String jobFile) throws Exception {
    Path file = Files.writeString(folder.resolve("job.yaml"), jobFile);
    Main.main(new String[] {"--config", file.toString()});
  }
}
