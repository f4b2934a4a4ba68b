package org.labelstream.task;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.labelstream.engine.Encodings;
import org.labelstream.engine.LoadedModel;
import org.labelstream.engine.TextTokenizer.Detail;
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
          Set.of("question", "context"),
          Map.of(
              "answer", FieldType.TEXT,
              "score", FieldType.NUMBER,
              "start", FieldType.COUNT,
              "end", FieldType.COUNT,
              "answers", FieldType.OBJECTS),
          QuestionAnswering::new,
          TaskType.Order.PARTITION);

  private static final Set<Detail> DETAILS = Set.of(Detail.SPANS, Detail.WORDS);
  private static final int MAX_SEQ_LEN = 384;
  private static final int DOC_STRIDE = 128;
  private static final int MAX_ANSWER_LEN = 15;
  private static final float OUTSIDE = -10_000;

  private final LoadedModel model;

  /**
   * As in the reference, with a tokenizer that pads on the left the context stands first, and every
   * token of the row may be one of the answer.
   */
  private final boolean contextFirst;

  /** Which of the two texts of a row the context is. */
  private final int contextSequence;

  private QuestionAnswering(LoadedModel model) {
    this.model = model;
    this.contextFirst = model.folder().manifest().padsLeft();
    this.contextSequence = contextFirst ? 0 : 1;
  }

  @Override
  public Plan plan(TextEvent event, Parameters parameters, Encodings encodings)
      throws RejectedRecordException {
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
    Detail[] details =
        event.explain()
            ? new Detail[] {Detail.SPANS, Detail.WORDS, Detail.PIECES}
            : DETAILS.toArray(Detail[]::new);
    Tokens tokens =
        contextFirst
            ? encodings.encode(model, context, question, details)
            : encodings.encode(model, question, context, details);
    if (tokens.length() > maxSeqLen && tokens.room(contextSequence, maxSeqLen) <= 0) {
      throw new RejectedRecordException(
          ErrorCode.INVALID_FIELD,
          Stage.ENCODE,
          "the question is too long to stand beside a part of its context in rows of "
              + maxSeqLen
              + " tokens: shorten it"
              + (maxSeqLen < longest ? ", or set a higher max_seq_len" : ""));
    }
    List<Tokens> windows;
    try {
      windows = tokens.windows(contextSequence, maxSeqLen, stride);
    } catch (IllegalArgumentException e) {
      throw new RejectedRecordException(
          ErrorCode.INVALID_PARAMETER,
          Stage.ENCODE,
          "in parameters, doc_stride does not do beside this question: " + e.getMessage());
    }
    return new Answered(new CodePoints(context), windows, event.explain(), parameters);
  }

  @Override
  public Set<Detail> details() {
    return DETAILS;
  }

  @Override
  public void run(List<? extends Row> batch) {
    EncodedRow.run(model, batch);
  }

  /**
   * Which tokens an answer may begin or end with: those of the context, and CLS; all of them where
   * the context stands first.
   */
  private boolean[] desired(Tokens tokens) {
    Manifest manifest = model.folder().manifest();
    boolean[] desired = new boolean[tokens.length()];
    for (int i = 0; i < desired.length; i++) {
      desired[i] =
          contextFirst
              || tokens.sequence(i) == contextSequence
              || (manifest.clsTokenId() != null && tokens.id(i) == manifest.clsTokenId());
    }
    return desired;
  }

  /** Tokens of a row that may be the answer. */
  private record Place(Tokens tokens, int start, int end, double score) {}

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

  /** What a window says. */
  private record Found(double nullScore, List<Spans.Span> spans) {}

  /**
   * A window over the context. Once it ran it keeps the spans that may be the answer rather than
   * its logits, where these are fewer: a context has up to thousands of windows.
   */
  private final class Window extends EncodedRow {
    private final int candidates;
    private final int maxAnswerLength;
    private final boolean keepsLogits;
    private volatile Found found;
    private volatile RejectedRecordException failure;

    Window(Tokens tokens, int candidates, int maxAnswerLength, boolean explained) {
      super(tokens);
      this.candidates = candidates;
      this.maxAnswerLength = maxAnswerLength;
      this.keepsLogits = explained || candidates > tokens.length() / 4;
    }

    @Override
    void take(float[] values) {
      if (keepsLogits) {
        super.take(values);
        return;
      }
      try {
        found = find(values);
      } catch (RejectedRecordException e) {
        failure = e; // this record's own, so it must not cost the others of the batch
      }
    }

    @Override
    public boolean done() {
      return super.done() || found != null || failure != null;
    }

    Found found() throws RejectedRecordException {
      if (failure != null) {
        throw failure;
      }
      return keepsLogits ? find(logits()) : found;
    }

    private Found find(float[] logits) throws RejectedRecordException {
      boolean[] desired = desired(tokens());
      Spans spans = Spans.of(logits, desired);
      // Of spans without any probability the reference keeps those that its sort happens to
      // leave in front.
      return new Found(
          spans.nullScore(),
          spans.best(candidates, maxAnswerLength).stream()
              .filter(span -> desired[span.start()] && desired[span.end()] && span.score() > 0)
              .toList());
    }
  }

  private final class Answered implements Explainable {
    private final CodePoints context;
    private final List<Window> rows;
    private final int topK;
    private final boolean impossible;
    private final boolean alignToWords;

    Answered(CodePoints context, List<Tokens> windows, boolean explain, Parameters parameters) {
      this.context = context;
      this.topK = parameters.integer("top_k", 1);
      this.impossible = parameters.flag("handle_impossible_answer", false);
      this.alignToWords = parameters.flag("align_to_words", true);
      int candidates = alignToWords ? 2 * topK + 10 : topK;
      int maxAnswerLength = parameters.integer("max_answer_len", MAX_ANSWER_LEN);
      List<Window> all = new ArrayList<>(windows.size());
      for (Tokens window : windows) {
        // A target names tokens of the first window.
        all.add(new Window(window, candidates, maxAnswerLength, explain && all.isEmpty()));
      }
      this.rows = all;
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
      for (Window row : rows) {
        Found found = row.found();
        if (found.nullScore() < nullScore) {
          nullScore = found.nullScore();
          nowhere = new Place(row.tokens(), 0, 0, nullScore);
        }
        for (Spans.Span span : found.spans()) {
          add(merged, row.tokens(), span);
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
        Window row = rows.get(0);
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
        place = new Place(row.tokens(), start, end, score);
      } else {
        throw Explainable.invalidTarget(
            "the target is a class, but question answering explains a start and an end: give a pair of tokens [start, end], or no target");
      }
      Tokens tokens = place.tokens();
      Map<String, Object> named = new LinkedHashMap<>();
      named.put("start", place.start());
      named.put("end", place.end());
      boolean inContext =
          tokens.sequence(place.start()) == contextSequence
              && tokens.sequence(place.end()) == contextSequence;
      named.put(
          "answer",
          inContext ? context.slice(tokens.start(place.start()), tokens.end(place.end())) : "");
      Map<String, Integer> logits = new LinkedHashMap<>();
      logits.put("answer_start", 2 * place.start());
      logits.put("answer_end", 2 * place.end() + 1);
      return new Explained(
          tokens,
          rows.size() > 1,
          contextFirst ? List.of("context", "question") : List.of("question", "context"),
          Map.of(),
          named,
          score,
          logits);
    }

    /** The first token of a token's word in the context, or -1 where there is no such word. */
    private int firstOfWord(Tokens tokens, int token) {
      int first = inWord(tokens, token);
      while (first > 0 && isOfWord(tokens, first - 1, tokens.word(token))) {
        first--;
      }
      return first;
    }

    /** The last token of a token's word in the context, likewise. */
    private int lastOfWord(Tokens tokens, int token) {
      int last = inWord(tokens, token);
      while (last >= 0
          && last + 1 < tokens.length()
          && isOfWord(tokens, last + 1, tokens.word(token))) {
        last++;
      }
      return last;
    }

    /**
     * A token of the word of the context that has the number of a token's word, as {@code
     * word_to_tokens} finds it: a question that spells the CLS token has words of its own.
     */
    private int inWord(Tokens tokens, int token) {
      int word = tokens.word(token);
      if (isOfWord(tokens, token, word)) {
        return token;
      }
      for (int i = 0; i < tokens.length() && word >= 0; i++) {
        if (isOfWord(tokens, i, word)) {
          return i;
        }
      }
      return -1;
    }

    private boolean isOfWord(Tokens tokens, int token, int word) {
      return word >= 0 && tokens.sequence(token) == contextSequence && tokens.word(token) == word;
    }

    /** Adds a span; the scores of answers with the same words are added up. */
    private void add(Map<String, Answer> answers, Tokens tokens, Spans.Span span) {
      int first = alignToWords ? firstOfWord(tokens, span.start()) : -1;
      int last = alignToWords ? lastOfWord(tokens, span.end()) : -1;
      boolean aligned = first >= 0 && last >= 0;
      int start = tokens.start(aligned ? first : span.start());
      int end = tokens.end(aligned ? last : span.end());
      String text = context.slice(start, end);
      answers.merge(
          text.toLowerCase(Locale.ROOT),
          new Answer(
              text,
              span.score(),
              start,
              end,
              new Place(tokens, span.start(), span.end(), span.score())),
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
      int width = Math.min(maxLength, start.length);
      long all = (long) start.length * width; // more than there are, since the last ones are cut
      Best best = new Best((int) Math.min(count, all));
      float likeliestEnd = Scores.max(end);
      for (int s = 0; s < start.length; s++) {
        if (best.full() && start[s] * likeliestEnd <= best.least()) {
          continue; // none that begins here is better than those before
        }
        for (int e = s; e < Math.min(end.length, s + width); e++) {
          best.add(start[s] * end[e], Math.addExact(Math.multiplyExact(s, width), e - s));
        }
      }
      List<Span> spans = new ArrayList<>();
      for (int place : best.places()) {
        int s = place / width;
        int e = s + place % width;
        spans.add(new Span(s, e, start[s] * end[e]));
      }
      return spans;
    }
  }
}
