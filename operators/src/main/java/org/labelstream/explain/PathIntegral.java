package org.labelstream.explain;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.DoubleStream;
import org.labelstream.engine.EmbeddingPath;
import org.labelstream.engine.EmbeddingPath.Point;
import org.labelstream.engine.EmbeddingPath.Slope;
import org.labelstream.engine.LoadedModel;
import org.labelstream.engine.Logits;
import org.labelstream.engine.Tokens;
import org.labelstream.schedule.Row;

/**
 * The integral of a logit's gradient along one path, as far as it has been computed (Sundararajan
 * et al., Axiomatic Attribution for Deep Networks, 2017).
 *
 * <p>What is kept of a step is one number for each token: an integral is a weighted sum over steps,
 * so the hidden dimension can be summed over before.
 *
 * <p>With nested rules the path is first taken as a whole, by finer and finer rules as long as each
 * pays. Where one does not, the gradient has jumps (a ReLU that switches), which no rule gets over
 * fast: that piece is then halved. Each piece is checked on its own, since the logit is known at
 * its ends: those of the halves are the middle node of the rule before.
 */
final class PathIntegral {

  /** The convergence delta may be this share of the difference that is to be explained. */
  private static final double RELATIVE_TOLERANCE = 0.01;

  private static final double ABSOLUTE_TOLERANCE = 1e-3;

  /**
   * By how much finer rules may have changed the result, in L2, for it to be taken for good: errors
   * of tokens can cancel in the delta, but not here. The finer result is closer than this bound.
   */
  private static final double CHANGE_TOLERANCE = 0.1;

  /** A finer rule pays if it brings the error down to this share of what it was. */
  private static final double PAYING = 0.25;

  /** So many gradients are taken at most, whatever is left of the delta. */
  private static final int MAX_STEPS = 1_000;

  private final EmbeddingPath path;
  private final Quadrature quadrature;
  private final End from;
  private final End to;
  private List<Piece> pieces;
  private double[] before;
  private int steps;

  /** The ends come first, since a tolerance needs them. */
  PathIntegral(EmbeddingPath path, Quadrature quadrature) {
    this.path = path;
    this.quadrature = quadrature;
    this.from = new End(path.baseline());
    this.to = new End(path.text());
    // The coarsest of several rules is only there to compare the next one with.
    this.pieces = List.of(new Piece(0, 1, null, null, Math.min(1, quadrature.rules() - 1)));
  }

  /** All rows there are at first. */
  List<Row> rows() {
    List<Row> rows = new ArrayList<>(pieces.get(0).steps);
    rows.add(from);
    rows.add(to);
    return rows;
  }

  /** The rows that make the result better; none where it is good enough, or cannot be better. */
  List<Row> refine() {
    if (quadrature.rules() == 1) {
      return List.of();
    }
    double[] now = attributions();
    double delta = sum(now) - difference();
    if (!Double.isFinite(delta) || isGoodEnough(now, delta)) {
      return List.of();
    }
    before = now;
    double[] errors = pieces.stream().mapToDouble(piece -> piece.error(piece.rule)).toArray();
    double worst = DoubleStream.of(errors).max().orElse(0);
    List<Row> more = new ArrayList<>();
    List<Piece> next = new ArrayList<>();
    for (int i = 0; i < errors.length; i++) {
      Piece piece = pieces.get(i);
      boolean pays = piece.finerRulePays(errors[i]);
      int cost =
          pays
              ? quadrature.size(piece.rule + 1) - quadrature.size(piece.rule)
              : 2 * quadrature.size(0);
      if (errors[i] < worst / 4 || steps + cost > MAX_STEPS) {
        next.add(piece); // others matter more, or it has to do
      } else if (pays) {
        more.addAll(piece.take(piece.rule + 1));
        next.add(piece);
      } else {
        for (Piece half : piece.halves()) {
          more.addAll(half.steps);
          next.add(half);
        }
      }
    }
    pieces = next;
    return more;
  }

  private boolean isGoodEnough(double[] now, double delta) {
    double tolerance = Math.max(RELATIVE_TOLERANCE * Math.abs(difference()), ABSOLUTE_TOLERANCE);
    if (Math.abs(delta) > tolerance) {
      return false;
    }
    double[] change = now.clone();
    if (before == null) {
      pieces.get(0).addIntegral(0, -1, change);
    } else {
      for (int token = 0; token < change.length; token++) {
        change[token] -= before[token];
      }
    }
    return norm(change) <= CHANGE_TOLERANCE * norm(now);
  }

  private static double norm(double[] values) {
    double squares = 0;
    for (double value : values) {
      squares += value * value;
    }
    return Math.sqrt(squares);
  }

  /** How much of the logit's change each token accounts for, {@code [tokens]}. */
  double[] attributions() {
    double[] sums = new double[path.text().length()];
    pieces.forEach(piece -> piece.addIntegral(piece.rule, 1, sums));
    return sums;
  }

  /** The logit at the text less that at the baseline. */
  private double difference() {
    return (double) to.logit - from.logit;
  }

  /** What the attributions add up to beyond what they should. */
  double delta() {
    return sum(attributions()) - difference();
  }

  private static double sum(double[] values) {
    double sum = 0;
    for (double value : values) {
      sum += value;
    }
    return sum;
  }

  /** How many gradients were taken. */
  int steps() {
    return steps;
  }

  /** A part of the path and the steps on it. */
  private final class Piece {
    private final double start;
    private final double end;
    private final List<Step> steps = new ArrayList<>();
    private final Double startLogit;
    private final Double endLogit;
    private int rule;

    /**
     * @param startLogit the logit where it starts, or null for that of the baseline
     * @param endLogit the logit where it ends, or null for that of the text
     */
    Piece(double start, double end, Double startLogit, Double endLogit, int rule) {
      this.start = start;
      this.end = end;
      this.startLogit = startLogit;
      this.endLogit = endLogit;
      take(rule);
    }

    private List<Step> take(int finer) {
      rule = finer;
      List<Step> more = new ArrayList<>();
      for (int i = steps.size(); i < quadrature.size(rule); i++) {
        more.add(new Step(start + (end - start) * quadrature.node(i)));
        steps.add(more.get(more.size() - 1));
      }
      PathIntegral.this.steps += more.size();
      return more;
    }

    boolean finerRulePays(double error) {
      return rule > 0 && rule + 1 < quadrature.rules() && error <= PAYING * error(rule - 1);
    }

    List<Piece> halves() {
      double middle = (start + end) / 2;
      // The first node of each rule is the one in the middle.
      double logit = steps.get(0).slope.logit();
      return List.of(
          new Piece(start, middle, startLogit, logit, 0),
          new Piece(middle, end, logit, endLogit, 0));
    }

    /** By how much a rule misses the logit's change over the piece. */
    double error(int ofRule) {
      double integral = 0;
      for (int i = 0; i < quadrature.size(ofRule); i++) {
        integral += (end - start) * quadrature.weight(ofRule, i) * steps.get(i).slope.total();
      }
      double change =
          (endLogit == null ? to.logit : endLogit) - (startLogit == null ? from.logit : startLogit);
      return Math.abs(integral - change);
    }

    void addIntegral(int ofRule, double sign, double[] sums) {
      for (int i = 0; i < quadrature.size(ofRule); i++) {
        float[] slopes = steps.get(i).slope.slopes();
        double weight = sign * (end - start) * quadrature.weight(ofRule, i);
        for (int token = 0; token < sums.length; token++) {
          sums[token] += weight * slopes[token];
        }
      }
    }
  }

  /** Whether a row is one of an integral. */
  static boolean isOne(Row row) {
    return row instanceof Step || row instanceof End;
  }

  /** Runs rows of any integrals as one batch. */
  static void run(LoadedModel model, List<? extends Row> rows) {
    List<Step> steps = new ArrayList<>();
    List<End> ends = new ArrayList<>();
    for (Row row : rows) {
      if (row instanceof Step step) {
        steps.add(step);
      } else {
        ends.add((End) row);
      }
    }
    if (!ends.isEmpty()) {
      Logits logits = model.forward(ends.stream().map(end -> end.tokens).toList());
      for (int i = 0; i < ends.size(); i++) {
        ends.get(i).take(logits, i);
      }
    }
    if (!steps.isEmpty()) {
      List<Slope> slopes = model.slopes(steps.stream().map(Step::point).toList());
      for (int i = 0; i < steps.size(); i++) {
        steps.get(i).slope = slopes.get(i);
      }
    }
  }

  /** A gradient at one point of the path. */
  private final class Step implements Row {
    private final double alpha;
    private volatile Slope slope;

    Step(double alpha) {
      this.alpha = alpha;
    }

    private Point point() {
      return new Point(path, alpha);
    }

    @Override
    public int length() {
      return path.text().length();
    }

    @Override
    public boolean done() {
      return slope != null;
    }
  }

  /** The logit at one end of the path. */
  private final class End implements Row {
    private final Tokens tokens;
    private volatile boolean done;
    private float logit;

    End(Tokens tokens) {
      this.tokens = tokens;
    }

    private void take(Logits logits, int row) {
      logit = logits.values()[row * logits.width() + path.logit()];
      done = true;
    }

    @Override
    public int length() {
      return tokens.length();
    }

    @Override
    public boolean done() {
      return done;
    }
  }
}
