package org.labelstream.explain;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Rules for integrals over [0, 1]: one, or several that are nested, so that a finer one keeps what
 * was computed for a coarser one.
 */
public final class Quadrature {

  private static final String TABLE = "gauss-patterson.txt";

  /** Loaded once; immutable. */
  private static final Quadrature GAUSS_PATTERSON = readTable();

  private final double[] nodes;
  private final double[][] weights;

  /**
   * @param nodes of the finest rule; those of each coarser one come first
   * @param weights of each rule, {@code [rules][nodes of the rule]}
   */
  private Quadrature(double[] nodes, double[][] weights) {
    this.nodes = nodes;
    this.weights = weights;
  }

  /**
   * The one rule of Gauss and Legendre, exact for polynomials up to degree {@code 2n - 1}; its
   * nodes are the roots of the Legendre polynomial, found by Newton's method.
   *
   * @param count how many nodes it has, at least 1
   */
  public static Quadrature gaussLegendre(int count) {
    double[] nodes = new double[count];
    double[] weights = new double[count];
    for (int i = 0; i < count; i++) {
      double x = Math.cos(Math.PI * (i + 0.75) / (count + 0.5));
      double slope = 0;
      for (int round = 0; round < 100; round++) {
        double before = 1;
        double value = x;
        for (int k = 2; k <= count; k++) {
          double next = ((2 * k - 1) * x * value - (k - 1) * before) / k;
          before = value;
          value = next;
        }
        slope = count * (x * value - before) / (x * x - 1);
        double step = value / slope;
        x -= step;
        if (Math.abs(step) < 1e-15) {
          break;
        }
      }
      nodes[i] = (1 + x) / 2;
      weights[i] = 1 / ((1 - x * x) * slope * slope);
    }
    return new Quadrature(nodes, new double[][] {weights});
  }

  /**
   * The nested rules of Patterson with 3, 7, 15, 31 and 63 nodes (Mathematics of Computation 22,
   * 1968), as {@code scripts/exporter/make_quadrature.py} computes them.
   */
  public static Quadrature gaussPatterson() {
    return GAUSS_PATTERSON;
  }

  private static Quadrature readTable() {
    List<double[]> lines = new ArrayList<>();
    try (InputStream in = Quadrature.class.getResourceAsStream(TABLE)) {
      for (String line :
          new String(in.readAllBytes(), StandardCharsets.UTF_8).lines().skip(1).toList()) {
        lines.add(Arrays.stream(line.split(" ")).mapToDouble(Double::parseDouble).toArray());
      }
    } catch (IOException e) {
      throw new UncheckedIOException("the class path cannot be read", e);
    }
    int rules = lines.get(0).length - 2;
    List<Double> nodes = new ArrayList<>();
    List<List<Double>> weights = new ArrayList<>();
    for (int rule = 0; rule < rules; rule++) {
      weights.add(new ArrayList<>());
    }
    for (double[] line : lines) {
      int first = rules - (line.length - 2);
      // A rule is symmetric: all nodes but the middle one stand for two.
      for (double sign : line[1] == 0 ? new double[] {1} : new double[] {1, -1}) {
        nodes.add((1 + sign * line[1]) / 2);
        for (int rule = first; rule < rules; rule++) {
          weights.get(rule).add(line[2 + rule - first] / 2);
        }
      }
    }
    return new Quadrature(
        nodes.stream().mapToDouble(Double::doubleValue).toArray(),
        weights.stream()
            .map(own -> own.stream().mapToDouble(Double::doubleValue).toArray())
            .toArray(double[][]::new));
  }

  /** How many rules there are, from coarse to fine. */
  public int rules() {
    return weights.length;
  }

  /** How many nodes a rule has. */
  public int size(int rule) {
    return weights[rule].length;
  }

  /** A node, from 0 to 1; the first {@link #size} of them are those of a rule. */
  public double node(int index) {
    return nodes[index];
  }

  /** The weight of a node in a rule; those of a rule add up to 1. */
  public double weight(int rule, int index) {
    return weights[rule][index];
  }
}
