package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.ServerSocket;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.apache.flink.util.FileUtils;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.config.ConfigResource;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A job of all four tasks under steady load, exactly-once, while its processes, its broker and its
 * checkpoints are taken away at random: every record has one answer, in order, and every
 * explanation that is owed comes once. {@code scripts/chaos.sh} runs it for longer.
 */
class ChaosITCase {

  private static final double MINUTES =
      Double.parseDouble(System.getProperty("labelstream.chaos.minutes", "3"));
  private static final long SEED = Long.getLong("labelstream.chaos.seed", 20_261_126L);

  /** Of the job's producers; a broker that is away for longer fails what they have. */
  private static final int DELIVERY_TIMEOUT_SECONDS = 20;

  /** Beside the default of 1 MiB: no label of a long text fits. */
  private static final String SMALL_MESSAGE = "2000";

  private static final Duration ANSWERED_WITHIN = Duration.ofMinutes(8);

  @TempDir Path folder;

  private final Random random = new Random(SEED);
  private final Map<Fault, Integer> faults = new EnumMap<>(Fault.class);

  private Script scripts;
  private int kafkaPort;
  private Path checkpoints;
  private ChaosLoad load;
  private String job;
  private int parallelism = 2;
  private boolean rescaled;

  private enum Fault {
    TASKMANAGER_KILLED,
    JOBMANAGER_KILLED,
    BROKER_KILLED,
    BROKER_AWAY_FOR_LONGER_THAN_DELIVERY_TIMEOUT,
    TASKMANAGER_FROZEN,
    CHECKPOINTS_AWAY,
    OUTPUT_REFUSED,
    RESUMED_AT_ANOTHER_PARALLELISM;

    @Override
    public String toString() {
      return name().toLowerCase(Locale.ROOT).replace('_', ' ');
    }
  }

  private static int freePort() throws Exception {
    try (ServerSocket free = new ServerSocket(0)) {
      return free.getLocalPort();
    }
  }

  private void start() throws Exception {
    scripts = new Script(folder.resolve("state"));
    checkpoints = folder.resolve("state/flink/checkpoints");
    kafkaPort = freePort();
    startKafka();
    try (Admin admin = admin()) {
      admin
          .createTopics(
              Stream.concat(
                      ChaosLoad.INPUTS.stream().map(topic -> new NewTopic(topic, 2, (short) 1)),
                      ChaosLoad.OUTPUTS.stream().map(topic -> new NewTopic(topic, 2, (short) 1)))
                  .toList())
          .all()
          .get();
    }
    flink(
        "start",
        "--ha",
        "--port",
        Integer.toString(freePort()),
        "--taskmanagers",
        "2",
        "--slots",
        "2",
        "--option",
        "heartbeat.interval=1000",
        "--option",
        "heartbeat.timeout=10000",
        "--option",
        "restart-strategy.exponential-delay.max-backoff=5 s",
        "--option",
        "pekko.ask.timeout=30 s");
  }

  private String flink(String... arguments) throws Exception {
    return scripts.run("flink-local.sh", arguments).succeeded().out().strip();
  }

  private void startKafka() throws Exception {
    scripts.run("kafka-local.sh", "start", "--port", Integer.toString(kafkaPort)).succeeded();
  }

  private Admin admin() {
    return Admin.create(Map.of("bootstrap.servers", "127.0.0.1:" + kafkaPort));
  }

  @AfterEach
  void stop() throws Exception {
    if (load != null) {
      load.close();
    }
    scripts.run("flink-local.sh", "stop");
    scripts.run("kafka-local.sh", "stop");
  }

  private void submit() throws Exception {
    StringBuilder text = new StringBuilder("name: chaos\npipelines:\n");
    for (String model : List.of("sentiment", "entities", "answers", "writer")) {
      text.append(
          """
            - name: %1$s
              model: %2$s
              cache: {in-flight: false}
              input: {topic: %1$s-in}
              output: {topic: %1$s-out}
              dead-letters: {topic: dead}
              order: partition
              parallelism: %3$d
          """
              .formatted(model, Script.ROOT.resolve("model-assets/" + model), parallelism));
      if (model.equals("sentiment")) {
        text.append("    explanations: {topic: why, steps: 10, when-full: block}\n");
      }
    }
    text.append(
        """
        kafka:
          common: {bootstrap.servers: "127.0.0.1:%d"}
          consumer: {group.id: chaos}
          producer: {delivery.timeout.ms: "%d", request.timeout.ms: "8000", linger.ms: "5"}
        delivery: exactly-once
        flink: {execution.checkpointing.interval: 2s}
        """
            .formatted(kafkaPort, DELIVERY_TIMEOUT_SECONDS * 1_000));
    Path file = Files.writeString(folder.resolve("job.yaml"), text);
    job = flink("submit", "--resume", file.toString());
  }

  @Test
  void everyRecordHasOneAnswerWhateverIsTakenAway() throws Exception {
    System.out.printf("chaos: %.1f minutes, seed %d%n", MINUTES, SEED);
    start();
    load = new ChaosLoad("127.0.0.1:" + kafkaPort, SEED);
    submit();
    load.begin();
    load.awaitAnswers(40, ANSWERED_WITHIN);
    long memory = residentMemory();
    long end = System.nanoTime() + (long) (MINUTES * 60e9);
    List<Fault> order = new ArrayList<>();
    while (System.nanoTime() < end) {
      if (order.isEmpty()) { // each once, and again in another order
        order.addAll(List.of(Fault.values()));
        Collections.shuffle(order, random);
      }
      Fault fault = order.remove(0);
      long before = load.answers();
      long start = System.nanoTime();
      inject(fault);
      faults.merge(fault, 1, Integer::sum);
      load.awaitAnswers(before + 20, ANSWERED_WITHIN);
      System.out.printf(
          "chaos: %s, answers again after %.1f s%n",
          fault.name().toLowerCase(Locale.ROOT).replace('_', ' '),
          (System.nanoTime() - start) / 1e9);
      Thread.sleep(random.nextInt(3_000));
    }
    load.end();
    load.awaitAll(ANSWERED_WITHIN);
    long memoryAtTheEnd = residentMemory();
    flink("cancel", job);

    ChaosLoad.Account account = load.account(rescaled);
    StringBuilder table = new StringBuilder();
    faults.forEach((fault, times) -> table.append("  %-46s %d%n".formatted(fault, times)));
    System.out.printf(
        "%s%s  %-46s %d -> %d MiB%n",
        table, account, "resident memory of the TaskManagers", memory >> 20, memoryAtTheEnd >> 20);
    assertThat(account.lost()).as("records without an answer").isEmpty();
    assertThat(account.repeated()).as("records with two answers").isEmpty();
    assertThat(account.outOfOrder()).as("answers out of order").isEmpty();
    assertThat(account.explanationsLost()).as("explanations owed and not made").isEmpty();
    assertThat(account.explanationsRepeated()).as("explanations made twice").isEmpty();
  }

  private void inject(Fault fault) throws Exception {
    String taskManager = Integer.toString(1 + random.nextInt(2));
    switch (fault) {
      case TASKMANAGER_KILLED -> {
        flink("taskmanager", "kill", taskManager);
        pause(1, 8);
        flink("taskmanager", "start", taskManager);
      }
      case JOBMANAGER_KILLED -> {
        flink("jobmanager", "kill");
        pause(0, 5);
        flink("jobmanager", "start");
      }
      case BROKER_KILLED -> {
        killKafka();
        pause(1, MINUTES > 5 ? 60 : 12);
        startKafka();
      }
      case BROKER_AWAY_FOR_LONGER_THAN_DELIVERY_TIMEOUT -> {
        scripts.run("kafka-local.sh", "stop").succeeded();
        Thread.sleep((DELIVERY_TIMEOUT_SECONDS + 5) * 1_000L);
        startKafka();
      }
      case TASKMANAGER_FROZEN -> {
        flink("taskmanager", "freeze", taskManager);
        pause(MINUTES > 5 ? 30 : 14, MINUTES > 5 ? 30 : 14);
        flink("taskmanager", "thaw", taskManager);
      }
      case CHECKPOINTS_AWAY -> {
        Path away = checkpoints.resolveSibling("checkpoints.away");
        Files.move(checkpoints, away);
        // As a full or lost disk: nothing can be made there. A checkpoint may be quicker.
        boolean blocked = false;
        while (!blocked) {
          FileUtils.deleteDirectoryQuietly(checkpoints.toFile());
          try {
            Files.createFile(checkpoints);
            blocked = true;
          } catch (FileAlreadyExistsException e) {
            blocked = false;
          }
        }
        pause(4, 10);
        Files.delete(checkpoints);
        Files.move(away, checkpoints);
      }
      case OUTPUT_REFUSED -> {
        limitMessages(SMALL_MESSAGE);
        pause(5, 10);
        limitMessages("1048588");
      }
      case RESUMED_AT_ANOTHER_PARALLELISM -> {
        flink("savepoint", job);
        flink("cancel", job);
        parallelism = 3 - parallelism;
        load.orderedUntilNow();
        rescaled = true;
        submit();
      }
    }
  }

  private void pause(int leastSeconds, int mostSeconds) throws InterruptedException {
    Thread.sleep(1_000L * leastSeconds + random.nextInt(1_000 * (mostSeconds - leastSeconds) + 1));
  }

  private void killKafka() throws Exception {
    Path pid = folder.resolve("state/kafka/broker.pid");
    ProcessHandle broker =
        ProcessHandle.of(Long.parseLong(Files.readString(pid).strip())).orElseThrow();
    broker.destroyForcibly();
    broker.onExit().get();
  }

  private void limitMessages(String bytes) throws Exception {
    try (Admin admin = admin()) {
      admin
          .incrementalAlterConfigs(
              Map.of(
                  new ConfigResource(ConfigResource.Type.TOPIC, "sentiment-out"),
                  List.of(
                      new AlterConfigOp(
                          new ConfigEntry("max.message.bytes", bytes), AlterConfigOp.OpType.SET))))
          .all()
          .get();
    }
  }

  /** What the TaskManagers have in memory together, in bytes; 0 where the system does not tell. */
  private long residentMemory() throws Exception {
    long sum = 0;
    for (String name : List.of("taskmanager-1", "taskmanager-2")) {
      String pid = Files.readString(folder.resolve("state/flink/run/" + name + ".pid")).strip();
      Path status = Path.of("/proc", pid, "status");
      if (Files.exists(status)) {
        sum +=
            Files.readAllLines(status).stream()
                .filter(line -> line.startsWith("VmRSS:"))
                .mapToLong(line -> Long.parseLong(line.replaceAll("[^0-9]", "")) << 10)
                .sum();
      }
    }
    return sum;
  }
}
