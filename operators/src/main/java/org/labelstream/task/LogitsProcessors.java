package org.labelstream.task;

import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * What changes the scores of the next token before one is chosen, in the order and with the
 * arithmetic (float32) of {@code transformers/generation/logits_process.py}. A token that is
 * excluded has the score minus infinity.
 */
final class LogitsProcessors {

  private static final float EXCLUDED = Float.NEGATIVE_INFINITY;

  private final GenerationSettings settings;
  private final int promptLength;

  /**
   * @param promptLength how many tokens of a sequence are its prompt
   */
  LogitsProcessors(GenerationSettings settings, int promptLength) {
    this.settings = settings;
    this.promptLength = promptLength;
  }

  /**
   * Processes scores in place.
   *
   * @param scores {@code [vocabulary]}
   * @param sequence what was read and generated so far
   */
  void process(float[] scores, int[] sequence) {
    repetitionPenalty(scores, sequence);
    noRepeatNgram(scores, sequence);
    badWords(scores, sequence);
    if (sequence.length - promptLength < settings.minNewTokens()) {
      settings.eosTokenIds().forEach(end -> exclude(scores, end));
    }
    if (settings.sample()) {
      temperature(scores);
      // Beams need more to draw than one token, or they run out of ways to go on.
      int kept = settings.beams() == 1 ? 1 : settings.eosTokenIds().size() + 1;
      topK(scores, Math.max(settings.topK(), settings.topK() == 0 ? 0 : kept));
      topP(scores, kept);
      minP(scores, kept);
    }
  }

  private static void exclude(float[] scores, int token) {
    if (token < scores.length) {
      scores[token] = EXCLUDED;
    }
  }

  private void repetitionPenalty(float[] scores, int[] sequence) {
    float penalty = settings.repetitionPenalty();
    if (penalty == 1) {
      return;
    }
    IntStream.of(sequence)
        .distinct()
        .filter(token -> token < scores.length)
        .forEach(
            token ->
                scores[token] =
                    scores[token] < 0 ? scores[token] * penalty : scores[token] / penalty);
  }

  private void noRepeatNgram(float[] scores, int[] sequence) {
    int size = settings.noRepeatNgramSize();
    if (size == 0 || sequence.length + 1 < size) {
      return;
    }
    int prefix = size - 1;
    int tail = sequence.length - prefix;
    for (int start = 0; start + prefix < sequence.length; start++) {
      if (Arrays.equals(sequence, start, start + prefix, sequence, tail, sequence.length)) {
        exclude(scores, sequence[start + prefix]);
      }
    }
  }

  private void badWords(float[] scores, int[] sequence) {
    for (List<Integer> words : settings.badWords()) {
      int prefix = words.size() - 1;
      if (words.size() > sequence.length && prefix > 0) {
        continue;
      }
      int tail = sequence.length - prefix;
      if (IntStream.range(0, prefix).allMatch(i -> words.get(i) == sequence[tail + i])) {
        exclude(scores, words.get(prefix));
      }
    }
  }

  private void temperature(float[] scores) {
    if (settings.temperature() != 1) {
      for (int i = 0; i < scores.length; i++) {
        scores[i] /= settings.temperature();
      }
    }
  }

  /** Keeps the best, and all that are as good as the last of them. */
  private static void topK(float[] scores, int count) {
    if (count == 0 || count >= scores.length) {
      return;
    }
    Best best = new Best(count);
    for (int token = 0; token < scores.length; token++) {
      best.add(scores[token], token);
    }
    float least = best.least();
    for (int i = 0; i < scores.length; i++) {
      if (scores[i] < least) {
        scores[i] = EXCLUDED;
      }
    }
  }

  /** Drops the least probable ones as long as together they have no more than 1 - p. */
  private void topP(float[] scores, int kept) {
    if (settings.topP() >= 1) {
      return;
    }
    Candidates candidates = new Candidates(scores);
    float sum = 0;
    int dropped = 0;
    while (dropped < candidates.tokens.length - kept) {
      sum += candidates.ascending[dropped];
      if (sum > 1 - settings.topP()) {
        break;
      }
      dropped++;
    }
    candidates.dropLeast(dropped);
  }

  /** Drops those that are less probable than the best one times a factor. */
  private void minP(float[] scores, int kept) {
    if (settings.minP() == 0) {
      return;
    }
    Candidates candidates = new Candidates(scores);
    float[] ascending = candidates.ascending;
    int dropped = 0;
    while (dropped < ascending.length - kept
        && ascending[dropped] < ascending[ascending.length - 1] * settings.minP()) {
      dropped++;
    }
    candidates.dropLeast(dropped);
  }

  /**
   * The tokens that are not excluded, with their probabilities. Sums go over sorted probabilities,
   * and not over sorted tokens: these are many, and equal ones add up to the same in any order.
   */
  private static final class Candidates {
    private final float[] scores;
    private final int[] tokens;
    private final float[] probabilities;
    private final float[] ascending;

    Candidates(float[] scores) {
      this.scores = scores;
      tokens = Scores.included(scores);
      probabilities = Scores.softmax(Scores.of(tokens, scores));
      ascending = sorted(probabilities);
    }

    /** Excludes the tokens with the lowest scores; of equal ones the earlier. */
    void dropLeast(int count) {
      if (count == 0 || Float.isNaN(ascending[count - 1])) {
        return;
      }
      float last = ascending[count - 1];
      int below = 0;
      while (ascending[below] < last) {
        below++;
      }
      // Scores that differ can round to one probability.
      Best least = new Best(count - below);
      for (int i = 0; i < tokens.length; i++) {
        if (probabilities[i] < last) {
          scores[tokens[i]] = EXCLUDED;
        } else if (probabilities[i] == last) {
          least.add(-scores[tokens[i]], tokens[i]);
        }
      }
      for (int token : least.places()) {
        scores[token] = EXCLUDED;
      }
    }

    private static final int DIGIT = 10; // three of them hold the bits of a float up to 1
    private static final int FEW = 2_000;

    /**
     * Probabilities in ascending order. Many are sorted by radix, as integers, which their bits
     * compare as.
     */
    private static float[] sorted(float[] probabilities) {
      float[] from = probabilities.clone();
      if (from.length < FEW || Scores.hasNaN(from)) {
        Arrays.sort(from);
        return from;
      }
      float[] to = new float[from.length];
      for (int shift = 0; shift < 3 * DIGIT; shift += DIGIT) {
        int[] places = new int[(1 << DIGIT) + 1];
        for (float value : from) {
          places[digit(value, shift) + 1]++;
        }
        for (int i = 1; i < places.length; i++) {
          places[i] += places[i - 1];
        }
        for (float value : from) {
          to[places[digit(value, shift)]++] = value;
        }
        float[] swapped = from;
        from = to;
        to = swapped;
      }
      return from;
    }

    private static int digit(float value, int shift) {
      return Float.floatToRawIntBits(value) >> shift & (1 << DIGIT) - 1;
    }
  }
}
