package org.labelstream.task;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.labelstream.engine.Encodings;
import org.labelstream.engine.LoadedModel;
import org.labelstream.engine.TextTokenizer.Detail;
import org.labelstream.engine.TokenDecoder;
import org.labelstream.engine.Tokens;
import org.labelstream.model.LabelMapping;
import org.labelstream.model.Manifest;
import org.labelstream.record.ErrorCode;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Stage;
import org.labelstream.record.Target;
import org.labelstream.record.TextEvent;
import org.labelstream.schedule.Plan;
import org.labelstream.schedule.Row;

/**
 * Entities of a text, as Hugging Face's {@code token-classification} pipeline gives them ({@code
 * transformers/pipelines/token_classification.py}, which the methods' names follow).
 */
public final class TokenClassification implements Task {

  static final TaskType TYPE =
      new TaskType(
          "token_classification",
          ParameterSpecs.none()
              .choice("aggregation_strategy", List.of("none", "simple", "first", "max", "average"))
              .texts("ignore_labels")
              .orNullInteger("stride", 0),
          Map.of("entities", FieldType.OBJECTS),
          TokenClassification::new);

  private static final List<String> IGNORED = List.of("O");

  private static final Set<Detail> DETAILS = Set.of(Detail.PIECES, Detail.SPANS);

  private final LoadedModel model;
  private final LabelMapping labels;
  private final TokenDecoder decoder;

  private TokenClassification(LoadedModel model) {
    this.model = model;
    this.labels = Required.labels(model);
    this.decoder = model.tokenizer().decoder();
  }

  @Override
  public Plan plan(TextEvent event, Parameters parameters, Encodings encodings)
      throws RejectedRecordException {
    String text = Required.field(event.text(), "text", "token classification");
    Integer stride = parameters.integer("stride");
    String strategy = parameters.text("aggregation_strategy");
    if (stride != null && (strategy == null || strategy.equals("none"))) {
      throw new RejectedRecordException(
          ErrorCode.INVALID_PARAMETER,
          Stage.DECODE,
          "in parameters, stride needs an aggregation_strategy other than none, since windows overlap: add one, such as simple");
    }
    int longest = model.folder().maxLength();
    Detail[] details = DETAILS.toArray(Detail[]::new);
    List<EncodedRow> rows =
        stride == null
            ? List.of(
                new EncodedRow(encodings.encodeTruncated(model, text, null, longest, details)))
            : EncodedRow.windows(encodings.encode(model, text, null, details), 0, longest, stride);
    return new Recognized(new CodePoints(text), Required.tokens(rows), parameters);
  }

  @Override
  public Set<Detail> details() {
    return DETAILS;
  }

  @Override
  public void run(List<? extends Row> batch) {
    EncodedRow.run(model, batch);
  }

  /** A token or a word with the scores of all classes, {@code [classes]}. */
  private record PreEntity(
      String word, float[] scores, int start, int end, int index, boolean subword) {}

  /** A token, a word or a group with its class. */
  private record Entity(String entity, float score, int index, String word, int start, int end) {}

  private final class Recognized implements Explainable {
    private final CodePoints text;
    private final List<EncodedRow> rows;
    private final String strategy;
    private final Set<String> ignored;

    Recognized(CodePoints text, List<EncodedRow> rows, Parameters parameters) {
      this.text = text;
      this.rows = rows;
      String given = parameters.text("aggregation_strategy");
      this.strategy = given == null ? "none" : given;
      List<String> labels = parameters.texts("ignore_labels");
      this.ignored = Set.copyOf(labels == null ? IGNORED : labels);
    }

    @Override
    public List<? extends Row> rows() {
      return rows;
    }

    @Override
    public Prediction join() throws RejectedRecordException {
      List<Entity> entities = new ArrayList<>();
      int tokens = 0;
      boolean truncated = false;
      for (EncodedRow row : rows) {
        for (Entity entity : aggregate(gatherPreEntities(row))) {
          if (!ignored.contains(entity.entity())) {
            entities.add(entity);
          }
        }
        tokens += row.length();
        truncated |= row.tokens().truncated();
      }
      if (rows.size() > 1) {
        entities = aggregateOverlapping(entities);
      }
      return new Prediction(
          Map.of("entities", entities.stream().map(this::fields).toList()), tokens, truncated);
    }

    /**
     * A class of one token. Where no token is named it is the one that is surest of the class;
     * where no class is named either, the one that is surest of a class that is not ignored.
     */
    @Override
    public Explained explained(Target target) throws RejectedRecordException {
      EncodedRow row = rows.get(0);
      int token = -1;
      int index = -1;
      if (target instanceof Target.TokenClass pair) {
        index = Targets.classOf(pair.index(), labels);
        token = pair.token();
        if (token >= row.length()) {
          throw Explainable.invalidTarget(
              "the target is token "
                  + token
                  + ", but the text has "
                  + row.length()
                  + " tokens, special ones included, counted from 0: name one of them");
        }
      } else {
        int asked = target == null ? -1 : Targets.classOf(target, labels, "a class of a token");
        float best = -1;
        boolean bestCounts = false;
        for (EncodedRow candidate : rows) {
          for (int i = 0; i < candidate.length(); i++) {
            if (candidate.tokens().special(i)) {
              continue;
            }
            float[] scores = scores(candidate, i);
            int likeliest = asked >= 0 ? asked : Scores.argmax(scores);
            boolean counts = asked >= 0 || !ignored.contains(labels.name(likeliest));
            if ((counts && !bestCounts) || (counts == bestCounts && scores[likeliest] > best)) {
              row = candidate;
              token = i;
              index = likeliest;
              best = scores[likeliest];
              bestCounts = counts;
            }
          }
        }
        if (token < 0) {
          throw Explainable.invalidTarget(
              "the text has no tokens, so none can be explained: send a text with words");
        }
      }
      Map<String, Object> named = new LinkedHashMap<>();
      named.put("token", token);
      named.putAll(Targets.named(index, labels));
      float[] scores = scores(row, token);
      int likeliest = Scores.argmax(scores);
      return new Explained(
          row.tokens(),
          rows.size() > 1 || row.tokens().truncated(),
          List.of("text"),
          Targets.scored(labels.name(likeliest), scores[likeliest]),
          named,
          scores[index],
          Map.of("", token * labels.size() + index));
    }

    /** The scores of a token, {@code [classes]}. */
    private float[] scores(EncodedRow row, int token) throws RejectedRecordException {
      float[] logits = new float[labels.size()];
      System.arraycopy(row.logits(), token * labels.size(), logits, 0, labels.size());
      float[] scores = Scores.softmax(logits);
      Scores.checkFinite(scores);
      return scores;
    }

    private Map<String, Object> fields(Entity entity) {
      Map<String, Object> fields = new LinkedHashMap<>();
      boolean grouped = !strategy.equals("none");
      fields.put(grouped ? "entity_group" : "entity", entity.entity());
      fields.put("score", entity.score());
      if (!grouped) {
        fields.put("index", entity.index());
      }
      fields.put("word", entity.word());
      fields.put("start", entity.start());
      fields.put("end", entity.end());
      return fields;
    }

    private List<PreEntity> gatherPreEntities(EncodedRow row) throws RejectedRecordException {
      Manifest manifest = model.folder().manifest();
      boolean wordAware = manifest.continuingSubwordPrefix() != null;
      Tokens tokens = row.tokens();
      List<PreEntity> entities = new ArrayList<>();
      for (int i = 0; i < tokens.length(); i++) {
        if (tokens.special(i)) {
          continue;
        }
        float[] scores = scores(row, i);
        int start = tokens.start(i);
        int end = tokens.end(i);
        String word = tokens.piece(i);
        String source = text.slice(start, end);
        boolean subword =
            wordAware
                ? word.codePointCount(0, word.length()) != end - start
                : start > 0 && !text.slice(start - 1, start + 1).contains(" ");
        if (manifest.unkTokenId() != null && tokens.id(i) == manifest.unkTokenId()) {
          word = source;
          subword = false;
        }
        entities.add(new PreEntity(word, scores, start, end, i, subword));
      }
      return entities;
    }

    private List<Entity> aggregate(List<PreEntity> tokens) {
      List<Entity> entities = new ArrayList<>();
      if (strategy.equals("none") || strategy.equals("simple")) {
        for (PreEntity token : tokens) {
          entities.add(
              entity(token.scores(), token.index(), token.word(), token.start(), token.end()));
        }
      } else {
        for (int first = 0, next; first < tokens.size(); first = next) {
          next = first + 1;
          while (next < tokens.size() && tokens.get(next).subword()) {
            next++;
          }
          entities.add(aggregateWord(tokens.subList(first, next)));
        }
      }
      return strategy.equals("none") ? entities : groupEntities(entities);
    }

    private Entity entity(float[] scores, int index, String word, int start, int end) {
      int best = Scores.argmax(scores);
      return new Entity(labels.name(best), scores[best], index, word, start, end);
    }

    private Entity aggregateWord(List<PreEntity> tokens) {
      float[] scores =
          switch (strategy) {
            case "first" -> tokens.get(0).scores();
            case "max" -> {
              PreEntity best = tokens.get(0);
              for (PreEntity token : tokens) {
                if (Scores.max(token.scores()) > Scores.max(best.scores())) {
                  best = token;
                }
              }
              yield best.scores();
            }
            default -> Scores.mean(tokens.stream().map(PreEntity::scores).toList());
          };
      return entity(
          scores,
          tokens.get(0).index(),
          decoder.decode(tokens.stream().map(PreEntity::word).toList()),
          tokens.get(0).start(),
          tokens.get(tokens.size() - 1).end());
    }

    /** Joins neighbours of one tag, unless the later one begins a new entity. */
    private List<Entity> groupEntities(List<Entity> entities) {
      List<Entity> groups = new ArrayList<>();
      for (int first = 0, next; first < entities.size(); first = next) {
        next = first + 1;
        while (next < entities.size()
            && tag(entities.get(next)).equals(tag(entities.get(next - 1)))
            && !entities.get(next).entity().startsWith("B-")) {
          next++;
        }
        groups.add(groupSubEntities(entities.subList(first, next)));
      }
      return groups;
    }

    private String tag(Entity entity) {
      String label = entity.entity();
      return label.startsWith("B-") || label.startsWith("I-") ? label.substring(2) : label;
    }

    private Entity groupSubEntities(List<Entity> entities) {
      Entity first = entities.get(0);
      double sum = 0;
      for (Entity entity : entities) {
        sum += entity.score();
      }
      return new Entity(
          first.entity().substring(first.entity().indexOf('-') + 1),
          (float) (sum / entities.size()),
          first.index(),
          decoder.decode(entities.stream().map(Entity::word).toList()),
          first.start(),
          entities.get(entities.size() - 1).end());
    }

    /**
     * Of entities that overlap, as those of overlapping windows may, keeps the longer, then the
     * surer.
     */
    private List<Entity> aggregateOverlapping(List<Entity> entities) {
      if (entities.isEmpty()) {
        return entities;
      }
      List<Entity> sorted = new ArrayList<>(entities);
      sorted.sort(Comparator.comparingInt(Entity::start));
      List<Entity> kept = new ArrayList<>();
      Entity previous = sorted.get(0);
      for (Entity entity : sorted) {
        if (previous.start() <= entity.start() && entity.start() < previous.end()) {
          int length = entity.end() - entity.start();
          int previousLength = previous.end() - previous.start();
          if (length > previousLength
              || (length == previousLength && entity.score() > previous.score())) {
            previous = entity;
          }
        } else {
          kept.add(previous);
          previous = entity;
        }
      }
      kept.add(previous);
      return kept;
    }
  }
}
