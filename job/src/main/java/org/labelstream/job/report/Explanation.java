package org.labelstream.job.report;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.jr.ob.JSON;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A record of the explanations topic.
 *
 * @param predicted what the model predicted, or null where the record does not say
 * @param target what was explained, field by field, such as {@code index} and {@code label}; empty
 *     where the record does not say
 * @param score the target's score, or null
 * @param facts the other plain fields, in the order in which they came, such as {@code pipeline}
 * @param words the tokens, as the tokenizer writes them
 * @param spans for each token where it stands in its text, in code points, or null for a special
 *     token; null where the record has none
 * @param attributions what the words contribute: one, or two for question answering; empty where
 *     there is an error
 * @param error why there is no explanation, or null
 */
record Explanation(
    String id,
    Prediction predicted,
    Map<String, Object> target,
    Double score,
    Map<String, Object> facts,
    List<String> words,
    List<Span> spans,
    List<Attribution> attributions,
    Failure error) {

  /** A label and its score, which may be null. */
  record Prediction(String label, Double score) {}

  /** Code points from {@code start} to before {@code end}. */
  record Span(int start, int end) {}

  /**
   * The importances of all words for one thing.
   *
   * @param of what it is, or null where there is only one
   * @param importances one for each word; their L2 norm is 1, or 0
   * @param delta the convergence delta, before the importances were divided by their norm
   */
  record Attribution(String of, List<Double> importances, double delta) {}

  /** Why there is no explanation. */
  record Failure(String code, String message) {}

  private static final Set<String> SHOWN_APART = Set.of("id", "score", "target", "delta");

  /**
   * Reads the value of a record.
   *
   * @throws InvalidExplanationException when it is no explanation
   */
  static Explanation parse(byte[] json) {
    Map<String, Object> fields = object(json);
    Failure error =
        fields.get("error") instanceof Map<?, ?> failure
            ? new Failure(string(failure.get("code")), string(failure.get("message")))
            : null;
    List<String> words = error == null ? words(fields) : List.of();
    return new Explanation(
        string(fields.get("id")),
        predicted(fields.get("predicted")),
        target(fields.get("target")),
        optionalNumber("score", fields.get("score")),
        facts(fields),
        words,
        error == null ? spans(fields.get("spans"), words.size()) : null,
        error == null ? attributions(fields, words.size()) : List.of(),
        error);
  }

  private static Map<String, Object> object(byte[] json) {
    try (JsonParser parser = JSON.std.createParser(json)) {
      Object value = parser.nextToken() == null ? null : JSON.std.anyFrom(parser);
      if (parser.nextToken() != null || !(value instanceof Map<?, ?> map)) {
        throw new InvalidExplanationException(
            "this is not one JSON object: give the records of an explanations topic, one a line");
      }
      Map<String, Object> fields = new LinkedHashMap<>();
      map.forEach((name, field) -> fields.put((String) name, field));
      return fields;
    } catch (JsonProcessingException e) {
      String reason = e.getOriginalMessage().lines().findFirst().orElse("");
      throw new InvalidExplanationException(
          "this is not JSON ("
              + reason
              + "): give the records of an explanations topic, one a line");
    } catch (IOException e) {
      throw new InvalidExplanationException("this cannot be read: " + e.getMessage());
    }
  }

  private static Prediction predicted(Object value) {
    return value instanceof Map<?, ?> map && map.get("label") != null
        ? new Prediction(
            string(map.get("label")), optionalNumber("predicted.score", map.get("score")))
        : null;
  }

  /** A target is an object, or, where it could not be resolved, what the record had asked for. */
  private static Map<String, Object> target(Object value) {
    Map<String, Object> target = new LinkedHashMap<>();
    if (value instanceof Map<?, ?> map) {
      map.forEach(
          (name, field) -> {
            if (field != null) {
              target.put((String) name, field);
            }
          });
    } else if (value != null) {
      target.put(value instanceof String ? "label" : "index", value);
    }
    return target;
  }

  private static Map<String, Object> facts(Map<String, Object> fields) {
    Map<String, Object> facts = new LinkedHashMap<>();
    fields.forEach(
        (name, value) -> {
          boolean plain =
              value instanceof String || value instanceof Number || value instanceof Boolean;
          if (plain && !SHOWN_APART.contains(name) && !name.startsWith("delta_")) {
            facts.put(name, value);
          }
        });
    return facts;
  }

  private static List<String> words(Map<String, Object> fields) {
    List<String> words = new ArrayList<>();
    for (Object word : list("words", fields.get("words"))) {
      if (!(word instanceof String string)) {
        throw new InvalidExplanationException("words is not a list of strings");
      }
      words.add(string);
    }
    return words;
  }

  private static List<Attribution> attributions(Map<String, Object> fields, int words) {
    return fields.containsKey("importances")
        ? List.of(attribution(fields, null, "importances", "delta", words))
        : List.of(
            attribution(fields, "Answer start", "importances_answer_start", "delta_start", words),
            attribution(fields, "Answer end", "importances_answer_end", "delta_end", words));
  }

  private static Attribution attribution(
      Map<String, Object> fields, String of, String importances, String delta, int words) {
    List<Double> numbers = new ArrayList<>();
    for (Object number : list(importances, fields.get(importances))) {
      numbers.add(number(importances, number));
    }
    if (numbers.size() != words) {
      throw new InvalidExplanationException(
          importances + " has " + numbers.size() + " numbers, but there are " + words + " words");
    }
    return new Attribution(of, numbers, number(delta, fields.get(delta)));
  }

  private static List<Span> spans(Object value, int words) {
    if (value == null) {
      return null;
    }
    List<Span> spans = new ArrayList<>();
    for (Object span : list("spans", value)) {
      if (span == null) {
        spans.add(null);
      } else if (span instanceof List<?> pair
          && pair.size() == 2
          && pair.get(0) instanceof Integer start
          && pair.get(1) instanceof Integer end) {
        spans.add(new Span(start, end));
      } else {
        throw new InvalidExplanationException("spans is not a list of [start, end] and null");
      }
    }
    if (spans.size() != words) {
      throw new InvalidExplanationException(
          "spans has " + spans.size() + " entries, but there are " + words + " words");
    }
    return spans;
  }

  private static List<?> list(String name, Object value) {
    if (value instanceof List<?> list) {
      return list;
    }
    throw new InvalidExplanationException(
        value == null ? "it has neither " + name + " nor error" : name + " is not a list");
  }

  private static Double optionalNumber(String name, Object value) {
    return value == null ? null : Double.valueOf(number(name, value));
  }

  private static double number(String name, Object value) {
    if (value instanceof Number number && Double.isFinite(number.doubleValue())) {
      return number.doubleValue();
    }
    throw new InvalidExplanationException(
        value == null ? name + " is missing" : name + " is not a number");
  }

  private static String string(Object value) {
    return value == null ? "" : value.toString();
  }
}
