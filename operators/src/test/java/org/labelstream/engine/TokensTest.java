package org.labelstream.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.labelstream.model.TruncationSide;

class TokensTest {

  /** CLS, the first text, SEP, the second text, SEP; ids are places. */
  private static Tokens pair(int first, int second) {
    int length = first + second + 3;
    byte[] sequences = new byte[length];
    byte[] typeIds = new byte[length];
    for (int i = 0; i < length; i++) {
      boolean special = i == 0 || i == first + 1 || i == length - 1;
      typeIds[i] = (byte) (i > first + 1 ? 1 : 0);
      sequences[i] = special ? -1 : typeIds[i];
    }
    int[] places = IntStream.range(0, length).toArray();
    return new Tokens(
        places,
        typeIds,
        sequences,
        IntStream.of(places).mapToObj(place -> "p" + place).toArray(String[]::new),
        IntStream.of(places).map(place -> 10 * place).toArray(),
        IntStream.of(places).map(place -> 10 * place + 5).toArray(),
        IntStream.of(places).map(place -> place / 2).toArray());
  }

  private static List<Integer> ids(Tokens tokens) {
    return IntStream.of(tokens.ids()).boxed().toList();
  }

  /** All of a row but some tokens of one of its texts. */
  private static List<Integer> without(int length, int from, int to) {
    return IntStream.range(0, length).filter(i -> i < from || i >= to).boxed().toList();
  }

  @Test
  void windowsOverEitherTextHaveAllElseInThem() {
    Random random = new Random(4);
    for (int round = 0; round < 500; round++) {
      int first = random.nextInt(20);
      int second = random.nextInt(40);
      int sequence = random.nextInt(2);
      int content = sequence == 0 ? first : second;
      int room = 2 + random.nextInt(12);
      int stride = random.nextInt(room);
      Tokens tokens = pair(first, second);
      int begin = sequence == 0 ? 1 : first + 2;
      List<Tokens> windows = tokens.windows(sequence, tokens.length() - content + room, stride);
      List<List<Integer>> expected = new ArrayList<>();
      for (int start = 0; ; start += room - stride) {
        int end = Math.min(content, start + room);
        int skipped = begin + start;
        expected.add(
            without(tokens.length(), begin + end, begin + content).stream()
                .filter(id -> id < begin || id >= skipped)
                .toList());
        if (end == content) {
          break;
        }
      }
      assertThat(windows.stream().map(TokensTest::ids).toList()).isEqualTo(expected);
    }
  }

  @Test
  void aRowThatIsCutTellsOfEachTokenWhatItWas() {
    Random random = new Random(5);
    for (int round = 0; round < 500; round++) {
      int first = random.nextInt(20);
      int second = random.nextInt(20);
      Tokens tokens = pair(first, second);
      int maxLength = 3 + random.nextInt(tokens.length());
      Tokens cut = tokens.truncatedTo(maxLength, TruncationSide.RIGHT);

      assertThat(cut.truncated()).isEqualTo(tokens.length() > maxLength);
      assertThat(cut.length()).isEqualTo(Math.min(maxLength, tokens.length()));
      long[] copied = new long[cut.length() + 2];
      cut.copyIds(copied, 1);
      long[] types = new long[cut.length() + 2];
      cut.copyTypeIds(types, 1);
      Tokens replaced = cut.replacedBy(77);
      for (int i = 0; i < cut.length(); i++) {
        int id = cut.id(i);
        assertThat(copied[i + 1]).isEqualTo(id);
        assertThat(types[i + 1]).isEqualTo(id > first + 1 ? 1 : 0);
        assertThat(cut.piece(i)).isEqualTo("p" + id);
        assertThat(cut.start(i)).isEqualTo(10 * id);
        assertThat(cut.end(i)).isEqualTo(10 * id + 5);
        assertThat(cut.word(i)).isEqualTo(id / 2);
        assertThat(cut.special(i)).isEqualTo(tokens.special(id));
        assertThat(replaced.id(i)).isEqualTo(cut.special(i) ? id : 77);
      }
    }
  }

  /** {@code truncate_encodings} of tokenizers/src/utils/truncation.rs, one token at a time. */
  @Test
  void theLongerTextIsCutFirst() {
    for (int first = 0; first < 14; first++) {
      for (int second = 0; second < 14; second++) {
        for (int room = 0; room < 28; room++) {
          int keptFirst = first;
          int keptSecond = second;
          while (keptFirst + keptSecond > room) {
            // Of two that are equal the one goes on that was not longer at first.
            if (keptFirst > keptSecond || (keptFirst == keptSecond && first <= second)) {
              keptFirst--;
            } else {
              keptSecond--;
            }
          }
          assertThat(Tokens.keptOfFirst(first, second, room))
              .as("%d and %d in %d", first, second, room)
              .isEqualTo(keptFirst);
        }
      }
    }
  }

  @Test
  void thousandsOfWindowsTakeHardlyMoreRoomThanTheText() {
    Tokens tokens = pair(12, 250_000);
    tokens.windows(1, 384, 240); // loads what it needs
    com.sun.management.ThreadMXBean threads =
        (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
    long before = threads.getCurrentThreadAllocatedBytes();
    List<Tokens> windows = tokens.windows(1, 384, 240);
    long allocated = threads.getCurrentThreadAllocatedBytes() - before;

    assertThat(windows).hasSizeGreaterThan(1_900);
    assertThat(allocated).isLessThan(1 << 20);
  }

  @Test
  void whatWasNotAskedForIsMissed() {
    Tokens tokens = new Tokens(new int[] {5}, null, new byte[1], null, null, null, null);

    assertThat(tokens.id(0)).isEqualTo(5);
    assertThatThrownBy(() -> tokens.start(0))
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("tokenized without its spans");
    assertThatThrownBy(() -> tokens.copyTypeIds(new long[1], 0))
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("type ids");
    assertThatThrownBy(() -> tokens.id(1)).isInstanceOf(IndexOutOfBoundsException.class);
  }
}
