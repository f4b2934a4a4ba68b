package org.labelstream.job.kafka;

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.config.ConfigResource;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What topics take, asked of their broker at first and now and then. A broker that does not answer,
 * or may not, leaves what is known as it is.
 *
 * <p>One client serves all subtasks of a pipeline that run in this JVM: {@link #lease} gives all of
 * them the same object, and the last to close it ends it. Thread-safe.
 */
final class TopicLimits implements AutoCloseable {

  private static final Logger LOG = LoggerFactory.getLogger(TopicLimits.class);

  /** Two small requests a minute; what changes between them costs a restart at most. */
  private static final Duration EACH = Duration.ofSeconds(30);

  private static final Duration ANSWER_WITHIN = Duration.ofSeconds(5);

  private static final Map<Key, TopicLimits> LEASED = new HashMap<>();

  private record Key(Map<String, String> client, Set<String> topics) {}

  private final Key key;
  private final Duration each;
  private final Thread thread;
  private final Map<String, TopicLimit> known = new ConcurrentHashMap<>();
  private int leases;
  private Admin admin;
  private boolean silent;

  private TopicLimits(Key key, Duration each) {
    this.key = key;
    this.each = each;
    this.thread = new Thread(this::watch, "labelstream-topic-limits");
    this.thread.setDaemon(true);
  }

  /**
   * The limits of topics.
   *
   * @param client properties of a client that may describe them
   */
  static TopicLimits lease(Map<String, String> client, Set<String> topics) {
    return lease(client, topics, EACH);
  }

  static TopicLimits lease(Map<String, String> client, Set<String> topics, Duration each) {
    synchronized (LEASED) {
      TopicLimits limits = LEASED.get(new Key(client, topics));
      if (limits == null) {
        limits = new TopicLimits(new Key(client, topics), each);
        limits.ask();
        LEASED.put(limits.key, limits);
        limits.thread.start();
      }
      limits.leases++;
      return limits;
    }
  }

  /** What a topic takes, as far as is known. */
  TopicLimit of(String topic) {
    return known.getOrDefault(topic, TopicLimit.UNKNOWN);
  }

  private void watch() {
    try {
      while (true) {
        Thread.sleep(each.toMillis());
        ask();
      }
    } catch (InterruptedException e) {
      // closed
    } finally {
      if (admin != null) {
        admin.close(Duration.ZERO);
      }
    }
  }

  private void ask() {
    try {
      if (admin == null) {
        admin = Admin.create(AdminProperties.of(key.client()));
      }
      List<ConfigResource> resources =
          key.topics().stream()
              .map(topic -> new ConfigResource(ConfigResource.Type.TOPIC, topic))
              .toList();
      long deadline = System.nanoTime() + ANSWER_WITHIN.toNanos();
      for (Map.Entry<ConfigResource, KafkaFuture<Config>> entry :
          admin.describeConfigs(resources).values().entrySet()) {
        learn(entry.getKey().name(), entry.getValue(), deadline - System.nanoTime());
      }
    } catch (KafkaException e) {
      tell(e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private void learn(String topic, KafkaFuture<Config> answer, long nanos)
      throws InterruptedException {
    try {
      TopicLimit limit = TopicLimit.of(answer.get(Math.max(0, nanos), TimeUnit.NANOSECONDS));
      TopicLimit before = known.put(topic, limit);
      if (!limit.equals(before)) {
        LOG.info("The topic {} takes {}", topic, limit);
      }
      silent = false;
    } catch (ExecutionException e) {
      tell(e.getCause());
    } catch (TimeoutException e) {
      tell(e);
    }
  }

  private void tell(Throwable e) {
    if (!silent) {
      LOG.warn(
          "The limits of the topics {} are not known anew ({}): what was known before stands",
          key.topics(),
          e.toString());
    }
    silent = true;
  }

  @Override
  public void close() {
    synchronized (LEASED) {
      if (--leases > 0) {
        return;
      }
      LEASED.remove(key);
    }
    thread.interrupt();
    try {
      thread.join(ANSWER_WITHIN.toMillis());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
