package org.labelstream.job.jobfile;

import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.UnaryOperator;
import org.labelstream.avro.AvroSettings;
import org.labelstream.codec.EventForm;
import org.labelstream.engine.DeviceChoice;
import org.labelstream.model.InvalidModelException;
import org.labelstream.model.LabelMapping;
import org.labelstream.model.ModelFolder;
import org.labelstream.model.Names;
import org.labelstream.operator.Caching;
import org.labelstream.operator.ExplainSettings;
import org.labelstream.operator.ExplainSettings.When;
import org.labelstream.operator.InferenceFunction;
import org.labelstream.operator.InferenceSettings;
import org.labelstream.operator.PipelineModel;
import org.labelstream.operator.PipelineModel.Condition;
import org.labelstream.operator.Tombstones;
import org.labelstream.store.ModelFetcher;
import org.labelstream.task.TaskType;
import org.labelstream.task.TaskType.Order;

/**
 * {@code model} or {@code models} of a pipeline, held against the folders that can be read here.
 */
final class Models {

  /** Names are fields of a record, and words of conditions. */
  private static final String NAME = "[A-Za-z_][A-Za-z0-9_]{0,99}";

  /** What a pipeline says once for all of its models. */
  private record Defaults(
      DeviceChoice device,
      InferenceSettings.Batching batch,
      ModelFolder.Verify verify,
      Caching caching) {

    static final Defaults OURS =
        new Defaults(
            DeviceChoice.AUTO,
            InferenceSettings.Batching.DEFAULT,
            ModelFolder.Verify.IF_PRESENT,
            Caching.DEFAULT);

    /** What a section says, and these where it says nothing. */
    Defaults overriddenBy(YamlSection section) {
      return new Defaults(
          section.choice("device", DeviceChoice.class, device),
          section.has("batch") ? JobFile.batching(section.section("batch")) : batch,
          section.choice("verify", ModelFolder.Verify.class, verify),
          section.has("cache") ? cache(section.section("cache")) : caching);
    }
  }

  private static Caching cache(YamlSection section) {
    int entries = "0".equals(section.text("entries")) ? 0 : section.positive("entries", 0);
    boolean inFlight = section.flag("in-flight", Caching.DEFAULT.inFlight());
    section.finish();
    return new Caching(entries, inFlight);
  }

  /** A model as it is written, and what its folder tells. */
  static final class Model {
    private final YamlSection section;
    private final String name;
    private final String folder;
    private final Defaults settings;
    private final YamlSection parameterSection;
    private final Map<String, Object> parameters;
    private final String pinned;
    private String sha256;
    private Condition when;
    private TaskType type;
    private LabelMapping labels;

    private Model(
        YamlSection section, String name, UnaryOperator<String> resolve, Defaults defaults) {
      this.section = section;
      this.name = name;
      String model = section.requiredText("model");
      this.folder = model == null || model.isBlank() ? null : resolve.apply(model);
      this.settings = defaults.overriddenBy(section);
      this.parameterSection = section.section("parameters");
      this.parameters = parameterSection.settings();
      this.pinned = sha256(section);
      this.sha256 = pinned;
    }

    /** Its name, or null of an only model, which has none. */
    String name() {
      return name;
    }

    /** Its task, or null where that is not known here. */
    TaskType type() {
      return type;
    }

    /** The names of its classes, or null where it has none or they are not known here. */
    LabelMapping labels() {
      return labels;
    }

    /** The task's settings. */
    Map<String, Object> parameters() {
      return parameters;
    }
  }

  private final List<Model> models = new ArrayList<>();
  private final boolean several;

  private Models(boolean several) {
    this.several = several;
  }

  static Models read(YamlSection pipeline, UnaryOperator<String> resolve) {
    Models models = new Models(pipeline.has("models"));
    if (!models.several) {
      models.models.add(new Model(pipeline, null, resolve, Defaults.OURS));
      return models;
    }
    for (String own : List.of("model", "parameters", "model-sha256")) {
      if (pipeline.has(own)) {
        pipeline.problem(
            own, "stands beside models, of which each has its own: move it to one of them");
      }
    }
    Defaults defaults = Defaults.OURS.overriddenBy(pipeline);
    List<YamlSection> sections = pipeline.sections("models");
    List<String> names = sections.stream().map(section -> section.text("name")).toList();
    for (YamlSection section : sections) {
      String name = section.requiredText("name");
      if (name != null && !name.isBlank() && !name.matches(NAME)) {
        section.problem(
            "name",
            "is "
                + name
                + ", but may hold only letters, digits and underscores, and begins with no digit:"
                + " it is a word in conditions");
      }
      Model model = new Model(section, name, resolve, defaults);
      if (name != null && models.models.stream().anyMatch(other -> name.equals(other.name))) {
        section.problem("name", "is " + name + ", as that of another model: rename one of them");
      }
      if (section.has("when")) {
        model.when = models.condition(section.section("when"), names);
      }
      section.finish();
      models.models.add(model);
    }
    if (sections.size() == 1) {
      pipeline.problem(
          "models", "has one model only: add another, or write model: in place of models:");
    }
    return models;
  }

  /** The condition of the model that comes next. */
  private Condition condition(YamlSection section, List<String> names) {
    String model = section.requiredText("model");
    ArrayList<String> labels = new ArrayList<>(section.texts("label"));
    if (labels.isEmpty()) {
      section.problem(
          section.line(), "when names no label: write one or more, as in label: [en, de]");
    }
    section.finish();
    if (model == null || model.isBlank()) {
      return null;
    }
    if (models.stream().anyMatch(before -> model.equals(before.name))) {
      return new Condition(model, labels);
    }
    section.problem(
        "model",
        names.contains(model)
            ? "is "
                + model
                + ", which does not stand before this model, and each waits only for one that does:"
                + " put it further up"
            : "is "
                + model
                + ", but there is no model of that name: "
                + Names.didYouMean(model, names.stream().filter(Objects::nonNull).toList()));
    return null;
  }

  private static String sha256(YamlSection section) {
    String text = section.text("model-sha256");
    if (text == null || text.strip().matches("[0-9A-Fa-f]{64}")) {
      return text == null ? null : text.strip().toLowerCase(Locale.ROOT);
    }
    section.problem(
        "model-sha256",
        "is "
            + text
            + ", but must be the 64 hex digits of the folder's SHA-256, which docs/model-folder.md"
            + " computes");
    return null;
  }

  boolean areSeveral() {
    return several;
  }

  /** Finds here what would otherwise fail on every TaskManager. */
  void look(Results results, ExplainSettings explaining, List<String> notices) {
    boolean isSound = true;
    for (Model model : models) {
      boolean isNamed = !several || (model.name != null && model.name.matches(NAME));
      isSound &= model.folder != null && look(model, explaining, notices) && isNamed;
    }
    if (isSound) {
      results.check(models, several);
    }
    for (Model model : models) {
      if (model.when != null) {
        Model before =
            models.stream()
                .filter(other -> model.when.model().equals(other.name))
                .findFirst()
                .get();
        if (before.type != null) {
          model
              .when
              .problems(before.type, before.labels)
              .forEach(problem -> model.section.section("when").problem("label", problem));
        }
      }
    }
  }

  /** False where the model cannot be used, and that is told. */
  private static boolean look(Model model, ExplainSettings explaining, List<String> notices) {
    try (ModelFetcher.Lease lease =
        ModelFetcher.instance().fetch(model.folder, model.settings.verify(), null)) {
      ModelFolder folder = lease.folder();
      if (model.pinned != null && !model.pinned.equals(folder.sha256())) {
        model.section.problem(
            "model-sha256",
            "is "
                + model.pinned
                + ", but "
                + model.folder
                + " has "
                + folder.sha256()
                + ": put back the folder that was pinned, or pin this one");
      }
      TaskType type = InferenceFunction.taskType(folder);
      model.type = type;
      model.labels = folder.labels();
      type.parameters().parse(model.parameters);
      if (explaining != null
          && explaining.when() != When.NEVER
          && folder.manifest().explain() == null) {
        notices.add(
            model.folder
                + " has no methods for explanations, so each that is asked for is refused: export"
                + " the checkpoint again, or remove explanations.");
      }
      model.sha256 = folder.sha256();
    } catch (IOException e) {
      notices.add(
          model.folder
              + " is remote and cannot be read from here: each TaskManager fetches and checks it"
              + " when the job starts there. ("
              + e.getMessage()
              + ")");
    } catch (InvalidModelException e) {
      model.section.problem("model", "cannot be used: " + e.getMessage());
      return false;
    } catch (IllegalArgumentException e) {
      model.parameterSection.problem(
          model.parameterSection.line(), "parameters: " + e.getMessage());
      return false;
    }
    return true;
  }

  /** Tells of entries of {@code input.fields} that no model reads, as far as all are known here. */
  void lookForUnread(String pipeline, EventForm form, List<String> notices) {
    if (models.isEmpty() || models.stream().anyMatch(model -> model.type == null)) {
      return;
    }
    Set<String> read = new TreeSet<>();
    Set<String> tasks = new TreeSet<>();
    for (Model model : models) {
      read.addAll(model.type.fields());
      tasks.add(model.type.name());
    }
    for (String field : new TreeSet<>(form.fields().keySet())) {
      if (!field.equals("id") && !read.contains(field)) {
        notices.add(
            "input.fields of "
                + pipeline
                + " says where "
                + field
                + " stands, but "
                + String.join(" and ", tasks)
                + (tasks.size() == 1 ? " reads only " : " read only ")
                + String.join(" and ", read)
                + ": "
                + field
                + " is only carried through.");
      }
    }
  }

  /** The order in which results go out, unless the pipeline says. */
  Order order() {
    return models.stream()
        // Whether a store can be reached from here must not decide on it.
        .filter(model -> model.type != null && ModelFetcher.isLocal(model.folder))
        .map(model -> model.type.order())
        .filter(order -> order != Order.PARTITION)
        .findFirst()
        .orElse(Order.PARTITION);
  }

  /** What the async stage is told of each: the pipeline's settings, and the model's own. */
  List<PipelineModel> settings(
      String pipeline,
      EventForm form,
      AvroSettings avro,
      long maxValueBytes,
      Tombstones tombstones,
      Duration timeout,
      Duration callTimeout,
      Results results) {
    if (models.isEmpty()) {
      return PipelineModel.only(InferenceSettings.of(pipeline, null)); // that is told already
    }
    List<PipelineModel> settings = new ArrayList<>();
    for (Model model : models) {
      settings.add(
          new PipelineModel(
              several ? model.name : pipeline,
              new InferenceSettings(
                  pipeline,
                  model.folder,
                  model.settings.device(),
                  form,
                  maxValueBytes,
                  tombstones,
                  new HashMap<>(model.parameters),
                  timeout,
                  callTimeout,
                  model.settings.batch(),
                  model.settings.verify(),
                  model.sha256,
                  results.settings(),
                  model.settings.caching(),
                  avro),
              model.when));
    }
    return settings;
  }
}
