package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.labelstream.job.Topics.headers;
import static org.labelstream.job.Topics.text;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.serialization.SerializationSchema;
import org.apache.flink.avro.shaded.org.apache.avro.Schema;
import org.apache.flink.avro.shaded.org.apache.avro.generic.GenericData;
import org.apache.flink.avro.shaded.org.apache.avro.generic.GenericRecord;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.formats.avro.registry.confluent.ConfluentRegistryAvroDeserializationSchema;
import org.apache.flink.formats.avro.registry.confluent.ConfluentRegistryAvroSerializationSchema;
import org.apache.flink.runtime.testutils.MiniClusterResourceConfiguration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.test.junit5.MiniClusterExtension;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.labelstream.job.jobfile.JobFile;
import org.labelstream.job.jobfile.JobSpec;
import org.labelstream.job.kafka.KafkaPipelines;
import org.labelstream.job.kafka.Preflight;
import org.labelstream.kafka.LocalKafka;

/**
 * Records that Flink's Avro format writes with Confluent's client, schemas in Apicurio's registry:
 * they are labelled, and that format reads what comes out.
 */
@Timeout(240)
class SchemaRegistryITCase {

  private static final Path ASSETS = Path.of("../model-assets").toAbsolutePath();
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final HttpClient HTTP = HttpClient.newHttpClient();
  private static final int RECORDS = 300;

  @RegisterExtension
  static final MiniClusterExtension FLINK =
      new MiniClusterExtension(
          new MiniClusterResourceConfiguration.Builder()
              .setNumberTaskManagers(1)
              .setNumberSlotsPerTaskManager(2)
              .build());

  @TempDir static Path folder;

  private static Process registry;
  private static String url;

  @BeforeAll
  static void startRegistry() throws Exception {
    int port;
    try (ServerSocket free = new ServerSocket(0)) {
      port = free.getLocalPort();
    }
    Path home = Path.of("target/apicurio").toAbsolutePath();
    Path jar;
    try (Stream<Path> files = Files.list(home)) {
      jar = files.filter(file -> file.toString().endsWith("-runner.jar")).findFirst().orElseThrow();
    }
    registry =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin/java").toString(),
                "-Xmx512m",
                "-XX:TieredStopAtLevel=1",
                "-Dquarkus.http.host=127.0.0.1",
                "-Dquarkus.http.port=" + port,
                "-jar",
                jar.toString())
            .redirectErrorStream(true)
            .redirectOutput(folder.resolve("registry.log").toFile())
            .start();
    url = "http://127.0.0.1:" + port + "/apis/ccompat/v7";
    long deadline = System.nanoTime() + Duration.ofMinutes(2).toNanos();
    while (!isUp()) {
      assertThat(registry.isAlive()).as(() -> "the registry\n" + log()).isTrue();
      assertThat(System.nanoTime()).as(() -> "until it answers\n" + log()).isLessThan(deadline);
      Thread.sleep(200);
    }
  }

  private static String log() {
    try {
      return Files.readString(folder.resolve("registry.log"));
    } catch (IOException e) {
      return e.toString();
    }
  }

  private static boolean isUp() throws InterruptedException {
    try {
      return get("/subjects").startsWith("[");
    } catch (IOException e) {
      return false;
    }
  }

  private static String get(String path) throws IOException, InterruptedException {
    return HTTP.send(
            HttpRequest.newBuilder(URI.create(url + path)).build(), BodyHandlers.ofString())
        .body();
  }

  @AfterAll
  static void stopRegistry() throws Exception {
    if (registry != null) {
      registry.destroy();
      if (!registry.waitFor(20, TimeUnit.SECONDS)) {
        registry.destroyForcibly();
      }
    }
  }

  private static final Schema FIRST =
      schema("{\"name\": \"id\", \"type\": \"long\"}, {\"name\": \"body\", \"type\": \"string\"}");

  private static final Schema SECOND =
      schema(
          "{\"name\": \"id\", \"type\": \"long\"}, {\"name\": \"stars\", \"type\": \"int\","
              + " \"default\": 0}, {\"name\": \"body\", \"type\": \"string\"}");

  private static Schema schema(String fields) {
    return new Schema.Parser()
        .parse(
            "{\"type\": \"record\", \"name\": \"Review\", \"namespace\": \"com.shop\", \"fields\":"
                + " [%s]}".formatted(fields));
  }

  private static final Schema CHANGE =
      new Schema.Parser()
          .parse(
              """
              {"type": "record", "name": "Envelope", "namespace": "shop.reviews", "fields": [
                {"name": "before", "type": ["null", {"type": "record", "name": "Value", "fields": [
                  {"name": "id", "type": "long"}, {"name": "body", "type": ["null", "string"]}]}]},
                {"name": "after", "type": ["null", "Value"]}, {"name": "op", "type": "string"}]}
              """);

  private static byte[] written(String topic, Schema schema, GenericRecord value) throws Exception {
    SerializationSchema<GenericRecord> writer =
        ConfluentRegistryAvroSerializationSchema.forGeneric(topic + "-value", schema, url);
    return writer.serialize(value);
  }

  private static String body(int number) {
    return number % 2 == 0 ? "a wonderful film" : "a terrible film";
  }

  private static byte[] review(int number) throws Exception {
    Schema schema = number < RECORDS / 2 ? FIRST : SECOND;
    GenericData.Record record = new GenericData.Record(schema);
    record.put("id", (long) number);
    record.put("body", body(number));
    if (number >= RECORDS / 2) {
      record.put("stars", number % 5);
    }
    return written("reviews", schema, record);
  }

  private static byte[] change(int number, String op) throws Exception {
    GenericData.Record row =
        new GenericData.Record(CHANGE.getField("before").schema().getTypes().get(1));
    row.put("id", (long) number);
    row.put("body", body(number));
    GenericData.Record record = new GenericData.Record(CHANGE);
    record.put(op.equals("d") ? "before" : "after", row);
    record.put("op", op);
    return written("changes", CHANGE, record);
  }

  private static LocalKafka kafka() {
    LocalKafka kafka = LocalKafka.start();
    for (String topic :
        List.of("reviews", "changes", "labels", "changed", "dead", "explanations")) {
      kafka.createTopic(topic, 1);
    }
    return kafka;
  }

  private static JobSpec job(LocalKafka kafka, String address) {
    String text =
        """
        name: avro
        schema-registry: %3$s
        pipelines:
          - name: reviews
            model: %1$s/sentiment
            input: {topic: reviews, format: avro, fields: {text: body}, until: latest}
            output: {topic: labels, format: avro}
            dead-letters: {topic: dead}
            explanations: {topic: explanations, when: never}
          - name: changes
            model: %1$s/sentiment
            input:
              {topic: changes, format: avro, envelope: debezium, fields: {text: body}, until: latest}
            output: {topic: changed}
            dead-letters: {topic: dead}
        kafka:
          common: {bootstrap.servers: "%2$s"}
          consumer: {group.id: avro}
        delivery: exactly-once
        flink: {parallelism.default: 1, execution.checkpointing.interval: 300ms}
        """
            .formatted(ASSETS, kafka.bootstrapServers(), address);
    return JobFile.read("job.yaml", text, model -> model);
  }

  @Test
  void recordsOfAvroAreLabelledInAvro() throws Exception {
    try (LocalKafka kafka = kafka()) {
      Topics topics = new Topics(kafka.bootstrapServers());
      List<ProducerRecord<byte[], byte[]>> sent = new ArrayList<>();
      for (int i = 0; i < RECORDS; i++) {
        sent.add(new ProducerRecord<>("reviews", review(i)));
      }
      byte[] unknown = review(0);
      unknown[1] = 99;
      byte[] cut = Arrays.copyOf(review(0), 12);
      sent.add(new ProducerRecord<>("reviews", unknown));
      sent.add(new ProducerRecord<>("reviews", cut));
      sent.add(new ProducerRecord<>("reviews", Topics.bytes("{\"body\": \"a\"}")));
      byte[] key = {1};
      sent.add(new ProducerRecord<>("changes", key, change(0, "c")));
      sent.add(new ProducerRecord<>("changes", key, change(1, "u")));
      sent.add(new ProducerRecord<>("changes", key, change(1, "d")));
      topics.send(sent);

      JobSpec job = job(kafka, url);
      Preflight.Findings findings = Preflight.of(job).run();
      assertThat(findings.lasting()).isEmpty();
      assertThat(findings.passing()).isEmpty();
      StreamExecutionEnvironment env = Main.environment(job);
      KafkaPipelines.build(env, job);
      JobClient client = env.executeAsync(job.name());
      client.getJobExecutionResult().get(3, TimeUnit.MINUTES);

      List<ConsumerRecord<byte[], byte[]>> labels = topics.read("labels");
      assertThat(labels).hasSize(RECORDS);
      JsonNode versions = JSON.readTree(get("/subjects/labels-value/versions"));
      assertThat(versions).hasSize(2);
      // Who knows the first schema only reads all of them, and who knows the last one too.
      Schema labelled =
          new Schema.Parser()
              .parse(
                  JSON.readTree(get("/subjects/labels-value/versions/latest"))
                      .get("schema")
                      .asText());
      DeserializationSchema<GenericRecord> old =
          ConfluentRegistryAvroDeserializationSchema.forGeneric(FIRST, url);
      DeserializationSchema<GenericRecord> whole =
          ConfluentRegistryAvroDeserializationSchema.forGeneric(labelled, url);
      for (int i = 0; i < RECORDS; i++) {
        GenericRecord first = old.deserialize(labels.get(i).value());
        assertThat(first.get("id")).isEqualTo((long) i);
        assertThat(first.get("body")).hasToString(body(i));
        GenericRecord all = whole.deserialize(labels.get(i).value());
        GenericRecord result =
            (GenericRecord) ((GenericRecord) all.get("inference")).get("reviews");
        assertThat(result.get("label")).hasToString(i % 2 == 0 ? "POSITIVE" : "NEGATIVE");
        assertThat((double) result.get("score")).isBetween(0.5, 1.0);
        assertThat(result.get("task")).hasToString("sequence_classification");
        assertThat(all.get("stars")).isEqualTo(i < RECORDS / 2 ? 0 : i % 5);
      }

      assertThat(topics.read("dead"))
          .extracting(record -> headers(record).get("labelstream.error.code"))
          .containsExactlyInAnyOrder("unknown_schema", "malformed_avro", "malformed_avro");
      List<ConsumerRecord<byte[], byte[]>> changed = topics.read("changed");
      assertThat(changed).hasSize(3);
      assertThat(changed.get(2).value()).isNull();
      JsonNode second = JSON.readTree(text(changed.get(1).value()));
      assertThat(second.at("/after/inference/changes/label").asText()).isEqualTo("NEGATIVE");
      assertThat(second.at("/op").asText()).isEqualTo("u");
    }
  }

  @Test
  void aRegistryThatIsNotThereIsTold() throws Exception {
    try (LocalKafka kafka = kafka()) {
      assertThat(Preflight.of(job(kafka, "http://127.0.0.1:1")).run().passing())
          .singleElement()
          .asString()
          .contains("No schema registry answers at http://127.0.0.1:1", "schema-registry.url");
    }
  }
}
