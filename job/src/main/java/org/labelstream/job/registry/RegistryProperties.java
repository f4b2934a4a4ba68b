package org.labelstream.job.registry;

import java.io.Serializable;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.config.SslConfigs;
import org.labelstream.job.jobfile.KafkaProperties;
import org.labelstream.model.Names;

/**
 * What a job file says of its schema registry, under the names that Confluent's client has for it
 * without {@code schema.registry.}; secrets in it are references until they are used.
 *
 * @param properties by name; {@code url} is there
 */
public record RegistryProperties(HashMap<String, String> properties) implements Serializable {

  static final String URL = "url";
  static final String USER_INFO = "basic.auth.user.info";
  static final String TOKEN = "bearer.auth.token";
  static final String REGISTER = "auto.register.schemas";

  /** Its names, but those of TLS, which are Kafka's. */
  private static final Set<String> NAMES = Set.of(URL, USER_INFO, TOKEN, REGISTER);

  private static final ConfigDef TLS = new ConfigDef();

  static {
    SslConfigs.addClientSslSupport(TLS);
  }

  /**
   * What is wrong with properties, by the name of each.
   *
   * @return sentences that go on behind the property's name
   */
  public static Map<String, String> problems(Map<String, String> given) {
    Map<String, String> problems = new TreeMap<>();
    Set<String> known = new TreeSet<>(NAMES);
    known.addAll(TLS.names());
    given.forEach(
        (name, value) -> {
          if (!known.contains(name)) {
            problems.put(name, "is not known: " + Names.didYouMean(name, known));
          }
        });
    String url = given.get(URL);
    if (url == null || url.isBlank()) {
      problems.put(URL, "is missing: add it, as in url: http://localhost:8081");
    } else if (!KafkaProperties.REFERENCE.matcher(url).find()) {
      for (String each : url.split(",", -1)) {
        if (!each.strip().matches("(?i)https?://[^/@\\s]+(/\\S*)?")) {
          problems.put(
              URL,
              "is "
                  + (each.contains("@") ? "one that holds a password" : each.strip())
                  + ", but must be of the form http://host:port or https://host:port, with user and"
                  + " password in "
                  + USER_INFO);
        }
      }
    }
    if (given.containsKey(USER_INFO) && given.containsKey(TOKEN)) {
      problems.put(TOKEN, "stands beside " + USER_INFO + ": keep one of them");
    }
    if (!List.of("true", "false").contains(given.getOrDefault(REGISTER, "true").strip())) {
      problems.put(REGISTER, "is " + given.get(REGISTER) + ", but must be true or false");
    }
    return problems;
  }

  /**
   * The properties with their secrets, as Kafka's config providers give them on this machine.
   *
   * @throws ConfigException with a sentence, where one is not there
   */
  Map<String, String> resolved() {
    Map<String, Object> resolved =
        new AbstractConfig(
                new ConfigDef(), KafkaProperties.withProviders(properties), Map.of(), false)
            .originals();
    Map<String, String> texts = new HashMap<>();
    resolved.forEach((name, value) -> texts.put(name, String.valueOf(value)));
    return texts;
  }

  /** The settings of TLS among resolved properties, or none where there are none. */
  static Map<String, Object> tls(Map<String, String> resolved) {
    Map<String, Object> given = new HashMap<>(resolved);
    given.keySet().removeIf(name -> !TLS.names().contains(name));
    return given.isEmpty() ? Map.of() : TLS.parse(given);
  }

  /** Without its values, some of which are secrets. */
  @Override
  public String toString() {
    return "RegistryProperties" + new TreeSet<>(properties.keySet());
  }
}
