package org.labelstream.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.labelstream.job.Topics.bytes;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.runtime.testutils.MiniClusterResourceConfiguration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.test.junit5.MiniClusterExtension;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.labelstream.kafka.LocalKafka;

/** The recipes of docs/sql.md as they stand there, but for the broker's address. */
class SqlRecipesITCase {

  @RegisterExtension
  static final MiniClusterExtension FLINK =
      new MiniClusterExtension(
          new MiniClusterResourceConfiguration.Builder()
              .setNumberTaskManagers(1)
              .setNumberSlotsPerTaskManager(1)
              .build());

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Pattern RECIPE =
      Pattern.compile(
          "^(?:\\*\\*([^*]+)\\.\\*\\*[^\n]*|All begin with this:)\n\n```sql\n(.*?)```",
          Pattern.MULTILINE | Pattern.DOTALL);
  private static final Pattern SETTING = Pattern.compile("SET '(.+)' = '(.+)'");
  private static final Duration LIMIT = Duration.ofMinutes(1);

  private static final String NEWS =
      "Amina Yusuf flew from Nairobi to Geneva to speak at the World Health Organization on Tuesday.";

  private static LocalKafka kafka;
  private static Topics topics;

  @BeforeAll
  static void send() {
    kafka = LocalKafka.start();
    topics = new Topics(kafka.bootstrapServers());
    for (String topic :
        List.of(
            "texts",
            "labels",
            "redacted",
            "sure",
            "review",
            "counts",
            "questions",
            "documents",
            "answers")) {
      kafka.createTopic(topic, 1);
    }
    List<String> texts =
        List.of(NEWS, "What a wonderful film", "Terrible service", "It was there", "A lovely day");
    List<ProducerRecord<byte[], byte[]>> records = new ArrayList<>();
    for (int i = 0; i < texts.size(); i++) {
      // Two of a minute, and the last one long after them.
      long time = 60_000L * (i / 2) + (i == texts.size() - 1 ? 600_000 : 0);
      String value = "{\"id\": \"%d\", \"text\": \"%s\"}".formatted(i, texts.get(i));
      records.add(new ProducerRecord<>("texts", 0, time, null, bytes(value)));
    }
    topics.send(records);
    topics.sendTexts(
        "documents",
        List.of("{\"name\": \"tesla\", \"content\": \"Elon Musk is the CEO of Tesla.\"}"));
    topics.sendTexts(
        "questions",
        List.of(
            "{\"id\": \"q\", \"question\": \"Who is CEO of Tesla?\", \"document\": \"tesla\"}"));
  }

  @AfterAll
  static void stop() {
    kafka.close();
  }

  /** What a recipe writes into a topic, once there are so many records. */
  private static List<JsonNode> run(String recipe, String topic, int records) throws Exception {
    JobClient job = start(recipe);
    try {
      return values(topics.readUntil(topic, some -> some.size() >= records, LIMIT));
    } finally {
      job.cancel().get();
      job.getJobExecutionResult().exceptionally(cancelled -> null).get();
    }
  }

  private static List<JsonNode> all(String topic) throws Exception {
    return values(topics.read(topic));
  }

  private static List<JsonNode> values(List<ConsumerRecord<byte[], byte[]>> records)
      throws Exception {
    List<JsonNode> values = new ArrayList<>();
    for (ConsumerRecord<byte[], byte[]> record : records) {
      values.add(JSON.readTree(record.value()));
    }
    return values;
  }

  /** Runs a recipe's statements; the last one is its job. */
  private static JobClient start(String recipe) throws Exception {
    StreamTableEnvironment env =
        StreamTableEnvironment.create(StreamExecutionEnvironment.getExecutionEnvironment());
    TableResult last = null;
    for (String statement :
        Stream.concat(statements(null).stream(), statements(recipe).stream()).toList()) {
      Matcher setting = SETTING.matcher(statement);
      if (setting.matches()) {
        env.getConfig().set(setting.group(1), setting.group(2));
      } else {
        last =
            env.executeSql(
                statement
                    .replace("localhost:9092", kafka.bootstrapServers())
                    .replace("'model-assets/", "'../model-assets/"));
      }
    }
    return last.getJobClient().orElseThrow();
  }

  /** The statements of a recipe, or, without a name, those that all begin with. */
  private static List<String> statements(String recipe) throws Exception {
    Matcher blocks = RECIPE.matcher(Files.readString(Path.of("../docs/sql.md")));
    while (blocks.find()) {
      if (recipe == null ? blocks.group(1) == null : recipe.equals(blocks.group(1))) {
        // The statements of a set are indented.
        return Stream.of(blocks.group(2).split(";\n(?! |END)", -1))
            .map(String::strip)
            .filter(statement -> !statement.isEmpty())
            .toList();
      }
    }
    throw new AssertionError("docs/sql.md has no recipe " + recipe);
  }

  @Test
  void labelsATopic() throws Exception {
    assertThat(run("Label a topic", "labels", 5))
        .hasSize(5)
        .allSatisfy(
            label -> {
              assertThat(label.get("label").asText()).isIn("POSITIVE", "NEGATIVE");
              assertThat(label.get("score").asDouble()).isBetween(0.5, 1.0);
              assertThat(label.get("error_code").isNull()).isTrue();
            })
        .extracting(label -> label.get("id").asText())
        .containsExactly("0", "1", "2", "3", "4"); // rows leave in the order of the input
  }

  @Test
  void redactsEntities() throws Exception {
    assertThat(run("Redact entities", "redacted", 5))
        .extracting(text -> text.get("text").asText())
        .containsExactlyInAnyOrder(
            "[PER] flew from [LOC] to [LOC] to speak at the [ORG] on Tuesday.",
            "What a wonderful film",
            "Terrible service",
            "It was there",
            "A lovely day");
  }

  @Test
  void routesByScore() throws Exception {
    JobClient job = start("Route by score");
    List<JsonNode> sure = new ArrayList<>();
    List<JsonNode> review = new ArrayList<>();
    long deadline = System.nanoTime() + LIMIT.toNanos();
    while (sure.size() + review.size() < 5 && System.nanoTime() < deadline) {
      sure = all("sure");
      review = all("review");
    }
    job.cancel().get();
    assertThat(sure).isNotEmpty();
    assertThat(review)
        .hasSize(5 - sure.size())
        .allSatisfy(result -> assertThat(result.get("score").asDouble()).isLessThan(0.9));
  }

  @Test
  void countsLabelsByMinute() throws Exception {
    List<JsonNode> counts = run("Count labels by minute", "counts", 2);
    assertThat(counts.stream().mapToInt(count -> count.get("n").asInt()).sum())
        .as("%s", counts)
        .isBetween(2, 4);
    assertThat(counts.stream().map(count -> count.get("window_start").asText()).sorted().toList())
        .first()
        .asString()
        .startsWith("1970-01-01 00:00:00");
  }

  @Test
  void answersQuestionsOverDocuments() throws Exception {
    assertThat(run("Answer questions over a table of documents", "answers", 1))
        .extracting(answer -> answer.get("answer").asText())
        .containsExactly("Elon Musk");
  }
}
