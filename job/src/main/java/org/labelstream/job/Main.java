package org.labelstream.job;

import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.apache.flink.client.program.ProgramParametrizationException;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.ExternalizedCheckpointRetention;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.configuration.StateRecoveryOptions;
import org.apache.flink.core.fs.FileSystem;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.labelstream.job.jobfile.InvalidJobException;
import org.labelstream.job.jobfile.JobFile;
import org.labelstream.job.jobfile.JobSpec;
import org.labelstream.job.kafka.KafkaPipelines;
import org.labelstream.job.kafka.Preflight;
import org.labelstream.job.kafka.SavedJob;
import org.labelstream.operator.RequiredEngine;
import org.labelstream.operator.WrongEngineException;
import org.labelstream.store.ModelFetcher;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * What {@code flink run … labelstream-job.jar --config job.yaml} starts: a job file's pipelines
 * over Kafka.
 */
@Command(
    name = "labelstream-job.jar",
    description = "Labels texts from Kafka with Hugging Face models, as a job file says.",
    mixinStandardHelpOptions = true,
    versionProvider = Main.Version.class)
public final class Main {

  private static final long CHECKPOINT_INTERVAL_MS = 10_000;

  private static final String NO_CHECKPOINTS_DIRECTORY =
      "No execution.checkpointing.dir is known here. Unless the cluster has one, checkpoints stay in"
          + " the JobManager's memory: they end with it, and a subtask has at most 4 MiB of texts in"
          + " flight. Set it in the job file's section flink, or for the cluster.";

  @Option(
      names = {"--config", "--job-file"},
      required = true,
      paramLabel = "JOB_FILE",
      description =
          "The job file: a path, or a URI of any file system that Flink reads. Flink's application"
              + " mode takes --config for its own, and leaves --job-file.")
  private String config;

  @Option(
      names = "--check",
      description =
          "Only looks whether the job can run: job file, models, and what the brokers say.")
  private boolean check;

  @Option(
      names = "--resume",
      description =
          "Goes on from the newest checkpoint or savepoint of the job's name, in the folders of"
              + " execution.checkpointing.dir and .savepoint-dir; without one the job starts as its"
              + " file says.")
  private boolean resume;

  /** Tells the version of the jar. */
  static final class Version implements CommandLine.IVersionProvider {
    @Override
    public String[] getVersion() {
      String version = Main.class.getPackage().getImplementationVersion();
      return new String[] {"Labelstream " + (version == null ? "(development)" : version)};
    }
  }

  /**
   * Submits the job.
   *
   * @throws ProgramParametrizationException when the job cannot be started as it is described;
   *     Flink's client prints its message, and no stack trace
   */
  public static void main(String[] args) throws Exception {
    Main main = new Main();
    CommandLine commandLine = new CommandLine(main);
    try {
      commandLine.parseArgs(args);
      if (CommandLine.printHelpIfRequested(commandLine.getParseResult())) {
        return;
      }
      main.submit();
    } catch (CommandLine.ParameterException e) {
      throw new ProgramParametrizationException(
          e.getMessage() + ": see labelstream-job.jar --help");
    } catch (InvalidJobException | WrongEngineException e) {
      throw new ProgramParametrizationException(e.getMessage());
    }
  }

  private void submit() throws Exception {
    RequiredEngine.check();
    JobSpec job = JobFile.read(config, content(config), this::resolve);
    job.notices().forEach(System.err::println);
    StreamExecutionEnvironment env = environment(job);
    if (resume) {
      env = resuming(job, env);
    }
    ask(job, env);
    if (!env.getConfiguration()
        .getOptional(CheckpointingOptions.CHECKPOINTS_DIRECTORY)
        .isPresent()) {
      System.err.println(NO_CHECKPOINTS_DIRECTORY);
    }
    if (check) {
      System.out.println(config + " can run.");
      return;
    }
    KafkaPipelines.build(env, job);
    env.execute(job.name());
  }

  private static StreamExecutionEnvironment resuming(JobSpec job, StreamExecutionEnvironment env) {
    ReadableConfig options = env.getConfiguration();
    if (options.getOptional(StateRecoveryOptions.SAVEPOINT_PATH).isPresent()) {
      throw new InvalidJobException(
          "--resume and "
              + options.get(StateRecoveryOptions.SAVEPOINT_PATH)
              + " both say from where the job goes on: leave out one of them");
    }
    List<String> folders = SavedJob.folders(options);
    if (folders.isEmpty()) {
      throw new InvalidJobException(
          "--resume finds nothing, for no execution.checkpointing.dir is known here: set it in the"
              + " job file's section flink, or in this machine's Flink configuration");
    }
    Optional<SavedJob> saved;
    try {
      saved = SavedJob.newest(job.name(), options);
    } catch (IOException e) {
      throw new InvalidJobException(
          "Checkpoints cannot be looked for in "
              + String.join(" and ", folders)
              + " ("
              + e.getMessage()
              + "): check the paths, or name one with -s");
    }
    if (saved.isEmpty()) {
      System.err.println(
          "There is no checkpoint or savepoint of a job named "
              + job.name()
              + " in "
              + String.join(" and ", folders)
              + ": it starts as its file says.");
      return env;
    }
    System.err.printf(
        "It goes on from %s, of %s.%n",
        saved.get().path(), Instant.ofEpochMilli(saved.get().time()));
    return environment(job, Map.of(StateRecoveryOptions.SAVEPOINT_PATH.key(), saved.get().path()));
  }

  /**
   * Asks brokers and cluster. What only the cluster may know is asked again when the job starts
   * there, so it is a problem here only where nothing but the check is wanted.
   */
  private void ask(JobSpec job, StreamExecutionEnvironment env) {
    Preflight.Findings findings = Preflight.of(job).run();
    List<String> problems = new ArrayList<>(findings.lasting());
    if (RunningJobs.of(env.getConfiguration()).contains(job.name())) {
      problems.add(
          "A job named "
              + job.name()
              + " runs on this cluster already, and the two would write everything twice or end"
              + " each other: cancel that one, or rename this one");
    }
    List<String> unknown =
        Stream.concat(findings.absent().stream(), findings.passing().stream()).toList();
    if (check) {
      problems.addAll(unknown);
    } else {
      unknown.forEach(
          sentence ->
              System.err.println(sentence + ". The job asks again when it starts on the cluster."));
    }
    findings.notices().forEach(System.err::println);
    if (!problems.isEmpty()) {
      throw new InvalidJobException(
          problems.size() == 1
              ? problems.get(0)
              : config
                  + " cannot run, for "
                  + problems.size()
                  + " reasons:\n  "
                  + String.join("\n  ", problems));
    }
  }

  /**
   * An environment with the job file's options over the cluster's, and what every job of ours
   * needs.
   */
  static StreamExecutionEnvironment environment(JobSpec job) {
    return environment(job, Map.of());
  }

  private static StreamExecutionEnvironment environment(JobSpec job, Map<String, String> more) {
    Configuration options = Configuration.fromMap(job.flink());
    options.addAll(Configuration.fromMap(more));
    // Each type that flows has its own serializer; a generic one would be a mistake, found at
    // submission.
    options.set(PipelineOptions.GENERIC_TYPES, false);
    if (!options.contains(PipelineOptions.OBJECT_REUSE)) {
      options.set(PipelineOptions.OBJECT_REUSE, true); // all that flows is immutable
    }
    try {
      StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(options);
      if (env.getCheckpointInterval() <= 0) {
        // Both delivery guarantees rest on checkpoints, so there are some unless the user says how
        // often.
        env.enableCheckpointing(CHECKPOINT_INTERVAL_MS);
      }
      if (env.getConfiguration()
          .getOptional(CheckpointingOptions.EXTERNALIZED_CHECKPOINT_RETENTION)
          .isEmpty()) {
        // A job that was cancelled, or failed for good, can go on where it was.
        env.getCheckpointConfig()
            .setExternalizedCheckpointRetention(
                ExternalizedCheckpointRetention.RETAIN_ON_CANCELLATION);
      }
      return env;
    } catch (IllegalArgumentException e) {
      throw new InvalidJobException("In the section flink, an option is wrong: " + e.getMessage());
    }
  }

  private static String content(String config) {
    try {
      org.apache.flink.core.fs.Path path = new org.apache.flink.core.fs.Path(uri(config));
      try (InputStream in = FileSystem.get(path.toUri()).open(path)) {
        return StandardCharsets.UTF_8
            .newDecoder()
            .decode(ByteBuffer.wrap(in.readAllBytes()))
            .toString();
      }
    } catch (CharacterCodingException e) {
      throw new InvalidJobException(
          "The job file " + config + " is not UTF-8 text: save it with that encoding");
    } catch (IOException | RuntimeException e) {
      throw new InvalidJobException(
          "The job file " + config + " cannot be read (" + e.getMessage() + "): check the path");
    }
  }

  private static URI uri(String config) {
    return ModelFetcher.isLocal(config)
        ? ModelFetcher.localPath(config).toAbsolutePath().normalize().toUri()
        : new org.apache.flink.core.fs.Path(config).toUri();
  }

  /** A model's place: relative paths are relative to the job file. */
  private String resolve(String model) {
    if (!ModelFetcher.isLocal(model) || ModelFetcher.localPath(model).isAbsolute()) {
      return model;
    }
    if (ModelFetcher.isLocal(config)) {
      Path folder = ModelFetcher.localPath(config).toAbsolutePath().getParent();
      return folder.resolve(model).normalize().toString();
    }
    return new org.apache.flink.core.fs.Path(
            new org.apache.flink.core.fs.Path(config).getParent(), model)
        .toString();
  }
}
