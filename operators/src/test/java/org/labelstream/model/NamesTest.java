package org.labelstream.model;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

class NamesTest {

  @Test
  void aNameIsShownOnOneLineAndNotWithoutEnd() {
    assertThat(Names.shown("top\nk\u2028\u0000é")).isEqualTo("top\\u000ak\\u2028\\u0000é");
    assertThat(Names.shown("😀".repeat(61))).isEqualTo("😀".repeat(60) + "…");
    assertThat(Names.shown("x".repeat(60))).isEqualTo("x".repeat(60));
  }

  @Test
  void whatIsFarTooLongIsNoMisspelling() {
    List<String> known = List.of("top_k", "stride");
    assertThat(Names.nearest("topk", known)).contains("top_k");
    assertThat(Names.nearest("top_k".repeat(200_000), known)).isEmpty();
  }
}
