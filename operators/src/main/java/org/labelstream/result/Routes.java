package org.labelstream.result;

import dev.cel.common.CelAbstractSyntaxTree;
import dev.cel.common.CelIssue;
import dev.cel.common.CelOptions;
import dev.cel.common.CelSourceLocation;
import dev.cel.common.CelValidationException;
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
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
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

  /** A route whose condition can be evaluated; without one it is null. */
  private record Route(RouteSettings settings, CelRuntime.Program program) {}

  /**
   * Where a result goes.
   *
   * @param topics the topics of the routes that take it, each once
   * @param moved whether it does not go to the output topic
   */
  public record Choice(List<String> topics, boolean moved) {
    public static final Choice NONE = new Choice(List.of(), false);
  }

  private final Map<String, FieldType> fields;
  private final List<Route> routes = new ArrayList<>();

  /**
   * @param fields what the task's results hold, by name
   * @throws IllegalArgumentException with a sentence, where a condition cannot be evaluated
   */
  public Routes(List<RouteSettings> settings, Map<String, FieldType> fields) {
    this.fields = fields;
    for (RouteSettings route : settings) {
      routes.add(new Route(route, route.when() == null ? null : compile(route.when(), fields)));
    }
  }

  /**
   * Checks a condition.
   *
   * @throws IllegalArgumentException with the end of a sentence that tells the place in it
   */
  public static void check(String when, Map<String, FieldType> fields) {
    CelRuntime.Program checked = compile(when, fields);
    assert checked != null;
  }

  private static CelRuntime.Program compile(String when, Map<String, FieldType> fields) {
    CelCompilerBuilder builder =
        CelCompilerFactory.standardCelCompilerBuilder()
            .setOptions(OPTIONS)
            .setStandardMacros(CelStandardMacro.STANDARD_MACROS)
            .setResultType(SimpleType.BOOL);
    fields.forEach((name, type) -> builder.addVar(name, celType(type)));
    CelCompiler compiler = builder.build();
    try {
      CelAbstractSyntaxTree expression = compiler.compile(when).getAst();
      return CelRuntimeFactory.plannerRuntimeBuilder()
          .setOptions(OPTIONS)
          .build()
          .createProgram(expression);
    } catch (CelValidationException e) {
      throw new IllegalArgumentException(
          "is \"" + when + "\", which is no condition: " + problem(e) + known(fields), e);
    } catch (CelEvaluationException e) {
      throw new IllegalArgumentException(
          "is \"" + when + "\", which cannot be evaluated: " + e.getMessage() + known(fields), e);
    }
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
    if (routes.isEmpty()) {
      return Choice.NONE;
    }
    Map<String, Object> values = values(prediction);
    Set<String> topics = new LinkedHashSet<>();
    boolean moved = false;
    for (Route route : routes) {
      if (isTaken(route, values) && isDrawn(route.settings(), record)) {
        topics.add(route.settings().topic());
        moved |= route.settings().move();
      }
    }
    return new Choice(List.copyOf(topics), moved);
  }

  private static boolean isTaken(Route route, Map<String, Object> values)
      throws RejectedRecordException {
    if (route.program() == null) {
      return true;
    }
    try {
      return (Boolean) route.program().eval(values);
    } catch (CelEvaluationException e) {
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
  private Map<String, Object> values(Prediction prediction) {
    Map<String, Object> values = new HashMap<>();
    fields.forEach((name, type) -> values.put(name, empty(type)));
    prediction.fields().forEach((name, value) -> values.put(name, value(value)));
    values.put("tokens", (long) prediction.tokens());
    values.put("truncated", prediction.truncated());
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
