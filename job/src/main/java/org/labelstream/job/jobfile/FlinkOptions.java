package org.labelstream.job.jobfile;

import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.apache.commons.text.similarity.LevenshteinDistance;
import org.apache.flink.configuration.BatchExecutionOptions;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.ClusterOptions;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.CoreOptions;
import org.apache.flink.configuration.DeploymentOptions;
import org.apache.flink.configuration.ExecutionOptions;
import org.apache.flink.configuration.FallbackKey;
import org.apache.flink.configuration.HeartbeatManagerOptions;
import org.apache.flink.configuration.HighAvailabilityOptions;
import org.apache.flink.configuration.JobManagerOptions;
import org.apache.flink.configuration.MetricOptions;
import org.apache.flink.configuration.NettyShuffleEnvironmentOptions;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.ResourceManagerOptions;
import org.apache.flink.configuration.RestOptions;
import org.apache.flink.configuration.RestartStrategyOptions;
import org.apache.flink.configuration.SecurityOptions;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.configuration.StateChangelogOptions;
import org.apache.flink.configuration.StateLatencyTrackOptions;
import org.apache.flink.configuration.StateRecoveryOptions;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.configuration.WebOptions;

/**
 * The options of Flink that a job file may misspell. Flink ignores those that it does not know, and
 * plugins have others, so only a name that is nearly one of these is wrong.
 */
final class FlinkOptions {

  private static final List<Class<?>> WHERE =
      List.of(
          BatchExecutionOptions.class,
          CheckpointingOptions.class,
          ClusterOptions.class,
          CoreOptions.class,
          DeploymentOptions.class,
          ExecutionOptions.class,
          HeartbeatManagerOptions.class,
          HighAvailabilityOptions.class,
          JobManagerOptions.class,
          MetricOptions.class,
          NettyShuffleEnvironmentOptions.class,
          PipelineOptions.class,
          ResourceManagerOptions.class,
          RestOptions.class,
          RestartStrategyOptions.class,
          SecurityOptions.class,
          StateBackendOptions.class,
          StateChangelogOptions.class,
          StateLatencyTrackOptions.class,
          StateRecoveryOptions.class,
          TaskManagerOptions.class,
          WebOptions.class);

  /** Two letters exchanged, one too many and one too few: more apart may be a plugin's own. */
  private static final LevenshteinDistance NEAR = new LevenshteinDistance(2);

  private static final Set<String> KNOWN = known();

  private FlinkOptions() {}

  private static Set<String> known() {
    Set<String> names = new TreeSet<>();
    for (Class<?> options : WHERE) {
      for (Field field : options.getFields()) {
        if (Modifier.isStatic(field.getModifiers()) && field.getType() == ConfigOption.class) {
          try {
            ConfigOption<?> option = (ConfigOption<?>) field.get(null);
            names.add(option.key());
            for (FallbackKey key : option.fallbackKeys()) {
              names.add(key.getKey());
            }
          } catch (IllegalAccessException e) {
            throw new IllegalStateException("getFields gives public ones only", e);
          }
        }
      }
    }
    return names;
  }

  /** The option that was probably meant, where there is none of this name. */
  static Optional<String> meant(String name) {
    if (KNOWN.contains(name)) {
      return Optional.empty();
    }
    String lower = name.toLowerCase(Locale.ROOT);
    String nearest = null;
    int least = Integer.MAX_VALUE;
    for (String known : KNOWN) {
      int distance = NEAR.apply(lower, known);
      if (distance >= 0 && distance < least) {
        nearest = known;
        least = distance;
      }
    }
    return Optional.ofNullable(nearest);
  }
}
