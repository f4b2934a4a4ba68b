package org.labelstream.kafka;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A secured broker lets in who has the keys, and nobody else. */
class SecuredKafkaTest {
  @TempDir private static Path folder;
  private static LocalKafka kafka;

  @BeforeAll
  static void start() {
    LocalKafka.builder().folder(folder).secure().start().close();
    kafka = LocalKafka.builder().folder(folder).secure().start(); // with the keys that are there
  }

  @AfterAll
  static void stop() {
    kafka.close();
  }

  @Test
  void theAdminMakesTopicsAndTheJobReadsAndWritesThem() {
    assertThat(as("admin", "", "create", "texts").err).contains("Made the topic texts");
    assertThat(as("job", "one\n", "produce", "texts").err).contains("1 record sent to texts");
    assertThat(as("job", "", "consume", "texts", "--group", "g", "--max", "1").out)
        .isEqualTo("one\n");
    assertThat(as("job", "", "create", "own").err).contains("Authorization failed");

    Map<String, Object> transactional = new HashMap<>(kafka.clientProperties("job"));
    transactional.put("bootstrap.servers", kafka.bootstrapServers());
    transactional.put("transactional.id", "any");
    try (KafkaProducer<String, String> producer =
        new KafkaProducer<>(transactional, new StringSerializer(), new StringSerializer())) {
      producer.initTransactions();
      producer.beginTransaction();
      var sent = producer.send(new ProducerRecord<>("texts", "two"));
      producer.commitTransaction();
      assertThat(sent).isDone();
    }
  }

  @Test
  void nobodyElseComesIn() throws Exception {
    assertThat(run("", "topics", "--bootstrap", kafka.bootstrapServers()).err)
        .startsWith("No broker answers");
    Path wrong = Files.createTempFile(folder, "wrong", ".properties");
    String right = Files.readString(folder.resolve("secure/job.properties"));
    Files.writeString(
        wrong, right.replaceFirst("password\\\\?=\\\\?\"[^\"\\\\]*", "password=\"no"));
    assertThat(Files.readString(wrong)).isNotEqualTo(right);
    assertThat(
            run(
                    "",
                    "topics",
                    "--bootstrap",
                    kafka.bootstrapServers(),
                    "--command-config",
                    wrong.toString())
                .err)
        .contains("invalid credentials");
  }

  @Test
  void theKeysAreTheirOwnersOnly() throws Exception {
    Path keys = folder.resolve("secure");
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(keys)))
        .isEqualTo("rwx------");
    try (Stream<Path> files = Files.list(keys)) {
      assertThat(files.map(file -> file.getFileName().toString()))
          .containsExactlyInAnyOrder(
              "admin.properties", "broker.p12", "broker.properties", "ca.pem", "job.properties");
    }
  }

  @Test
  void aFolderStaysWhatItWas(@TempDir Path open) {
    LocalKafka.builder().folder(open).start().close();
    assertThatThrownBy(() -> LocalKafka.builder().folder(open).secure().start())
        .hasMessageContaining("is that of an open broker: start it without --secure");

    Path secured = open.resolve("secured");
    LocalKafka.builder().folder(secured).secure().start().close();
    assertThatThrownBy(() -> LocalKafka.builder().folder(secured).start())
        .hasMessageContaining("is that of a secured broker: start it with --secure");
  }

  private record Result(int status, String out, String err) {}

  private static Result as(String user, String in, String... args) {
    List<String> all = new ArrayList<>(List.of(args));
    all.addAll(
        List.of(
            "--bootstrap",
            kafka.bootstrapServers(),
            "--command-config",
            folder.resolve("secure/" + user + ".properties").toString()));
    return run(in, all.toArray(String[]::new));
  }

  private static Result run(String in, String... args) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    ByteArrayOutputStream err = new ByteArrayOutputStream();
    int status =
        Main.run(
            args,
            new ByteArrayInputStream(in.getBytes(UTF_8)),
            new PrintStream(out, true, UTF_8),
            new PrintStream(err, true, UTF_8));
    return new Result(status, out.toString(UTF_8), err.toString(UTF_8));
  }
}
