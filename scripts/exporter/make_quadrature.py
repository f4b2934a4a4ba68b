"""Computes the nested quadrature rules that adaptive explanations integrate with.

    python3 scripts/exporter/bootstrap.py -- python scripts/exporter/make_quadrature.py

Writes ``operators/src/main/resources/org/labelstream/explain/gauss-patterson.txt``: from the 3
points of Gauss and Legendre on, each rule keeps the nodes of the one before and adds one more than
it has, placed so that the sum is exact for polynomials of the highest degree possible (T. N. L.
Patterson, The optimum addition of points to quadrature formulae, Mathematics of Computation 22,
1968). Each line is a node of [-1, 1] that is not negative, and its weight in each rule from its
first one on; the rules are symmetric.
"""

from __future__ import annotations

from pathlib import Path

import mpmath
from mpmath import mp, mpf

SIZES = (3, 7, 15, 31, 63)
TARGET = (
    Path(__file__).resolve().parent.parent.parent
    / "operators/src/main/resources/org/labelstream/explain/gauss-patterson.txt"
)
mp.dps = 250


def moment(degree: int) -> mpf:
    """The integral of x ** degree over [-1, 1]."""
    return mpf(0) if degree % 2 else mpf(2) / (degree + 1)


def product(roots: list[mpf]) -> list[mpf]:
    """The coefficients, constant first, of the polynomial with these roots."""
    coefficients = [mpf(1)]
    for root in roots:
        shifted = [mpf(0), *coefficients]
        scaled = [-root * c for c in coefficients] + [mpf(0)]
        coefficients = [a + b for a, b in zip(shifted, scaled)]
    return coefficients


def extended(nodes: list[mpf]) -> list[mpf]:
    """The nodes that are added: the roots of the polynomial of degree n + 1 whose product with that
    of the nodes is orthogonal to all of degree n and below."""
    known = product(nodes)
    count = len(nodes) + 1
    matrix, right = mpmath.matrix(count, count), mpmath.matrix(count, 1)
    for row in range(count):
        for column in range(count + 1):
            value = mpmath.fsum(c * moment(i + row + column) for i, c in enumerate(known))
            if column < count:
                matrix[row, column] = value
            else:
                right[row] = -value
    solution = mpmath.lu_solve(matrix, right)
    descending = [mpf(1), *(solution[i] for i in reversed(range(count)))]
    roots = mpmath.polyroots(descending, maxsteps=2000, extraprec=2000)
    return sorted(mpmath.re(root) for root in roots)


def weights(nodes: list[mpf]) -> list[mpf]:
    """The integrals of the Lagrange polynomials over the nodes."""
    found = []
    for i, node in enumerate(nodes):
        others = nodes[:i] + nodes[i + 1 :]
        scale = mpmath.fprod(node - other for other in others)
        integral = mpmath.fsum(c * moment(d) for d, c in enumerate(product(others)))
        found.append(integral / scale)
    return found


def main() -> None:
    """Writes the table."""
    nodes = [-mpmath.sqrt(mpf(3) / 5), mpf(0), mpmath.sqrt(mpf(3) / 5)]
    rules = {}
    for size in SIZES:
        if len(nodes) < size:
            nodes = sorted([*nodes, *extended(nodes)])
        nodes = [mpf(0) if abs(node) < mpf(10) ** -100 else node for node in nodes]
        rules[size] = dict(zip([mpmath.nstr(node, 25) for node in nodes], weights(nodes)))
    lines, seen = [], set()
    for level, size in enumerate(SIZES):
        for name in rules[size]:
            if not name.startswith("-") and name not in seen:
                seen.add(name)
                values = [mpmath.nstr(rules[s][name], 20) for s in SIZES[level:]]
                lines.append(" ".join([str(size), mpmath.nstr(mpf(name), 20), *values]))
    head = "# first rule, node, weight in that rule and in each larger one (make_quadrature.py)"
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
