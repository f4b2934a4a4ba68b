package org.labelstream.job.jobfile;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.config.ConfigValue;
import org.apache.kafka.common.config.provider.DirectoryConfigProvider;
import org.apache.kafka.common.config.provider.FileConfigProvider;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Properties of Kafka's clients, as a job file gives them. */
public final class KafkaProperties {

  /** A value that a config provider gives, such as {@code ${env:KAFKA_PASSWORD}}. */
  public static final Pattern REFERENCE = Pattern.compile("\\$\\{([^}:]+):([^}]+)}");

  private static final Set<String> BY_NAME_OF_CLASS =
      Set.of("interceptor.classes", "metric.reporters", "partition.assignment.strategy");

  private KafkaProperties() {}

  /**
   * The given properties, and Kafka's own providers for the secrets in them, which the clients
   * resolve where they run.
   */
  public static Map<String, String> withProviders(Map<String, String> given) {
    Map<String, String> properties = new HashMap<>(given);
    properties.putIfAbsent("config.providers", "env,file,dir");
    properties.putIfAbsent("config.providers.env.class", SetVariables.class.getName());
    properties.putIfAbsent("config.providers.file.class", FileConfigProvider.class.getName());
    properties.putIfAbsent("config.providers.dir.class", DirectoryConfigProvider.class.getName());
    return properties;
  }

  /**
   * What Kafka's producer would say about properties, without a broker.
   *
   * @return sentences by the property that each is about; a property that was not given stands for
   *     what several say together
   */
  static Map<String, String> producerProblems(Map<String, String> given, boolean exactlyOnce) {
    Map<String, Object> properties = knownHere(given);
    properties.put("key.serializer", ByteArraySerializer.class.getName());
    properties.put("value.serializer", ByteArraySerializer.class.getName());
    if (exactlyOnce) {
      properties.put("transactional.id", "checked");
    }
    Map<String, String> problems = problems(ProducerConfig.configDef(), properties);
    if (problems.isEmpty()) {
      try {
        ProducerConfig config = new ProducerConfig(properties);
        // As KafkaProducer.configureDeliveryTimeout, which only a producer that connects runs.
        long least =
            config.getLong(ProducerConfig.LINGER_MS_CONFIG)
                + config.getInt(ProducerConfig.REQUEST_TIMEOUT_MS_CONFIG);
        int delivery = config.getInt(ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG);
        if (given.containsKey(ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG) && delivery < least) {
          problems.put(
              ProducerConfig.DELIVERY_TIMEOUT_MS_CONFIG,
              "is "
                  + delivery
                  + ", but must be at least linger.ms and request.timeout.ms together, which is "
                  + least);
        }
      } catch (ConfigException e) {
        problems.put("", withoutFullStop(e.getMessage()));
      }
    }
    return problems;
  }

  /** What Kafka's consumer would say about properties, without a broker. */
  static Map<String, String> consumerProblems(Map<String, String> given) {
    Map<String, Object> properties = knownHere(given);
    properties.put("key.deserializer", ByteArrayDeserializer.class.getName());
    properties.put("value.deserializer", ByteArrayDeserializer.class.getName());
    Map<String, String> problems = problems(ConsumerConfig.configDef(), properties);
    if (problems.isEmpty()) {
      try {
        ConsumerConfig unused = new ConsumerConfig(properties);
      } catch (ConfigException e) {
        problems.put("", withoutFullStop(e.getMessage()));
      }
    }
    return problems;
  }

  /** What is not for the machine where the clients run: a secret, or a class in its lib/. */
  private static Map<String, Object> knownHere(Map<String, String> given) {
    Map<String, Object> properties = new HashMap<>(given);
    properties
        .entrySet()
        .removeIf(
            entry ->
                REFERENCE.matcher((String) entry.getValue()).find()
                    || entry.getKey().startsWith("config.providers"));
    properties.putIfAbsent("bootstrap.servers", "localhost:9092");
    return properties;
  }

  private static Map<String, String> problems(ConfigDef definition, Map<String, Object> given) {
    Map<String, String> texts = new HashMap<>();
    given.forEach((key, value) -> texts.put(key, (String) value));
    Map<String, String> problems = new LinkedHashMap<>();
    for (ConfigValue value : definition.validate(texts)) {
      ConfigDef.ConfigKey key = definition.configKeys().get(value.name());
      List<String> messages = new ArrayList<>(value.errorMessages());
      if (messages.isEmpty()
          || key.type() == ConfigDef.Type.CLASS
          || BY_NAME_OF_CLASS.contains(value.name())) {
        continue;
      }
      problems.put(value.name(), "is refused by Kafka: " + withoutFullStop(messages.get(0)));
    }
    // A class that is not here may be in lib/ of the cluster.
    given
        .keySet()
        .removeIf(
            name ->
                definition.configKeys().containsKey(name)
                    && !name.endsWith("serializer")
                    && (definition.configKeys().get(name).type() == ConfigDef.Type.CLASS
                        || BY_NAME_OF_CLASS.contains(name)));
    return problems;
  }

  private static String withoutFullStop(String sentence) {
    return sentence.endsWith(".") ? sentence.substring(0, sentence.length() - 1) : sentence;
  }
}
