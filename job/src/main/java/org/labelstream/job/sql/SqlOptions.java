package org.labelstream.job.sql;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.Configuration;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.model.ModelFolder;
import org.labelstream.model.Names;
import org.labelstream.operator.Caching;
import org.labelstream.operator.InferenceSettings.Batching;
import org.labelstream.task.ParameterSpecs;
import org.snakeyaml.engine.v2.api.Load;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;
import org.snakeyaml.engine.v2.schema.CoreSchema;

/** What stands in {@code WITH}: options of the model's running, and the task's parameters. */
final class SqlOptions {

  static final ConfigOption<String> MODEL =
      ConfigOptions.key("model")
          .stringType()
          .noDefaultValue()
          .withDescription("The model folder: a path, or a URI of any file system that Flink has.");

  static final ConfigOption<OnError> ON_ERROR =
      ConfigOptions.key("on-error")
          .enumType(OnError.class)
          .defaultValue(OnError.NULL)
          .withDescription("What becomes of a row that cannot be labelled.");

  static final ConfigOption<DeviceChoice> DEVICE =
      ConfigOptions.key("device")
          .enumType(DeviceChoice.class)
          .defaultValue(DeviceChoice.AUTO)
          .withDescription("Where the model runs.");

  static final ConfigOption<ModelFolder.Verify> VERIFY =
      ConfigOptions.key("verify")
          .enumType(ModelFolder.Verify.class)
          .defaultValue(ModelFolder.Verify.IF_PRESENT)
          .withDescription("Whether the folder must have SHA-256 sums of its files.");

  static final ConfigOption<String> SHA256 =
      ConfigOptions.key("model-sha256")
          .stringType()
          .noDefaultValue()
          .withDescription("The SHA-256 that the model folder must have.");

  static final ConfigOption<Integer> MAX_TOKENS =
      ConfigOptions.key("batch.max-tokens")
          .intType()
          .noDefaultValue()
          .withDescription("The most tokens of a batch, padding included.");

  static final ConfigOption<Integer> LOOK_AHEAD =
      ConfigOptions.key("batch.look-ahead")
          .intType()
          .noDefaultValue()
          .withDescription("Of how many waiting rows a batch is chosen.");

  static final ConfigOption<Duration> MAX_AGE =
      ConfigOptions.key("batch.max-age")
          .durationType()
          .defaultValue(Batching.DEFAULT.maxAge())
          .withDescription("How long a row may wait before it is next.");

  static final ConfigOption<Duration> LINGER =
      ConfigOptions.key("batch.linger")
          .durationType()
          .defaultValue(Batching.DEFAULT.linger())
          .withDescription("How long a batch that is not full waits for more rows.");

  static final ConfigOption<Integer> CACHE_ENTRIES =
      ConfigOptions.key("cache.entries")
          .intType()
          .defaultValue(Caching.DEFAULT.entries())
          .withDescription("How many results are kept for texts that come again.");

  static final ConfigOption<Boolean> CACHE_IN_FLIGHT =
      ConfigOptions.key("cache.in-flight")
          .booleanType()
          .defaultValue(Caching.DEFAULT.inFlight())
          .withDescription("Whether a text waits for an equal one that is at work.");

  static final Set<ConfigOption<?>> OPTIONAL =
      Set.of(
          ON_ERROR,
          DEVICE,
          VERIFY,
          SHA256,
          MAX_TOKENS,
          LOOK_AHEAD,
          MAX_AGE,
          LINGER,
          CACHE_ENTRIES,
          CACHE_IN_FLIGHT);

  private static final Set<String> KNOWN =
      Stream.concat(
              Stream.of("provider", "task", MODEL.key()), OPTIONAL.stream().map(ConfigOption::key))
          .collect(Collectors.toUnmodifiableSet());

  private final Map<String, String> given;
  private final Configuration configuration;
  private final List<String> problems;

  /**
   * @param problems what is wrong is added to it
   */
  SqlOptions(Map<String, String> given, List<String> problems) {
    this.given = given;
    this.configuration = Configuration.fromMap(given);
    this.problems = problems;
  }

  /** An option's value, or its default where it is not there or wrong. */
  <T> T get(ConfigOption<T> option) {
    try {
      return configuration.get(option);
    } catch (IllegalArgumentException e) {
      String must =
          option.defaultValue() instanceof Enum<?> word
              ? "must be one of "
                  + Stream.of(word.getDeclaringClass().getEnumConstants())
                      .map(value -> value.toString().toLowerCase(Locale.ROOT).replace('_', '-'))
                      .collect(Collectors.joining(", "))
              : option.defaultValue() instanceof Duration
                  ? "must be a time, such as 100 ms"
                  : option.defaultValue() instanceof Boolean
                      ? "must be true or false"
                      : "must be a whole number";
      problems.add(
          "option "
              + option.key()
              + " is '"
              + Names.shown(given.get(option.key()))
              + "', but "
              + must);
      return option.defaultValue();
    }
  }

  /** The SHA-256 that the folder must have, in lower case, or null. */
  String sha256() {
    String given = get(SHA256);
    if (given == null || given.matches("[0-9a-fA-F]{64}")) {
      return given == null ? null : given.toLowerCase(Locale.ROOT);
    }
    problems.add(
        "option model-sha256 is '"
            + Names.shown(given)
            + "', but must be the 64 hex digits of the folder's SHA-256, which docs/model-folder.md computes");
    return null;
  }

  /** What becomes of texts that come again. */
  Caching caching() {
    int entries = get(CACHE_ENTRIES);
    if (entries < 0) {
      problems.add("option cache.entries is '" + entries + "', but must be 0 or more");
      return Caching.DEFAULT;
    }
    return new Caching(entries, get(CACHE_IN_FLIGHT));
  }

  /** How rows are batched. */
  Batching batching() {
    Batching batching = new Batching(get(MAX_TOKENS), get(LOOK_AHEAD), get(MAX_AGE), get(LINGER));
    try {
      batching.policy(false);
    } catch (IllegalArgumentException e) {
      problems.add("in batch, " + e.getMessage());
    }
    return batching;
  }

  /** All that is no option is a parameter of the task. */
  Map<String, Object> parameters(ParameterSpecs specs) {
    HashMap<String, Object> parameters = new HashMap<>();
    List<String> known = new ArrayList<>(specs.names());
    known.addAll(KNOWN);
    given.forEach(
        (name, text) -> {
          if (KNOWN.contains(name)) {
            return;
          }
          if (!specs.names().contains(name)) {
            problems.add(
                "there is no option " + Names.shown(name) + ": " + Names.didYouMean(name, known));
            return;
          }
          Object typed = typed(text);
          Supplier<String> wrong = () -> refusal(specs, name, typed);
          if (wrong.get() == null) {
            parameters.put(name, typed);
          } else if (refusal(specs, name, text) == null) {
            parameters.put(name, text); // a text that looks like a number
          } else {
            problems.add("option " + wrong.get());
          }
        });
    return parameters;
  }

  /** Why a parameter cannot have a value, or null where it can. */
  private static String refusal(ParameterSpecs specs, String name, Object value) {
    try {
      HashMap<String, Object> one = new HashMap<>();
      one.put(name, value);
      specs.parse(one);
      return null;
    } catch (IllegalArgumentException e) {
      return e.getMessage();
    }
  }

  /** SQL has texts only: numbers, true, false, null and lists are read as JSON has them. */
  private static Object typed(String text) {
    String stripped = text.strip();
    if (!stripped.matches("true|false|null|-?[0-9].*|\\[.*")) {
      return text;
    }
    try {
      return new Load(LoadSettings.builder().setSchema(new CoreSchema()).build())
          .loadFromString(stripped);
    } catch (YamlEngineException e) {
      return text;
    }
  }
}
