package org.labelstream.task;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * Several continuations at the same time, as {@code _beam_search} of {@code
 * transformers/generation/utils.py} follows them. Scores are sums of logarithms of probabilities in
 * float32.
 */
final class BeamSearch implements Decoding {

  private static final float NEVER = -1e9f;

  /** A continuation, and where it comes from. */
  private record Beam(int[] sequence, float score, int origin, boolean finished) {}

  private record Candidate(float score, int place) {}

  private final GenerationSettings settings;
  private final LogitsProcessors processors;
  private final Sampler sampler;
  private final Predicate<int[]> isFinished;
  private final int promptLength;
  private List<Beam> running;
  private List<Beam> finished;
  private boolean improvable = true;

  /**
   * @param sampler draws, or null where the best continuations are taken
   * @param isFinished tells whether a sequence is not to be continued
   */
  BeamSearch(
      int[] prompt,
      GenerationSettings settings,
      LogitsProcessors processors,
      Sampler sampler,
      Predicate<int[]> isFinished) {
    this.settings = settings;
    this.processors = processors;
    this.sampler = sampler;
    this.isFinished = isFinished;
    this.promptLength = prompt.length;
    this.running = new ArrayList<>();
    this.finished = new ArrayList<>();
    // All beams begin with the prompt; only the first counts, or they would all go the same way.
    for (int i = 0; i < settings.beams(); i++) {
      running.add(new Beam(prompt, i == 0 ? 0 : NEVER, 0, false));
      finished.add(new Beam(prompt, NEVER, 0, false));
    }
  }

  @Override
  public int[][] sequences() {
    return running.stream().map(Beam::sequence).toArray(int[][]::new);
  }

  @Override
  public int[] advance(float[][] logits) {
    int length = running.get(0).sequence().length;
    List<Beam> candidates = candidates(logits);
    running =
        candidates.stream()
            .map(beam -> beam.finished() ? scored(beam, beam.score() + NEVER) : beam)
            .sorted(Comparator.comparing(Beam::score).reversed())
            .limit(settings.beams())
            .toList();
    keepFinished(candidates, length + 1 - promptLength);
    improvable &= canImprove(length + 1 - promptLength);
    boolean open =
        !(settings.earlyStopping().equals("true") && finished.stream().allMatch(Beam::finished));
    boolean goesOn = candidates.stream().anyMatch(beam -> !beam.finished());
    return improvable && open && goesOn
        ? running.stream().mapToInt(Beam::origin).toArray()
        : new int[0];
  }

  private static Beam scored(Beam beam, float score) {
    return new Beam(beam.sequence(), score, beam.origin(), beam.finished());
  }

  /**
   * The best continuations of all beams, best first: so many that enough are left where the best
   * all end.
   */
  private List<Beam> candidates(float[][] logits) {
    int vocabulary = logits[0].length;
    float[] scores = new float[running.size() * vocabulary];
    for (int i = 0; i < running.size(); i++) {
      float[] row = logSoftmax(logits[i]);
      processors.process(row, running.get(i).sequence());
      for (int token = 0; token < vocabulary; token++) {
        scores[i * vocabulary + token] = row[token] + running.get(i).score();
      }
    }
    int count = Math.max(2, 1 + settings.eosTokenIds().size()) * settings.beams();
    List<Candidate> chosen = sampler == null ? best(scores, count) : drawn(scores, count);
    List<Beam> candidates = new ArrayList<>(count);
    for (Candidate candidate : chosen) {
      int origin = candidate.place() / vocabulary;
      int[] before = running.get(origin).sequence();
      int[] sequence = Arrays.copyOf(before, before.length + 1);
      sequence[before.length] = candidate.place() % vocabulary;
      candidates.add(new Beam(sequence, candidate.score(), origin, isFinished.test(sequence)));
    }
    return candidates;
  }

  private static List<Candidate> best(float[] scores, int count) {
    List<Candidate> sorted = new ArrayList<>(count);
    for (int place : Best.places(scores, count)) {
      sorted.add(new Candidate(scores[place], place));
    }
    if (Float.isNaN(sorted.get(0).score()) || sorted.get(0).score() == Float.NEGATIVE_INFINITY) {
      throw new ArithmeticException("no token is left to choose");
    }
    return sorted;
  }

  private List<Candidate> drawn(float[] scores, int count) {
    int[] places =
        IntStream.range(0, scores.length).filter(i -> Float.isFinite(scores[i])).toArray();
    if (places.length == 0) {
      throw new ArithmeticException("no token is left to choose");
    }
    float[] left = new float[places.length];
    for (int i = 0; i < left.length; i++) {
      left[i] = scores[places[i]];
    }
    List<Candidate> drawn = new ArrayList<>(count);
    while (drawn.size() < Math.min(count, places.length)) {
      int chosen = sampler.draw(left);
      drawn.add(new Candidate(scores[places[chosen]], places[chosen]));
      left[chosen] = Float.NEGATIVE_INFINITY;
    }
    return drawn;
  }

  private void keepFinished(List<Beam> candidates, int generated) {
    boolean full =
        settings.earlyStopping().equals("true") && finished.stream().allMatch(Beam::finished);
    List<Beam> ended = new ArrayList<>();
    float divisor = (float) Math.pow(generated, settings.lengthPenalty());
    for (int i = 0; i < candidates.size(); i++) {
      Beam beam = candidates.get(i);
      boolean counts = beam.finished() && i < settings.beams();
      float score = beam.score() / divisor;
      score += (full ? NEVER : 0) + (improvable ? 0 : NEVER) + (counts ? 0 : NEVER);
      ended.add(new Beam(beam.sequence(), score, beam.origin(), counts));
    }
    finished =
        Stream.concat(finished.stream(), ended.stream())
            .sorted(Comparator.comparing(Beam::score).reversed())
            .limit(settings.beams())
            .toList();
  }

  /** Whether the best of those that run could still become better than the worst that ended. */
  private boolean canImprove(int generated) {
    boolean longest = settings.earlyStopping().equals("never") && settings.lengthPenalty() > 0;
    double length = longest ? settings.maxNewTokens() : generated;
    float possible = running.get(0).score() / (float) Math.pow(length, settings.lengthPenalty());
    float worst = finished.get(finished.size() - 1).score();
    return finished.stream().anyMatch(beam -> possible > (beam.finished() ? worst : NEVER));
  }

  private static float[] logSoftmax(float[] logits) {
    float max = Scores.max(logits);
    double sum = 0;
    for (float logit : logits) {
      sum += Math.exp(logit - max);
    }
    float log = (float) Math.log(sum);
    float[] scores = new float[logits.length];
    for (int i = 0; i < logits.length; i++) {
      scores[i] = logits[i] - max - log;
    }
    return scores;
  }

  @Override
  public int[] result() {
    return finished.get(0).sequence();
  }

  /** The score of the result: its sum divided by the power of its length. */
  float score() {
    return finished.get(0).score();
  }
}
