package org.labelstream.kafka;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.TopicPartition;
import org.labelstream.kafka.Main.Console;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code topics}: lists topics with their partitions and end offsets. */
@Command(
    name = "topics",
    description =
        "Prints each topic's name, its number of partitions, and the sum of its end offsets (its"
            + " records, markers of transactions included), with tabs between them.",
    mixinStandardHelpOptions = true)
final class TopicsCommand implements Callable<Integer> {
  @Mixin private Connection connection;

  private final Console console;

  TopicsCommand(Console console) {
    this.console = console;
  }

  @Override
  public Integer call() {
    try (Admin admin = connection.admin()) {
      Map<String, TopicDescription> topics =
          new TreeMap<>(
              Connection.get(
                  admin.describeTopics(List.copyOf(Connection.topics(admin))).allTopicNames()));
      Map<TopicPartition, OffsetSpec> asked = new HashMap<>();
      topics.forEach(
          (name, topic) ->
              topic
                  .partitions()
                  .forEach(
                      p ->
                          asked.put(new TopicPartition(name, p.partition()), OffsetSpec.latest())));
      Map<String, Long> ends = new HashMap<>();
      Connection.get(admin.listOffsets(asked).all())
          .forEach((p, end) -> ends.merge(p.topic(), end.offset(), Long::sum));
      topics.forEach(
          (name, topic) ->
              console
                  .out()
                  .println(name + "\t" + topic.partitions().size() + "\t" + ends.get(name)));
    }
    return 0;
  }
}
