package org.labelstream.job.registry;

import com.fasterxml.jackson.jr.ob.JSON;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.LongSupplier;
import javax.net.ssl.HttpsURLConnection;
import javax.net.ssl.SSLSocketFactory;
import org.apache.avro.AvroRuntimeException;
import org.apache.avro.Schema;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.security.ssl.DefaultSslEngineFactory;
import org.labelstream.avro.SchemaRegistry;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;
import org.labelstream.record.UnavailableException;

/**
 * A registry that is asked as Confluent's is: theirs, and Apicurio's and others' under a path.
 *
 * <p>A schema never changes under its id, so it is asked for once; what the registry does not have,
 * or refuses, is asked again after half a minute.
 */
public final class ConfluentRegistry implements SchemaRegistry {

  private static final Duration CONNECT_WITHIN = Duration.ofSeconds(5);
  private static final Duration ANSWER_WITHIN = Duration.ofSeconds(10);
  private static final Duration ASKED_ONCE_WITHIN = Duration.ofSeconds(4);
  private static final long REMEMBERED_NANOS = Duration.ofSeconds(30).toNanos();
  private static final int ROUNDS = 3;
  private static final long BETWEEN_ROUNDS_MILLIS = 500;
  private static final int LARGEST_ANSWER = 16 << 20;
  private static final int MOST_REFERENCES = 1_000;

  private final List<String> urls;
  private final boolean registers;
  private final String authorization;
  private final SSLSocketFactory tls;
  private final LongSupplier nanoTime;

  private final Map<Integer, Known<Schema>> schemas = new ConcurrentHashMap<>();
  private final Map<Subject, Known<Integer>> ids = new ConcurrentHashMap<>();

  private record Subject(String name, Schema schema) {}

  /**
   * What the registry has said.
   *
   * @param value what was asked for, or null
   * @param refusal why there is none, or null
   * @param until when a refusal is forgotten
   */
  private record Known<T>(T value, RejectedRecordException refusal, long until) {}

  /** An answer: its status, and its JSON object or an empty one. */
  private record Answer(int status, Map<String, Object> json) {
    boolean isRefused() {
      return status == HttpURLConnection.HTTP_UNAUTHORIZED
          || status == HttpURLConnection.HTTP_FORBIDDEN;
    }

    String message() {
      Object message = json.get("message");
      return message == null ? "status " + status : message.toString();
    }
  }

  /**
   * @throws KafkaException with a sentence, where a secret or a store of certificates is not there
   */
  public ConfluentRegistry(RegistryProperties properties) {
    this(properties, System::nanoTime);
  }

  ConfluentRegistry(RegistryProperties properties, LongSupplier nanoTime) {
    Map<String, String> resolved = properties.resolved();
    this.urls =
        List.of(resolved.get(RegistryProperties.URL).split(",", -1)).stream()
            .map(url -> url.strip().replaceFirst("/+$", ""))
            .toList();
    this.registers =
        !"false".equals(resolved.getOrDefault(RegistryProperties.REGISTER, "").strip());
    this.authorization = authorization(resolved);
    this.tls = tls(RegistryProperties.tls(resolved));
    this.nanoTime = nanoTime;
  }

  /** Opens the registry of these properties where the job runs. */
  public static SchemaRegistry.Factory factory(RegistryProperties properties) {
    return () -> new ConfluentRegistry(properties);
  }

  private static String authorization(Map<String, String> resolved) {
    String user = resolved.get(RegistryProperties.USER_INFO);
    if (user != null) {
      return "Basic " + Base64.getEncoder().encodeToString(user.getBytes(StandardCharsets.UTF_8));
    }
    String token = resolved.get(RegistryProperties.TOKEN);
    return token == null ? null : "Bearer " + token;
  }

  private static SSLSocketFactory tls(Map<String, Object> settings) {
    if (settings.isEmpty()) {
      return null;
    }
    try (DefaultSslEngineFactory factory = new DefaultSslEngineFactory()) {
      factory.configure(settings);
      return factory.sslContext().getSocketFactory();
    }
  }

  @Override
  public Schema schema(int id) throws RejectedRecordException {
    return remembered(schemas, id, () -> fetched(id));
  }

  @Override
  public int id(String subject, Schema schema) throws RejectedRecordException {
    return remembered(ids, new Subject(subject, schema), () -> registered(subject, schema));
  }

  /** Asks the registry for something. */
  private interface Asking<T> {
    T ask() throws RejectedRecordException;
  }

  private <K, T> T remembered(Map<K, Known<T>> all, K key, Asking<T> asking)
      throws RejectedRecordException {
    Known<T> known = fresh(all.get(key));
    if (known == null) {
      synchronized (all) {
        known = fresh(all.get(key));
        if (known == null) {
          known = answered(asking);
          all.put(key, known);
        }
      }
    }
    if (known.refusal() != null) {
      throw known.refusal();
    }
    return known.value();
  }

  private <T> Known<T> fresh(Known<T> known) {
    return known == null || (known.refusal() != null && nanoTime.getAsLong() - known.until() > 0)
        ? null
        : known;
  }

  private <T> Known<T> answered(Asking<T> asking) {
    try {
      return new Known<>(asking.ask(), null, 0);
    } catch (RejectedRecordException e) {
      return new Known<>(null, e, nanoTime.getAsLong() + REMEMBERED_NANOS);
    }
  }

  private Schema fetched(int id) throws RejectedRecordException {
    Answer answer = ask("/schemas/ids/" + Integer.toUnsignedString(id), null);
    if (answer.status() == HttpURLConnection.HTTP_NOT_FOUND) {
      throw new RejectedRecordException(
          ErrorCode.UNKNOWN_SCHEMA,
          Stage.DECODE,
          "the schema registry "
              + urls.get(0)
              + " has no schema "
              + Integer.toUnsignedString(id)
              + ", by which the value says it was written: correct schema-registry, or set another"
              + " format where the value is no Avro");
    }
    String named = "schema " + Integer.toUnsignedString(id);
    Object type = answer.json().getOrDefault("schemaType", "AVRO");
    if (!"AVRO".equals(type)) {
      throw new RejectedRecordException(
          ErrorCode.UNKNOWN_SCHEMA,
          Stage.DECODE,
          named + " is of the type " + type + ", and only AVRO is read: send text, JSON or Avro");
    }
    try {
      Schema.Parser parser = new Schema.Parser();
      addReferences(parser, answer.json(), new HashSet<>());
      return parser.parse((String) answer.json().get("schema"));
    } catch (AvroRuntimeException | ClassCastException | NullPointerException e) {
      throw new RejectedRecordException(
          ErrorCode.UNKNOWN_SCHEMA,
          Stage.DECODE,
          named
              + " of the registry is no schema of Avro ("
              + e.getMessage()
              + "): register it again");
    }
  }

  /** Lets a parser know the types that a schema names but does not define. */
  private void addReferences(Schema.Parser parser, Map<String, Object> schema, Set<String> added)
      throws RejectedRecordException {
    if (!(schema.get("references") instanceof List<?> references)) {
      return;
    }
    for (Object reference : references) {
      Map<?, ?> named = (Map<?, ?>) reference;
      String path =
          "/subjects/"
              + encoded(named.get("subject"))
              + "/versions/"
              + encoded(named.get("version"));
      if (!added.add(path)) {
        continue;
      }
      Answer answer = added.size() > MOST_REFERENCES ? new Answer(0, Map.of()) : ask(path, null);
      if (answer.status() != HttpURLConnection.HTTP_OK) {
        throw new AvroRuntimeException(
            "it refers to " + named.get("subject") + ", which the registry does not have");
      }
      addReferences(parser, answer.json(), added);
      parser.parse((String) answer.json().get("schema"));
    }
  }

  private static String encoded(Object part) {
    // A space in a path is %20.
    return URLEncoder.encode(String.valueOf(part), StandardCharsets.UTF_8).replace("+", "%20");
  }

  private int registered(String subject, Schema schema) throws RejectedRecordException {
    String path = "/subjects/" + encoded(subject) + (registers ? "/versions" : "");
    Answer answer = ask(path, Map.of("schema", schema.toString()));
    if (answer.status() == HttpURLConnection.HTTP_OK
        && answer.json().get("id") instanceof Number id) {
      return id.intValue();
    }
    throw new RejectedRecordException(
        ErrorCode.OUTPUT_REFUSED,
        Stage.OUTPUT,
        "the schema registry "
            + urls.get(0)
            + (registers
                ? " refuses the schema of labelled records under the subject "
                : " does not have the schema of labelled records under the subject ")
            + subject
            + " ("
            + answer.message()
            + "): "
            + (registers
                ? "make it compatible, relax the subject's compatibility, or set output.format: json"
                : "register it, or set " + RegistryProperties.REGISTER + ": true"));
  }

  /**
   * What keeps a job from working with its registry.
   *
   * @param lasting whether no restart mends it
   */
  public record Hindrance(boolean lasting, String sentence) {}

  /** Asks once whether the registry answers and lets us in. */
  public Optional<Hindrance> hindrance() {
    Optional<Hindrance> found = Optional.empty();
    for (String url : urls) {
      try {
        Answer answer = answer(URI.create(url + "/subjects"), null, ASKED_ONCE_WITHIN);
        if (answer.isRefused()) {
          return Optional.of(new Hindrance(true, notLetIn(url, answer)));
        }
        if (answer.status() == HttpURLConnection.HTTP_OK) {
          return Optional.empty();
        }
        found = Optional.of(new Hindrance(false, unanswered(url, answer.message())));
      } catch (IOException | IllegalArgumentException e) {
        found = Optional.of(new Hindrance(false, unanswered(url, reason(e))));
      }
    }
    return found;
  }

  private static String notLetIn(String url, Answer answer) {
    return "The schema registry "
        + url
        + " does not let this user in (status "
        + answer.status()
        + "): correct schema-registry."
        + RegistryProperties.USER_INFO
        + " or "
        + RegistryProperties.TOKEN;
  }

  private static String unanswered(String url, String reason) {
    return "No schema registry answers at "
        + url
        + " ("
        + reason
        + "): start it, or correct schema-registry.url";
  }

  /**
   * Asks the registry, each of its addresses in turn.
   *
   * @param body what is sent, or null where something is read
   */
  private Answer ask(String path, Map<String, Object> body) {
    String refusal = "";
    Exception last = null;
    for (int round = 0; round < ROUNDS; round++) {
      for (String url : urls) {
        try {
          Answer answer = answer(URI.create(url + path), body, ANSWER_WITHIN);
          if (answer.isRefused()) {
            throw new UnavailableException(notLetIn(url, answer), null);
          }
          if (answer.status() < HttpURLConnection.HTTP_INTERNAL_ERROR) {
            return answer;
          }
          refusal = unanswered(url, answer.message());
        } catch (IOException | IllegalArgumentException e) {
          last = e;
          refusal = unanswered(url, reason(e));
        }
      }
      pause(round);
    }
    throw new UnavailableException(refusal, last);
  }

  private static String reason(Exception e) {
    return e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
  }

  private static void pause(int round) {
    if (round == ROUNDS - 1) {
      return;
    }
    try {
      Thread.sleep(BETWEEN_ROUNDS_MILLIS << round);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new UnavailableException("The schema registry was not waited for", e);
    }
  }

  private Answer answer(URI address, Map<String, Object> body, Duration within) throws IOException {
    HttpURLConnection connection = (HttpURLConnection) address.toURL().openConnection();
    if (connection instanceof HttpsURLConnection secured && tls != null) {
      secured.setSSLSocketFactory(tls);
    }
    connection.setConnectTimeout((int) Math.min(CONNECT_WITHIN.toMillis(), within.toMillis()));
    connection.setReadTimeout((int) within.toMillis());
    connection.setRequestProperty("Accept", "application/vnd.schemaregistry.v1+json");
    if (authorization != null) {
      connection.setRequestProperty("Authorization", authorization);
    }
    if (body != null) {
      connection.setDoOutput(true);
      connection.setRequestProperty("Content-Type", "application/vnd.schemaregistry.v1+json");
      connection.getOutputStream().write(JSON.std.asBytes(body));
    }
    int status = connection.getResponseCode();
    boolean failed = status >= HttpURLConnection.HTTP_BAD_REQUEST;
    try (InputStream in = failed ? connection.getErrorStream() : connection.getInputStream()) {
      byte[] bytes = in == null ? new byte[0] : in.readNBytes(LARGEST_ANSWER);
      return new Answer(status, json(bytes, failed));
    }
  }

  private static Map<String, Object> json(byte[] bytes, boolean failed) throws IOException {
    String text = new String(bytes, StandardCharsets.UTF_8).strip();
    if (text.startsWith("{")) {
      return JSON.std.mapFrom(text);
    }
    if (!failed && !text.startsWith("[")) {
      throw new IOException("its answer is no JSON, so it may be no schema registry");
    }
    return Map.of();
  }
}
