package org.labelstream.task;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.labelstream.engine.LoadedModel;
import org.labelstream.engine.Tokens;
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
 * The span of a context that answers a question, as Hugging Face's {@code question-answering}
 * pipeline gives it ({@code transformers/pipelines/question_answering.py}).
 */
public final class QuestionAnswering implements Task {

  static final TaskType TYPE =
      new TaskType(
          "question_answering",
          ParameterSpecs.none()
              .integer("top_k", 1, 1_000)
              .integer("max_answer_len", 1, 10_000)
              .integer("max_seq_len", 1, 1_000_000)
              .integer("doc_stride", 0, 1_000_000)
              .flag("handle_impossible_answer")
              .flag("align_to_words"),
          QuestionAnswering::new);

  private static final int CONTEXT = 1;
  private static final int MAX_SEQ_LEN = 384;
  private static final int DOC_STRIDE = 128;
  private static final int MAX_ANSWER_LEN = 15;
  private static final float OUTSIDE = -10_000;

  private final LoadedModel model;

  private QuestionAnswering(LoadedModel model) {
    this.model = model;
  }

  @Override
  public Plan plan(TextEvent event, Parameters parameters) throws RejectedRecordException {
    String question = Required.field(event.question(), "question", "question answering");
    String context = Required.field(event.context(), "context", "question answering");
    if (question.isEmpty() || context.isEmpty()) {
      throw new RejectedRecordException(
          ErrorCode.INVALID_FIELD,
          Stage.DECODE,
          "the field "
              + (question.isEmpty() ? "question" : "context")
              + " is empty: question answering needs a question and a context with words");
    }
    int longest = model.folder().maxLength();
    int maxSeqLen = parameters.integer("max_seq_len", Math.min(longest, MAX_SEQ_LEN));
    int stride = parameters.integer("doc_stride", Math.min(maxSeqLen / 2, DOC_STRIDE));
    if (maxSeqLen > longest) {
      throw new RejectedRecordException(
          ErrorCode.INVALID_PARAMETER,
          Stage.DECODE,
          "in parameters, max_seq_len is "
              + maxSeqLen
              + ", but the model takes at most "
              + longest
              + " tokens: lower it");
    }
    List<EncodedRow> rows = new ArrayList<>();
    try {
      model
          .tokenizer()
          .encode(question, context)
          .windows(CONTEXT, maxSeqLen, stride)
          .forEach(window -> rows.add(new EncodedRow(window)));
    } catch (IllegalArgumentException e) {
      throw new RejectedRecordException(
          ErrorCode.INVALID_FIELD,
          Stage.ENCODE,
          "the question is too long to stand beside a part of its context ("
              + e.getMessage()
              + "): shorten it, or set a lower doc_stride");
    }
    return new Answered(new CodePoints(context), rows, parameters);
  }

  @Override
  public void run(List<? extends Row> batch) {
    EncodedRow.run(model, batch);
  }

  /** Tokens of a row that may be the answer. */
  private record Place(EncodedRow row, int start, int end, double score) {}

  /**
   * A span of the context and how likely it is the answer.
   *
   * @param place where it is likeliest, or null where the context has no words
   */
  private record Answer(String text, double score, int start, int end, Place place) {
    Answer plus(Answer same) {
      Place likelier = same.place.score() > place.score() ? same.place : place;
      return new Answer(text, score + same.score, start, end, likelier);
    }

    Map<String, Object> fields() {
      Map<String, Object> fields = new LinkedHashMap<>();
      fields.put("answer", text);
      fields.put("score", (float) score);
      fields.put("start", start);
      fields.put("end", end);
      return fields;
    }
  }

  private final class Answered implements Explainable {
    private final CodePoints context;
    private final List<EncodedRow> rows;
    private final int topK;
    private final int maxAnswerLength;
    private final boolean impossible;
    private final boolean alignToWords;

    Answered(CodePoints context, List<EncodedRow> rows, Parameters parameters) {
      this.context = context;
      this.rows = rows;
      this.topK = parameters.integer("top_k", 1);
      this.maxAnswerLength = parameters.integer("max_answer_len", MAX_ANSWER_LEN);
      this.impossible = parameters.flag("handle_impossible_answer", false);
      this.alignToWords = parameters.flag("align_to_words", true);
    }

    @Override
    public List<? extends Row> rows() {
      return rows;
    }

    @Override
    public Prediction join() throws RejectedRecordException {
      List<Answer> best = answers();
      Map<String, Object> fields = new LinkedHashMap<>(best.get(0).fields());
      if (topK > 1) {
        fields.put("answers", best.stream().map(Answer::fields).toList());
      }
      return new Prediction(fields, rows.stream().mapToInt(EncodedRow::length).sum(), false);
    }

    /** The best answers, at least one. */
    private List<Answer> answers() throws RejectedRecordException {
      Map<String, Answer> merged = new LinkedHashMap<>();
      double nullScore = 1_000_000;
      Place nowhere = null;
      for (EncodedRow row : rows) {
        boolean[] desired = desired(row.tokens());
        Spans spans = Spans.of(row.logits(), desired);
        if (spans.nullScore() < nullScore) {
          nullScore = spans.nullScore();
          nowhere = new Place(row, 0, 0, nullScore);
        }
        int candidates = alignToWords ? 2 * topK + 10 : topK;
        for (Spans.Span span : spans.best(candidates, maxAnswerLength)) {
          // Of spans without any probability the reference keeps those that its sort happens to
          // leave in front.
          if (desired[span.start()] && desired[span.end()] && span.score() > 0) {
            add(merged, row, span);
          }
        }
      }
      List<Answer> answers = new ArrayList<>(merged.values());
      if (impossible) {
        answers.add(new Answer("", nullScore, 0, 0, nowhere));
      }
      if (answers.isEmpty()) {
        answers.add(new Answer("", 0, 0, 0, null)); // a context without words
      }
      answers.sort(Comparator.comparingDouble(Answer::score).reversed());
      return answers.subList(0, Math.min(topK, answers.size()));
    }

    /**
     * The start and the end of the answer; or those tokens of the first row that the target names.
     */
    @Override
    public Explained explained(Target target) throws RejectedRecordException {
      Place place;
      float score;
      if (target == null) {
        Answer best = answers().get(0);
        if (best.place() == null) {
          throw Explainable.invalidTarget(
              "the context has no words, so there is no answer to explain: send one that has");
        }
        place = best.place();
        score = (float) best.score();
      } else if (target instanceof Target.TokenClass pair) {
        EncodedRow row = rows.get(0);
        int start = pair.token();
        int end = pair.index();
        if (start > end || end >= row.length()) {
          throw Explainable.invalidTarget(
              "the target is the tokens "
                  + start
                  + " to "
                  + end
                  + ", but question and context have the tokens 0 to "
                  + (row.length() - 1)
                  + ": name a start and an end among them");
        }
        Spans spans = Spans.of(row.logits(), desired(row.tokens()));
        score = spans.start()[start] * spans.end()[end];
        place = new Place(row, start, end, score);
      } else {
        throw Explainable.invalidTarget(
            "the target is a class, but question answering explains a start and an end: give a pair of tokens [start, end], or no target");
      }
      Tokens tokens = place.row().tokens();
      Map<String, Object> named = new LinkedHashMap<>();
      named.put("start", place.start());
      named.put("end", place.end());
      boolean inContext =
          tokens.sequences()[place.start()] == CONTEXT
              && tokens.sequences()[place.end()] == CONTEXT;
      named.put(
          "answer",
          inContext
              ? context.slice(tokens.starts()[place.start()], tokens.ends()[place.end()])
              : "");
      Map<String, Integer> logits = new LinkedHashMap<>();
      logits.put("answer_start", 2 * place.start());
      logits.put("answer_end", 2 * place.end() + 1);
      return new Explained(
          tokens, rows.size() > 1, List.of("question", "context"), Map.of(), named, score, logits);
    }

    /** Which tokens an answer may begin or end with: those of the context, and CLS. */
    private boolean[] desired(Tokens tokens) {
      Manifest manifest = model.folder().manifest();
      boolean[] desired = new boolean[tokens.length()];
      for (int i = 0; i < desired.length; i++) {
        desired[i] =
            tokens.sequences()[i] == CONTEXT
                || (manifest.clsTokenId() != null && tokens.ids()[i] == manifest.clsTokenId());
      }
      return desired;
    }

    /** The first token of a word of the context, or -1 where there is no such word. */
    private int firstOfWord(Tokens tokens, int word) {
      for (int i = 0; i < tokens.length() && word >= 0; i++) {
        if (tokens.sequences()[i] == CONTEXT && tokens.words()[i] == word) {
          return i;
        }
      }
      return -1;
    }

    /** The last token of a word of the context, or -1 where there is no such word. */
    private int lastOfWord(Tokens tokens, int word) {
      for (int i = tokens.length() - 1; i >= 0 && word >= 0; i--) {
        if (tokens.sequences()[i] == CONTEXT && tokens.words()[i] == word) {
          return i;
        }
      }
      return -1;
    }

    /** Adds a span; the scores of answers with the same words are added up. */
    private void add(Map<String, Answer> answers, EncodedRow row, Spans.Span span) {
      Tokens tokens = row.tokens();
      int first = alignToWords ? firstOfWord(tokens, tokens.words()[span.start()]) : -1;
      int last = alignToWords ? lastOfWord(tokens, tokens.words()[span.end()]) : -1;
      boolean aligned = first >= 0 && last >= 0;
      int start = tokens.starts()[aligned ? first : span.start()];
      int end = tokens.ends()[aligned ? last : span.end()];
      String text = context.slice(start, end);
      String lower = text.toLowerCase(Locale.ROOT);
      answers.merge(
          lower,
          new Answer(
              text,
              span.score(),
              start,
              end,
              new Place(row, span.start(), span.end(), span.score())),
          Answer::plus);
    }
  }

  /**
   * The probabilities of spans in one row.
   *
   * @param start the probability of a span to start at a token, {@code [tokens]}; 0 at the first
   * @param end likewise, to end
   * @param nullScore how likely there is no answer
   */
  record Spans(float[] start, float[] end, double nullScore) {

    /** A span of tokens, its end included. */
    record Span(int start, int end, double score) {}

    /**
     * @param logits start and end of each token in turn, {@code [tokens, 2]}
     * @param desired which tokens may begin or end an answer
     */
    static Spans of(float[] logits, boolean[] desired) throws RejectedRecordException {
      float[] start = new float[desired.length];
      float[] end = new float[desired.length];
      for (int i = 0; i < desired.length; i++) {
        start[i] = desired[i] ? logits[2 * i] : OUTSIDE;
        end[i] = desired[i] ? logits[2 * i + 1] : OUTSIDE;
      }
      start = Scores.softmax(start);
      end = Scores.softmax(end);
      Scores.checkFinite(start);
      Scores.checkFinite(end);
      double nullScore = (double) start[0] * end[0];
      start[0] = 0;
      end[0] = 0;
      return new Spans(start, end, nullScore);
    }

    /** The best spans of at most a length, best first. */
    List<Span> best(int count, int maxLength) {
      List<Span> spans = new ArrayList<>();
      for (int s = 0; s < start.length; s++) {
        for (int e = s; e < Math.min(end.length, s + maxLength); e++) {
          spans.add(new Span(s, e, start[s] * end[e]));
        }
      }
      spans.sort(Comparator.comparingDouble(Span::score).reversed());
      return spans.subList(0, Math.min(count, spans.size()));
    }
  }
}
