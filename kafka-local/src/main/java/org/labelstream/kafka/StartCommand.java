package org.labelstream.kafka;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import org.labelstream.kafka.Main.Console;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code start}: runs a broker until the process is asked to end. */
@Command(
    name = "start",
    description =
        "Runs a broker until it is asked to end; scripts/kafka-local.sh start puts it in the"
            + " background.",
    mixinStandardHelpOptions = true)
final class StartCommand implements Callable<Integer> {
  /** Holds the address of the broker that runs in a folder, for as long as it answers. */
  static final String ADDRESS_FILE = "address";

  @Option(
      names = "--folder",
      required = true,
      paramLabel = "FOLDER",
      description = "Where its state and its log are kept; scripts/kafka-local.sh start gives it.")
  private Path folder;

  @Option(
      names = "--port",
      paramLabel = "N",
      defaultValue = "${env:LABELSTREAM_KAFKA_PORT:-9092}",
      description =
          "The port for clients, 0 for a free one; otherwise the environment's"
              + " LABELSTREAM_KAFKA_PORT, otherwise 9092.")
  private int port;

  @Option(
      names = "--controller-port",
      paramLabel = "N",
      defaultValue = "0",
      description = "The port of the broker's controller, 0 (the default) for a free one.")
  private int controllerPort;

  @Option(
      names = "--property",
      paramLabel = "NAME=VALUE",
      description = "A property of the broker; may be repeated.")
  private Map<String, String> properties = new HashMap<>();

  @Option(
      names = "--secure",
      description =
          "Only TLS, only users with a password, only what they are granted; keys and the clients'"
              + " properties (admin.properties, job.properties) are made in secure, in its folder.")
  private boolean secure;

  private final Console console;

  StartCommand(Console console) {
    this.console = console;
  }

  @Override
  public Integer call() throws IOException, InterruptedException {
    System.setProperty("labelstream.kafka.log", folder.resolve("log").toString());
    LocalKafka.Builder builder =
        LocalKafka.builder()
            .folder(folder)
            .port(port)
            .controllerPort(controllerPort)
            .properties(properties);
    LocalKafka kafka = (secure ? builder.secure() : builder).start();
    Path address = kafka.folder().resolve(ADDRESS_FILE);
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  address.toFile().delete();
                  kafka.close();
                },
                "stop-kafka"));
    Files.writeString(address, kafka.bootstrapServers() + "\n");
    console
        .out()
        .println(
            "Kafka listens on " + kafka.bootstrapServers() + ", its state is in " + kafka.folder());
    console.out().flush();
    new CountDownLatch(1).await(); // a signal ends the process, and its hook the broker
    return 0;
  }
}
