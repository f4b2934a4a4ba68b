package org.labelstream.job.kafka;

import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.common.config.provider.EnvVarConfigProvider;
import org.labelstream.job.jobfile.KafkaProperties;
import org.labelstream.job.jobfile.SetVariables;

/** What an admin client needs of the properties of a consumer or a producer. */
final class AdminProperties {

  private AdminProperties() {}

  static Map<String, Object> of(Map<String, String> client) {
    return narrowed(new HashMap<>(KafkaProperties.withProviders(client)));
  }

  /** The same, but variables that are not set stay as they are written, so that all can be told. */
  static Map<String, Object> withUnset(Map<String, String> client) {
    Map<String, Object> properties = of(client);
    properties.replace(
        "config.providers.env.class",
        SetVariables.class.getName(),
        EnvVarConfigProvider.class.getName());
    return properties;
  }

  private static Map<String, Object> narrowed(Map<String, Object> properties) {
    // Beside its own, those that a login module or a provider may read.
    properties
        .keySet()
        .removeIf(
            name ->
                !AdminClientConfig.configNames().contains(name)
                    && !name.startsWith("sasl.")
                    && !name.startsWith("ssl.")
                    && !name.startsWith("config.providers"));
    properties.remove("metric.reporters");
    properties.remove("client.id");
    // What a user has made long for records is too long for a question.
    properties.put(AdminClientConfig.REQUEST_TIMEOUT_MS_CONFIG, "8000");
    properties.put(AdminClientConfig.DEFAULT_API_TIMEOUT_MS_CONFIG, "12000");
    properties.put(AdminClientConfig.ENABLE_METRICS_PUSH_CONFIG, "false");
    return properties;
  }
}
