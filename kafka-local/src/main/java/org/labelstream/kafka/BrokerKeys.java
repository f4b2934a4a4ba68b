package org.labelstream.kafka;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.io.InputStream;
import java.io.Reader;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

/**
 * What a secured broker is locked with, and what opens it, in one folder that only its owner can
 * read: the broker's certificate for {@code localhost} ({@code broker.p12}, {@code ca.pem}), and
 * the properties of its clients, {@code admin.properties} (may do everything) and {@code
 * job.properties} (may read and write topics, and use groups and transactions). The passwords are
 * random, and made once.
 */
final class BrokerKeys {
  static final String HOST = "localhost";
  static final String ADMIN = "admin";
  static final String JOB = "job";

  private static final String BROKER = "broker";
  private static final String NAME = "CN=labelstream-local-broker";
  private static final String MECHANISM = "SCRAM-SHA-512";
  private static final String LOGIN =
      "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"%s\""
          + " password=\"%s\";";
  private static final SecureRandom RANDOM = new SecureRandom();

  private final Path folder;

  private BrokerKeys(Path folder) {
    this.folder = folder;
  }

  static Path folder(Path home) {
    return home.resolve("secure");
  }

  static boolean exist(Path home) {
    return Files.isRegularFile(folder(home).resolve("job.properties"));
  }

  /** Those of a broker's folder; made where there are none. */
  static BrokerKeys of(Path home) {
    BrokerKeys keys = new BrokerKeys(folder(home));
    if (!exist(home)) {
      try {
        keys.make();
      } catch (IOException e) {
        throw new LocalKafkaException(
            "The keys cannot be written to " + keys.folder + " (" + e + "): choose another folder.",
            e);
      }
    }
    return keys;
  }

  private void make() throws IOException {
    Files.createDirectories(folder);
    Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwx------"));
    Files.deleteIfExists(folder.resolve("broker.p12"));
    String password = password();
    keytool(
        password,
        "-genkeypair -alias broker -keyalg EC -groupname secp256r1 -validity 3650 -dname "
            + NAME
            + " -ext san=dns:"
            + HOST
            + " -storetype PKCS12");
    keytool(password, "-exportcert -rfc -alias broker", "-file", file("ca.pem").toString());
    write(BROKER, Map.of("keystore.password", password, "password", password()));
    write(ADMIN, client(ADMIN));
    write(JOB, client(JOB)); // the last: with it they are complete
  }

  /**
   * @param words arguments with blanks between them
   * @param more those that may have blanks in them
   */
  private void keytool(String password, String words, String... more) throws IOException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin/keytool").toString());
    command.addAll(List.of(words.split(" ", -1)));
    command.addAll(List.of(more));
    command.addAll(
        List.of("-keystore", file("broker.p12").toString(), "-storepass:env", "STORE_PASSWORD"));
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    builder.environment().put("STORE_PASSWORD", password); // not where ps shows it
    Process keytool;
    try {
      keytool = builder.start();
    } catch (IOException e) {
      throw new LocalKafkaException(
          "A secured broker needs the JDK's keytool, but " + command.get(0) + " does not run.", e);
    }
    try (InputStream output = keytool.getInputStream()) {
      String said = new String(output.readAllBytes(), UTF_8).strip();
      if (keytool.waitFor() != 0) {
        throw new LocalKafkaException("keytool says: " + said);
      }
    } catch (InterruptedException e) {
      keytool.destroy();
      Thread.currentThread().interrupt();
      throw new LocalKafkaException("Interrupted while making the broker's certificate.", e);
    }
  }

  private Map<String, String> client(String user) {
    return Map.of(
        "security.protocol",
        "SASL_SSL",
        "sasl.mechanism",
        MECHANISM,
        "sasl.jaas.config",
        LOGIN.formatted(user, password()),
        "ssl.truststore.type",
        "PEM",
        "ssl.truststore.location",
        file("ca.pem").toString());
  }

  private static String password() {
    byte[] bytes = new byte[18];
    RANDOM.nextBytes(bytes);
    return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
  }

  /** The properties of a client that comes as {@link #ADMIN} or {@link #JOB}. */
  Map<String, String> properties(String user) {
    Properties read = new Properties();
    try (Reader reader = Files.newBufferedReader(file(user + ".properties"))) {
      read.load(reader);
    } catch (IOException | IllegalArgumentException e) {
      throw new LocalKafkaException(
          file(user + ".properties")
              + " cannot be read ("
              + e
              + "): delete the broker's folder, and start it anew.",
          e);
    }
    Map<String, String> properties = new HashMap<>();
    read.stringPropertyNames().forEach(name -> properties.put(name, read.getProperty(name)));
    // The folder may have been moved.
    properties.computeIfPresent("ssl.truststore.location", (n, v) -> file("ca.pem").toString());
    return properties;
  }

  /** The broker's own settings, over those of an open one. */
  Map<String, String> brokerProperties() {
    Map<String, String> own = properties(BROKER);
    Map<String, String> p = new HashMap<>();
    p.put("listener.security.protocol.map", "CLIENT:SASL_SSL,CONTROLLER:SSL");
    p.put("sasl.enabled.mechanisms", MECHANISM);
    p.put("sasl.mechanism.inter.broker.protocol", MECHANISM);
    p.put(
        "listener.name.client.scram-sha-512.sasl.jaas.config",
        LOGIN.formatted(BROKER, own.get("password")));
    p.put("ssl.keystore.type", "PKCS12");
    p.put("ssl.keystore.location", file("broker.p12").toString());
    p.put("ssl.keystore.password", own.get("keystore.password"));
    p.put("ssl.key.password", own.get("keystore.password"));
    p.put("ssl.truststore.type", "PEM");
    p.put("ssl.truststore.location", file("ca.pem").toString());
    // Only who has the broker's own certificate is a controller's client.
    p.put("listener.name.controller.ssl.client.auth", "required");
    p.put("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer");
    p.put("super.users", "User:" + ADMIN + ";User:" + BROKER + ";User:" + NAME);
    return p;
  }

  /** The users, in the form in which a folder is formatted with them. */
  List<String> scram() {
    return Stream.of(ADMIN, JOB, BROKER)
        .map(user -> MECHANISM + "=[name=" + user + ",password=" + passwordOf(user) + "]")
        .toList();
  }

  private String passwordOf(String user) {
    Map<String, String> properties = properties(user);
    String login = properties.get("sasl.jaas.config");
    return login == null
        ? properties.get("password")
        : login.replaceFirst(".*password=\"([^\"]*)\".*", "$1");
  }

  /** What the user of jobs may do; granting it again changes nothing. */
  static void grant(Admin admin) {
    List<AclBinding> rights =
        Map.of(
                ResourceType.TOPIC,
                List.of(AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE_CONFIGS),
                ResourceType.GROUP,
                List.of(AclOperation.READ),
                ResourceType.TRANSACTIONAL_ID,
                List.of(AclOperation.WRITE))
            .entrySet()
            .stream()
            .flatMap(
                right ->
                    right.getValue().stream()
                        .map(
                            operation ->
                                new AclBinding(
                                    new ResourcePattern(right.getKey(), "*", PatternType.LITERAL),
                                    new AccessControlEntry(
                                        "User:" + JOB, "*", operation, AclPermissionType.ALLOW))))
            .collect(Collectors.toList());
    try {
      admin.createAcls(rights).all().get(30, TimeUnit.SECONDS);
    } catch (ExecutionException | TimeoutException e) {
      throw new LocalKafkaException("The rights of jobs could not be granted: " + e, e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new LocalKafkaException("Interrupted while granting the rights of jobs.", e);
    }
  }

  private void write(String user, Map<String, String> values) throws IOException {
    Path path = file(user + ".properties");
    Files.deleteIfExists(path);
    Files.createFile(
        path, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    Properties properties = new Properties();
    properties.putAll(values);
    try (Writer writer = Files.newBufferedWriter(path)) {
      properties.store(writer, null);
    }
  }

  private Path file(String name) {
    return folder.resolve(name);
  }
}
