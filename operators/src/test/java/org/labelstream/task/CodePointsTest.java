package org.labelstream.task;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CodePointsTest {

  @ParameterizedTest
  @ValueSource(
      strings = {"", "plain", "\ud83d\ude00", "a\ud83d\ude00\ud800b\udc00", "\u00e9e\u0301"})
  void aSliceIsByCodePointsAsFarAsTheTextGoes(String piece) {
    for (String text : new String[] {piece, piece.repeat(40), "x".repeat(200) + piece.repeat(70)}) {
      CodePoints points = new CodePoints(text);
      int[] all = text.codePoints().toArray();
      for (int start = 0; start < all.length + 2; start++) {
        for (int length : new int[] {0, 1, 2, 63, 64, 65, 1_000}) {
          int from = Math.min(start, all.length);
          int to = Math.min(all.length, from + length);
          assertThat(points.slice(start, start + length))
              .isEqualTo(new String(all, from, to - from));
        }
      }
      assertThat(points.slice(3, Integer.MAX_VALUE))
          .isEqualTo(new String(all, Math.min(3, all.length), Math.max(0, all.length - 3)));
    }
  }
}
