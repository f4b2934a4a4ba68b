package org.labelstream.job.kafka;

import java.io.IOException;
import java.io.Serializable;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.UnknownHostException;
import java.nio.file.NoSuchFileException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeConsumerGroupsOptions;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.TransactionListing;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.AuthenticationException;
import org.apache.kafka.common.errors.AuthorizationException;
import org.apache.kafka.common.errors.GroupAuthorizationException;
import org.apache.kafka.common.errors.SslAuthenticationException;
import org.apache.kafka.common.errors.TopicAuthorizationException;
import org.apache.kafka.common.errors.TransactionalIdAuthorizationException;
import org.apache.kafka.common.errors.TransactionalIdNotFoundException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.labelstream.job.jobfile.JobSpec;
import org.labelstream.job.jobfile.JobSpec.PipelineSpec;
import org.labelstream.job.jobfile.KafkaProperties;
import org.labelstream.job.registry.ConfluentRegistry;
import org.labelstream.job.registry.RegistryProperties;

/**
 * Asks the brokers whether a job can work with them: that they answer, let it in, have its topics,
 * and allow it what it does. Tells all that it finds, one sentence each, within 20 s.
 */
public final class Preflight implements Serializable {
  private static final long serialVersionUID = 1L;

  private static final Duration CONNECT_WITHIN = Duration.ofSeconds(3);

  /** Of one client, or of the two where readers and writers differ. */
  private static final Duration ANSWER_WITHIN = Duration.ofSeconds(13);

  private static final Duration EACH_WITHIN = Duration.ofSeconds(6);

  /** A dead letter that has lost its value still has its place and its message. */
  private static final long LEAST_DEAD_LETTER_BYTES = 8 << 10;

  private static final Pattern ADDRESS = Pattern.compile("\\[?([^\\[\\]]+?)]?:([0-9]{1,5})");

  private final String job;
  private final List<Pipeline> pipelines;
  private final HashMap<String, String> consumer;
  private final HashMap<String, String> producer;
  private final boolean exactlyOnce;
  private final RegistryProperties registry;

  /** What is asked about a pipeline; its explanations' topic may be null. */
  private record Pipeline(
      String name,
      String group,
      String input,
      String output,
      String deadLetters,
      String explanations,
      ArrayList<String> routes,
      long maxValueBytes)
      implements Serializable {

    static Pipeline of(JobSpec job, PipelineSpec pipeline) {
      return new Pipeline(
          pipeline.name(),
          job.group(pipeline),
          pipeline.inputTopic(),
          pipeline.outputTopic(),
          pipeline.deadLetterTopic(),
          pipeline.explanationTopic(),
          new ArrayList<>(pipeline.routeTopics()),
          pipeline.settings().maxValueBytes());
    }

    /** The topics that it writes to, each with what is written there. */
    Map<String, String> outputs() {
      Map<String, String> outputs = new LinkedHashMap<>();
      outputs.put(output, "output");
      outputs.put(deadLetters, "dead-letters");
      if (explanations != null) {
        outputs.put(explanations, "explanations");
      }
      routes.forEach(topic -> outputs.put(topic, "routes"));
      return outputs;
    }
  }

  /**
   * What was found, one sentence each.
   *
   * @param lasting what no restart mends
   * @param passing what may be otherwise in a while, or on another machine: brokers that do not
   *     answer
   * @param absent secrets that this machine does not have; the cluster may
   * @param notices what is good to know, and keeps nothing from working
   */
  public record Findings(
      Set<String> lasting, Set<String> passing, Set<String> absent, Set<String> notices) {
    Findings() {
      this(
          new LinkedHashSet<>(),
          new LinkedHashSet<>(),
          new LinkedHashSet<>(),
          new LinkedHashSet<>());
    }
  }

  private Preflight(JobSpec job, List<PipelineSpec> pipelines) {
    this.job = job.name();
    this.pipelines = new ArrayList<>();
    pipelines.forEach(pipeline -> this.pipelines.add(Pipeline.of(job, pipeline)));
    this.consumer = new HashMap<>(job.consumer());
    this.producer = new HashMap<>(job.producer());
    this.exactlyOnce = job.exactlyOnce();
    this.registry = job.registry();
  }

  /** Of all pipelines of a job. */
  public static Preflight of(JobSpec job) {
    return new Preflight(job, job.pipelines());
  }

  /** Of one of them. */
  static Preflight of(JobSpec job, PipelineSpec pipeline) {
    return new Preflight(job, List.of(pipeline));
  }

  /** Asks. */
  public Findings run() {
    return run(Admin::create);
  }

  /**
   * @param clients makes a client of its properties
   */
  Findings run(Function<Map<String, Object>, Admin> clients) {
    Findings findings = new Findings();
    if (registry != null) {
      askRegistry(findings);
    }
    Map<String, Object> reading = AdminProperties.withUnset(consumer);
    Map<String, Object> writing = AdminProperties.withUnset(producer);
    if (reading.equals(writing)) {
      new Asking(findings, reading, "kafka.common", ANSWER_WITHIN, clients).run(true, true);
    } else {
      new Asking(findings, reading, "kafka.consumer", EACH_WITHIN, clients).run(true, false);
      new Asking(findings, writing, "kafka.producer", EACH_WITHIN, clients).run(false, true);
    }
    return findings;
  }

  private void askRegistry(Findings findings) {
    try {
      new ConfluentRegistry(registry)
          .hindrance()
          .ifPresent(
              hindrance ->
                  (hindrance.lasting() ? findings.lasting() : findings.passing())
                      .add(hindrance.sentence()));
    } catch (KafkaException e) {
      findings.absent().add("schema-registry cannot be used: " + withoutSecrets(e));
    }
  }

  /** A client's questions to its brokers. */
  private final class Asking {
    private final Findings findings;
    private final Map<String, Object> properties;
    private final String section;
    private final Duration answerWithin;
    private final Function<Map<String, Object>, Admin> clients;
    private long deadline;
    private boolean goOn = true;

    Asking(
        Findings findings,
        Map<String, Object> properties,
        String section,
        Duration answerWithin,
        Function<Map<String, Object>, Admin> clients) {
      this.clients = clients;
      this.answerWithin = answerWithin;
      this.findings = findings;
      this.properties = properties;
      this.section = section;
    }

    void run(boolean reads, boolean writes) {
      Map<String, String> resolved = resolved();
      if (resolved == null || !isReachable(resolved.get("bootstrap.servers"))) {
        return;
      }
      deadline = System.nanoTime() + answerWithin.toNanos();
      try (Admin admin = clients.apply(properties)) {
        try {
          Collection<Node> nodes = ask(admin.describeCluster().nodes()).orElse(List.of());
          if (goOn) {
            questions(admin, nodes, reads, writes);
          }
        } finally {
          admin.close(Duration.ZERO);
        }
      } catch (KafkaException e) {
        findings.lasting().add(section + " is refused by Kafka's client: " + withoutSecrets(e));
      }
    }

    /** The properties as the client has them, or null where one of its secrets is not here. */
    private Map<String, String> resolved() {
      Map<String, String> resolved = new HashMap<>();
      try {
        new AdminClientConfig(properties)
            .originals()
            .forEach((name, value) -> resolved.put(name, String.valueOf(value)));
      } catch (KafkaException e) {
        // Providers tell the file that they cannot read.
        (hasReference() ? findings.absent() : findings.lasting())
            .add(section + " is refused by Kafka's client: " + withoutSecrets(e));
        return null;
      }
      boolean complete = true;
      for (Map.Entry<String, String> entry : resolved.entrySet()) {
        Matcher reference = KafkaProperties.REFERENCE.matcher(entry.getValue());
        while (!entry.getKey().startsWith("config.providers") && reference.find()) {
          complete = false;
          findings
              .absent()
              .add(
                  section
                      + "."
                      + entry.getKey()
                      + " asks for "
                      + reference.group()
                      + ", but "
                      + (reference.group(1).equals("env")
                          ? "the environment variable " + reference.group(2) + " is not set"
                          : "there is nothing of that name")
                      + " on this machine: set it where the job runs");
        }
      }
      return complete ? resolved : null;
    }

    private boolean hasReference() {
      return properties.values().stream()
          .anyMatch(value -> KafkaProperties.REFERENCE.matcher(String.valueOf(value)).find());
    }

    /** Whether any of the first brokers takes a connection. */
    private boolean isReachable(String servers) {
      List<String> reasons = new ArrayList<>();
      long until = System.nanoTime() + CONNECT_WITHIN.toNanos();
      for (String server : servers.split(",", -1)) {
        Matcher address = ADDRESS.matcher(server.strip());
        if (!address.matches()) {
          findings
              .lasting()
              .add(
                  section
                      + ".bootstrap.servers has "
                      + server.strip()
                      + ", which is not of the form host:port");
          return false;
        }
        int left = (int) Math.max(200, (until - System.nanoTime()) / 1_000_000);
        String reason = unreachable(address.group(1), Integer.parseInt(address.group(2)), left);
        if (reason == null) {
          return true;
        }
        reasons.add(server.strip() + " (" + reason + ")");
      }
      findings
          .passing()
          .add(
              "No broker answers at "
                  + String.join(", ", reasons)
                  + ": start it, or correct "
                  + section
                  + ".bootstrap.servers");
      return false;
    }

    private void questions(Admin admin, Collection<Node> nodes, boolean reads, boolean writes) {
      Map<String, List<String>> inputs = new LinkedHashMap<>();
      Map<String, List<String>> outputs = new LinkedHashMap<>();
      for (Pipeline pipeline : pipelines) {
        if (reads) {
          inputs
              .computeIfAbsent(pipeline.input(), topic -> new ArrayList<>())
              .add(pipeline.name() + "'s input");
        }
        if (writes) {
          pipeline
              .outputs()
              .forEach(
                  (topic, what) ->
                      outputs
                          .computeIfAbsent(topic, name -> new ArrayList<>())
                          .add(pipeline.name() + "'s " + what));
        }
      }
      Set<String> topics = new TreeSet<>(inputs.keySet());
      topics.addAll(outputs.keySet());
      Map<String, KafkaFuture<TopicDescription>> described =
          admin
              .describeTopics(topics, new DescribeTopicsOptions().includeAuthorizedOperations(true))
              .topicNameValues();
      List<ConfigResource> resources = new ArrayList<>();
      topics.forEach(topic -> resources.add(new ConfigResource(ConfigResource.Type.TOPIC, topic)));
      Map<ConfigResource, KafkaFuture<Config>> configs = admin.describeConfigs(resources).values();
      Optional<Config> broker = broker(admin, nodes);

      for (String topic : topics) {
        KafkaFuture<Config> config =
            configs.get(new ConfigResource(ConfigResource.Type.TOPIC, topic));
        checkTopic(
            topic,
            described.get(topic),
            quietly(config),
            broker,
            inputs.getOrDefault(topic, List.of()),
            outputs.getOrDefault(topic, List.of()));
      }
      if (reads) {
        checkGroups(admin);
      }
      if (writes && exactlyOnce) {
        checkTransactions(admin, broker);
      }
    }

    private void checkTopic(
        String topic,
        KafkaFuture<TopicDescription> description,
        Optional<Config> config,
        Optional<Config> broker,
        List<String> inputOf,
        List<String> outputOf) {
      String named =
          "The topic "
              + topic
              + " ("
              + String.join(", ", inputOf.isEmpty() ? outputOf : inputOf)
              + ")";
      Optional<TopicDescription> known;
      try {
        known = Optional.of(await(description));
      } catch (UnknownTopicOrPartitionException e) {
        boolean makes =
            broker
                .map(settings -> value(settings, "auto.create.topics.enable").equals("true"))
                .orElse(false);
        if (makes && inputOf.isEmpty()) {
          findings
              .notices()
              .add(
                  named
                      + " does not exist: the broker makes it with its own defaults when the first"
                      + " record comes (its auto.create.topics.enable is true).");
        } else {
          findings
              .lasting()
              .add(
                  named
                      + " does not exist"
                      + (makes
                          ? ", and reading does not make it: create it, or correct its name"
                          : broker.isPresent()
                              ? ", and the broker makes none by itself (auto.create.topics.enable"
                                  + " is false): create it, or correct its name"
                              : ": create it, or correct its name"));
        }
        return;
      } catch (TopicAuthorizationException e) {
        findings
            .lasting()
            .add(
                named
                    + " may not be seen by this user: grant it Describe"
                    + (inputOf.isEmpty() ? "" : " and Read")
                    + (outputOf.isEmpty() ? "" : " and Write")
                    + " on the topic");
        return;
      } catch (KafkaException e) {
        tell(e);
        return;
      }
      TopicDescription topicThatIs = known.get();
      allowed(named, topicThatIs.authorizedOperations(), AclOperation.READ, inputOf);
      allowed(named, topicThatIs.authorizedOperations(), AclOperation.WRITE, outputOf);
      for (TopicPartitionInfo partition : topicThatIs.partitions()) {
        if (partition.leader() == null || partition.leader().isEmpty()) {
          findings
              .passing()
              .add(
                  named
                      + " has no leader for its partition "
                      + partition.partition()
                      + ": bring the brokers that hold it back");
        }
      }
      if (!outputOf.isEmpty()) {
        config.ifPresentOrElse(
            settings -> checkOutput(topic, named, topicThatIs, settings),
            () ->
                findings
                    .notices()
                    .add(
                        named
                            + " does not tell this user what it takes: grant it DescribeConfigs on"
                            + " the topic, so that what would be refused is known before."));
      }
    }

    private void allowed(
        String named, Set<AclOperation> operations, AclOperation needed, List<String> uses) {
      if (!uses.isEmpty() && operations != null && !operations.contains(needed)) {
        String what = needed == AclOperation.READ ? "Read" : "Write";
        findings
            .lasting()
            .add(
                named
                    + " may not be "
                    + (needed == AclOperation.READ ? "read" : "written")
                    + " by this user: grant it "
                    + what
                    + " on the topic");
      }
    }

    private void checkOutput(
        String topic, String named, TopicDescription description, Config settings) {
      TopicLimit limit = TopicLimit.of(settings);
      int replicas = Integer.parseInt(value(settings, "min.insync.replicas"));
      String acks = producer.getOrDefault("acks", "all");
      for (TopicPartitionInfo partition : description.partitions()) {
        if ((acks.equals("all") || acks.equals("-1")) && partition.isr().size() < replicas) {
          findings
              .passing()
              .add(
                  named
                      + " has "
                      + partition.isr().size()
                      + " in-sync replicas of its partition "
                      + partition.partition()
                      + ", but takes records only with "
                      + replicas
                      + ": bring its brokers back, or lower min.insync.replicas");
          break;
        }
      }
      for (Pipeline pipeline : pipelines) {
        if (topic.equals(pipeline.output()) || pipeline.routes().contains(topic)) {
          if (limit.maxBytes() < OutputTopics.maxRequestBytes(producer)) {
            findings
                .notices()
                .add(
                    named
                        + " takes records up to "
                        + limit.maxBytes()
                        + " bytes, and the producer sends up to "
                        + OutputTopics.maxRequestBytes(producer)
                        + ": what lies between becomes a dead letter.");
          }
          if (limit.compacted()) {
            findings.notices().add(named + " is compacted: what has no key becomes a dead letter.");
          }
        }
        if (topic.equals(pipeline.deadLetters())) {
          if (limit.maxBytes() < LEAST_DEAD_LETTER_BYTES) {
            findings
                .lasting()
                .add(
                    named
                        + " takes records up to "
                        + limit.maxBytes()
                        + " bytes, too few for a dead letter without its value: raise its"
                        + " max.message.bytes to "
                        + LEAST_DEAD_LETTER_BYTES
                        + " at least");
          } else if (limit.maxBytes() < pipeline.maxValueBytes()) {
            findings
                .notices()
                .add(
                    named
                        + " takes records up to "
                        + limit.maxBytes()
                        + " bytes: a dead letter beyond that has no value, only the place of its"
                        + " record.");
          }
        }
      }
    }

    private void checkGroups(Admin admin) {
      Map<String, KafkaFuture<org.apache.kafka.clients.admin.ConsumerGroupDescription>> groups =
          admin
              .describeConsumerGroups(
                  pipelines.stream().map(Pipeline::group).toList(),
                  new DescribeConsumerGroupsOptions().includeAuthorizedOperations(true))
              .describedGroups();
      for (Pipeline pipeline : pipelines) {
        String group = pipeline.group();
        try {
          Set<AclOperation> operations = await(groups.get(group)).authorizedOperations();
          if (operations != null && !operations.contains(AclOperation.READ)) {
            findings.lasting().add(groupSentence(group));
          }
        } catch (GroupAuthorizationException e) {
          findings.lasting().add(groupSentence(group));
        } catch (KafkaException e) {
          // A group that nobody has read as yet is none, and tells nothing of rights.
          tryToCommit(admin, group, pipeline.input());
        }
      }
    }

    /** Commits to a partition that no topic has: what is refused first is the right to commit. */
    private void tryToCommit(Admin admin, String group, String topic) {
      TopicPartition nowhere = new TopicPartition(topic, Integer.MAX_VALUE);
      try {
        await(
            admin
                .alterConsumerGroupOffsets(group, Map.of(nowhere, new OffsetAndMetadata(0)))
                .partitionResult(nowhere));
      } catch (GroupAuthorizationException e) {
        findings.lasting().add(groupSentence(group));
      } catch (KafkaException e) {
        // It is refused because there is no such partition.
      }
    }

    private static String groupSentence(String group) {
      return "The group "
          + group
          + " may not be used by this user: grant it Describe and Read on the group";
    }

    private void checkTransactions(Admin admin, Optional<Config> broker) {
      String given = producer.get("transaction.timeout.ms");
      long timeout =
          given == null
              ? KafkaPipelines.TRANSACTION_TIMEOUT.toMillis()
              : given.strip().matches("[0-9]{1,18}") ? Long.parseLong(given.strip()) : 0;
      broker
          .map(settings -> value(settings, "transaction.max.timeout.ms"))
          .filter(most -> most.matches("[0-9]{1,18}") && timeout > Long.parseLong(most))
          .ifPresent(
              most ->
                  findings
                      .lasting()
                      .add(
                          "kafka.producer.transaction.timeout.ms is "
                              + timeout
                              + (given == null ? " (the default here)" : "")
                              + ", but the broker allows at most "
                              + most
                              + ": lower it, or raise the broker's transaction.max.timeout.ms"));
      for (Pipeline pipeline : pipelines) {
        String prefix = job + "/" + pipeline.name();
        try {
          checkTransactionalId(admin, prefix);
        } catch (TransactionalIdAuthorizationException e) {
          findings
              .lasting()
              .add(
                  "Transactions named "
                      + prefix
                      + "… may not be made by this user: grant it Describe and Write on the"
                      + " transactional ids with that prefix");
        } catch (KafkaException e) {
          // What is not refused is no problem here.
        }
        Optional<Collection<TransactionListing>> open =
            quietly(
                admin
                    .listTransactions(
                        new ListTransactionsOptions()
                            .filterStates(List.of(TransactionState.ONGOING)))
                    .all());
        long own =
            open.orElse(List.of()).stream()
                .filter(listing -> listing.transactionalId().startsWith(prefix + "-"))
                .count();
        if (own > 0) {
          findings
              .notices()
              .add(
                  own
                      + " transactions named "
                      + prefix
                      + "… are open: where a job of this name still runs, cancel it first, or the"
                      + " two end each other; those of one that was killed end by themselves.");
        }
      }
    }

    /** Asks for Describe, and by an id that no producer has for Write: it stays, and is unused. */
    private void checkTransactionalId(Admin admin, String prefix) {
      try {
        await(admin.describeTransactions(List.of(prefix + "-0-1")).all());
      } catch (TransactionalIdNotFoundException e) {
        // One that nobody has used is none.
      }
      await(admin.fenceProducers(List.of(prefix + "-preflight")).all());
    }

    private Optional<Config> broker(Admin admin, Collection<Node> nodes) {
      if (nodes.isEmpty()) {
        return Optional.empty();
      }
      ConfigResource broker =
          new ConfigResource(ConfigResource.Type.BROKER, nodes.iterator().next().idString());
      return quietly(admin.describeConfigs(List.of(broker)).all()).map(all -> all.get(broker));
    }

    private <T> Optional<T> ask(KafkaFuture<T> answer) {
      try {
        return Optional.of(await(answer));
      } catch (KafkaException e) {
        tell(e);
        return Optional.empty();
      }
    }

    /** An answer that it is no problem not to have. */
    private <T> Optional<T> quietly(KafkaFuture<T> answer) {
      try {
        return Optional.of(await(answer));
      } catch (KafkaException e) {
        return Optional.empty();
      }
    }

    private <T> T await(KafkaFuture<T> answer) {
      try {
        return answer.get(Math.max(0, deadline - System.nanoTime()), TimeUnit.NANOSECONDS);
      } catch (ExecutionException e) {
        throw e.getCause() instanceof KafkaException cause
            ? cause
            : new KafkaException(e.getCause());
      } catch (TimeoutException e) {
        throw new org.apache.kafka.common.errors.TimeoutException("no answer", e);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new KafkaException("interrupted", e);
      }
    }

    private void tell(KafkaException e) {
      goOn = false;
      Object protocol = properties.getOrDefault("security.protocol", "PLAINTEXT");
      String brokers = "the broker at " + properties.get("bootstrap.servers");
      if (e instanceof SslAuthenticationException) {
        findings
            .lasting()
            .add(
                "TLS with "
                    + brokers
                    + " fails ("
                    + root(e).getMessage()
                    + "): check "
                    + section
                    + ".ssl.truststore.* and the broker's host names");
      } else if (e instanceof AuthenticationException) {
        findings
            .lasting()
            .add(
                "Authentication with "
                    + brokers
                    + " fails ("
                    + e.getMessage()
                    + "): check "
                    + section
                    + ".sasl.*");
      } else if (e instanceof AuthorizationException) {
        findings
            .lasting()
            .add(
                "This user may not ask "
                    + brokers
                    + " ("
                    + e.getMessage()
                    + "): grant it Describe");
      } else {
        findings
            .passing()
            .add(
                "Something listens at "
                    + properties.get("bootstrap.servers")
                    + ", but gives no answer over "
                    + protocol
                    + " ("
                    + e.getMessage()
                    + "): check "
                    + section
                    + ".security.protocol, and that the addresses which the broker advertises can"
                    + " be reached from here");
      }
    }
  }

  private static String value(Config config, String name) {
    ConfigEntry entry = config.get(name);
    return entry == null || entry.value() == null ? "" : entry.value();
  }

  private static String unreachable(String host, int port, int withinMillis) {
    try (Socket socket = new Socket()) {
      socket.connect(new InetSocketAddress(host, port), withinMillis);
      return null;
    } catch (UnknownHostException e) {
      return "there is no host of that name";
    } catch (IOException | IllegalArgumentException e) {
      return e.getMessage();
    }
  }

  private static Throwable root(Throwable e) {
    Throwable root = e;
    while (root.getCause() != null && root.getCause() != root) {
      root = root.getCause();
    }
    return root;
  }

  /** A login module's complaint quotes the line that holds the password. */
  private static String withoutSecrets(KafkaException e) {
    for (Throwable cause = e; cause != null; cause = cause.getCause()) {
      for (StackTraceElement frame : cause.getStackTrace()) {
        if (frame.getClassName().endsWith("JaasConfig")) {
          return "sasl.jaas.config is not of the form \"a.LoginModule required name='value' …;\"";
        }
      }
      String message = String.valueOf(cause.getMessage());
      if (message.startsWith("Failed to load") && message.contains("keystore")) {
        return message
            + (root(e) instanceof NoSuchFileException
                ? ": there is no such file"
                : " (" + root(e).getMessage() + "): check ssl.*.type and ssl.*.password");
      }
    }
    return root(e).getMessage();
  }
}
