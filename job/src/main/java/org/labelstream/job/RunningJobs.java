package org.labelstream.job;

import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import org.apache.flink.api.common.JobStatus;
import org.apache.flink.client.deployment.ClusterClientFactory;
import org.apache.flink.client.deployment.ClusterDescriptor;
import org.apache.flink.client.deployment.DefaultClusterClientServiceLoader;
import org.apache.flink.client.program.ClusterClient;
import org.apache.flink.client.program.ClusterClientProvider;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.DeploymentOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.runtime.client.JobStatusMessage;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The jobs that run on the cluster to which a job is submitted. */
final class RunningJobs {

  private static final Logger LOG = LoggerFactory.getLogger(RunningJobs.class);

  private static final int ANSWER_WITHIN_SECONDS = 10;

  private static final Set<JobStatus> ENDING = Set.of(JobStatus.CANCELLING, JobStatus.FAILING);

  private RunningJobs() {}

  /**
   * Their names; none where there is no such cluster, as in application mode, or it does not say.
   */
  static Set<String> of(ReadableConfig submission) {
    Configuration configuration = Configuration.fromMap(submission.toMap());
    String target = configuration.get(DeploymentOptions.TARGET);
    Set<String> names = new TreeSet<>();
    if (target == null || !(target.equals("remote") || target.endsWith("-session"))) {
      return names;
    }
    try {
      list(
          new DefaultClusterClientServiceLoader().getClusterClientFactory(configuration),
          configuration,
          names);
    } catch (Exception e) {
      // Submitting fails with a better word for it, if this matters.
      LOG.info("The cluster does not tell its jobs", e);
    }
    return names;
  }

  private static <T> void list(
      ClusterClientFactory<T> factory, Configuration configuration, Set<String> names)
      throws Exception {
    T cluster = factory.getClusterId(configuration);
    if (cluster == null) {
      return;
    }
    try (ClusterDescriptor<T> descriptor = factory.createClusterDescriptor(configuration)) {
      ClusterClientProvider<T> provider = descriptor.retrieve(cluster);
      try (ClusterClient<T> client = provider.getClusterClient()) {
        for (JobStatusMessage job :
            client.listJobs().get(ANSWER_WITHIN_SECONDS, TimeUnit.SECONDS)) {
          if (!ENDING.contains(job.getJobState()) && !job.getJobState().isTerminalState()) {
            names.add(job.getJobName());
          }
        }
      }
    }
  }
}
