package org.labelstream.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.within;
import static org.assertj.core.api.InstanceOfAssertFactories.LIST;

import ai.djl.ndarray.NDArray;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.labelstream.model.ModelFolder;

class KeyValueCacheTest {

  private static final String GPT2 = "gpt2-text_generation";
  private static final int VOCABULARY = 300;

  private final List<KeyValueCache> caches = new ArrayList<>();
  private LoadedModel model;
  private int weights;

  private void load(String fixture) {
    Path path = Path.of("src/test/resources/parity").resolve(fixture);
    model =
        LoadedModel.lease(ModelFolder.read(path, ModelFolder.Verify.REQUIRED), DeviceChoice.CPU);
    weights = arrays();
  }

  @AfterEach
  void leaveNothingBehind() {
    caches.forEach(KeyValueCache::close);
    assertThat(blocks()).isZero();
    model.close();
  }

  /** How many arrays there are in native memory that outlive a step. */
  private int arrays() {
    return assertThat(model)
        .extracting("shared.module.NDManager.managedArrays", LIST)
        .actual()
        .size();
  }

  private int blocks() {
    return arrays() - weights;
  }

  private KeyValueCache cache() {
    KeyValueCache cache = new KeyValueCache();
    caches.add(cache);
    return cache;
  }

  private Logits step(List<KeyValueCache> texts, int[][]... tokens) {
    return model.step(texts, List.of(tokens));
  }

  private KeyValueCache begin(int... tokens) {
    KeyValueCache cache = cache();
    step(List.of(cache), new int[][] {tokens});
    return cache;
  }

  /** What the model says behind a sequence that it reads at once, without any cache. */
  private float[] afresh(int... tokens) {
    try (KeyValueCache cache = new KeyValueCache()) {
      return step(List.of(cache), new int[][] {tokens}).row(0);
    }
  }

  /** Within 1e-5 of the largest of them: what sums in another order may make of float32. */
  private static void agree(float[] logits, float[] expected, String where) {
    assertThat(logits).hasSameSizeAs(expected);
    float scale = 1;
    for (float logit : expected) {
      scale = Math.max(scale, Math.abs(logit));
    }
    for (int i = 0; i < logits.length; i++) {
      assertThat(logits[i])
          .as("%s, token %d", where, i)
          .isCloseTo(expected[i], within(1e-5f * scale));
    }
  }

  private static int[] tokens(Random random, int count) {
    return random.ints(count, 3, VOCABULARY).toArray();
  }

  private static int[] plus(int[] tokens, int... more) {
    int[] all = Arrays.copyOf(tokens, tokens.length + more.length);
    System.arraycopy(more, 0, all, tokens.length, more.length);
    return all;
  }

  private static NDArray values(KeyValueCache cache) {
    return cache.block().values;
  }

  /** A text that the model reads on bit by bit. */
  private static final class Text {
    final int[] tokens;
    final int promptLength;
    final KeyValueCache cache;

    Text(int[] tokens, int promptLength, KeyValueCache cache) {
      this.tokens = tokens;
      this.promptLength = promptLength;
      this.cache = cache;
    }

    int[] next() {
      int read = cache.length();
      return Arrays.copyOfRange(tokens, read, read == 0 ? promptLength : read + 1);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {GPT2, "llama-text_generation", "opt-text_generation"})
  void textsThatJoinAndLeaveGetTheLogitsThatTheyGetAlone(String fixture) {
    load(fixture);
    Random random = new Random(20);
    List<Text> waiting = new ArrayList<>();
    for (int promptLength : new int[] {1, 30, 2, 17, 5, 44, 1, 9, 23, 60}) {
      int[] all = tokens(random, promptLength + 1 + random.nextInt(20));
      waiting.add(new Text(all, promptLength, cache()));
    }
    List<Text> underWay = new ArrayList<>();
    int steps = 0;
    while (!waiting.isEmpty() || !underWay.isEmpty()) {
      boolean begin = !waiting.isEmpty() && (underWay.isEmpty() || random.nextInt(4) == 0);
      List<Text> from = begin ? waiting : underWay;
      Collections.shuffle(from, random);
      List<Text> batch = new ArrayList<>(from.subList(0, 1 + random.nextInt(from.size())));
      for (int again = 0; again < 3 && !batch.isEmpty(); again++) { // mostly in the same company
        Logits logits =
            model.step(
                batch.stream().map(text -> text.cache).toList(),
                batch.stream().map(text -> new int[][] {text.next()}).toList());
        steps++;
        for (int i = 0; i < batch.size(); i++) {
          Text text = batch.get(i);
          int[] read = Arrays.copyOf(text.tokens, text.cache.length());
          agree(logits.row(i), afresh(read), "step " + steps + ", row " + i);
        }
        waiting.removeAll(batch);
        underWay.removeAll(batch);
        batch.stream()
            .filter(text -> text.cache.length() == text.tokens.length)
            .forEach(text -> text.cache.close());
        batch.removeIf(text -> text.cache.length() == text.tokens.length);
        underWay.addAll(batch);
      }
    }
    assertThat(steps).isGreaterThan(20);
  }

  @ParameterizedTest
  @ValueSource(strings = {GPT2, "llama-text_generation"})
  void aSequenceThatIsSelectedGoesOnAsOftenAsItWasOrNotAtAll(String fixture) {
    load(fixture);
    Random random = new Random(3);
    int[] prompt = tokens(random, 7);
    int[] other = tokens(random, 11);
    KeyValueCache beams = cache();
    KeyValueCache single = cache();
    step(List.of(single, beams), new int[][] {other}, new int[][] {prompt});

    beams.select(0, 0, 0);
    assertThat(beams.sequences()).isEqualTo(3);
    Logits three = step(List.of(beams, single), new int[][] {{10}, {20}, {30}}, new int[][] {{40}});
    assertThat(three.shape()).containsExactly(4, three.width());
    for (int i = 0; i < 3; i++) {
      agree(three.row(i), afresh(plus(prompt, 10 * (i + 1))), "beam " + i);
    }
    agree(three.row(3), afresh(plus(other, 40)), "the other text");

    beams.select(2, 0, 2, 2); // the second one drops out
    beams.select(3, 1, 0); // and before anything is read, others are taken of these
    Logits again = step(List.of(single, beams), new int[][] {{50}}, new int[][] {{60}, {61}, {62}});
    agree(again.row(0), afresh(plus(other, 40, 50)), "the other text");
    agree(again.row(1), afresh(plus(prompt, 30, 60)), "the fourth of these");
    agree(again.row(2), afresh(plus(prompt, 10, 61)), "the second of these");
    agree(again.row(3), afresh(plus(prompt, 30, 62)), "the first of these");

    single.close();
    beams.select(1);
    Logits last = step(List.of(beams), new int[][] {{70}});
    agree(last.row(0), afresh(plus(prompt, 10, 61, 70)), "the one that is left");
    assertThat(beams.length()).isEqualTo(prompt.length + 3);
  }

  @Test
  void aCompanyMayShrinkAtItsEndOrChangeItsOrder() {
    load(GPT2);
    KeyValueCache first = cache();
    KeyValueCache second = cache();
    KeyValueCache third = cache();
    step(List.of(first, second, third), new int[][] {{5, 6}}, new int[][] {{7}}, new int[][] {{8}});

    Logits two = step(List.of(first, second), new int[][] {{10}}, new int[][] {{11}});
    agree(two.row(0), afresh(5, 6, 10), "the first");
    agree(two.row(1), afresh(7, 11), "the second");

    Logits swapped = step(List.of(second, first), new int[][] {{20}}, new int[][] {{21}});
    agree(swapped.row(0), afresh(7, 11, 20), "the second");
    agree(swapped.row(1), afresh(5, 6, 10, 21), "the first");

    Logits all =
        step(
            List.of(second, first, third),
            new int[][] {{30}},
            new int[][] {{31}},
            new int[][] {{32}});
    agree(all.row(2), afresh(8, 32), "the third");
  }

  @Test
  void aBlockIsFreedWhenTheLastTextThatHoldsItLeavesIt() {
    load(GPT2);
    KeyValueCache first = cache();
    KeyValueCache second = cache();
    KeyValueCache third = cache();
    step(
        List.of(first, second, third),
        new int[][] {{5, 6}},
        new int[][] {{7}},
        new int[][] {{8, 9, 10}});
    NDArray shared = values(first);
    assertThat(values(second)).isSameAs(shared);
    assertThat(blocks()).isEqualTo(1);

    first.close();
    first.close(); // a second time takes nothing from the others
    first.close();
    assertThat(shared.isReleased()).isFalse();

    step(List.of(second), new int[][] {{11}});
    assertThat(shared.isReleased()).isFalse();
    NDArray own = values(second);
    third.close();
    assertThat(shared.isReleased()).isTrue();
    assertThat(own.isReleased()).isFalse();

    second.close();
    assertThat(own.isReleased()).isTrue();
  }

  @Test
  void aStepFreesTheBlocksThatAllOfItsTextsCameFrom() {
    load(GPT2);
    KeyValueCache first = begin(5, 6, 7);
    KeyValueCache second = begin(8);
    List<NDArray> before = List.of(values(first), values(second));

    step(List.of(first, second), new int[][] {{9}}, new int[][] {{10}});

    assertThat(before).allMatch(NDArray::isReleased);
    for (int i = 0; i < 20; i++) {
      NDArray last = values(first);
      step(List.of(first, second), new int[][] {{9}}, new int[][] {{10}});
      assertThat(last.isReleased()).isTrue();
      assertThat(blocks()).isEqualTo(1);
    }
  }

  @Test
  void aStepThatFailsChangesNothing() {
    load(GPT2);
    KeyValueCache first = begin(5, 6, 7);
    KeyValueCache second = begin(8);
    List<NDArray> before = List.of(values(first), values(second));

    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(
            () -> step(List.of(first, second), new int[][] {{9}}, new int[][] {{1_000_000}}))
        .withMessageStartingWith("the model failed: ");

    assertThat(IntStream.of(first.length(), second.length())).containsExactly(3, 1);
    assertThat(List.of(values(first), values(second))).isEqualTo(before);
    assertThat(blocks()).isEqualTo(2);
    Logits logits = step(List.of(first, second), new int[][] {{9}}, new int[][] {{10}});
    agree(logits.row(0), afresh(5, 6, 7, 9), "the first");
    agree(logits.row(1), afresh(8, 10), "the second");
  }

  @Test
  void whatIsHeldStillEndsWithTheModel() {
    load(GPT2);
    KeyValueCache held = begin(5, 6, 7);
    NDArray values = values(held);

    LoadedModel again = model;
    again.close();
    assertThat(values.isReleased()).isTrue();
    held.close();

    load(GPT2); // for the check that nothing is left
  }

  @Test
  void whatNeverReadAnythingHoldsNothing() {
    load(GPT2);
    KeyValueCache cache = cache();

    cache.close();
    cache.close();

    assertThat(cache.length()).isZero();
    assertThat(cache.sequences()).isEqualTo(1);
    assertThat(blocks()).isZero();
  }
}
