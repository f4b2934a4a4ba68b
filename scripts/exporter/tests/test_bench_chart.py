"""The charts of the benches: what they show is what was measured."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

import bench_chart as charts
import bench_offline as offline
import bench_server as server
from bench_common import entry

SVG = "{http://www.w3.org/2000/svg}"


def texts(root: ElementTree.Element) -> list[str]:
    return [each.text for each in root.iter(f"{SVG}text")]


def test_bars_are_as_long_as_what_they_show_is_large() -> None:
    entries = [
        entry("offline.fp32.tokens_per_second", 2000, "tokens/s"),
        entry("offline.fp32.to_module", 0.96, "ratio", 0.95),
        entry("offline.peer.by hand, <fast>", 4000, "tokens/s"),
        entry("offline.peer.pipeline, batch 8, 1 x 2 threads", 500, "tokens/s"),
    ]
    root = ElementTree.fromstring(offline.chart(entries))
    bars = [(each.get("class"), float(each.get("width"))) for each in root.iter(f"{SVG}rect")]
    assert [kind for kind, _ in bars] == ["theirs", "ours", "theirs"]
    longest = bars[-1][1]
    assert [width / longest for _, width in bars] == pytest.approx([0.125, 0.5, 1.0], rel=1e-2)
    shown = texts(root)
    assert shown[1::2] == ["pipeline, batch 8", "Labelstream fp32", "by hand, <fast>"]
    assert shown[2::2] == ["500", "2,000", "4,000"]


def test_latencies_are_drawn_over_the_load() -> None:
    entries = []
    for place, load in enumerate(server.LOADS):
        name = f"server.int8.at_{load * 100:.0f}"
        entries.append(entry(f"{name}.p50", 10 + place, "ms"))
        entries.append(entry(f"{name}.p99", 100 * (place + 1), "ms"))
    root = ElementTree.fromstring(server.chart("int8", entries))
    lines = {each.get("class"): each.get("points") for each in root.iter(f"{SVG}polyline")}
    places = {
        name: [tuple(map(float, point.split(","))) for point in line.split()]
        for name, line in lines.items()
    }
    assert [len(line) for line in places.values()] == [len(server.LOADS)] * 2
    heights = [y for _, y in places["p99"]]
    assert heights == sorted(heights, reverse=True)  # up is less
    assert all(low[1] > high[1] for low, high in zip(places["p50"], places["p99"]))
    assert "400 ms" in texts(root)
    assert [f"{load:.0%}" for load in server.LOADS] == [t for t in texts(root) if t.endswith("%")]


def test_no_chart_is_written_where_none_was_asked_for(tmp_path) -> None:
    charts.write_chart(None, "<svg/>")
    charts.write_chart(tmp_path / "a.svg", "<svg/>")
    assert (tmp_path / "a.svg").read_text("utf-8") == "<svg/>"
