package org.labelstream.task;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntSupplier;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SamplerTest {

  private static final float EXCLUDED = Float.NEGATIVE_INFINITY;
  private static final float[] SCORES = {
    EXCLUDED, 0.3f, -1.2f, 2.1f, EXCLUDED, 1.4f, 0.9f, -0.5f, 1.7f, 0.1f, EXCLUDED
  };
  private static final int DRAWS = 100_000;

  /** exp(x) / sum of exp(x), in float64. */
  static double[] softmax(double[] scores) {
    double max = Arrays.stream(scores).max().orElseThrow();
    double[] weights = Arrays.stream(scores).map(score -> Math.exp(score - max)).toArray();
    double sum = Arrays.stream(weights).sum();
    return Arrays.stream(weights).map(weight -> weight / sum).toArray();
  }

  static double[] softmax(float[] scores) {
    return softmax(IntStream.range(0, scores.length).mapToDouble(i -> scores[i]).toArray());
  }

  private static int[] counts(int draws, int tokens, IntSupplier draw) {
    int[] counts = new int[tokens];
    for (int i = 0; i < draws; i++) {
      counts[draw.getAsInt()]++;
    }
    return counts;
  }

  /**
   * Pearson's chi-square test: whether frequencies as far from these probabilities come up more
   * often than once in 10,000 times. Cells in which fewer than five are expected count as one.
   */
  static boolean follows(int[] counts, double[] probabilities) {
    int draws = Arrays.stream(counts).sum();
    double chiSquare = 0;
    int cells = 0;
    double rareExpected = 0;
    int rare = 0;
    for (int i = 0; i < counts.length; i++) {
      double expected = probabilities[i] * draws;
      if (expected == 0 && counts[i] > 0) {
        return false;
      }
      if (expected < 5) {
        rareExpected += expected;
        rare += counts[i];
      } else {
        chiSquare += Math.pow(counts[i] - expected, 2) / expected;
        cells++;
      }
    }
    if (rareExpected >= 1) {
      chiSquare += Math.pow(rare - rareExpected, 2) / rareExpected;
      cells++;
    }
    double freedom = cells - 1;
    double spread = 2 / (9 * freedom); // Wilson and Hilferty's approximation of the quantile
    return chiSquare < freedom * Math.pow(1 - spread + 3.719 * Math.sqrt(spread), 3);
  }

  @Test
  void drawsTokensAsOftenAsTheirProbabilitySays() {
    Sampler sampler = new Sampler(42);
    int[] counts = counts(DRAWS, SCORES.length, () -> sampler.draw(SCORES));

    assertThat(follows(counts, softmax(SCORES))).isTrue();
    double[] flatter =
        IntStream.range(0, SCORES.length).mapToDouble(i -> SCORES[i] / 1.05).toArray();
    assertThat(follows(counts, softmax(flatter))).as("the test tells 5 %% apart").isFalse();
  }

  @ParameterizedTest
  @ValueSource(longs = {0, 1_000_000, -250, Long.MAX_VALUE - 600})
  void firstDrawsOfNeighbouringSeedsAreAsUnlikeAsAnyOthers(long first) {
    long[] seed = {first};
    int[] counts = counts(500, SCORES.length, () -> new Sampler(seed[0]++).draw(SCORES));

    assertThat(follows(counts, softmax(SCORES))).as(Arrays.toString(counts)).isTrue();
  }

  @Test
  void drawsTheSameForTheSameSeedAndElseForAnyOther() {
    String drawn = drawn(7);

    assertThat(drawn(7)).isEqualTo(drawn);
    for (long other : new long[] {8, -7, 7 + (1L << 32), 7 + (1L << 48), 7 + (1L << 63)}) {
      assertThat(drawn(other)).as("seed %d", other).isNotEqualTo(drawn);
    }
  }

  private static String drawn(long seed) {
    Sampler sampler = new Sampler(seed);
    return IntStream.range(0, 100).mapToObj(i -> sampler.draw(SCORES)).toList().toString();
  }

  @Test
  void neverDrawsWhatIsExcluded() {
    float[] one = {EXCLUDED, EXCLUDED, -3, EXCLUDED};
    float[] apart = {-1000, 1000, EXCLUDED};
    Sampler sampler = new Sampler(1);

    for (int i = 0; i < 1000; i++) {
      assertThat(sampler.draw(one)).isEqualTo(2);
      assertThat(sampler.draw(apart)).isEqualTo(1);
    }
  }

  private static GenerationSettings settings(Map<String, Object> given) {
    Map<String, Object> sampling = new HashMap<>(given);
    sampling.put("do_sample", true);
    return GenerationSettings.of(
        GenerationSettings.SPECS.parse(sampling), null, List.of(), "texts-0@0");
  }

  private static SingleDecoding decoding(
      int[] prompt, GenerationSettings settings, Sampler sampler) {
    return new SingleDecoding(
        prompt, new LogitsProcessors(settings, prompt.length), sampler, sequence -> true);
  }

  @Test
  void drawsFromTheScoresAsTheyAreAfterAllProcessors() {
    int[] prompt = {3, 7};
    GenerationSettings settings =
        settings(
            Map.of(
                "repetition_penalty",
                1.3,
                "temperature",
                0.7,
                "top_k",
                6,
                "top_p",
                0.93,
                "min_p",
                0.2));
    Sampler sampler = new Sampler(42);
    int[] counts =
        counts(
            DRAWS,
            SCORES.length,
            () -> {
              SingleDecoding decoding = decoding(prompt, settings, sampler);
              decoding.advance(new float[][] {SCORES.clone()});
              return decoding.result()[prompt.length];
            });

    double[] scores = IntStream.range(0, SCORES.length).mapToDouble(i -> SCORES[i]).toArray();
    scores[3] /= 1.3; // seen, and above zero
    scores[7] *= 1.3; // seen, and below
    double[] probabilities = softmax(Arrays.stream(scores).map(score -> score / 0.7).toArray());
    int[] best =
        IntStream.range(0, scores.length)
            .boxed()
            .sorted(Comparator.comparing((Integer token) -> -probabilities[token]))
            .limit(6)
            .mapToInt(Integer::intValue)
            .toArray();
    double mass = Arrays.stream(best).mapToDouble(token -> probabilities[token]).sum();
    double[] expected = new double[scores.length];
    double before = 0;
    for (int token : best) {
      double probability = probabilities[token] / mass;
      if (before < 0.93 && probabilities[token] >= 0.2 * probabilities[best[0]]) {
        expected[token] = probability;
      }
      before += probability;
    }
    double left = Arrays.stream(expected).sum();
    double[] normalized = Arrays.stream(expected).map(probability -> probability / left).toArray();
    assertThat(Arrays.stream(expected).filter(probability -> probability > 0)).hasSize(4);
    assertThat(follows(counts, normalized)).as(Arrays.toString(counts)).isTrue();
  }

  @Test
  void aScoreThatIsNotANumberLeavesNothingToChoose() {
    GenerationSettings all = settings(Map.of("top_k", 0));
    for (Sampler sampler : new Sampler[] {new Sampler(1), null}) {
      SingleDecoding decoding = decoding(new int[] {0}, all, sampler);
      assertThatExceptionOfType(ArithmeticException.class)
          .as(sampler == null ? "greedy" : "sampling")
          .isThrownBy(() -> decoding.advance(new float[][] {{1, Float.NaN, 2}}))
          .withMessage("no token is left to choose");
    }
  }
}
