package org.labelstream.job.kafka;

import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.apache.flink.connector.kafka.lineage.DefaultKafkaDatasetIdentifier;
import org.apache.flink.connector.kafka.lineage.KafkaDatasetIdentifierProvider;
import org.apache.flink.connector.kafka.source.enumerator.subscriber.KafkaSubscriber;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.common.TopicPartition;

/**
 * The topic that a pipeline reads, with patience: where its partitions cannot be listed, the source
 * would fail the job at once and without a word on the way out, and so restart it for ever. The
 * pipeline's own check, which starts at the same time, knows what is wrong and whether a restart
 * mends it: the source leaves it the time to say so.
 */
final class InputTopic implements KafkaSubscriber, KafkaDatasetIdentifierProvider {
  private static final long serialVersionUID = 1L;

  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final Duration EACH = Duration.ofSeconds(2);

  private final String topic;

  InputTopic(String topic) {
    this.topic = topic;
  }

  @Override
  public Set<TopicPartition> getSubscribedTopicPartitions(AdminClient admin) {
    KafkaSubscriber subscriber = KafkaSubscriber.getTopicListSubscriber(List.of(topic));
    long deadline = System.nanoTime() + PATIENCE.toNanos();
    while (true) {
      try {
        return subscriber.getSubscribedTopicPartitions(admin);
      } catch (RuntimeException e) {
        if (System.nanoTime() > deadline) {
          throw e;
        }
        try {
          Thread.sleep(EACH.toMillis());
        } catch (InterruptedException interrupted) {
          Thread.currentThread().interrupt();
          throw e;
        }
      }
    }
  }

  @Override
  public Optional<DefaultKafkaDatasetIdentifier> getDatasetIdentifier() {
    return Optional.of(DefaultKafkaDatasetIdentifier.ofTopics(List.of(topic)));
  }
}
