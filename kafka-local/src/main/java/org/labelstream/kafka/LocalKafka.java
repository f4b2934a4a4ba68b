package org.labelstream.kafka;

import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;
import kafka.server.KafkaConfig;
import kafka.server.KafkaRaftServer;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.metadata.storage.Formatter;
import org.apache.kafka.server.common.MetadataVersion;

/**
 * A real Kafka broker with one node, running inside this JVM: broker and KRaft controller in one,
 * state in one folder, listening on 127.0.0.1 only.
 *
 * <pre>{@code
 * try (LocalKafka kafka = LocalKafka.start()) { // free ports, a temporary folder
 *   kafka.createTopic("texts", 4);
 *   ... kafka.bootstrapServers() ...
 * }
 * }</pre>
 *
 * <p>A folder is formatted when it is new; started again on the same folder, on whatever ports, the
 * broker has its topics and records back. Thread-safe.
 */
public final class LocalKafka implements AutoCloseable {
  private static final String HOST = "127.0.0.1";
  private static final Duration READY_WITHIN = Duration.ofSeconds(60);
  private static final int NODE_ID = 1;

  private final Path folder;
  private final boolean temporary;
  private final int port;
  private final BrokerKeys keys;
  private final FolderLock lock;
  private final KafkaRaftServer server;
  private final Admin admin;
  private boolean closed;

  private LocalKafka(
      Path folder,
      boolean temporary,
      int port,
      BrokerKeys keys,
      FolderLock lock,
      KafkaRaftServer server,
      Admin admin) {
    this.folder = folder;
    this.temporary = temporary;
    this.port = port;
    this.keys = keys;
    this.lock = lock;
    this.server = server;
    this.admin = admin;
  }

  /** Starts a broker on free ports with a temporary folder that is deleted on close. */
  public static LocalKafka start() {
    return builder().start();
  }

  /** Options, all of which have defaults: see {@link Builder}. */
  public static Builder builder() {
    return new Builder();
  }

  /** {@code host:port}, for the client property {@code bootstrap.servers}. */
  public String bootstrapServers() {
    return host(keys) + ":" + port;
  }

  /**
   * What a client of a {@linkplain Builder#secure secured} broker is made with, beside {@link
   * #bootstrapServers}: TLS, and a login.
   *
   * @param user {@code admin}, who may do everything, or {@code job}, who may read and write
   *     topics, and use groups and transactions
   * @throws IllegalStateException if the broker is an open one
   */
  public Map<String, String> clientProperties(String user) {
    if (keys == null) {
      throw new IllegalStateException("The broker is an open one");
    }
    return keys.properties(user);
  }

  /** A secured broker is spoken to by the name that its certificate has. */
  private static String host(BrokerKeys keys) {
    return keys == null ? HOST : BrokerKeys.HOST;
  }

  /** The port that clients connect to. */
  public int port() {
    return port;
  }

  /** The folder that holds all of the broker's state. */
  public Path folder() {
    return folder;
  }

  /** Creates a topic with the broker's default settings. */
  public void createTopic(String name, int partitions) {
    createTopic(name, partitions, Map.of());
  }

  /**
   * Creates a topic, and returns when it can be used.
   *
   * @param configs topic settings, as {@code max.message.bytes} or {@code message.timestamp.type}
   * @throws LocalKafkaException if the topic exists, or the name or a setting is invalid
   */
  public void createTopic(String name, int partitions, Map<String, String> configs) {
    NewTopic topic = new NewTopic(name, Optional.of(partitions), Optional.empty());
    try {
      admin.createTopics(List.of(topic.configs(configs))).all().get(30, TimeUnit.SECONDS);
      awaitTopic(name);
    } catch (ExecutionException e) {
      throw new LocalKafkaException(
          "The topic " + name + " was not created: " + e.getCause().getMessage(), e.getCause());
    } catch (TimeoutException e) {
      throw new LocalKafkaException("The topic " + name + " was not created within 30 s.", e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new LocalKafkaException("Interrupted while creating the topic " + name + ".", e);
    }
  }

  /** The controller has the topic first, and the broker that clients ask a moment later. */
  private void awaitTopic(String name)
      throws ExecutionException, TimeoutException, InterruptedException {
    long deadline = System.nanoTime() + READY_WITHIN.toNanos();
    while (true) {
      try {
        admin.describeTopics(List.of(name)).allTopicNames().get(30, TimeUnit.SECONDS);
        return;
      } catch (ExecutionException e) {
        if (!(e.getCause() instanceof UnknownTopicOrPartitionException)
            || System.nanoTime() > deadline) {
          throw e;
        }
        Thread.sleep(20);
      }
    }
  }

  /** Stops the broker, and deletes its folder if that was a temporary one. */
  @Override
  public synchronized void close() {
    if (closed) {
      return;
    }
    closed = true;
    admin.close(Duration.ZERO);
    stop(server);
    lock.close();
    if (temporary) {
      deleteRecursively(folder);
    }
  }

  private static void stop(KafkaRaftServer server) {
    server.shutdown();
    server.awaitShutdown();
  }

  /** What a broker is started with. */
  public static final class Builder {
    private Path folder;
    private int port;
    private int controllerPort;
    private boolean secure;
    private final Map<String, String> properties = new HashMap<>();

    private Builder() {}

    /** Keeps the state in this folder, which may be new; by default in one that close deletes. */
    public Builder folder(Path folder) {
      this.folder = folder;
      return this;
    }

    /** The port for clients; 0, the default, for a free one. */
    public Builder port(int port) {
      this.port = port;
      return this;
    }

    /** The port of the KRaft controller, of no use to clients; 0, the default, for a free one. */
    public Builder controllerPort(int controllerPort) {
      this.controllerPort = controllerPort;
      return this;
    }

    /**
     * Lets in only who comes over TLS with a name and a password, and lets each do only what it has
     * been granted: listener {@code SASL_SSL} with {@code SCRAM-SHA-512}, ACLs. The certificate is
     * for {@code localhost}. Keys and passwords are made in the folder {@code secure} of the
     * broker's folder: see {@link LocalKafka#clientProperties}.
     */
    public Builder secure() {
      this.secure = true;
      return this;
    }

    /**
     * Sets one broker property, as {@code transaction.max.timeout.ms}, over what this class has
     * chosen. The listeners are called {@code CLIENT} and {@code CONTROLLER}.
     */
    public Builder property(String name, String value) {
      properties.put(name, value);
      return this;
    }

    /** Sets several broker properties: see {@link #property}. */
    public Builder properties(Map<String, String> properties) {
      this.properties.putAll(properties);
      return this;
    }

    /**
     * Starts the broker, and returns when it answers.
     *
     * @throws LocalKafkaException if a port is taken, another broker runs in the folder, the folder
     *     cannot be written, or Kafka refuses a property
     */
    public LocalKafka start() {
      boolean temporary = folder == null;
      Path home = temporary ? temporaryFolder() : createFolder(folder);
      FolderLock lock = FolderLock.of(home);
      boolean started = false;
      try {
        // Before anything else, because a broker that cannot bind does not say so in a sentence.
        int clients = port == 0 ? freePort() : checkFree(port, "port");
        int controller =
            controllerPort == 0 ? freePort() : checkFree(controllerPort, "controller port");
        while (controllerPort == 0 && clients == controller) {
          controller = freePort();
        }
        if (clients == controller) {
          throw new LocalKafkaException(
              "Port " + clients + " was given for clients and for the controller: choose two.");
        }
        LocalKafka kafka = start(home, temporary, clients, controller, lock);
        started = true;
        return kafka;
      } finally {
        if (!started) {
          lock.close();
          if (temporary) {
            deleteRecursively(home);
          }
        }
      }
    }

    private LocalKafka start(
        Path home, boolean temporary, int clients, int controller, FolderLock lock) {
      Path data = home.resolve("data");
      if (secure != BrokerKeys.exist(home) && Files.exists(data.resolve("meta.properties"))) {
        throw new LocalKafkaException(
            "The folder "
                + home
                + (secure
                    ? " is that of an open broker: start it without --secure, or choose another"
                        + " folder."
                    : " is that of a secured broker: start it with --secure, or choose another"
                        + " folder."));
      }
      BrokerKeys keys = secure ? BrokerKeys.of(home) : null;
      format(data, keys);
      KafkaRaftServer server;
      try {
        Properties all = new Properties();
        all.putAll(defaults(data, host(keys), clients, controller));
        if (keys != null) {
          all.putAll(keys.brokerProperties());
        }
        all.putAll(properties);
        server = new KafkaRaftServer(KafkaConfig.fromProps(all, false), Time.SYSTEM);
      } catch (ConfigException | IllegalArgumentException e) {
        throw new LocalKafkaException("Kafka refuses its properties: " + e.getMessage(), e);
      }
      Admin admin = null;
      try {
        server.startup();
        Map<String, Object> client =
            new HashMap<>(keys == null ? Map.of() : keys.properties(BrokerKeys.ADMIN));
        client.put(AdminClientConfig.BOOTSTRAP_SERVERS_CONFIG, host(keys) + ":" + clients);
        admin = Admin.create(client);
        awaitReady(admin);
        if (keys != null) {
          BrokerKeys.grant(admin);
        }
        return new LocalKafka(home, temporary, clients, keys, lock, server, admin);
      } catch (RuntimeException e) {
        if (admin != null) {
          admin.close(Duration.ZERO);
        }
        stop(server);
        throw e instanceof LocalKafkaException
            ? e
            : new LocalKafkaException(
                "Kafka did not start in " + home + ": " + e.getMessage() + " (see its log).", e);
      }
    }

    private static Map<String, String> defaults(
        Path data, String host, int clients, int controller) {
      Map<String, String> p = new HashMap<>();
      p.put("process.roles", "broker,controller");
      p.put("node.id", String.valueOf(NODE_ID));
      p.put("log.dirs", data.toString());
      p.put(
          "listeners",
          "CLIENT://" + HOST + ":" + clients + ",CONTROLLER://" + HOST + ":" + controller);
      p.put("advertised.listeners", "CLIENT://" + host + ":" + clients);
      p.put("listener.security.protocol.map", "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT");
      p.put("inter.broker.listener.name", "CLIENT");
      p.put("controller.listener.names", "CONTROLLER");
      // A static voter, unlike a dynamic one, is not written to the folder: ports may change.
      p.put("controller.quorum.voters", NODE_ID + "@" + host + ":" + controller);

      // One node can hold one copy.
      p.put("offsets.topic.replication.factor", "1");
      p.put("transaction.state.log.replication.factor", "1");
      p.put("transaction.state.log.min.isr", "1");
      p.put("share.coordinator.state.topic.replication.factor", "1");
      p.put("share.coordinator.state.topic.min.isr", "1");

      // A mistyped topic should be an error, not a new topic.
      p.put("auto.create.topics.enable", "false");
      // Records with an old timestamp of their own would otherwise be gone after five minutes.
      p.put("log.retention.ms", "-1");

      // Light: few internal partitions, small files, few threads, small buffers.
      p.put("offsets.topic.num.partitions", "1");
      p.put("transaction.state.log.num.partitions", "1");
      p.put("share.coordinator.state.topic.num.partitions", "1");
      p.put("offsets.topic.segment.bytes", "1048576");
      p.put("transaction.state.log.segment.bytes", "1048576");
      p.put("log.segment.bytes", "67108864");
      p.put("log.index.size.max.bytes", "1048576");
      p.put("log.cleaner.dedupe.buffer.size", "4194304");
      p.put("num.network.threads", "2");
      p.put("num.io.threads", "2");
      p.put("background.threads", "2");
      p.put("num.recovery.threads.per.data.dir", "1");

      // Quick: nobody else can join a group or a quorum here, so there is nobody to wait for.
      p.put("group.initial.rebalance.delay.ms", "0");
      p.put("controller.quorum.election.timeout.ms", "100");
      p.put("controller.quorum.election.backoff.max.ms", "100");
      p.put("broker.heartbeat.interval.ms", "200");
      // A broker that was killed comes back once its last session is over. After a paused laptop
      // the
      // only broker is fenced for a heartbeat at most.
      p.put("broker.session.timeout.ms", "9000");
      return p;
    }

    private static void format(Path data, BrokerKeys keys) {
      if (Files.exists(data.resolve("meta.properties"))) {
        return;
      }
      Formatter formatter =
          new Formatter()
              .setPrintStream(new PrintStream(PrintStream.nullOutputStream()))
              .setClusterId(Uuid.randomUuid().toString())
              .setNodeId(NODE_ID)
              .setControllerListenerName("CONTROLLER")
              .setMetadataLogDirectory(data.toString())
              .setReleaseVersion(MetadataVersion.latestProduction())
              .addDirectory(data.toString());
      if (keys != null) {
        formatter.setScramArguments(keys.scram());
      }
      try {
        formatter.run();
      } catch (Exception e) {
        throw new LocalKafkaException(
            "The folder " + data + " cannot be made ready for Kafka: " + e.getMessage(), e);
      }
    }

    private static void awaitReady(Admin admin) {
      long deadline = System.nanoTime() + READY_WITHIN.toNanos();
      while (true) {
        try {
          if (!admin.describeCluster().nodes().get(5, TimeUnit.SECONDS).isEmpty()) {
            return;
          }
          Thread.sleep(20);
        } catch (ExecutionException | TimeoutException e) {
          if (System.nanoTime() > deadline) {
            throw new LocalKafkaException(
                "Kafka has started but did not answer within " + READY_WITHIN.toSeconds() + " s.",
                e);
          }
        } catch (InterruptedException e) {
          Thread.currentThread().interrupt();
          throw new LocalKafkaException("Interrupted while waiting for Kafka.", e);
        }
      }
    }
  }

  /** The right to be the only broker in a folder, held by this process until it is closed. */
  private record FolderLock(FileChannel channel, FileLock lock) implements AutoCloseable {

    static FolderLock of(Path folder) {
      try {
        FileChannel channel =
            FileChannel.open(
                folder.resolve("labelstream.lock"),
                StandardOpenOption.CREATE,
                StandardOpenOption.WRITE);
        FileLock lock;
        try {
          lock = channel.tryLock();
        } catch (OverlappingFileLockException e) {
          lock = null; // held by this very JVM
        }
        if (lock == null) {
          channel.close();
          throw new LocalKafkaException(
              "The folder "
                  + folder
                  + " is in use by another running broker: stop that one, or choose another folder.");
        }
        return new FolderLock(channel, lock);
      } catch (IOException e) {
        throw new LocalKafkaException(
            "The folder " + folder + " cannot be written (" + e + "): choose another folder.", e);
      }
    }

    @Override
    public void close() {
      try {
        lock.release();
        channel.close();
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }

  private static int checkFree(int port, String what) {
    if (port < 1 || port > 65535) {
      throw new LocalKafkaException(
          "The "
              + what
              + " "
              + port
              + " is not a port: choose one from 1 to 65535, or 0 for a free one.");
    }
    if (answers(port) || !canBind(port)) {
      throw new LocalKafkaException(
          "The "
              + what
              + " "
              + port
              + " on "
              + HOST
              + " is taken by another program: stop that program, or choose another "
              + what
              + ".");
    }
    return port;
  }

  private static boolean canBind(int port) {
    try (ServerSocket socket = new ServerSocket()) {
      socket.setReuseAddress(true); // as Kafka does: connections that linger are no obstacle
      socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
      return true;
    } catch (IOException e) {
      return false;
    }
  }

  /** macOS lets a program bind 127.0.0.1 beside one that listens on all addresses: so ask, too. */
  private static boolean answers(int port) {
    try (Socket socket = new Socket()) {
      socket.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 500);
      return true;
    } catch (IOException e) {
      return false;
    }
  }

  /**
   * A free port below those that the system gives to outgoing connections (from 32768 on Linux,
   * from 49152 on macOS): one of these could be taken between this look and Kafka's, and a
   * controller that cannot bind ends the whole JVM.
   */
  private static int freePort() {
    for (int attempt = 0; attempt < 1000; attempt++) {
      int port = ThreadLocalRandom.current().nextInt(20_000, 32_000);
      if (canBind(port) && !answers(port)) {
        return port;
      }
    }
    throw new LocalKafkaException(
        "No free port was found on " + HOST + " between 20000 and 32000: name one.");
  }

  private static Path createFolder(Path folder) {
    try {
      return Files.createDirectories(folder.toAbsolutePath().normalize());
    } catch (IOException e) {
      throw new LocalKafkaException(
          "The folder " + folder + " cannot be made (" + e + "): choose another folder.", e);
    }
  }

  private static Path temporaryFolder() {
    try {
      return Files.createTempDirectory("labelstream-kafka-");
    } catch (IOException e) {
      throw new LocalKafkaException("No temporary folder can be made: " + e, e);
    }
  }

  private static void deleteRecursively(Path folder) {
    try (Stream<Path> paths = Files.walk(folder)) {
      paths.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
