package org.labelstream.job.jobfile;

import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.format.DateTimeParseException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.UnaryOperator;
import org.labelstream.avro.AvroSettings;
import org.labelstream.codec.EventForm;
import org.labelstream.codec.EventForm.Envelope;
import org.labelstream.codec.EventFormat;
import org.labelstream.job.jobfile.InvalidJobException.Problem;
import org.labelstream.job.jobfile.JobSpec.PipelineSpec;
import org.labelstream.job.jobfile.JobSpec.Start;
import org.labelstream.job.registry.ConfluentRegistry;
import org.labelstream.job.registry.RegistryProperties;
import org.labelstream.operator.ExplainSettings;
import org.labelstream.operator.ExplainSettings.When;
import org.labelstream.operator.ExplainSettings.WhenFull;
import org.labelstream.operator.InferenceSettings;
import org.labelstream.operator.Tombstones;
import org.labelstream.schedule.LaneSettings;
import org.labelstream.task.TaskType.Order;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.api.lowlevel.Compose;
import org.snakeyaml.engine.v2.api.lowlevel.Parse;
import org.snakeyaml.engine.v2.common.Anchor;
import org.snakeyaml.engine.v2.events.AliasEvent;
import org.snakeyaml.engine.v2.events.CollectionEndEvent;
import org.snakeyaml.engine.v2.events.CollectionStartEvent;
import org.snakeyaml.engine.v2.events.Event;
import org.snakeyaml.engine.v2.exceptions.MarkedYamlEngineException;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;
import org.snakeyaml.engine.v2.nodes.Node;
import org.snakeyaml.engine.v2.schema.CoreSchema;

/**
 * Reads job files, and tells everything that is wrong with one at once, before anything connects.
 */
public final class JobFile {

  /**
   * Names become uids, transactional ids and group ids, so they hold no character that is special
   * in one.
   */
  private static final String NAME = "[A-Za-z0-9._-]{1,100}";

  private static final int MAX_DEPTH = 50;
  private static final int STEPS = 50;
  private static final int MAX_STEPS = 1_000;
  private static final double SHARE = 0.2;
  private static final int QUEUE = 256;
  private static final int MAX_QUEUE = 100_000;

  private static final Set<String> OURS =
      Set.of(
          "key.serializer",
          "value.serializer",
          "key.deserializer",
          "value.deserializer",
          "transactional.id",
          "enable.auto.commit",
          "auto.offset.reset");

  private final UnaryOperator<String> resolve;
  private final List<Problem> problems = new ArrayList<>();
  private final List<String> notices = new ArrayList<>();

  private JobFile(UnaryOperator<String> resolve) {
    this.resolve = resolve;
  }

  private enum Delivery {
    AT_LEAST_ONCE,
    EXACTLY_ONCE
  }

  /**
   * Reads a job file.
   *
   * @param file its name, for the messages
   * @param text its content
   * @param resolve makes a model's path absolute
   * @throws InvalidJobException when anything is wrong with it or with a model folder that it names
   */
  public static JobSpec read(String file, String text, UnaryOperator<String> resolve) {
    JobFile reader = new JobFile(resolve);
    JobSpec spec = reader.read(parse(file, text));
    if (!reader.problems.isEmpty()) {
      throw new InvalidJobException(
          file,
          reader.problems.stream()
              .distinct() // consumer and producer may refuse the same
              .sorted(Comparator.comparingInt(Problem::line))
              .toList());
    }
    return spec;
  }

  private static Node parse(String file, String text) {
    LoadSettings settings =
        LoadSettings.builder()
            .setLabel(file)
            .setAllowDuplicateKeys(true) // told with all the other problems
            .setMaxAliasesForCollections(16)
            .setCodePointLimit(1 << 20)
            .setSchema(new CoreSchema())
            .build();
    try {
      boundedIn(file, new Parse(settings).parseString(text));
      return new Compose(settings)
          .composeString(text)
          .orElseThrow(
              () ->
                  new InvalidJobException(
                      file + " is empty: write at least name, pipelines and kafka"));
    } catch (MarkedYamlEngineException e) {
      int line = e.getProblemMark().map(mark -> mark.getLine() + 1).orElse(1);
      throw new InvalidJobException(
          file, List.of(new Problem(line, "this is not YAML: " + e.getProblem())));
    } catch (YamlEngineException e) {
      throw new InvalidJobException(file + " is not YAML: " + e.getMessage());
    }
  }

  /**
   * Refuses what would be read for ever, or deeper than the stack: it is known from the events,
   * which nest nothing.
   */
  private static void boundedIn(String file, Iterable<Event> events) {
    Deque<String> open = new ArrayDeque<>();
    for (Event event : events) {
      int line = event.getStartMark().map(mark -> mark.getLine() + 1).orElse(1);
      if (event instanceof CollectionStartEvent start) {
        open.push(start.getAnchor().map(Anchor::getValue).orElse(""));
        if (open.size() > MAX_DEPTH) {
          throw new InvalidJobException(
              file,
              List.of(
                  new Problem(
                      line, "values are nested more than " + MAX_DEPTH + " deep: flatten them")));
        }
      } else if (event instanceof CollectionEndEvent) {
        open.pop();
      } else if (event instanceof AliasEvent alias && open.contains(alias.getAlias().getValue())) {
        throw new InvalidJobException(
            file,
            List.of(
                new Problem(
                    line,
                    "*"
                        + alias.getAlias().getValue()
                        + " stands within the value that it names, which would hold itself: write"
                        + " the value out")));
      }
    }
  }

  private JobSpec read(Node root) {
    YamlSection job = new YamlSection("", root, 1, problems);
    String name = name(job);
    RegistryProperties registry = registry(job);
    List<PipelineSpec> pipelines = new ArrayList<>();
    Set<String> names = new HashSet<>();
    for (YamlSection section : job.sections("pipelines")) {
      PipelineSpec pipeline = pipeline(section, registry);
      if (pipeline.name() != null && !names.add(pipeline.name())) {
        section.problem(
            "name", "is " + pipeline.name() + ", as that of another pipeline: rename one of them");
      }
      pipelines.add(pipeline);
    }
    YamlSection kafka = job.section("kafka");
    Map<String, String> common = properties(kafka, "common");
    Map<String, String> consumer = merged(common, properties(kafka, "consumer"));
    Map<String, String> producer = merged(common, properties(kafka, "producer"));
    kafka.finish();
    String maxRequest = producer.get("max.request.size");
    if (maxRequest != null && !maxRequest.strip().matches("[1-9][0-9]{0,8}")) {
      kafka.problem(
          kafka.line(),
          "kafka.producer.max.request.size is "
              + maxRequest
              + ", but must be a whole number of bytes, since records are measured against it");
    }
    if (!consumer.containsKey("bootstrap.servers") || !producer.containsKey("bootstrap.servers")) {
      kafka.problem(
          kafka.line(),
          "kafka.common.bootstrap.servers is missing: add it, as in common: {bootstrap.servers:"
              + " \"localhost:9092\"}");
    }
    if (!consumer.containsKey("group.id")) {
      kafka.problem(
          kafka.line(),
          "kafka.consumer.group.id is missing: add it, as in consumer: {group.id: my-job}");
    }
    Delivery delivery = job.choice("delivery", Delivery.class, Delivery.AT_LEAST_ONCE);
    boolean exactlyOnce = delivery == Delivery.EXACTLY_ONCE;
    refused(kafka, "consumer", KafkaProperties.consumerProblems(consumer));
    Map<String, String> refusals = KafkaProperties.producerProblems(producer, exactlyOnce);
    refusals.remove("max.request.size"); // told above
    refused(kafka, "producer", refusals);
    YamlSection flinkSection = job.section("flink");
    Map<String, String> flink = flinkSection.properties();
    for (String option : flink.keySet()) {
      FlinkOptions.meant(option)
          .ifPresent(
              meant ->
                  flinkSection.problem(
                      option, "is no option of Flink: did you mean " + meant + "?"));
    }
    job.finish();
    return new JobSpec(
        name,
        pipelines,
        consumer,
        producer,
        exactlyOnce,
        pipelines.stream().anyMatch(pipeline -> pipeline.settings().avro() != null)
            ? registry
            : null,
        flink,
        List.copyOf(notices));
  }

  /** Where schemas are, or null where the job file does not say. */
  private static RegistryProperties registry(YamlSection job) {
    if (!job.has("schema-registry")) {
      return null;
    }
    YamlSection section = job.section("schema-registry", "url");
    Map<String, String> properties = section.properties();
    RegistryProperties.problems(properties).forEach(section::problem);
    return new RegistryProperties(new HashMap<>(properties));
  }

  /** Notes what Kafka says about properties, each where it is given. */
  private static void refused(YamlSection kafka, String client, Map<String, String> refusals) {
    YamlSection own = kafka.section(client);
    YamlSection common = kafka.section("common");
    refusals.forEach(
        (property, refusal) -> {
          if (own.has(property)) {
            own.problem(property, refusal);
          } else if (common.has(property)) {
            common.problem(property, refusal);
          } else {
            own.problem(
                own.line(),
                "kafka."
                    + client
                    + (property.isEmpty()
                        ? " is refused by Kafka: " + refusal
                        : "." + property + " " + refusal));
          }
        });
  }

  private static Map<String, String> merged(Map<String, String> common, Map<String, String> own) {
    Map<String, String> merged = new LinkedHashMap<>(common);
    merged.putAll(own);
    return merged;
  }

  private Map<String, String> properties(YamlSection kafka, String key) {
    YamlSection section = kafka.section(key);
    Map<String, String> properties = section.properties();
    for (String property : properties.keySet()) {
      if (OURS.contains(property)) {
        section.problem(property, "is set by Labelstream itself: remove it");
      }
    }
    return properties;
  }

  private static String name(YamlSection section) {
    String name = section.requiredText("name");
    if (name != null && !name.isBlank() && !name.matches(NAME)) {
      section.problem(
          "name",
          "is " + name + ", but may hold only letters, digits, dots, hyphens and underscores");
    }
    return name;
  }

  private PipelineSpec pipeline(YamlSection section, RegistryProperties registry) {
    String name = name(section);
    Models models = Models.read(section, resolve);

    YamlSection input = section.section("input");
    String inputTopic = topicName(input);
    EventForm form = InputForm.read(input);
    Start start = start(input);
    boolean bounded = bounded(input);
    long maxValueBytes = input.bytes("max-value-bytes", 1 << 20);
    // Debezium writes a tombstone behind each deletion.
    Tombstones tombstones =
        input.choice(
            "tombstones",
            Tombstones.class,
            form.envelope() == Envelope.DEBEZIUM ? Tombstones.FORWARD : Tombstones.DEAD_LETTER);
    input.finish();

    YamlSection output = section.section("output");
    String outputTopic = outputTopic(output, inputTopic);
    AvroSettings avro = avro(input, form, output, outputTopic, registry);
    output.finish();
    YamlSection deadLetters = section.section("dead-letters");
    String deadLetterTopic = deadLetters(deadLetters, inputTopic, outputTopic);
    double maxShare = maxShare(deadLetters);
    deadLetters.finish();
    YamlSection explanations = section.section("explanations");
    String explanationTopic = null;
    ExplainSettings explaining = null;
    if (section.has("explanations")) {
      explanationTopic = outputTopic(explanations, inputTopic);
      if (explanationTopic != null
          && (explanationTopic.equals(outputTopic) || explanationTopic.equals(deadLetterTopic))) {
        explanations.problem(
            "topic",
            "is that of labels or of dead letters, so consumers could not tell them apart: name"
                + " another");
      }
      explaining = explaining(explanations);
      if (models.areSeveral()) {
        section.problem(
            "explanations",
            "stands beside models, and only a pipeline with one model explains: give that model a"
                + " pipeline of its own");
      }
    }
    Results results =
        Results.read(section, inputTopic, outputTopic, deadLetterTopic, explanationTopic);
    Order order = section.choice("order", Order.class, null);
    Duration timeout = section.duration("timeout", Duration.ofSeconds(60));
    if (timeout.isZero() || timeout.isNegative()) {
      section.problem("timeout", "must be longer than nothing");
    }
    Duration callTimeout = section.duration("call-timeout", LaneSettings.CALL_TIMEOUT);
    if (callTimeout.compareTo(timeout) < 0) {
      section.problem(
          "call-timeout",
          "is shorter than timeout, which bounds the work on one record: a call may hold many;"
              + " raise it");
    }
    Integer parallelism = section.positive("parallelism", null);
    section.finish();
    models.look(results, explaining, notices);
    models.lookForUnread(name, form, notices);
    return new PipelineSpec(
        models.settings(name, form, avro, maxValueBytes, tombstones, timeout, callTimeout, results),
        inputTopic,
        start,
        bounded,
        outputTopic,
        deadLetterTopic,
        maxShare,
        explaining,
        explanationTopic,
        order != null ? order : models.order(),
        parallelism);
  }

  static String topicName(YamlSection section) {
    String topic = section.requiredText("topic");
    if (topic != null && !topic.isBlank() && !topic.matches("[A-Za-z0-9._-]{1,249}")) {
      section.problem(
          "topic",
          "is " + topic + ", but Kafka allows only letters, digits, dots, hyphens and underscores");
    }
    return topic;
  }

  private static Start start(YamlSection input) {
    String text = input.text("start");
    if (text == null) {
      return new Start.Committed();
    }
    return switch (text.toLowerCase(Locale.ROOT)) {
      case "committed" -> new Start.Committed();
      case "earliest" -> new Start.Earliest();
      case "latest" -> new Start.Latest();
      default -> {
        try {
          yield new Start.At(
              text.endsWith("Z") || text.endsWith("z")
                  ? Instant.parse(text)
                  : OffsetDateTime.parse(text).toInstant());
        } catch (DateTimeParseException e) {
          input.problem(
              "start",
              "is "
                  + text
                  + ", but must be committed, earliest, latest, or a time such as"
                  + " 2026-01-31T12:00:00Z");
          yield new Start.Committed();
        }
      }
    };
  }

  private static boolean bounded(YamlSection input) {
    String until = input.text("until");
    if (until == null || until.equalsIgnoreCase("never")) {
      return false;
    }
    if (!until.equalsIgnoreCase("latest")) {
      input.problem("until", "is " + until + ", but must be never or latest");
    }
    return true;
  }

  /** How records of labels are written. */
  private enum OutputFormat {
    JSON,
    AVRO
  }

  /** What the pipeline needs of a schema registry, or null where that is nothing. */
  private static AvroSettings avro(
      YamlSection input,
      EventForm form,
      YamlSection output,
      String outputTopic,
      RegistryProperties registry) {
    boolean reads = form.format() == EventFormat.AVRO;
    boolean writes =
        output.choice("format", OutputFormat.class, OutputFormat.JSON) == OutputFormat.AVRO;
    if (writes && !reads && form.format() != EventFormat.TEXT) {
      output.problem(
          "format",
          "is avro, for which the input's schema is needed, but input.format is neither avro nor"
              + " text: set one of them, or json here");
    }
    if (!reads && !writes) {
      return null;
    }
    if (registry == null) {
      YamlSection section = reads ? input : output;
      section.problem(
          "format",
          "is avro, but there is no schema-registry at the top of the file: add it, as in"
              + " schema-registry: http://localhost:8081");
      return null;
    }
    return new AvroSettings(
        ConfluentRegistry.factory(registry), writes ? outputTopic + "-value" : null);
  }

  private static String outputTopic(YamlSection section, String inputTopic) {
    String topic = topicName(section);
    if (topic != null && topic.equals(inputTopic)) {
      section.problem(
          "topic",
          "is the input's topic, so the job would read what it writes, for ever: name another");
    }
    return topic;
  }

  private static String deadLetters(YamlSection section, String inputTopic, String outputTopic) {
    String topic = outputTopic(section, inputTopic);
    if (topic != null && topic.equals(outputTopic)) {
      section.problem(
          "topic",
          "is the output's topic, so consumers would take dead letters for labels: name another");
    }
    return topic;
  }

  /** The share of dead letters above which the job ends, 1 where there is none. */
  private static double maxShare(YamlSection section) {
    String given = section.text("max-share");
    return given == null || given.equalsIgnoreCase("off") ? 1 : share(section, "max-share", 1);
  }

  private static ExplainSettings explaining(YamlSection section) {
    When when = section.choice("when", When.class, When.REQUESTED);
    String steps = section.text("steps");
    Integer count =
        steps != null && steps.equalsIgnoreCase("adaptive") ? null : steps(section, steps);
    int queue = section.positive("queue", QUEUE);
    if (queue > MAX_QUEUE) {
      section.problem("queue", "is " + queue + ", but may be at most " + MAX_QUEUE);
    }
    ExplainSettings settings =
        new ExplainSettings(
            when,
            count,
            share(section, "share", SHARE),
            queue,
            section.choice("when-full", WhenFull.class, WhenFull.BLOCK));
    section.finish();
    return settings;
  }

  private static Integer steps(YamlSection section, String given) {
    if (given == null) {
      return STEPS;
    }
    if (given.strip().matches("[1-9][0-9]{0,3}") && Integer.parseInt(given.strip()) <= MAX_STEPS) {
      return Integer.valueOf(given.strip());
    }
    section.problem(
        "steps",
        "is " + given + ", but must be a whole number from 1 to " + MAX_STEPS + ", or adaptive");
    return STEPS;
  }

  static double share(YamlSection section, String key, double ifAbsent) {
    String given = section.text(key);
    if (given == null) {
      return ifAbsent;
    }
    try {
      double share = Double.parseDouble(given);
      if (share > 0 && share <= 1) {
        return share;
      }
    } catch (NumberFormatException e) {
      // told below
    }
    section.problem(key, "is " + given + ", but must be a number above 0 and at most 1");
    return ifAbsent;
  }

  static InferenceSettings.Batching batching(YamlSection section) {
    InferenceSettings.Batching defaults = InferenceSettings.Batching.DEFAULT;
    InferenceSettings.Batching batching =
        new InferenceSettings.Batching(
            positiveOrAuto(section, "max-tokens"),
            positiveOrAuto(section, "look-ahead"),
            section.duration("max-age", defaults.maxAge()),
            section.duration("linger", defaults.linger()));
    section.finish();
    try {
      batching.policy(false);
    } catch (IllegalArgumentException e) {
      section.problem(section.line(), "batch: " + e.getMessage());
    }
    return batching;
  }

  /** A number, or null for {@code auto}. */
  private static Integer positiveOrAuto(YamlSection section, String key) {
    String given = section.text(key);
    return given == null || given.equalsIgnoreCase("auto") ? null : section.positive(key, null);
  }
}
