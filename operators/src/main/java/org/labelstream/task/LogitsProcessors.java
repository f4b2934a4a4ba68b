package org.labelstream.task;

import java.util.Arrays;
import java.util.Comparator;
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
    float[] sorted = scores.clone();
    Arrays.sort(sorted);
    float least = sorted[sorted.length - count];
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
    int[] ascending = ascending(scores);
    float[] probabilities = Scores.softmax(scores);
    float dropped = 0;
    for (int i = 0; i < ascending.length - kept; i++) {
      dropped += probabilities[ascending[i]];
      if (dropped > 1 - settings.topP()) {
        return;
      }
      scores[ascending[i]] = EXCLUDED;
    }
  }

  private void minP(float[] scores, int kept) {
    if (settings.minP() == 0) {
      return;
    }
    float[] probabilities = Scores.softmax(scores);
    float least = Scores.max(probabilities) * settings.minP();
    int[] ascending = ascending(scores);
    for (int i = 0; i < ascending.length - kept; i++) {
      if (probabilities[ascending[i]] < least) {
        scores[ascending[i]] = EXCLUDED;
      }
    }
  }

  /** The tokens that are not excluded, by their scores; the earlier of equal ones first. */
  private static int[] ascending(float[] scores) {
    return IntStream.range(0, scores.length)
        .filter(token -> scores[token] != EXCLUDED)
        .boxed()
        .sorted(Comparator.comparing((Integer token) -> scores[token]))
        .mapToInt(Integer::intValue)
        .toArray();
  }
}
