"""Charts of the benches' figures, as SVG files that read well on light and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, MARGIN, BAR, GAP = 760, 16, 20, 8
NAMES, FIGURES = 320, 60  # the room for names on the left, and for figures on the right
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .ours { fill: #0969da } .theirs { fill: #8c959f }
  .p50 { stroke: #8c959f; fill: none; stroke-width: 2 }
  .p99 { stroke: #0969da; fill: none; stroke-width: 2 }
  .axis { stroke: #d0d7de }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .ours { fill: #58a6ff } .theirs { fill: #6e7681 }
    .p50 { stroke: #6e7681 } .p99 { stroke: #58a6ff }
    .axis { stroke: #30363d }
  }
"""


@dataclass(frozen=True)
class Bar:
    """One side of a chart.

    Attributes:
        name: what it is.
        value: above 0.
        ours: whether it is Labelstream.
    """

    name: str
    value: float
    ours: bool


def bar_chart(title: str, bars: Sequence[Bar]) -> str:
    """Horizontal bars, in their order."""
    height = 2 * MARGIN + 24 + len(bars) * (BAR + GAP)
    most = max(bar.value for bar in bars)
    room = WIDTH - 2 * MARGIN - NAMES - FIGURES
    parts = []
    for place, bar in enumerate(bars):
        top = MARGIN + 24 + place * (BAR + GAP)
        width = room * bar.value / most
        left, middle = MARGIN + NAMES, top + BAR / 2 + 4.5
        parts += [
            _text(left - 8, middle, bar.name, "end"),
            f'<rect class="{"ours" if bar.ours else "theirs"}" x="{left}" y="{top}" '
            f'width="{width:.1f}" height="{BAR}" rx="2"/>',
            _text(left + width + 6, middle, f"{bar.value:,.0f}"),
        ]
    return _svg(title, height, parts)


def latency_chart(title: str, points: Sequence[tuple[float, float, float]]) -> str:
    """Latencies over the load.

    Args:
        title: above it.
        points: load as a share of the capacity, p50 and p99 in milliseconds.
    """
    height, left, top, bottom = 300, 86, MARGIN + 34, 300 - 46
    right = WIDTH - MARGIN - 60
    most = max(high for _, _, high in points)

    def at(load: float, milliseconds: float) -> tuple[float, float]:
        return left + load * (right - left), bottom - milliseconds / most * (bottom - top)

    parts = [
        f'<line class="axis" x1="{left}" y1="{bottom}" x2="{right}" y2="{bottom}"/>',
        f'<line class="axis" x1="{left}" y1="{top}" x2="{left}" y2="{bottom}"/>',
        _text(left - 8, top + 4, f"{most:,.0f} ms", "end"),
        _text(left - 8, bottom + 4, "0", "end"),
        _text((left + right) / 2, height - 8, "load, of what the job does offline", "middle"),
    ]
    parts += [_text(at(load, 0)[0], bottom + 18, f"{load:.0%}", "middle") for load, _, _ in points]
    for place, name in ((1, "p50"), (2, "p99")):
        places = [at(point[0], point[place]) for point in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="{name}" points="{line}"/>')
        parts.append(_text(places[-1][0] + 8, places[-1][1] + 4, name))
    return _svg(title, height, parts)


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(title: str, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-label="{escape(title)}">'
    )
    name = f'<text class="title" x="{MARGIN}" y="{MARGIN + 6}">{escape(title)}</text>'
    return "\n".join([head, f"<style>{STYLE}</style>", name, *parts, "</svg>"]) + "\n"


def write_chart(file: Path | None, chart: str) -> None:
    """Writes a chart, where a file was asked for."""
    if file:
        file.write_text(chart, "utf-8")
