package org.labelstream.job;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;
import static org.labelstream.job.Topics.text;
import static org.labelstream.job.kafka.Grants.grant;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialAlteration;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.resource.ResourceType;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.labelstream.job.jobfile.JobFile;
import org.labelstream.job.kafka.Impatience;
import org.labelstream.job.kafka.Preflight;
import org.labelstream.kafka.LocalKafka;

/** A job and a broker that asks for TLS and a password: who comes in, and what is told of it. */
class SecuredKafkaITCase {

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final HttpClient HTTP = HttpClient.newHttpClient();
  private static final String LOGIN =
      "org.apache.kafka.common.security.scram.ScramLoginModule required username='%s'"
          + " password='%s';";

  private static final String READERS_PASSWORD = "planted-in-the-environment-5Hq2";
  private static final String WRITERS_PASSWORD = "planted-in-a-file-8Zr1";
  private static final String STORE_PASSWORD = "planted-in-the-job-file-3Wv9";
  private static final String WRONG_PASSWORD = "planted-and-wrong-7Kx4";
  private static final String PRIVATE_TEXT = "planted-in-a-text-6Jm0";

  @TempDir static Path folder;

  private static LocalKafka kafka;
  private static Admin admin;
  private static Path store;
  private static Path secrets;

  @BeforeAll
  static void start() throws Exception {
    kafka = LocalKafka.builder().folder(folder.resolve("kafka")).secure().start();
    Map<String, Object> properties = new HashMap<>(kafka.clientProperties("admin"));
    properties.put("bootstrap.servers", kafka.bootstrapServers());
    admin = Admin.create(properties);
    for (String topic : List.of("texts", "labels", "dead", "explanations")) {
      kafka.createTopic(topic, 1);
    }
    user("reader", READERS_PASSWORD);
    user("writer", WRITERS_PASSWORD);
    user("clerk", "clerk");
    grant(admin, "reader", ResourceType.TOPIC, "texts", AclOperation.READ);
    grant(admin, "reader", ResourceType.GROUP, "readers-sentiment", AclOperation.READ);
    for (String topic : List.of("labels", "dead", "explanations")) {
      grant(admin, "writer", ResourceType.TOPIC, topic, AclOperation.WRITE);
      grant(admin, "writer", ResourceType.TOPIC, topic, AclOperation.DESCRIBE_CONFIGS);
    }
    grant(admin, "writer", ResourceType.TRANSACTIONAL_ID, "secured/", AclOperation.WRITE);

    store = folder.resolve("truststore.p12");
    KeyStore trusted = KeyStore.getInstance("PKCS12");
    trusted.load(null, null);
    try (InputStream pem = Files.newInputStream(certificate())) {
      trusted.setCertificateEntry(
          "broker", CertificateFactory.getInstance("X.509").generateCertificate(pem));
    }
    try (var out = Files.newOutputStream(store)) {
      trusted.store(out, STORE_PASSWORD.toCharArray());
    }
    secrets = Files.writeString(folder.resolve("secrets"), "writer=" + WRITERS_PASSWORD + "\n");
  }

  @AfterAll
  static void stop() {
    admin.close();
    kafka.close();
  }

  private static Path certificate() {
    return Path.of(kafka.clientProperties("job").get("ssl.truststore.location"));
  }

  private static void user(String name, String password) throws Exception {
    List<UserScramCredentialAlteration> credentials =
        List.of(
            new UserScramCredentialUpsertion(
                name, new ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), password));
    admin.alterUserScramCredentials(credentials).all().get();
  }

  private static String jobFile(String common, String consumer, String producer) {
    return """
    name: secured
    pipelines:
      - name: sentiment
        model: %s
        input: {topic: texts}
        output: {topic: labels}
        dead-letters: {topic: dead}
        explanations: {topic: explanations}
    kafka:
      common: {bootstrap.servers: "%s", %s}
      consumer: {group.id: readers%s}
      producer: {transaction.timeout.ms: 60000%s}
    delivery: exactly-once
    flink: {execution.checkpointing.interval: 500ms}
    """
        .formatted(
            Script.ROOT.resolve("model-assets/sentiment"),
            kafka.bootstrapServers(),
            common,
            consumer,
            producer);
  }

  private static String tls() {
    return "security.protocol: SASL_SSL, sasl.mechanism: SCRAM-SHA-512, ssl.truststore.type: PEM,"
        + " ssl.truststore.location: \"%s\"".formatted(certificate());
  }

  private static String login(String user, String password) {
    return ", sasl.jaas.config: \"%s\"".formatted(LOGIN.formatted(user, password));
  }

  private static Preflight preflight(String jobFile) {
    return Preflight.of(JobFile.read("job.yaml", jobFile, model -> model));
  }

  private static Preflight.Findings ask(String jobFile) {
    Preflight preflight = preflight(jobFile);
    long begun = System.nanoTime();
    Preflight.Findings findings = preflight.run();
    assertThat(Duration.ofNanos(System.nanoTime() - begun)).isLessThan(Duration.ofSeconds(20));
    return findings;
  }

  @Test
  void findsNothingWhereAUserMayDoWhatAJobNeedsAndNoMore() {
    Preflight.Findings findings =
        ask(
            jobFile(
                tls(),
                login("reader", READERS_PASSWORD),
                login("writer", "${file:" + secrets + ":writer}")));

    assertThat(findings.lasting()).isEmpty();
    assertThat(findings.passing()).isEmpty();
    assertThat(findings.absent()).isEmpty();
    assertThat(findings.notices()).isEmpty();
  }

  @Test
  void theUserThatComesWithTheLocalBrokerMayDoWhatAJobNeeds() {
    String properties = folder.resolve("kafka/secure/job.properties").toString();
    String job =
        jobFile(
            tls() + ", sasl.jaas.config: \"${file:" + properties + ":sasl.jaas.config}\"", "", "");

    Preflight.Findings findings = ask(job);

    assertThat(findings.lasting()).isEmpty();
    assertThat(findings.notices()).isEmpty();
  }

  @Test
  void tellsAWrongPasswordOnce() {
    assertThat(ask(jobFile(tls() + login("reader", WRONG_PASSWORD), "", "")).lasting())
        .singleElement()
        .asString()
        .contains("Authentication with the broker at " + kafka.bootstrapServers())
        .contains("invalid credentials", "check kafka.common.sasl.*")
        .doesNotContain(WRONG_PASSWORD);
  }

  @Test
  void tellsAMechanismThatTheBrokerDoesNotHave() {
    String other = tls().replace("SCRAM-SHA-512", "SCRAM-SHA-256");

    assertThat(ask(jobFile(other + login("reader", READERS_PASSWORD), "", "")).lasting())
        .singleElement()
        .asString()
        .contains("SCRAM-SHA-256", "not enabled", "check kafka.common.sasl.*");
  }

  @Test
  void tellsThatTheCertificateIsOfAnotherHost() {
    String otherName =
        jobFile(tls() + login("reader", READERS_PASSWORD), "", "")
            .replace(kafka.bootstrapServers(), "127.0.0.1:" + kafka.port());

    assertThat(ask(otherName).lasting())
        .singleElement()
        .asString()
        .startsWith("TLS with the broker at 127.0.0.1:" + kafka.port() + " fails")
        .contains("127.0.0.1", "check kafka.common.ssl.truststore.* and the broker's host names");
  }

  @Test
  void tellsThatTheCertificateIsNotTrusted() {
    String untrusting =
        "security.protocol: SASL_SSL, sasl.mechanism: SCRAM-SHA-512"
            + login("reader", READERS_PASSWORD);

    assertThat(ask(jobFile(untrusting, "", "")).lasting())
        .singleElement()
        .asString()
        .startsWith("TLS with the broker at " + kafka.bootstrapServers() + " fails")
        .contains("check kafka.common.ssl.truststore.*");
  }

  @Test
  void tellsATruststoreThatIsNotThereOrHasAnotherPassword() {
    String absent = tls().replace(certificate().toString(), "/no/such/ca.pem");
    String locked =
        "security.protocol: SASL_SSL, sasl.mechanism: SCRAM-SHA-512, ssl.truststore.location:"
            + " \"%s\", ssl.truststore.password: %s".formatted(store, WRONG_PASSWORD);

    assertThat(ask(jobFile(absent + login("reader", READERS_PASSWORD), "", "")).lasting())
        .singleElement()
        .asString()
        .startsWith("kafka.common is refused by Kafka's client")
        .contains("/no/such/ca.pem", "there is no such file");
    assertThat(ask(jobFile(locked + login("reader", READERS_PASSWORD), "", "")).lasting())
        .singleElement()
        .asString()
        .startsWith("kafka.common is refused by Kafka's client")
        .contains(store.toString(), "check ssl.*.type and ssl.*.password")
        .doesNotContain(WRONG_PASSWORD);
  }

  @Test
  void tellsThatTheBrokerSpeaksAnotherProtocol() {
    Map<String, CompletableFuture<Preflight.Findings>> asked = new TreeMap<>();
    for (String protocol : List.of("PLAINTEXT", "SASL_PLAINTEXT", "SSL")) {
      String other = tls().replace("SASL_SSL", protocol);
      String job = jobFile(other + login("reader", READERS_PASSWORD), "", "");
      asked.put(protocol, CompletableFuture.supplyAsync(() -> Impatience.ask(preflight(job))));
    }
    asked.forEach(
        (protocol, findings) -> {
          assertThat(findings.join().lasting()).as(protocol).isEmpty();
          assertThat(findings.join().passing())
              .as(protocol)
              .singleElement()
              .asString()
              .contains("gives no answer over " + protocol)
              .contains("check kafka.common.security.protocol");
        });
  }

  @Test
  void tellsEachRightThatIsMissingAtOnce() throws Exception {
    String job = jobFile(tls() + login("clerk", "clerk"), "", "");

    assertThat(ask(job).lasting())
        .containsExactlyInAnyOrder(
            "The topic texts (sentiment's input) may not be seen by this user: grant it Describe"
                + " and Read on the topic",
            "The topic labels (sentiment's output) may not be seen by this user: grant it Describe"
                + " and Write on the topic",
            "The topic dead (sentiment's dead-letters) may not be seen by this user: grant it"
                + " Describe and Write on the topic",
            "The topic explanations (sentiment's explanations) may not be seen by this user: grant"
                + " it Describe and Write on the topic",
            "The group readers-sentiment may not be used by this user: grant it Describe and Read"
                + " on the group",
            "Transactions named secured/sentiment… may not be made by this user: grant it Describe"
                + " and Write on the transactional ids with that prefix");

    grant(admin, "clerk", ResourceType.TOPIC, "*", AclOperation.DESCRIBE);
    grant(admin, "clerk", ResourceType.GROUP, "readers-sentiment", AclOperation.DESCRIBE);
    grant(admin, "clerk", ResourceType.TRANSACTIONAL_ID, "secured/", AclOperation.DESCRIBE);
    assertThat(ask(job).lasting())
        .contains(
            "The topic texts (sentiment's input) may not be read by this user: grant it Read on the"
                + " topic",
            "The topic labels (sentiment's output) may not be written by this user: grant it Write"
                + " on the topic",
            "The group readers-sentiment may not be used by this user: grant it Describe and Read"
                + " on the group",
            "Transactions named secured/sentiment… may not be made by this user: grant it Describe"
                + " and Write on the transactional ids with that prefix");
  }

  /**
   * Secrets go in by the environment, a file and the job file itself, one of them wrong, and one
   * stands in texts; none is in what the processes say, show or keep, in what the commands print,
   * or in the lists of processes. The labels and dead letters hold the texts, and so may the
   * checkpoints; passwords are in neither.
   */
  @Test
  void noSecretComesOut() throws Exception {
    Script scripts =
        new Script(folder.resolve("state"))
            .with("LABELSTREAM_TEST_LOGIN", LOGIN.formatted("reader", READERS_PASSWORD));
    String rest = "http://127.0.0.1:" + freePort();
    List<String> printed = new ArrayList<>();
    String job =
        jobFile(
            "security.protocol: SASL_SSL, sasl.mechanism: SCRAM-SHA-512, ssl.truststore.location:"
                + " \"%s\", ssl.truststore.password: %s".formatted(store, STORE_PASSWORD),
            ", sasl.jaas.config: \"${env:LABELSTREAM_TEST_LOGIN}\"",
            login("writer", "${file:" + secrets + ":writer}"));
    Path good = Files.writeString(folder.resolve("good.yaml"), job);
    Path wrong =
        Files.writeString(
            folder.resolve("wrong.yaml"),
            job.replace("${file:" + secrets + ":writer}", WRONG_PASSWORD));
    scripts.run("flink-local.sh", "start", "--port", rest.replaceAll(".*:", "")).succeeded();
    try {
      Topics topics = new Topics(kafka.bootstrapServers(), kafka.clientProperties("admin"));
      topics.sendTexts(
          "texts",
          List.of(
              "{\"id\": 1, \"text\": \"a good film, " + PRIVATE_TEXT + "\", \"explain\": true}",
              "{\"id\": 2, \"text\": \"" + PRIVATE_TEXT,
              "{\"id\": 3, \"text\": \"x\", \"parameters\": {\"" + PRIVATE_TEXT + "\": 1}}"));
      Script.Result refused = scripts.run("flink-local.sh", "submit", wrong.toString());
      assertThat(refused.status()).isEqualTo(1);
      assertThat(refused.err()).contains("Authentication with the broker");
      Script.Result submitted =
          scripts.run("flink-local.sh", "submit", good.toString()).succeeded();
      String id = submitted.out().strip();
      topics.readUntil("labels", records -> records.size() == 1, Duration.ofMinutes(2));
      topics.readUntil("dead", records -> records.size() == 2, Duration.ofMinutes(2));
      topics.readUntil("explanations", records -> records.size() == 1, Duration.ofMinutes(2));
      Script.Result saved = scripts.run("flink-local.sh", "savepoint", id).succeeded();

      Map<String, String> said = answers(rest, id);
      said.putAll(processes());
      // While it runs, each checkpoint takes the place of the one before, under the eyes of who
      // looks through the files.
      Script.Result cancelled = scripts.run("flink-local.sh", "cancel", id).succeeded();
      for (Script.Result result : List.of(refused, submitted, saved, cancelled)) {
        printed.add(result.out() + result.err());
      }
      for (int i = 0; i < printed.size(); i++) {
        said.put("what command " + i + " printed", printed.get(i));
      }
      Map<String, String> kept = files(folder.resolve("state"));
      kept.forEach(
          (name, text) -> {
            if (name.contains("/log/") || name.endsWith(".txt")) {
              said.put(name, text);
            }
          });
      kept.putAll(files(folder.resolve("kafka/data")));

      // What is looked through is what it should be.
      assertThat(said).containsKeys("/jobs/" + id + "/exceptions", "/jobmanager/config");
      assertThat(said.get("/jobs/" + id)).contains("sentiment");
      assertThat(said.keySet()).anyMatch(name -> name.endsWith("/log/taskmanager-1.log"));
      assertThat(kept.keySet()).anyMatch(name -> name.endsWith("_metadata"));
      assertThat(kept.values()).anyMatch(text -> text.contains(PRIVATE_TEXT));

      List<String> secretsThatCameOut = new ArrayList<>();
      for (String secret :
          List.of(READERS_PASSWORD, WRITERS_PASSWORD, STORE_PASSWORD, WRONG_PASSWORD)) {
        said.forEach((where, text) -> note(secretsThatCameOut, secret, where, text));
        kept.forEach((where, text) -> note(secretsThatCameOut, secret, where, text));
      }
      said.forEach((where, text) -> note(secretsThatCameOut, PRIVATE_TEXT, where, text));
      assertThat(secretsThatCameOut).isEmpty();
      System.out.printf(
          "No secret in %d answers, logs, outputs and command lines, and %d files%n",
          said.size(), kept.size());
    } finally {
      scripts.run("flink-local.sh", "stop").succeeded();
    }
  }

  private static void note(List<String> found, String secret, String where, String text) {
    if (text.contains(secret)) {
      found.add(secret + " in " + where);
    }
  }

  private static int freePort() throws IOException {
    try (ServerSocket free = new ServerSocket(0)) {
      return free.getLocalPort();
    }
  }

  /** What the cluster's REST interface says about itself and the job, by path. */
  private static Map<String, String> answers(String rest, String job) throws Exception {
    Map<String, String> answers = new TreeMap<>();
    List<String> paths =
        new ArrayList<>(
            List.of(
                "/config",
                "/overview",
                "/cluster",
                "/datasets",
                "/jars",
                "/jobs",
                "/jobs/overview",
                "/jobs/metrics",
                "/jobmanager/config",
                "/jobmanager/environment",
                "/jobmanager/metrics",
                "/jobmanager/log",
                "/jobmanager/stdout",
                "/jobmanager/logs",
                "/jobmanager/thread-dump",
                "/taskmanagers"));
    for (String under :
        List.of(
            "",
            "/config",
            "/plan",
            "/exceptions",
            "/accumulators",
            "/metrics",
            "/checkpoints",
            "/checkpoints/config",
            "/status")) {
      paths.add("/jobs/" + job + under);
    }
    for (JsonNode vertex : get(rest, "/jobs/" + job).get("vertices")) {
      for (String under :
          List.of(
              "",
              "/accumulators",
              "/backpressure",
              "/metrics",
              "/subtasks/accumulators",
              "/subtasks/metrics",
              "/subtasktimes",
              "/taskmanagers",
              "/watermarks")) {
        paths.add("/jobs/" + job + "/vertices/" + vertex.get("id").asText() + under);
      }
    }
    for (JsonNode log : get(rest, "/jobmanager/logs").get("logs")) {
      paths.add("/jobmanager/logs/" + log.get("name").asText());
    }
    for (JsonNode taskManager : get(rest, "/taskmanagers").get("taskmanagers")) {
      String path = "/taskmanagers/" + taskManager.get("id").asText();
      for (String under : List.of("", "/log", "/stdout", "/logs", "/metrics", "/thread-dump")) {
        paths.add(path + under);
      }
      for (JsonNode log : get(rest, path + "/logs").get("logs")) {
        paths.add(path + "/logs/" + log.get("name").asText());
      }
    }
    for (String path : paths) {
      answers.put(path, request(rest, path));
    }
    return answers;
  }

  private static JsonNode get(String rest, String path) throws Exception {
    return JSON.readTree(request(rest, path));
  }

  private static String request(String rest, String path) throws Exception {
    HttpRequest request = HttpRequest.newBuilder(URI.create(rest + path)).build();
    return HTTP.send(request, HttpResponse.BodyHandlers.ofString(ISO_8859_1)).body();
  }

  private static Map<String, String> processes() throws IOException {
    Map<String, String> lines = new HashMap<>();
    try (Stream<Path> processes = Files.list(Path.of("/proc"))) {
      for (Path process : processes.toList()) {
        Path line = process.resolve("cmdline");
        if (Files.isReadable(line)) {
          try {
            lines.put(line.toString(), Files.readString(line, ISO_8859_1));
          } catch (IOException e) {
            lines.remove(line.toString()); // it has ended
          }
        }
      }
    }
    return lines;
  }

  private static Map<String, String> files(Path root) throws IOException {
    Map<String, String> files = new TreeMap<>();
    try (Stream<Path> paths = Files.walk(root)) {
      for (Path path : paths.filter(Files::isRegularFile).toList()) {
        if (Files.size(path) < 32 << 20 && !path.toString().endsWith(".jar")) {
          files.put(path.toString(), Files.readString(path, ISO_8859_1));
        }
      }
    }
    return files;
  }
}
