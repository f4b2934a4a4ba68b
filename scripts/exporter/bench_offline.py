"""Records and tokens per second, Kafka to Kafka, against what one would run otherwise, in one run.

The topic is filled beforehand. Labelstream's clock runs from the last warm-up record to the last
one, as the broker appends them to the output topic; that of the others from the first text to the
last label. Tokenizing is in all of them. Tokens are those of the texts, without padding.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import transformers
from transformers.utils import logging

from bench_chart import Bar, bar_chart, write_chart
from bench_common import (
    Phase,
    add_chart,
    add_precisions,
    check_options,
    cores,
    cpu_of,
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
from bench_engines import Engine, EngineError, Running, engines, prepared
from bench_kafka import Cluster, label_all, values_of
from bench_models import bench_checkpoint, bench_model, read_texts

# The warm-up is as long as Java compiles, some twenty seconds.
TEXTS, RECORDS, WARM_UP, ROUNDS = 300, 2000, 1000, 2
PRECISIONS = ("fp32", "bf16", "int8")
PIPELINE, HANDLER, BY_HAND, MODULE = "Hugging Face pipeline", "handler", "by hand", "the module"
LAYOUT = re.compile(r", \d+ x \d+ threads?$")  # of a side's name, which a chart has no room for
# The least that Labelstream's tokens per second are to be, as a multiple of another's.
BOUNDS = {
    "fp32": {"best_by_hand": 1.0, "module": 0.95, "pipeline": 5.0, "torchserve_handler": 4.5},
    "int8": {"best_by_hand": 1.0, "module": 0.95, "pipeline": 12.0},
}
LABELS_OF_FP32 = 0.99


@dataclass
class Side:
    """What one side did.

    Attributes:
        name: as the table has it.
        group: of whose sides only the best goes on after the first round.
        precision: of its weights.
        speeds: tokens per second, of each round.
        records: per second, of each round.
        phases: the measurements.
        labels: the label of each text, None where it was not measured; empty where it does not
            give the model's.
    """

    name: str
    group: str
    precision: str
    speeds: list[float] = field(default_factory=list)
    records: list[float] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)

    @property
    def speed(self) -> float:
        """Of the faster round."""
        return max(self.speeds)

    def add(self, phase: Phase, records: int, tokens: int) -> None:
        """Keeps a measurement of some records and tokens."""
        self.phases.append(phase)
        self.records.append(records / phase.seconds)
        self.speeds.append(tokens / phase.seconds)


def measure_ours(
    cluster: Cluster, side: Side, texts: Sequence[str], records: int, lengths: Sequence[int]
) -> None:
    """One round of Labelstream."""
    values = values_of(texts, WARM_UP + records)
    model = bench_model("distilbert", side.precision)

    def once() -> Phase:
        return label_all(cluster, model, values, WARM_UP)

    phase = measure_undisturbed(side.name, once)
    tokens = sum(lengths[out.place % len(texts)] for out in phase.results)
    side.add(phase, len(phase.results), tokens)
    found = {out.place % len(texts): out.result["label"] for out in phase.results}
    side.labels = [found.get(place) for place in range(len(texts))]


def measure_theirs(
    engine: Engine,
    checkpoint: Path,
    side_of: dict[str, Side],
    texts: Sequence[str],
    tokens: int,
    first: bool,
) -> None:
    """One round of an engine, in each of its layouts that is still of interest."""
    for layout in engine.layouts:
        name = f"{engine.name}, {layout}"
        if not first and name not in side_of:
            continue
        some = sorted(texts, key=len)[:: max(1, len(texts) // 64)]
        with Running(engine, layout, checkpoint, texts, some) as running:
            phase = measure_undisturbed(name, running.measure)
        labels, times = phase.results
        side = side_of.setdefault(name, Side(name, group_of(engine.name), engine.setting))
        side.add(phase, times * len(texts), times * tokens)
        side.labels = labels if engine.labels else []


def group_of(name: str) -> str:
    """What the engine's batch sizes have in common."""
    return PIPELINE if name.startswith(PIPELINE) else name


def best_of_each_group(side_of: dict[str, Side]) -> dict[str, Side]:
    """The fastest side of each group, in their order."""
    best: dict[str, Side] = {}
    for side in side_of.values():
        if side.group not in best or side.speed > best[side.group].speed:
            best[side.group] = side
    return {side.name: side for side in best.values()}


def fastest(sides: Sequence[Side], start: str, precision: str | None = None) -> Side | None:
    """The fastest side whose name begins so."""
    found = [
        side
        for side in sides
        if side.name.startswith(start) and precision in (None, side.precision)
    ]
    return max(found, key=lambda side: side.speed, default=None)


def agreement(labels: Sequence[Any], others: Sequence[Any]) -> float:
    """The share of texts on which two agree, of those for which both have a label."""
    pairs = [pair for pair in zip(labels, others) if None not in pair]
    return statistics.mean(one == other for one, other in pairs)


def compare(ours: Sequence[Side], others: Sequence[Side]) -> list[dict[str, Any]]:
    """The content of the JSON file."""
    entries = []
    for side in ours:
        name = f"offline.{side.precision}"
        bounds = BOUNDS.get(side.precision, {})
        entries.append(entry(f"{name}.tokens_per_second", side.speed, "tokens/s"))
        entries.append(entry(f"{name}.records_per_second", max(side.records), "records/s"))
        compared = {
            "best_by_hand": fastest(others, BY_HAND, side.precision),
            "module": fastest(others, MODULE, side.precision),
            "pipeline": fastest(others, PIPELINE),
            "torchserve_handler": fastest(others, HANDLER),
        }
        for key, other in compared.items():
            if other:
                ratio = side.speed / other.speed
                entries.append(entry(f"{name}.to_{key}", ratio, "ratio", bounds.get(key)))
        if side.precision != "fp32" and ours[0].precision == "fp32":
            share = agreement(side.labels, ours[0].labels)
            entries.append(entry(f"{name}.labels_of_fp32", share, "ratio", LABELS_OF_FP32))
    for side in others:
        entries.append(entry(f"offline.peer.{side.name}", side.speed, "tokens/s"))
    return entries


def report(ours: Sequence[Side], others: Sequence[Side]) -> list[dict[str, Any]]:
    """Prints the tables.

    Returns:
        The content of the JSON file.
    """
    best = ours[0].speed
    heads = ["", "records/s", "tokens/s", f"to {ours[0].name}", "CPU/wall", "others took"]
    rows = [heads]
    for side in sorted([*ours, *others], key=lambda side: side.speed):
        rows.append(
            [
                side.name,
                f"{max(side.records):.1f}",
                f"{side.speed:,.0f}",
                f"{side.speed / best:.2f}",
                ", ".join(map(cpu_of, side.phases)),
                ", ".join(map(taken_of, side.phases)),
            ]
        )
    print_table(rows)
    print("\nThe first columns are of the faster round; the others tell of each.\n")
    entries = compare(ours, others)
    print_bounds(entries)
    for side in others:
        reference = fastest(others, PIPELINE)
        if side.labels and reference and agreement(side.labels, reference.labels) < 1:
            share = agreement(side.labels, reference.labels)
            say(f"{side.name}: {share:.1%} of the labels are the pipeline's")
    tell_noise([phase for side in [*ours, *others] for phase in side.phases])
    return entries


def chart(entries: Sequence[dict[str, Any]]) -> str:
    """The sides, the slowest first."""
    bars = []
    for each in entries:
        name = each["name"]
        if name.startswith("offline.peer."):
            shown = LAYOUT.sub("", name.removeprefix("offline.peer."))
            bars.append(Bar(shown, each["value"], ours=False))
        elif name.endswith(".tokens_per_second"):
            bars.append(Bar(f"Labelstream {name.split('.')[1]}", each["value"], ours=True))
    bars.sort(key=lambda bar: bar.value)
    return bar_chart(f"Tokens per second, DistilBERT on {cores()} cores", bars)


def run(texts: Sequence[str], precisions: Sequence[str], records: int, rounds: int) -> list[Any]:
    """Measures, round by round, and prints the tables."""
    checkpoint = bench_checkpoint("distilbert")
    for precision in precisions:
        bench_model("distilbert", precision)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    lengths = [len(each) for each in tokenizer(list(texts), truncation=True)["input_ids"]]
    peers = []
    for engine in engines(precisions):
        reasons = list(prepared(engine, checkpoint))
        for reason in reasons:
            say(reason)
        if not reasons:
            peers.append(engine)
    ours = [Side(f"Labelstream {precision}", precision, precision) for precision in precisions]
    side_of: dict[str, Side] = {}
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        with Cluster() as cluster:
            for side in ours:
                measure_ours(cluster, side, texts, records, lengths)
        for engine in list(peers):
            try:
                measure_theirs(engine, checkpoint, side_of, texts, sum(lengths), number == 1)
            except EngineError as error:
                say(f"{error}: it is left out")
                peers.remove(engine)
        side_of = best_of_each_group(side_of)
    print(
        f"{len(texts)} texts of {min(lengths)} to {max(lengths)} tokens (mean "
        f"{statistics.mean(lengths):.0f}), DistilBERT of 6 layers, {cores()} cores; ours of "
        f"{records:,} records after {WARM_UP} to warm up\n"
    )
    return report(ours, list(side_of.values()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the tables, and writes the JSON file."""
    parser = parser_of("offline", __doc__)
    parser.add_argument("--texts", type=Path, metavar="FILE")
    add_precisions(parser, PRECISIONS, "fp32,int8")
    add_chart(parser)
    parser.add_argument("--records", type=int, metavar="N", default=RECORDS)
    parser.add_argument("--rounds", type=int, metavar="N", default=ROUNDS)
    options = parser.parse_args(arguments)
    check_options(parser, options)
    logging.set_verbosity_error()
    texts = read_texts(options.texts, TEXTS)
    if not texts:
        parser.error(f"{options.texts} has no texts")
    entries = run(texts, options.precisions, options.records, options.rounds)
    write_json(options.json, entries)
    write_chart(options.chart, chart(entries))


if __name__ == "__main__":
    main()
