package org.labelstream.kafka;

import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.CommonClientConfigs;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.KafkaException;
import picocli.CommandLine.Option;

/** The options that say which broker a console command speaks to, and the way there. */
final class Connection {
  private static final int ANSWER_WITHIN_MS = 5_000;

  @Option(
      names = "--bootstrap",
      paramLabel = "HOST:PORT",
      defaultValue = "${env:LABELSTREAM_KAFKA:-localhost:9092}",
      description =
          "The broker; otherwise the environment's LABELSTREAM_KAFKA, otherwise localhost:9092.")
  private String bootstrap;

  @Option(
      names = "--property",
      paramLabel = "NAME=VALUE",
      description = "A property of the Kafka client; may be repeated.")
  private Map<String, String> properties = new HashMap<>();

  @Option(
      names = "--command-config",
      paramLabel = "FILE",
      defaultValue = "${env:LABELSTREAM_KAFKA_CONFIG}",
      description =
          "A file of properties of the Kafka client, as for a secured broker; otherwise the"
              + " environment's LABELSTREAM_KAFKA_CONFIG.")
  private Path config;

  /** Client properties, the user's own last. */
  Map<String, Object> properties(Map<String, Object> own) {
    Map<String, Object> all = new HashMap<>(own);
    all.put(CommonClientConfigs.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
    if (config != null) {
      Properties read = new Properties();
      try (Reader reader = Files.newBufferedReader(config)) {
        read.load(reader);
      } catch (IOException | IllegalArgumentException e) {
        throw new LocalKafkaException(
            "The client's properties in " + config + " cannot be read (" + e + ").", e);
      }
      read.stringPropertyNames().forEach(name -> all.put(name, read.getProperty(name)));
    }
    all.putAll(properties);
    return all;
  }

  /** An admin client for a broker that has answered; otherwise a sentence, after 5 s. */
  Admin admin() {
    Admin admin;
    try {
      admin =
          Admin.create(
              properties(
                  Map.of(
                      CommonClientConfigs.REQUEST_TIMEOUT_MS_CONFIG, ANSWER_WITHIN_MS,
                      CommonClientConfigs.DEFAULT_API_TIMEOUT_MS_CONFIG, ANSWER_WITHIN_MS)));
    } catch (KafkaException e) {
      Throwable cause = e.getCause() == null ? e : e.getCause();
      throw new LocalKafkaException(
          "No client can be made for " + bootstrap + ": " + cause.getMessage(), e);
    }
    try {
      admin.describeCluster().clusterId().get(ANSWER_WITHIN_MS, TimeUnit.MILLISECONDS);
      return admin;
    } catch (ExecutionException | TimeoutException e) {
      close(admin);
      Throwable cause = e.getCause();
      boolean silent =
          cause == null || cause instanceof org.apache.kafka.common.errors.TimeoutException;
      throw new LocalKafkaException(
          silent
              ? "No broker answers at "
                  + bootstrap
                  + ": start one with scripts/kafka-local.sh start, or name another with --bootstrap."
              : "The broker at " + bootstrap + " refuses: " + cause.getMessage(),
          e);
    } catch (InterruptedException e) {
      close(admin);
      Thread.currentThread().interrupt();
      throw new LocalKafkaException("Interrupted while waiting for " + bootstrap + ".", e);
    }
  }

  /** The names of all topics but Kafka's own. */
  static Set<String> topics(Admin admin) {
    return new TreeSet<>(get(admin.listTopics().names()));
  }

  /** The sentence for a topic that is not there. */
  static LocalKafkaException unknownTopic(String topic, Set<String> known) {
    return new LocalKafkaException(
        "There is no topic "
            + topic
            + (known.isEmpty()
                ? ", nor any other"
                : " (there are: " + String.join(", ", known) + ")")
            + ": create it with scripts/kafka-local.sh create "
            + topic
            + ".");
  }

  /** What Kafka answers, or the exception that it answered with. */
  static <T> T get(Future<T> answer) {
    try {
      return answer.get();
    } catch (ExecutionException e) {
      throw new LocalKafkaException("Kafka says: " + e.getCause().getMessage(), e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new LocalKafkaException("Interrupted while waiting for Kafka.", e);
    }
  }

  private static void close(Admin admin) {
    admin.close(Duration.ZERO);
  }
}
