package org.labelstream.job.registry;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import org.apache.avro.Schema;
import org.apache.avro.SchemaBuilder;
import org.apache.kafka.common.KafkaException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.UnavailableException;

/** What a registry may answer, and what becomes of it. */
class ConfluentRegistryTest {

  private static final ObjectMapper JSON = new ObjectMapper();

  private final Map<String, String> answers = new HashMap<>();
  private final List<String> asked = new ArrayList<>();
  private final AtomicLong nanos = new AtomicLong();
  private HttpServer server;
  private String authorization;

  @TempDir Path folder;

  @BeforeEach
  void start() throws IOException {
    server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    serve(server);
  }

  private void serve(HttpServer any) {
    any.createContext("/", this::answer);
    any.start();
  }

  @AfterEach
  void stop() {
    server.stop(0);
  }

  /** Answers begin with their status. */
  private void answer(HttpExchange exchange) throws IOException {
    authorization = exchange.getRequestHeaders().getFirst("Authorization");
    String line = exchange.getRequestMethod() + " " + exchange.getRequestURI();
    asked.add(line + new String(exchange.getRequestBody().readAllBytes(), UTF_8));
    String answer =
        answers.getOrDefault(line, "404 {\"error_code\": 40403, \"message\": \"not here\"}");
    byte[] body = answer.substring(4).getBytes(UTF_8);
    exchange.sendResponseHeaders(Integer.parseInt(answer.substring(0, 3)), body.length);
    exchange.getResponseBody().write(body);
    exchange.close();
  }

  private String url() {
    return "http://127.0.0.1:" + server.getAddress().getPort();
  }

  private ConfluentRegistry registry(Map<String, String> more) {
    HashMap<String, String> properties = new HashMap<>(Map.of("url", url()));
    properties.putAll(more);
    assertThat(RegistryProperties.problems(properties)).isEmpty();
    return new ConfluentRegistry(new RegistryProperties(properties), nanos::get);
  }

  private static String json(Object value) throws IOException {
    return "200 " + JSON.writeValueAsString(value);
  }

  @Test
  void aSchemaIsAskedForOnce() throws Exception {
    answers.put("GET /schemas/ids/7", json(Map.of("schema", "\"string\"")));
    ConfluentRegistry registry = registry(Map.of());
    Schema schema = registry.schema(7);
    assertThat(schema).isEqualTo(Schema.create(Schema.Type.STRING));
    assertThat(registry.schema(7)).isSameAs(schema);
    assertThat(asked).hasSize(1);
    assertThat(authorization).isNull();
  }

  @Test
  void typesThatASchemaRefersToAreFetched() throws Exception {
    Schema inner = SchemaBuilder.record("Inner").namespace("a").fields().endRecord();
    answers.put(
        "GET /schemas/ids/1",
        json(
            Map.of(
                "schema",
                "{\"type\": \"record\", \"name\": \"R\", \"fields\": [{\"name\": \"i\", \"type\":"
                    + " \"a.Inner\"}]}",
                "references",
                List.of(Map.of("name", "a.Inner", "subject", "in ner", "version", 2)))));
    answers.put(
        "GET /subjects/in%20ner/versions/2", json(Map.of("schema", inner.toString(), "id", 3)));
    assertThat(registry(Map.of()).schema(1).getField("i").schema()).isEqualTo(inner);
  }

  @Test
  void whatIsNotThereIsAskedForAgainLater() throws Exception {
    ConfluentRegistry registry = registry(Map.of());
    for (int i = 0; i < 3; i++) {
      assertThatThrownBy(() -> registry.schema(-1))
          .isInstanceOf(RejectedRecordException.class)
          .hasMessageContainingAll(url(), "has no schema 4294967295");
    }
    assertThat(asked).hasSize(1);
    answers.put("GET /schemas/ids/4294967295", json(Map.of("schema", "\"string\"")));
    nanos.addAndGet(31_000_000_000L);
    assertThat(registry.schema(-1)).isNotNull();
  }

  @Test
  void otherSchemasAreTold() throws Exception {
    answers.put(
        "GET /schemas/ids/1", json(Map.of("schema", "message M {}", "schemaType", "PROTOBUF")));
    answers.put("GET /schemas/ids/2", json(Map.of("schema", "{\"type\": \"recrd\"}")));
    answers.put("GET /schemas/ids/3", json(Map.of("id", 3)));
    ConfluentRegistry registry = registry(Map.of());
    assertThatThrownBy(() -> registry.schema(1))
        .hasMessageContaining("schema 1 is of the type PROTOBUF, and only AVRO is read");
    assertThatThrownBy(() -> registry.schema(2)).hasMessageContaining("schema 2 of the registry");
    assertThatThrownBy(() -> registry.schema(3)).hasMessageContaining("schema 3 of the registry");
  }

  @Test
  void aSchemaIsRegisteredOnce() throws Exception {
    answers.put("POST /subjects/labels-value/versions", json(Map.of("id", 12)));
    ConfluentRegistry registry = registry(Map.of());
    Schema schema = Schema.create(Schema.Type.STRING);
    assertThat(registry.id("labels-value", schema)).isEqualTo(12);
    assertThat(registry.id("labels-value", schema)).isEqualTo(12);
    assertThat(asked)
        .containsExactly("POST /subjects/labels-value/versions{\"schema\":\"\\\"string\\\"\"}");
  }

  @Test
  void whoMayNotRegisterLooksUp() throws Exception {
    ConfluentRegistry registry = registry(Map.of("auto.register.schemas", "false"));
    Schema schema = Schema.create(Schema.Type.STRING);
    assertThatThrownBy(() -> registry.id("s", schema))
        .isInstanceOf(RejectedRecordException.class)
        .hasMessageContainingAll("does not have the schema", "auto.register.schemas: true");
    answers.put("POST /subjects/s", json(Map.of("id", 4, "version", 1)));
    nanos.addAndGet(31_000_000_000L);
    assertThat(registry.id("s", schema)).isEqualTo(4);
  }

  @Test
  void anIncompatibleSchemaIsTheRecords() {
    answers.put(
        "POST /subjects/s/versions", "409 {\"error_code\": 409, \"message\": \"no default\"}");
    assertThatThrownBy(() -> registry(Map.of()).id("s", Schema.create(Schema.Type.STRING)))
        .isInstanceOf(RejectedRecordException.class)
        .hasMessageContainingAll("refuses the schema", "(no default)", "output.format: json");
  }

  @Test
  void whoDoesNotAnswerIsNoRecordsFault() {
    answers.put("GET /schemas/ids/1", "500 {\"message\": \"leader not known\"}");
    assertThatThrownBy(() -> registry(Map.of()).schema(1))
        .isInstanceOf(UnavailableException.class)
        .hasMessageContainingAll("No schema registry answers at", "leader not known");
    assertThat(asked).hasSize(3);
    answers.put("GET /schemas/ids/2", "200 <html>Welcome</html>");
    assertThatThrownBy(() -> registry(Map.of()).schema(2))
        .isInstanceOf(UnavailableException.class)
        .hasMessageContaining("its answer is no JSON");
    answers.put("GET /schemas/ids/3", "401 {}");
    assertThatThrownBy(() -> registry(Map.of()).schema(3))
        .isInstanceOf(UnavailableException.class)
        .hasMessageContainingAll("does not let this user in (status 401)", "basic.auth.user.info");
    assertThat(registry(Map.of()).hindrance()).isPresent();
    server.stop(0);
    assertThatThrownBy(() -> registry(Map.of()).schema(1))
        .isInstanceOf(UnavailableException.class)
        .hasMessageContaining("Connection refused");
    assertThat(registry(Map.of()).hindrance())
        .hasValueSatisfying(
            hindrance -> {
              assertThat(hindrance.lasting()).isFalse();
              assertThat(hindrance.sentence())
                  .contains("Connection refused", "schema-registry.url");
            });
  }

  @Test
  void theNextAddressIsAskedWhereOneIsAway() throws Exception {
    answers.put("GET /schemas/ids/1", json(Map.of("schema", "\"string\"")));
    answers.put("GET /subjects", "200 []");
    ConfluentRegistry registry = registry(Map.of("url", "http://127.0.0.1:1, " + url() + "/"));
    assertThat(registry.schema(1)).isNotNull();
    assertThat(registry.hindrance()).isEmpty();
  }

  @Test
  void usersAndTokensAreShown() throws Exception {
    answers.put("GET /subjects", "200 []");
    Path secrets = Files.writeString(folder.resolve("s.properties"), "user=me:it's\n");
    registry(Map.of("basic.auth.user.info", "${file:" + secrets + ":user}")).hindrance();
    assertThat(authorization)
        .isEqualTo("Basic " + Base64.getEncoder().encodeToString("me:it's".getBytes(UTF_8)));
    registry(Map.of("bearer.auth.token", "abc")).hindrance();
    assertThat(authorization).isEqualTo("Bearer abc");
    assertThatThrownBy(() -> registry(Map.of("bearer.auth.token", "${env:NOT_SET_ANYWHERE}")))
        .isInstanceOf(KafkaException.class)
        .hasMessageContaining("NOT_SET_ANYWHERE");
  }

  @Test
  void aCertificateOfOnesOwnIsTrusted() throws Exception {
    Path keys = folder.resolve("keys.p12");
    keytool(
        "-genkeypair -alias r -keyalg EC -groupname secp256r1 -dname CN=localhost -ext"
            + " san=dns:localhost -storetype PKCS12 -storepass secret -keystore "
            + keys);
    Path pem = folder.resolve("ca.pem");
    keytool("-exportcert -rfc -alias r -storepass secret -keystore " + keys + " -file " + pem);
    KeyStore store = KeyStore.getInstance(keys.toFile(), "secret".toCharArray());
    KeyManagerFactory managers = KeyManagerFactory.getInstance("SunX509");
    managers.init(store, "secret".toCharArray());
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(managers.getKeyManagers(), null, null);
    HttpsServer secured =
        HttpsServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    secured.setHttpsConfigurator(new HttpsConfigurator(context));
    serve(secured);
    answers.put("GET /subjects", "200 []");
    try {
      String url = "https://localhost:" + secured.getAddress().getPort();
      assertThat(
              registry(
                      Map.of(
                          "url",
                          url,
                          "ssl.truststore.type",
                          "PEM",
                          "ssl.truststore.location",
                          pem.toString()))
                  .hindrance())
          .isEmpty();
      assertThat(registry(Map.of("url", url)).hindrance())
          .hasValueSatisfying(hindrance -> assertThat(hindrance.sentence()).contains("PKIX"));
    } finally {
      secured.stop(0);
    }
  }

  private static void keytool(String words) throws Exception {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin/keytool").toString());
    command.addAll(List.of(words.split(" ", -1)));
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String said = new String(process.getInputStream().readAllBytes(), UTF_8);
    assertThat(process.waitFor()).as(said).isZero();
  }

  @Test
  void wrongPropertiesAreToldWithoutTheirSecrets() {
    assertThat(
            RegistryProperties.problems(
                Map.of(
                    "url", "http://me:secret@host",
                    "basic.auth.user.inf", "me:secret",
                    "auto.register.schemas", "maybe")))
        .satisfies(problems -> assertThat(problems.toString()).doesNotContain("secret"))
        .hasEntrySatisfying("url", problem -> assertThat(problem).contains("basic.auth.user.info"))
        .hasEntrySatisfying(
            "basic.auth.user.inf", problem -> assertThat(problem).contains("basic.auth.user.info"))
        .containsKey("auto.register.schemas");
    assertThat(RegistryProperties.problems(Map.of())).containsKey("url");
    assertThat(RegistryProperties.problems(Map.of("url", "localhost:8081")).get("url"))
        .contains("must be of the form http://host:port");
    assertThat(
            RegistryProperties.problems(
                Map.of("url", "http://h:1", "basic.auth.user.info", "a", "bearer.auth.token", "b")))
        .containsKey("bearer.auth.token");
    assertThat(new RegistryProperties(new HashMap<>(Map.of("basic.auth.user.info", "me:secret"))))
        .asString()
        .doesNotContain("secret");
  }
}
