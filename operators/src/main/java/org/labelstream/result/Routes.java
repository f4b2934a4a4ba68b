package org.labelstream.result;

import dev.cel.common.CelAbstractSyntaxTree;
import dev.cel.common.CelIssue;
import dev.cel.common.CelOptions;
import dev.cel.common.CelSourceLocation;
import dev.cel.common.CelValidationException;
import dev.cel.common.ast.CelReference;
import dev.cel.common.types.CelType;
import dev.cel.common.types.ListType;
import dev.cel.common.types.MapType;
import dev.cel.common.types.SimpleType;
import dev.cel.compiler.CelCompiler;
import dev.cel.compiler.CelCompilerBuilder;
import dev.cel.compiler.CelCompilerFactory;
import dev.cel.parser.CelStandardMacro;
import dev.cel.runtime.CelEvaluationException;
import dev.cel.runtime.CelRuntime;
import dev.cel.runtime.CelRuntimeFactory;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Result;
import org.labelstream.record.SourceRecord;
import org.labelstream.record.Stage;
import org.labelstream.task.FieldType;

/**
 * Says which topics a result goes to. Conditions are expressions of CEL over the result's fields: a
 * language without loops or effects, whose types are checked before anything runs.
 *
 * <p><em>Thread-safety.</em> Immutable.
 */
public final class Routes {

  /** So many steps over lists an expression may take, all nested ones together. */
  private static final int MOST_STEPS = 100_000;

  private static final int LONGEST = 10_000; // characters

  private static final CelOptions OPTIONS =
      CelOptions.current()
          // score < 1 as well as score < 1.0
          .enableHeterogeneousNumericComparisons(true)
          .comprehensionMaxIterations(MOST_STEPS)
          .maxExpressionCodePointSize(LONGEST)
          .build();

  /** The name of the only model, whose fields are named without it. */
  private static final String ONLY = "";

  /** What stands in a result's place where there is none. */
  private static final String ERROR = "error";

  /**
   * A condition that can be evaluated.
   *
   * @param reads the models without whose results it cannot
   */
  private record Condition(CelRuntime.Program program, Set<String> reads) {}

  /** A route; without a condition that is null. */
  private record Route(RouteSettings settings, Condition condition) {}

  /**
   * Where a result goes.
   *
   * @param topics the topics of the routes that take it, each once
   * @param moved whether it does not go to the output topic
   */
  public record Choice(List<String> topics, boolean moved) {
    public static final Choice NONE = new Choice(List.of(), false);
  }

  private final Map<String, Map<String, FieldType>> models;
  private final List<Route> routes = new ArrayList<>();

  /**
   * @param fields what the task's results hold, by name
   * @throws IllegalArgumentException with a sentence, where a condition cannot be evaluated
   */
  public Routes(List<RouteSettings> settings, Map<String, FieldType> fields) {
    this(Map.of(ONLY, fields), settings);
  }

  private Routes(Map<String, Map<String, FieldType>> models, List<RouteSettings> settings) {
    this.models = models;
    Map<String, FieldType> fields = fields(models);
    for (RouteSettings route : settings) {
      routes.add(new Route(route, route.when() == null ? null : compile(route.when(), fields)));
    }
  }

  /**
   * Routes for the results of several models, whose fields are named as in {@code sentiment.score}.
   *
   * @param models what the results of each hold, by its name
   * @throws IllegalArgumentException with a sentence, where a condition cannot be evaluated
   */
  public static Routes ofSeveral(
      List<RouteSettings> settings, Map<String, Map<String, FieldType>> models) {
    return new Routes(models, settings);
  }

  /**
   * The fields of several models as a condition names them, each with an {@code error} more: its
   * code, empty where there is none.
   */
  public static Map<String, FieldType> fields(Map<String, Map<String, FieldType>> models) {
    Map<String, FieldType> all = new HashMap<>();
    models.forEach(
        (model, fields) -> {
          fields.forEach((name, type) -> all.put(qualified(model, name), type));
          if (!model.equals(ONLY)) {
            all.put(qualified(model, ERROR), FieldType.TEXT);
          }
        });
    return all;
  }

  private static String qualified(String model, String field) {
    return model.equals(ONLY) ? field : model + "." + field;
  }

  /**
   * Checks a condition.
   *
   * @throws IllegalArgumentException with the end of a sentence that tells the place in it
   */
  public static void check(String when, Map<String, FieldType> fields) {
    Condition checked = compile(when, fields);
    assert checked != null;
  }

  private static Condition compile(String when, Map<String, FieldType> fields) {
    CelCompilerBuilder builder =
        CelCompilerFactory.standardCelCompilerBuilder()
            .setOptions(OPTIONS)
            .setStandardMacros(CelStandardMacro.STANDARD_MACROS)
            .setResultType(SimpleType.BOOL);
    fields.forEach((name, type) -> builder.addVar(name, celType(type)));
    CelCompiler compiler = builder.build();
    try {
      CelAbstractSyntaxTree expression = compiler.compile(when).getAst();
      CelRuntime.Program program =
          CelRuntimeFactory.plannerRuntimeBuilder()
              .setOptions(OPTIONS)
              .build()
              .createProgram(expression);
      return new Condition(program, reads(expression));
    } catch (CelValidationException e) {
      throw new IllegalArgumentException(
          "is \"" + when + "\", which is no condition: " + problem(e) + known(fields), e);
    } catch (CelEvaluationException e) {
      throw new IllegalArgumentException(
          "is \"" + when + "\", which cannot be evaluated: " + e.getMessage() + known(fields), e);
    }
  }

  private static Set<String> reads(CelAbstractSyntaxTree expression) {
    Set<String> models = new HashSet<>();
    for (CelReference reference : expression.getReferenceMap().values()) {
      int dot = reference.name().lastIndexOf('.');
      if (dot > 0 && !reference.name().endsWith("." + ERROR)) {
        models.add(reference.name().substring(0, dot));
      }
    }
    return models;
  }

  private static String problem(CelValidationException e) {
    if (e.getErrors().isEmpty()) {
      return e.getMessage();
    }
    CelIssue first = e.getErrors().get(0);
    CelSourceLocation place = first.getSourceLocation();
    return place.getColumn() < 0
        ? first.getMessage()
        : "at character " + (place.getColumn() + 1) + ", " + first.getMessage();
  }

  private static String known(Map<String, FieldType> fields) {
    return ". It is an expression of CEL that is true or false, over "
        + String.join(", ", new TreeMap<>(fields).keySet());
  }

  private static CelType celType(FieldType type) {
    return switch (type) {
      case TEXT -> SimpleType.STRING;
      case NUMBER -> SimpleType.DOUBLE;
      case COUNT -> SimpleType.INT;
      case FLAG -> SimpleType.BOOL;
      case OBJECTS -> ListType.create(MapType.create(SimpleType.STRING, SimpleType.DYN));
    };
  }

  /**
   * Chooses for one result. A sample is drawn by the record's place, so that a record which is read
   * again goes the same way.
   *
   * @throws RejectedRecordException when a condition cannot be evaluated on it
   */
  public Choice choose(SourceRecord record, Prediction prediction) throws RejectedRecordException {
    return routes.isEmpty() ? Choice.NONE : choose(record, values(ONLY, prediction), Set.of(ONLY));
  }

  /**
   * Chooses for the results of several models. A condition that reads one which is not there, or is
   * an error, does not hold, unless it holds whatever stood there.
   *
   * @throws RejectedRecordException likewise
   */
  public Choice choose(SourceRecord record, List<Result> results) throws RejectedRecordException {
    if (routes.isEmpty()) {
      return Choice.NONE;
    }
    Map<String, Object> values = new HashMap<>();
    Set<String> there = new HashSet<>();
    models.keySet().forEach(model -> values.put(qualified(model, ERROR), ""));
    for (Result result : results) {
      if (result.error() != null) {
        values.put(qualified(result.name(), ERROR), result.error().code().wireName());
      } else {
        values.putAll(values(result.name(), result.prediction()));
        there.add(result.name());
      }
    }
    return choose(record, values, there);
  }

  private Choice choose(SourceRecord record, Map<String, Object> values, Set<String> there)
      throws RejectedRecordException {
    Set<String> topics = new LinkedHashSet<>();
    boolean moved = false;
    for (Route route : routes) {
      if (isTaken(route, values, there) && isDrawn(route.settings(), record)) {
        topics.add(route.settings().topic());
        moved |= route.settings().move();
      }
    }
    return new Choice(List.copyOf(topics), moved);
  }

  private static boolean isTaken(Route route, Map<String, Object> values, Set<String> there)
      throws RejectedRecordException {
    if (route.condition() == null) {
      return true;
    }
    try {
      return (Boolean) route.condition().program().eval(values);
    } catch (CelEvaluationException e) {
      if (!there.containsAll(route.condition().reads())) {
        return false;
      }
      throw new RejectedRecordException(
          ErrorCode.ROUTE_FAILED,
          Stage.OUTPUT,
          "the route's condition \""
              + route.settings().when()
              + "\" cannot be evaluated on this result: "
              + e.getMessage()
              + "; write it so that it holds for every result");
    }
  }

  private static boolean isDrawn(RouteSettings route, SourceRecord record) {
    if (route.sample() >= 1) {
      return true;
    }
    long place = 31L * record.topic().hashCode() + record.partition();
    long seed = 1_000_003L * (31L * place + route.topic().hashCode()) + record.offset();
    return new SplittableRandom(seed).nextDouble() < route.sample();
  }

  /** The fields of a result in CEL's types; one that this result does not have is empty. */
  private Map<String, Object> values(String model, Prediction prediction) {
    Map<String, Object> values = new HashMap<>();
    models.get(model).forEach((name, type) -> values.put(qualified(model, name), empty(type)));
    prediction.fields().forEach((name, value) -> values.put(qualified(model, name), value(value)));
    values.put(qualified(model, "tokens"), (long) prediction.tokens());
    values.put(qualified(model, "truncated"), prediction.truncated());
    return values;
  }

  private static Object empty(FieldType type) {
    return switch (type) {
      case TEXT -> "";
      case NUMBER -> 0.0;
      case COUNT -> 0L;
      case FLAG -> false;
      case OBJECTS -> List.of();
    };
  }

  private static Object value(Object value) {
    if (value instanceof Float number) {
      return Double.valueOf(number.toString()); // as it is written: 0.1f is 0.1
    }
    if (value instanceof Integer number) {
      return number.longValue();
    }
    if (value instanceof List<?> items) {
      return items.stream().map(Routes::value).toList();
    }
    if (value instanceof Map<?, ?> members) {
      Map<Object, Object> values = new HashMap<>();
      members.forEach((name, member) -> values.put(name, value(member)));
      return values;
    }
    return value;
  }
}
