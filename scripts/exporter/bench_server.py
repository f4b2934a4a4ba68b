"""How long a record takes at a given load, Kafka to Kafka: Poisson arrivals in an open loop, from
when a record was due to be sent until a consumer has it.

The loads are shares of what the same job does with a topic that is filled beforehand. A forward is
that of the module alone for a full batch on one thread.
"""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bench_chart import latency_chart, write_chart
from bench_common import (
    Phase,
    add_chart,
    add_precisions,
    check_options,
    entry,
    measure_undisturbed,
    parser_of,
    print_bounds,
    print_table,
    say,
    taken_of,
    tell_noise,
    write_json,
)
from bench_engines import Engine, Label, Layout, Running
from bench_kafka import Cluster, Pipeline, label_all, values_of
from bench_models import SEED, bench_checkpoint, bench_model, make_texts
from labelstream_export.export import MODULE

TEXTS, RECORDS, WARM_UP, SECONDS = 300, 1500, 300, 30
LOADS = (0.25, 0.5, 0.75, 0.9)
PRECISIONS = ("fp32", "bf16", "int8")
FULL_BATCH = (6, 42)  # rows and tokens: a batch of 256 tokens, as a job has it on a CPU
AT_MOST_FORWARDS = {0.25: 1.5, 0.75: 4.0}


def arrivals(rate: float, seconds: float) -> list[float]:
    """When records are due, in seconds from the start; a Poisson process."""
    generator = random.Random(SEED)
    times, now = [], generator.expovariate(rate)
    while now < seconds:
        times.append(now)
        now += generator.expovariate(rate)
    return times


def percentile(latencies: Sequence[float], share: float) -> float:
    """The smallest latency that ``share`` of all do not exceed."""
    ordered = sorted(latencies)
    return ordered[math.ceil(share * len(ordered)) - 1]


def one_forward(_: Path, precision: str, layout: Layout) -> Label:
    """A full batch through the module."""
    torch.set_num_threads(layout.threads)
    graph = torch.jit.load(str(bench_model("distilbert", precision) / MODULE))
    ids = torch.randint(5, 30_000, FULL_BATCH)

    def do(_: Sequence[Any]) -> list[int]:
        with torch.inference_mode():
            graph(ids, torch.ones_like(ids))
        return []

    return do


def measure_load(pipeline: Pipeline, texts: Sequence[str], rate: float, seconds: float) -> Phase:
    """Sends at a rate; the results are the latencies in seconds."""
    first, due = pipeline.sent, arrivals(rate, seconds)
    values = values_of(texts, first + len(due))[first:]
    received: dict[int, float] = {}
    with pipeline.listening() as receive:
        watch = pipeline.watch()
        start = time.time()

        def send() -> None:
            for value, at in zip(values, due):
                time.sleep(max(0.0, start + at - time.time()))
                pipeline.send_soon(value)

        sending = threading.Thread(target=send)
        sending.start()
        while len(received) < len(due):
            for value in receive():
                received[int(json.loads(value)["id"])] = time.time()
        sending.join()
        load = watch.stop(None)
    latencies = [received[first + place] - start - at for place, at in enumerate(due)]
    return Phase(load.seconds, latencies, load.cpu, load.taken)


def report(
    precision: str, capacity: float, forward: float, phases: dict[float, Phase]
) -> list[dict[str, Any]]:
    """Prints the tables; returns the content of the JSON file."""
    rows = [["load", "records/s", "p50 (ms)", "p99 (ms)", "p99 in forwards", "others took"]]
    entries = [entry(f"server.{precision}.forward", forward * 1000, "ms")]
    for load, phase in phases.items():
        median, high = (percentile(phase.results, share) for share in (0.5, 0.99))
        rows.append(
            [
                f"{load:.0%}",
                f"{load * capacity:.1f}",
                f"{median * 1000:.1f}",
                f"{high * 1000:.1f}",
                f"{high / forward:.2f}",
                taken_of(phase),
            ]
        )
        name = f"server.{precision}.at_{load * 100:.0f}"
        entries.append(entry(f"{name}.p50", median * 1000, "ms"))
        entries.append(entry(f"{name}.p99", high * 1000, "ms"))
        forwards = entry(f"{name}.p99_in_forwards", high / forward, "ratio")
        if load in AT_MOST_FORWARDS:
            bound = AT_MOST_FORWARDS[load]
            forwards |= {"bound": bound, "holds": forwards["value"] <= bound}
        entries.append(forwards)
    print(f"Labelstream {precision}: 100 % are {capacity:.1f} records/s, a forward of a full batch")
    print(f"takes {forward * 1000:.1f} ms\n")
    print_table(rows)
    print()
    print_bounds(entries, "at most")
    tell_noise(list(phases.values()))
    return entries


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table, and writes the JSON file."""
    parser = parser_of("server", __doc__)
    add_precisions(parser, PRECISIONS, "fp32")
    add_chart(parser)
    parser.add_argument("--seconds", type=int, metavar="N", default=SECONDS)
    options = parser.parse_args(arguments)
    check_options(parser, options)
    texts, entries = make_texts(TEXTS), []
    for precision in options.precisions:
        model = bench_model("distilbert", precision)
        engine = Engine(f"a forward, {precision}", one_forward, precision, (Layout(1, 1),))
        with Running(engine, Layout(1, 1), bench_checkpoint("distilbert"), [], []) as running:
            phase = running.measure()
            forward = phase.seconds / phase.results[1]
        with Cluster() as cluster:
            values = values_of(texts, WARM_UP + RECORDS)
            full = measure_undisturbed(
                "the whole load",
                lambda: label_all(cluster, model, values, WARM_UP),  # noqa: B023
            )
            capacity = len(full.results) / full.seconds
            say(f"{capacity:.1f} records/s are the whole load")
            with Pipeline(cluster, model) as pipeline:
                pipeline.start()
                pipeline.send(values_of(texts, WARM_UP))
                pipeline.wait(WARM_UP)
                phases = {
                    load: measure_undisturbed(
                        f"at {load:.0%}",
                        lambda: measure_load(pipeline, texts, load * capacity, options.seconds),  # noqa: B023
                    )
                    for load in LOADS
                }
        entries += report(precision, capacity, forward, phases)
    write_json(options.json, entries)
    write_chart(options.chart, chart(options.precisions[0], entries))


def chart(precision: str, entries: Sequence[dict[str, Any]]) -> str:
    """The latencies of a precision over the load."""
    value_of = {each["name"]: each["value"] for each in entries}
    points = [
        (
            load,
            value_of[f"server.{precision}.at_{load * 100:.0f}.p50"],
            value_of[f"server.{precision}.at_{load * 100:.0f}.p99"],
        )
        for load in LOADS
    ]
    return latency_chart(f"Latency from when a record was due, {precision}", points)


if __name__ == "__main__":
    main()
