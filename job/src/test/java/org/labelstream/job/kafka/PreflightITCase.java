package org.labelstream.job.kafka;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.labelstream.job.kafka.Grants.grant;

import java.lang.reflect.Proxy;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.runtime.testutils.MiniClusterResourceConfiguration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.test.junit5.MiniClusterExtension;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DescribeTopicsResult;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.errors.ClusterAuthorizationException;
import org.apache.kafka.common.internals.KafkaFutureImpl;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.labelstream.job.Main;
import org.labelstream.job.jobfile.JobFile;
import org.labelstream.job.jobfile.JobSpec;
import org.labelstream.kafka.LocalKafka;

/** What is asked before a job starts, of brokers that have a user with few rights. */
class PreflightITCase {

  private static final Path SENTIMENT = Path.of("../model-assets/sentiment").toAbsolutePath();
  private static final String LOGIN =
      "org.apache.kafka.common.security.plain.PlainLoginModule required username='%s'"
          + " password='%s';";

  @RegisterExtension
  static final MiniClusterExtension FLINK =
      new MiniClusterExtension(
          new MiniClusterResourceConfiguration.Builder()
              .setNumberTaskManagers(1)
              .setNumberSlotsPerTaskManager(1)
              .build());

  private static LocalKafka kafka;
  private static Admin admin;
  private static int secured;

  @TempDir Path folder;

  /** One broker with two doors: the test's own, and one that asks who comes in. */
  @BeforeAll
  static void startKafka() throws Exception {
    int plain = freePort();
    int controller = freePort();
    secured = freePort();
    kafka =
        LocalKafka.builder()
            .port(plain)
            .controllerPort(controller)
            .property(
                "listeners",
                "CLIENT://127.0.0.1:%d,SECURED://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d"
                    .formatted(plain, secured, controller))
            .property(
                "advertised.listeners",
                "CLIENT://127.0.0.1:%d,SECURED://127.0.0.1:%d".formatted(plain, secured))
            .property(
                "listener.security.protocol.map",
                "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_PLAINTEXT")
            .property("listener.name.secured.sasl.enabled.mechanisms", "PLAIN")
            .property(
                "listener.name.secured.plain.sasl.jaas.config",
                "org.apache.kafka.common.security.plain.PlainLoginModule required"
                    + " user_clerk='right';")
            .property(
                "authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
            .property("super.users", "User:ANONYMOUS")
            .property("transaction.max.timeout.ms", "600000")
            .start();
    admin = Admin.create(Map.of("bootstrap.servers", kafka.bootstrapServers()));
    for (String topic : List.of("texts", "labels", "dead", "explanations")) {
      kafka.createTopic(topic, 1);
    }
  }

  @AfterAll
  static void stopKafka() {
    admin.close();
    kafka.close();
  }

  private static int freePort() throws Exception {
    try (ServerSocket free = new ServerSocket(0)) {
      return free.getLocalPort();
    }
  }

  private String file(String common, String rest) {
    return """
    name: checked
    pipelines:
      - name: sentiment
        model: %s
        input: {topic: texts}
        output: {topic: labels}
        dead-letters: {topic: dead}
        explanations: {topic: explanations}
    kafka:
      common: {%s}
      consumer: {group.id: readers}
    %s
    """
        .formatted(SENTIMENT, common, rest);
  }

  private static JobSpec job(String file) {
    return JobFile.read("job.yaml", file, model -> model);
  }

  private static Preflight.Findings ask(String file) {
    return ask(file, Admin::create);
  }

  private static Preflight.Findings ask(String file, Function<Map<String, Object>, Admin> client) {
    Preflight preflight = Preflight.of(job(file));
    long begun = System.nanoTime();
    Preflight.Findings findings = preflight.run(client);
    assertThat(Duration.ofNanos(System.nanoTime() - begun)).isLessThan(Duration.ofSeconds(20));
    return findings;
  }

  private static String here() {
    return "bootstrap.servers: \"" + kafka.bootstrapServers() + "\"";
  }

  private static String securedAs(String login) {
    return "bootstrap.servers: \"127.0.0.1:%d\", security.protocol: SASL_PLAINTEXT, sasl.mechanism: PLAIN, sasl.jaas.config: \"%s\""
        .formatted(secured, login);
  }

  @Test
  void findsNothingWhereAllIsWell() {
    Preflight.Findings findings = ask(file(here(), ""));

    assertThat(findings.lasting()).isEmpty();
    assertThat(findings.passing()).isEmpty();
    assertThat(findings.absent()).isEmpty();
    assertThat(findings.notices()).isEmpty();
  }

  @Test
  void tellsEachTopicThatIsMissingAndATimeoutThatIsTooLong() {
    Preflight.Findings findings =
        ask(
            file(here(), "delivery: exactly-once")
                .replace("{topic: texts}", "{topic: texs}")
                .replace("{topic: labels}", "{topic: lables}")
                .replace(
                    "{topic: dead}",
                    "{topic: deaf}\n    routes: [{when: score < 0.5, topic: revue}]"));

    assertThat(findings.lasting())
        .containsExactlyInAnyOrder(
            "The topic texs (sentiment's input) does not exist, and the broker makes none by itself"
                + " (auto.create.topics.enable is false): create it, or correct its name",
            "The topic lables (sentiment's output) does not exist, and the broker makes none by"
                + " itself (auto.create.topics.enable is false): create it, or correct its name",
            "The topic revue (sentiment's routes) does not exist, and the broker makes none by itself"
                + " (auto.create.topics.enable is false): create it, or correct its name",
            "The topic deaf (sentiment's dead-letters) does not exist, and the broker makes none by"
                + " itself (auto.create.topics.enable is false): create it, or correct its name",
            "kafka.producer.transaction.timeout.ms is 900000 (the default here), but the broker"
                + " allows at most 600000: lower it, or raise the broker's"
                + " transaction.max.timeout.ms");
  }

  @Test
  void tellsWhatABrokerMakesByItself() {
    try (LocalKafka makes =
        LocalKafka.builder().property("auto.create.topics.enable", "true").start()) {
      Preflight.Findings findings =
          ask(file("bootstrap.servers: \"" + makes.bootstrapServers() + "\"", ""));

      assertThat(findings.lasting())
          .containsExactly(
              "The topic texts (sentiment's input) does not exist, and reading does not make it:"
                  + " create it, or correct its name");
      assertThat(findings.notices())
          .hasSize(3)
          .contains(
              "The topic labels (sentiment's output) does not exist: the broker makes it with its"
                  + " own defaults when the first record comes (its auto.create.topics.enable is"
                  + " true).");
    }
  }

  @Test
  void tellsThatNoBrokerAnswers() throws Exception {
    Preflight.Findings findings =
        ask(file("bootstrap.servers: \"127.0.0.1:%d\"".formatted(freePort()), ""));

    assertThat(findings.lasting()).isEmpty();
    assertThat(findings.passing())
        .singleElement()
        .asString()
        .startsWith("No broker answers at 127.0.0.1:")
        .contains("Connection refused", "kafka.common.bootstrap.servers");
  }

  @Test
  void tellsThatTheProtocolIsAnother() {
    assertThat(ask(file("bootstrap.servers: \"127.0.0.1:%d\"".formatted(secured), "")).passing())
        .singleElement()
        .asString()
        .contains("gives no answer over PLAINTEXT", "check kafka.common.security.protocol");
  }

  @Test
  void tellsAWrongPasswordAndDoesNotQuoteIt() {
    assertThat(ask(file(securedAs(LOGIN.formatted("clerk", "wrong-one")), "")).lasting())
        .singleElement()
        .asString()
        .contains("Authentication", "check kafka.common.sasl.*")
        .doesNotContain("wrong-one");
  }

  @Test
  void tellsASecretThatIsNotHere() {
    Preflight.Findings findings =
        ask(file(securedAs(LOGIN.formatted("clerk", "${env:LABELSTREAM_NO_SUCH}")), ""));

    assertThat(findings.lasting()).isEmpty();
    assertThat(findings.absent())
        .containsExactly(
            "kafka.common.sasl.jaas.config asks for ${env:LABELSTREAM_NO_SUCH}, but the environment"
                + " variable LABELSTREAM_NO_SUCH is not set on this machine: set it where the job"
                + " runs");
    assertThat(
            ask(file(securedAs(LOGIN.formatted("clerk", "${file:/no/such:password}")), ""))
                .absent())
        .singleElement()
        .asString()
        .contains("/no/such");
  }

  @Test
  void tellsANameThatIsNotInTheFileOfSecrets() throws Exception {
    Path secrets = Files.writeString(folder.resolve("secrets"), "password=right\n");

    assertThat(
            ask(file(securedAs(LOGIN.formatted("clerk", "${file:" + secrets + ":pasword}")), ""))
                .absent())
        .singleElement()
        .asString()
        .startsWith("kafka.common.sasl.jaas.config asks for ${file:")
        .contains("there is nothing of that name");
  }

  @Test
  void readsASecretFromAFile() throws Exception {
    Path secrets = Files.writeString(folder.resolve("secrets"), "password=right\n");

    Preflight.Findings findings =
        ask(file(securedAs(LOGIN.formatted("clerk", "${file:" + secrets + ":password}")), ""));

    assertThat(findings.absent()).isEmpty();
    assertThat(findings.passing()).isEmpty();
    assertThat(findings.lasting()).noneMatch(sentence -> sentence.startsWith("Authentication"));
  }

  @Test
  void doesNotQuoteALoginThatIsNoJaas() {
    assertThat(ask(file(securedAs("clerk my-secret"), "")).lasting())
        .singleElement()
        .asString()
        .contains("sasl.jaas.config is not of the form")
        .doesNotContain("my-secret");
  }

  @Test
  void tellsEachRightThatIsMissing() throws Exception {
    String file = file(securedAs(LOGIN.formatted("clerk", "right")), "delivery: exactly-once");

    assertThat(ask(file).lasting())
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
            "Transactions named checked/sentiment… may not be made by this user: grant it Describe"
                + " and Write on the transactional ids with that prefix");

    grant(admin, "clerk", ResourceType.TOPIC, "*", AclOperation.DESCRIBE);
    assertThat(ask(file).lasting())
        .contains(
            "The topic texts (sentiment's input) may not be read by this user: grant it Read on the"
                + " topic",
            "The topic labels (sentiment's output) may not be written by this user: grant it Write"
                + " on the topic");

    grant(admin, "clerk", ResourceType.TOPIC, "*", AclOperation.READ);
    grant(admin, "clerk", ResourceType.TOPIC, "*", AclOperation.WRITE);
    grant(admin, "clerk", ResourceType.GROUP, "readers-", AclOperation.READ);
    grant(admin, "clerk", ResourceType.TRANSACTIONAL_ID, "checked/", AclOperation.WRITE);
    Preflight.Findings findings = ask(file);
    assertThat(findings.lasting()).isEmpty();
    assertThat(findings.notices())
        .contains(
            "The topic labels (sentiment's output) does not tell this user what it takes: grant it"
                + " DescribeConfigs on the topic, so that what would be refused is known before.");

    grant(admin, "clerk", ResourceType.TOPIC, "*", AclOperation.DESCRIBE_CONFIGS);
    assertThat(ask(file).notices()).isEmpty();
  }

  /** The broker's client, but for what it answers about each topic. */
  private static Admin answering(
      Map<String, Object> properties, Function<String, KafkaFuture<TopicDescription>> answer) {
    Admin asked = Admin.create(properties);
    return (Admin)
        Proxy.newProxyInstance(
            Admin.class.getClassLoader(),
            new Class<?>[] {Admin.class},
            (proxy, method, arguments) -> {
              if (!method.getName().equals("describeTopics")) {
                return method.invoke(asked, arguments);
              }
              Map<String, KafkaFuture<TopicDescription>> topics = new HashMap<>();
              ((Collection<?>) arguments[0])
                  .forEach(topic -> topics.put((String) topic, answer.apply((String) topic)));
              return new DescribeTopicsResult(null, topics) {};
            });
  }

  @Test
  void tellsAPartitionThatHasNoLeader() {
    Node node = new Node(1, "127.0.0.1", 9092);
    List<TopicPartitionInfo> partitions =
        List.of(
            new TopicPartitionInfo(0, node, List.of(node), List.of(node)),
            new TopicPartitionInfo(1, null, List.of(node), List.of(node)));
    Preflight.Findings findings =
        ask(
            file(here(), ""),
            properties ->
                answering(
                    properties,
                    topic ->
                        KafkaFuture.completedFuture(
                            new TopicDescription(
                                topic,
                                false,
                                topic.equals("texts") ? partitions : partitions.subList(0, 1),
                                Set.of(AclOperation.READ, AclOperation.WRITE)))));

    assertThat(findings.lasting()).isEmpty();
    assertThat(findings.passing())
        .containsExactly(
            "The topic texts (sentiment's input) has no leader for its partition 1: bring the"
                + " brokers that hold it back");
  }

  @Test
  void tellsThatThisUserMayNotAsk() {
    KafkaFutureImpl<TopicDescription> refused = new KafkaFutureImpl<>();
    refused.completeExceptionally(new ClusterAuthorizationException("not allowed"));
    Preflight.Findings findings =
        ask(file(here(), ""), properties -> answering(properties, topic -> refused));

    assertThat(findings.lasting())
        .containsExactly(
            "This user may not ask the broker at "
                + kafka.bootstrapServers()
                + " (not allowed): grant it Describe");
    assertThat(findings.passing()).isEmpty();
  }

  @Test
  void tellsWhatTopicsTake() {
    kafka.createTopic("small", 1, Map.of("max.message.bytes", "10000"));
    kafka.createTopic("tiny", 1, Map.of("max.message.bytes", "1000"));
    kafka.createTopic("compacted", 1, Map.of("cleanup.policy", "compact"));

    Preflight.Findings findings =
        ask(
            file(here(), "")
                .replace("output: {topic: labels}", "output: {topic: small}")
                .replace("{topic: dead}", "{topic: tiny}"));
    assertThat(findings.lasting())
        .containsExactly(
            "The topic tiny (sentiment's dead-letters) takes records up to 1000 bytes, too few for"
                + " a dead letter without its value: raise its max.message.bytes to 8192 at least");
    assertThat(findings.notices())
        .containsExactly(
            "The topic small (sentiment's output) takes records up to 10000 bytes, and the producer"
                + " sends up to 1048576: what lies between becomes a dead letter.");
    assertThat(
            ask(file(here(), "").replace("output: {topic: labels}", "output: {topic: compacted}"))
                .notices())
        .containsExactly(
            "The topic compacted (sentiment's output) is compacted: what has no key becomes a dead"
                + " letter.");
  }

  @Test
  void tellsThatATopicLacksReplicasAndThatLongDeadLettersLoseTheirValue() {
    kafka.createTopic("twofold", 1, Map.of("min.insync.replicas", "2"));
    kafka.createTopic("short", 1, Map.of("max.message.bytes", "100000"));

    Preflight.Findings findings =
        ask(
            file(here(), "")
                .replace("output: {topic: labels}", "output: {topic: twofold}")
                .replace("{topic: dead}", "{topic: short}"));
    assertThat(findings.lasting()).isEmpty();
    assertThat(findings.passing())
        .containsExactly(
            "The topic twofold (sentiment's output) has 1 in-sync replicas of its partition 0, but"
                + " takes records only with 2: bring its brokers back, or lower"
                + " min.insync.replicas");
    assertThat(findings.notices())
        .containsExactly(
            "The topic short (sentiment's dead-letters) takes records up to 100000 bytes: a dead"
                + " letter beyond that has no value, only the place of its record.");
  }

  @Test
  void tellsAnAddressThatIsNoneAndAHostThatThereIsNot() {
    assertThat(ask(file("bootstrap.servers: localhost", "")).lasting())
        .containsExactly(
            "kafka.common.bootstrap.servers has localhost, which is not of the form host:port");
    assertThat(ask(file("bootstrap.servers: \"no-such-host.invalid:9092\"", "")).passing())
        .singleElement()
        .asString()
        .startsWith(
            "No broker answers at no-such-host.invalid:9092 (there is no host of that name)");
  }

  @Test
  void tellsThatTransactionsOfTheJobsNameAreOpen() throws Exception {
    Map<String, Object> properties =
        Map.of(
            "bootstrap.servers",
            kafka.bootstrapServers(),
            "transactional.id",
            "checked/sentiment-0-7");
    String file = file(here() + ", transaction.timeout.ms: \"60000\"", "delivery: exactly-once");
    assertThat(ask(file).notices()).isEmpty();
    try (KafkaProducer<byte[], byte[]> other =
        new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
      other.initTransactions();
      other.beginTransaction();
      other.send(new ProducerRecord<>("labels", new byte[1])).get();

      assertThat(ask(file).notices())
          .singleElement()
          .asString()
          .startsWith("1 transactions named checked/sentiment… are open");
      other.abortTransaction();
    }
  }

  @Test
  void checksWithoutSubmitting() throws Exception {
    Path good = Files.writeString(folder.resolve("good.yaml"), file(here(), ""));
    Main.main(new String[] {"--check", "--job-file", good.toString()});

    Path wrong =
        Files.writeString(
            folder.resolve("wrong.yaml"),
            file(here(), "")
                .replace("{topic: texts}", "{topic: no}")
                .replace("{topic: dead}", "{topic: none}"));
    assertThatThrownBy(() -> Main.main(new String[] {"--check", "--config", wrong.toString()}))
        .hasMessageContaining("cannot run, for 2 reasons")
        .hasMessageContaining("The topic no (sentiment's input) does not exist")
        .hasMessageContaining("The topic none (sentiment's dead-letters) does not exist");

    Path away =
        Files.writeString(
            folder.resolve("away.yaml"),
            file("bootstrap.servers: \"127.0.0.1:%d\"".formatted(freePort()), ""));
    assertThatThrownBy(() -> Main.main(new String[] {"--check", "--config", away.toString()}))
        .hasMessageContaining("No broker answers at 127.0.0.1:");
  }

  /** As where only the cluster reaches the broker, so that submitting could not ask. */
  @ParameterizedTest
  @Timeout(value = 60, unit = TimeUnit.SECONDS)
  @CsvSource({"texts, input", "labels, output", "dead, dead-letters"})
  void endsAJobThatNoRestartMends(String topic, String of) throws Exception {
    JobSpec job =
        job(
            file(here(), "delivery: exactly-once")
                .replace("{topic: " + topic + "}", "{topic: missing}")
                .replace("consumer:", "producer: {transaction.timeout.ms: 60000}\n  consumer:"));
    StreamExecutionEnvironment env =
        StreamExecutionEnvironment.getExecutionEnvironment(new Configuration());
    env.enableCheckpointing(1_000);
    KafkaPipelines.build(env, job);

    assertThatThrownBy(() -> env.execute(job.name()))
        .hasStackTraceContaining("The topic missing (sentiment's " + of + ") does not exist");
  }
}
