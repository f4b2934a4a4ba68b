"""The benches of latency and of scale: what is pure in them."""

from __future__ import annotations

import statistics

import pytest

import bench_common as common
import bench_scale as scale
import bench_server as server


def test_arrivals_are_a_poisson_process_that_is_the_same_each_time() -> None:
    times = server.arrivals(50, 100)
    assert server.arrivals(50, 100) == times == sorted(times)
    assert len(times) == pytest.approx(5000, rel=0.05)
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.1)
    assert times[-1] < 100


def test_percentiles() -> None:
    latencies = [float(each) for each in range(100, 0, -1)]
    assert server.percentile(latencies, 0.5) == 50
    assert server.percentile(latencies, 0.99) == 99
    assert server.percentile([3.0], 0.99) == 3.0


def test_latencies_are_held_against_forwards(capsys: pytest.CaptureFixture) -> None:
    phases = {
        0.25: common.Phase(1.0, [0.1] * 100, 1.0, 0.0),
        0.75: common.Phase(1.0, [0.1] * 90 + [0.5] * 10, 1.0, 0.0),
        0.9: common.Phase(1.0, [9.0], 1.0, 0.0),
    }
    entries = {each["name"]: each for each in server.report("fp32", 40.0, 0.1, phases)}
    assert entries["server.fp32.at_25.p99_in_forwards"]["holds"] is True
    assert entries["server.fp32.at_75.p99_in_forwards"] == {
        "name": "server.fp32.at_75.p99_in_forwards",
        "value": 5.0,
        "unit": "ratio",
        "bound": 4.0,
        "holds": False,
    }
    assert entries["server.fp32.at_75.p50"]["value"] == 100
    assert entries["server.fp32.at_90.p99_in_forwards"]["bound"] is None
    table = capsys.readouterr().out
    assert "| 75%  | 30.0      | 100.0    | 500.0    | 5.00  " in table
    assert "at most 4.0" in table


def test_costs_are_compared_over_partitions_and_speeds_over_taskmanagers() -> None:
    phases = {each: common.Phase(1.0, [None] * 100, 2.0, 0.0) for each in scale.SETTINGS}
    phases[scale.TWO] = common.Phase(1.0, [None] * 80, 2.0, 0.0)
    phases[scale.BY_PARTITIONS[-1]] = common.Phase(1.0, [None] * 100, 2.5, 0.0)
    entries = {each["name"]: each for each in scale.report(phases)}
    assert entries["scale.two_taskmanagers_to_one"]["value"] == 0.8
    assert entries["scale.two_taskmanagers_to_one"]["holds"] is False
    assert entries["scale.least_to_most_cost_by_partitions"]["value"] == 0.8
    assert entries["scale.1 TaskManager, parallelism 1, 64 partitions"]["value"] == 100
