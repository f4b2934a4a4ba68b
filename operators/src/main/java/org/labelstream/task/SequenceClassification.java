package org.labelstream.task;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.labelstream.engine.Encodings;
import org.labelstream.engine.LoadedModel;
import org.labelstream.engine.TextTokenizer.Detail;
import org.labelstream.engine.Tokens;
import org.labelstream.model.LabelMapping;
import org.labelstream.record.Prediction;
import org.labelstream.record.RejectedRecordException;
import org.labelstream.record.Target;
import org.labelstream.record.TextEvent;
import org.labelstream.schedule.Plan;
import org.labelstream.schedule.Row;

/**
 * A class for a text, or for a pair of texts, as Hugging Face's {@code text-classification}
 * pipeline gives it ({@code transformers/pipelines/text_classification.py}).
 */
public final class SequenceClassification implements Task {

  static final TaskType TYPE =
      new TaskType(
          "sequence_classification",
          ParameterSpecs.none()
              .orNullInteger("top_k", 1)
              .orNullInteger("stride", 0)
              .choice("function_to_apply", List.of("default", "softmax", "sigmoid", "none")),
          Set.of("text", "text_pair"),
          Map.of("label", FieldType.TEXT, "score", FieldType.NUMBER, "scores", FieldType.OBJECTS),
          SequenceClassification::new,
          TaskType.Order.PARTITION);

  private final LoadedModel model;
  private final LabelMapping labels;
  private final String defaultFunction;

  private SequenceClassification(LoadedModel model) {
    this.model = model;
    this.labels = Required.labels(model);
    this.defaultFunction = defaultFunction(model.folder().manifest().problemType(), labels.size());
  }

  private static String defaultFunction(String problemType, int classes) {
    if ("regression".equals(problemType)) {
      return "none";
    }
    return "multi_label_classification".equals(problemType) || classes == 1 ? "sigmoid" : "softmax";
  }

  @Override
  public Plan plan(TextEvent event, Parameters parameters, Encodings encodings)
      throws RejectedRecordException {
    String text = Required.field(event.text(), "text", "sequence classification");
    // An empty second text is none, as in transformers/tokenization_utils_fast.py.
    String pair = event.textPair() == null || event.textPair().isEmpty() ? null : event.textPair();
    Detail[] details = event.explain() ? new Detail[] {Detail.PIECES, Detail.SPANS} : new Detail[0];
    int longest = model.folder().maxLength();
    Integer stride = parameters.integer("stride");
    List<EncodedRow> rows;
    if (stride == null) {
      rows =
          List.of(new EncodedRow(encodings.encodeTruncated(model, text, pair, longest, details)));
    } else {
      Tokens tokens = encodings.encode(model, text, pair, details);
      rows = EncodedRow.windows(tokens, tokens.longerSequence(), longest, stride);
    }
    return new Classified(
        Required.tokens(rows),
        pair == null ? List.of("text") : List.of("text", "text_pair"),
        parameters);
  }

  @Override
  public void run(List<? extends Row> batch) {
    EncodedRow.run(model, batch);
  }

  private final class Classified implements Explainable {
    private final List<EncodedRow> rows;
    private final List<String> texts;
    private final Parameters parameters;

    Classified(List<EncodedRow> rows, List<String> texts, Parameters parameters) {
      this.rows = rows;
      this.texts = texts;
      this.parameters = parameters;
    }

    @Override
    public List<? extends Row> rows() {
      return rows;
    }

    @Override
    public Prediction join() throws RejectedRecordException {
      float[] scores = meanScores();
      Integer topK = parameters.has("top_k") ? parameters.integer("top_k") : Integer.valueOf(1);
      int[] ranking = Best.places(scores, topK == null ? scores.length : topK);
      Map<String, Object> fields = new LinkedHashMap<>(entry(ranking[0], scores));
      if (parameters.has("top_k")) {
        List<Object> best = new ArrayList<>();
        for (int index : ranking) {
          best.add(entry(index, scores));
        }
        fields.put("scores", best);
      }
      return new Prediction(
          fields,
          rows.stream().mapToInt(EncodedRow::length).sum(),
          rows.stream().anyMatch(row -> row.tokens().truncated()));
    }

    /** Of a text in windows, the mean of their scores; of one row, its own. */
    private float[] meanScores() throws RejectedRecordException {
      float[] scores = Scores.mean(rows.stream().map(row -> scores(row.logits())).toList());
      Scores.checkFinite(scores);
      return scores;
    }

    @Override
    public Explained explained(Target target) throws RejectedRecordException {
      float[] scores = meanScores();
      int index =
          target == null ? Scores.argmax(scores) : Targets.classOf(target, labels, "a class");
      EncodedRow deciding = rows.get(0);
      for (EncodedRow row : rows) {
        if (row.logits()[index] > deciding.logits()[index]) {
          deciding = row;
        }
      }
      return new Explained(
          deciding.tokens(),
          rows.size() > 1 || deciding.tokens().truncated(),
          texts,
          entry(Scores.argmax(scores), scores),
          Targets.named(index, labels),
          scores[index],
          Map.of("", index));
    }

    private Map<String, Object> entry(int index, float[] scores) {
      return Targets.scored(labels.name(index), scores[index]);
    }

    private float[] scores(float[] logits) {
      String asked = parameters.text("function_to_apply");
      String function = asked == null || asked.equals("default") ? defaultFunction : asked;
      return switch (function) {
        case "softmax" -> Scores.softmax(logits);
        case "sigmoid" -> Scores.sigmoid(logits);
        default -> logits;
      };
    }
  }
}
