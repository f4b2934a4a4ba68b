package org.labelstream.kafka;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.labelstream.kafka.Main.Console;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code create}: makes topics. */
@Command(
    name = "create",
    description = "Makes topics; those that exist already stay as they are.",
    mixinStandardHelpOptions = true)
final class CreateCommand implements Callable<Integer> {
  @Parameters(arity = "1..*", paramLabel = "TOPIC", description = "What is made.")
  private List<String> topics = List.of();

  @Mixin private Connection connection;

  @Option(
      names = "--partitions",
      paramLabel = "N",
      defaultValue = "1",
      description = "How many partitions each gets (default 1).")
  private int partitions;

  @Option(
      names = "--config",
      paramLabel = "NAME=VALUE",
      description = "A setting of the topics, as max.message.bytes=2097152; may be repeated.")
  private Map<String, String> configs = new HashMap<>();

  private final Console console;

  CreateCommand(Console console) {
    this.console = console;
  }

  @Override
  public Integer call() {
    try (Admin admin = connection.admin()) {
      var known = Connection.topics(admin);
      for (String topic : topics) {
        if (known.contains(topic)) {
          console.err().println("The topic " + topic + " exists already and stays as it is");
          continue;
        }
        NewTopic missing = new NewTopic(topic, Optional.of(partitions), Optional.empty());
        Connection.get(admin.createTopics(List.of(missing.configs(configs))).all());
        console.err().println("Made the topic " + topic + ", partitions: " + partitions);
      }
    }
    return 0;
  }
}
