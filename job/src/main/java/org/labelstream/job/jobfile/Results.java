package org.labelstream.job.jobfile;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.labelstream.model.Names;
import org.labelstream.result.RedactSettings;
import org.labelstream.result.ResultSettings;
import org.labelstream.result.RouteSettings;
import org.labelstream.result.Routes;
import org.labelstream.task.FieldType;
import org.labelstream.task.Tasks;

/** {@code routes} and {@code redact} of a pipeline, checked with its model where that is known. */
final class Results {

  private final List<YamlSection> sections = new ArrayList<>();
  private final ArrayList<RouteSettings> routes = new ArrayList<>();
  private YamlSection redactSection;
  private RedactSettings redact;

  private Results() {}

  /**
   * @param others the pipeline's other topics, input first; null where there is none
   */
  static Results read(YamlSection pipeline, String... others) {
    Results results = new Results();
    if (pipeline.has("routes")) {
      for (YamlSection section : pipeline.sections("routes")) {
        results.readRoute(section, others);
      }
    }
    if (pipeline.has("redact")) {
      results.readRedact(pipeline.section("redact"));
    }
    return results;
  }

  private void readRoute(YamlSection section, String... others) {
    String topic = JobFile.topicName(section);
    for (String other : others) {
      if (topic != null && topic.equals(other)) {
        section.problem(
            "topic",
            "is "
                + topic
                + ", as another topic of the pipeline, so the same record would come there twice, or"
                + " be taken for another kind: name another");
      }
    }
    String when = section.text("when");
    if (when != null && when.isBlank()) {
      section.problem("when", "is blank: write a condition, or leave it out");
    }
    double sample = JobFile.share(section, "sample", 1);
    boolean move = section.flag("move", false);
    if (when == null && sample == 1 && move) {
      section.problem(
          section.line(),
          "a route without when and sample that moves leaves nothing for the output's topic: name"
              + " its topic there, or add when");
    }
    section.finish();
    sections.add(section);
    routes.add(new RouteSettings(when, sample, topic, move));
  }

  private void readRedact(YamlSection section) {
    boolean replace = section.flag("replace", false);
    LinkedHashMap<String, String> labels = new LinkedHashMap<>(section.properties());
    labels.remove("replace");
    if (labels.isEmpty()) {
      section.problem(
          section.line(), "redact names no label: write one, such as redact: {PER: \"[NAME]\"}");
    }
    redactSection = section;
    redact = new RedactSettings(labels, replace);
  }

  ResultSettings settings() {
    return new ResultSettings(routes, redact);
  }

  /**
   * Checks all with the models.
   *
   * @param several whether fields are named with their models
   */
  void check(List<Models.Model> models, boolean several) {
    Map<String, Map<String, FieldType>> fields = new HashMap<>();
    models.forEach(model -> fields.put(several ? model.name() : "", fields(model)));
    checkConditions(Routes.fields(fields));
    if (redact == null) {
      return;
    }
    for (Models.Model model : models) {
      if (model.parameters().containsKey("ignore_labels")) {
        redactSection.problem(
            redactSection.line(),
            "redact stands beside parameters.ignore_labels, which would keep entities from being"
                + " redacted: remove one of them");
      }
    }
    if (models.stream().anyMatch(model -> model.type() == null)) {
      return; // where the job runs it is known
    }
    List<Models.Model> finders =
        models.stream().filter(model -> model.type().results().containsKey("entities")).toList();
    if (finders.isEmpty()) {
      redactSection.problem(
          redactSection.line(),
          "redact needs a model that finds entities, and "
              + (several ? "none of these does" : "this one is for " + models.get(0).type().name())
              + ": remove redact, or name another model");
      return;
    }
    Collection<String> known = new TreeSet<>();
    for (Models.Model model : finders) {
      for (int i = 0; i < model.labels().size(); i++) {
        String label = model.labels().name(i);
        known.add(label.startsWith("B-") || label.startsWith("I-") ? label.substring(2) : label);
      }
    }
    for (String label : redact.labels().keySet()) {
      if (!known.contains(label)) {
        redactSection.problem(
            label,
            "is no label of "
                + (several ? "these models: " : "this model: ")
                + Names.didYouMean(label, known));
      }
    }
  }

  /** What a model's results hold: of one that is not known here, what any holds. */
  private static Map<String, FieldType> fields(Models.Model model) {
    if (model.type() != null) {
      return model.type().results();
    }
    Map<String, FieldType> any = new HashMap<>();
    Tasks.ALL.forEach(type -> any.putAll(type.results()));
    return any;
  }

  private void checkConditions(Map<String, FieldType> fields) {
    for (int i = 0; i < routes.size(); i++) {
      String when = routes.get(i).when();
      if (when == null || when.isBlank()) {
        continue;
      }
      try {
        Routes.check(when, fields);
      } catch (IllegalArgumentException e) {
        sections.get(i).problem("when", e.getMessage());
      }
    }
  }
}
