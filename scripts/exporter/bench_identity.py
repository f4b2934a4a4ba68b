"""Records per second of everything but the model: records of 200 bytes through a module that
returns a constant, Kafka to Kafka, as ``--offline`` measures.

There is no pipeline without a model, so tokenizing, batching and a call of PyTorch for each batch
are in it.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import bench_common
from bench_common import (
    Phase,
    check_options,
    cpu_of,
    entry,
    measure_undisturbed,
    parser_of,
    print_bounds,
    print_table,
    taken_of,
    tell_noise,
    write_json,
)
from bench_kafka import Cluster, label_all
from bench_models import SEED, bench_model, made_once, words
from labelstream_export.export import MODULE

RECORDS, WARM_UP, ROUNDS = 1_000_000, 300_000, 2
BYTES = 200
BOUND = 80_000


class Constant(nn.Module):
    """A classifier that does not look at the text."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits, float32 [batch, 2]."""
        return torch.zeros(input_ids.shape[0], 2)


def constant_model() -> Path:
    """A model folder whose module returns a constant."""
    given = bench_model("tiny")

    def make(folder: Path) -> None:
        shutil.copytree(given, folder)
        torch.jit.script(Constant()).save(str(folder / MODULE))
        facts = json.loads((folder / "labelstream.json").read_text("utf-8"))
        digest = hashlib.sha256((folder / MODULE).read_bytes()).hexdigest()
        facts["sha256"][MODULE] = digest
        facts["methods"] = ["forward"]
        facts.pop("explain", None)
        facts["checked"].pop("probes", None)  # they are of the module that it had
        (folder / "labelstream.json").write_text(json.dumps(facts, indent=2) + "\n", "utf-8")

    return made_once(
        bench_common.STATE / "constant", [Path(__file__), given / "labelstream.json"], make
    )


def make_values(count: int) -> list[bytes]:
    """Records of ``BYTES`` bytes."""
    generator = random.Random(SEED)
    vocabulary = words()
    texts = [" ".join(generator.choices(vocabulary, k=BYTES // 6)) for _ in range(1000)]
    values = []
    for place in range(count):
        frame = json.dumps({"id": str(place), "text": ""}).encode()
        room = BYTES - len(frame)
        values.append(frame[:-2] + texts[place % len(texts)][:room].encode() + frame[-2:])
    return values


def report(phases: Sequence[Phase]) -> list[dict[str, Any]]:
    """Prints the tables; returns the content of the JSON file."""
    speeds = [len(phase.results) / phase.seconds for phase in phases]
    rows = [["", "records/s", "CPU/wall", "others took"]]
    for number, (phase, speed) in enumerate(zip(phases, speeds), 1):
        rows.append([f"round {number}", f"{speed:,.0f}", cpu_of(phase), taken_of(phase)])
    print_table(rows)
    print()
    entries = [entry("identity.records_per_second", max(speeds), "records/s", BOUND)]
    print_bounds(entries)
    tell_noise(phases)
    return entries


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table, and writes the JSON file."""
    parser = parser_of("identity", __doc__)
    parser.add_argument("--records", type=int, metavar="N", default=RECORDS)
    parser.add_argument("--rounds", type=int, metavar="N", default=ROUNDS)
    options = parser.parse_args(arguments)
    check_options(parser, options)
    model = constant_model()
    warm = min(WARM_UP, options.records)
    values = make_values(warm + options.records)
    with Cluster() as cluster:
        phases = [
            measure_undisturbed(
                f"round {number}",
                lambda: label_all(cluster, model, values, warm),
            )
            for number in range(1, options.rounds + 1)
        ]
    write_json(options.json, report(phases))


if __name__ == "__main__":
    main()
