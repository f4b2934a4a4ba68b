package org.labelstream.explain;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class QuadratureTest {

  private static double integral(Quadrature quadrature, int rule, DoubleUnaryOperator function) {
    double sum = 0;
    for (int i = 0; i < quadrature.size(rule); i++) {
      sum += quadrature.weight(rule, i) * function.applyAsDouble(quadrature.node(i));
    }
    return sum;
  }

  private static void isExactUpTo(int degree, Quadrature quadrature, int rule) {
    for (int power = 0; power <= degree; power++) {
      int exponent = power;
      assertThat(integral(quadrature, rule, x -> Math.pow(x, exponent)))
          .as("x^%d", power)
          .isCloseTo(1.0 / (power + 1), within(1e-13));
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 7, 20, 50, 300})
  void gaussAndLegendreAreExactForPolynomialsOfTwiceTheirDegree(int nodes) {
    isExactUpTo(2 * nodes - 1, Quadrature.gaussLegendre(nodes), 0);
  }

  @Test
  void oneNodeLessWouldNotDo() {
    assertThat(integral(Quadrature.gaussLegendre(3), 0, x -> Math.pow(x, 6)))
        .isNotCloseTo(1.0 / 7, within(1e-5));
  }

  @Test
  void pattersonsRulesAreNestedAndExactUpToTheirDegrees() {
    Quadrature patterson = Quadrature.gaussPatterson();
    int[] sizes = {3, 7, 15, 31, 63};
    int[] degrees = {5, 11, 23, 47, 95};
    assertThat(patterson.rules()).isEqualTo(sizes.length);
    for (int rule = 0; rule < sizes.length; rule++) {
      assertThat(patterson.size(rule)).isEqualTo(sizes[rule]);
      isExactUpTo(degrees[rule], patterson, rule);
    }
  }
}
