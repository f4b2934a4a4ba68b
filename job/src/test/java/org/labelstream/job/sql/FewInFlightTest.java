package org.labelstream.job.sql;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class FewInFlightTest {

  private final FewInFlight few = new FewInFlight();

  private long told(int times, int inFlight) {
    return IntStream.range(0, times).filter(i -> few.isCertain(inFlight)).count();
  }

  @Test
  void isToldOnceWhereTenAreInFlightAgainAndAgain() {
    assertThat(told(99, 10)).isZero();
    assertThat(told(1_000, 10)).isOne();
    assertThat(FewInFlight.told("m")).contains("0.6 to 0.8 of the texts per second", "'256'");
  }

  @Test
  void isNotToldWhereMoreCameOnce() {
    assertThat(told(50, 10)).isZero();
    assertThat(told(1, 11)).isZero();
    assertThat(told(1_000, 10)).isZero();
  }

  @Test
  void isNotToldWhereRowsAreFew() {
    assertThat(told(1_000, 9)).isZero();
  }
}
