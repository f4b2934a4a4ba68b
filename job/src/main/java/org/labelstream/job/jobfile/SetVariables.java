package org.labelstream.job.jobfile;

import java.util.Set;
import org.apache.kafka.common.config.ConfigData;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.config.provider.EnvVarConfigProvider;

/**
 * Kafka's provider of environment variables, but one that is not set is told by its name. Kafka's
 * leaves {@code ${env:X}} in its place, and whatever parses that complains of something else.
 */
public final class SetVariables extends EnvVarConfigProvider {

  @Override
  public ConfigData get(String path, Set<String> keys) {
    ConfigData data = super.get(path, keys);
    for (String key : keys) {
      if (!data.data().containsKey(key)) {
        throw new ConfigException(
            "The environment variable " + key + " is not set on this machine: set it");
      }
    }
    return data;
  }
}
