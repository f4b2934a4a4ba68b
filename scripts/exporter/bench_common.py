"""What the benches share: texts and models made from a seed, a measurement that tells what others
took of the cores, and how results are printed and written."""

from __future__ import annotations

import argparse
import copy
import hashlib
import itertools
import json
import math
import os
import random
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    BertConfig,
    BertTokenizerFast,
    DistilBertConfig,
    DistilBertTokenizerFast,
    PretrainedConfig,
)

from fixture_tokenizers import WORDPIECE_SPECIALS
from labelstream_export.export import export
from labelstream_export.tasks import SEQUENCE_CLASSIFICATION

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
STATE = Path(os.environ.get("LABELSTREAM_STATE") or REPOSITORY / ".labelstream") / "bench"

# BERT's head is smooth. DistilBERT's has a ReLU, whose many small jumps adaptive steps have to get
# over one by one.
SHAPES: dict[str, PretrainedConfig] = {
    "bert": BertConfig(num_hidden_layers=6),
    "distilbert": DistilBertConfig(),
    "tiny": DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=32, initializer_range=0.5),
}
VOCABULARY = 30_000
MAX_LENGTH = 512
SEED = 1
# Tokens of a text are lognormal, with a mean of 42 and 193 for the 99th percentile.
LENGTHS = statistics.NormalDist(mu=3.426, sigma=0.79)
SCALED_BY = 24  # texts, by whose logits the head is scaled

ATTEMPTS = 3
TAKEN = 0.05  # the share of the cores that others may take


def say(line: str) -> None:
    """Prints one line of progress to standard error."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


def words() -> list[str]:
    """Made-up words, each a token of the bench model."""
    syllables = ["".join(pair) for pair in itertools.product("bdfgklmnprstvz", "aeiou")]
    made = itertools.product(syllables, repeat=3)
    return ["".join(word) for word in itertools.islice(made, VOCABULARY - len(WORDPIECE_SPECIALS))]


def make_texts(count: int) -> list[str]:
    """Texts of mixed lengths in a random order, which are the same each time."""
    quantiles = [LENGTHS.inv_cdf((place + 0.5) / count) for place in range(count)]
    lengths = [max(1, round(math.exp(quantile)) - 2) for quantile in quantiles]  # 2 are special
    generator = random.Random(SEED)
    generator.shuffle(lengths)
    vocabulary = words()
    return [" ".join(generator.choices(vocabulary, k=length)) for length in lengths]


def read_texts(file: Path | None, count: int) -> list[str]:
    """The lines of a file that are not blank, or ``count`` made-up texts."""
    lines = file.read_text("utf-8").split("\n") if file else make_texts(count)
    return [line for line in lines if line.strip()]


def made_once(folder: Path, sources: Sequence[Path], make: Callable[[Path], None]) -> Path:
    """A folder that ``make`` has filled, made again once one of its sources has changed."""
    stamp = folder.with_name(f"{folder.name}.made-by")
    made_by = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(sources))).hexdigest()
    if folder.exists() and stamp.exists() and stamp.read_text() == made_by:
        return folder
    say(f"making {folder.name}, which takes minutes the first time")
    folder.parent.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    make(folder)
    stamp.write_text(made_by)
    return folder


def bench_checkpoint(shape: str) -> Path:
    """The Hugging Face folder of a model with random weights."""
    return made_once(
        STATE / f"{shape}-checkpoint",
        [Path(__file__), HERE / "requirements.txt"],
        lambda folder: _make_checkpoint(SHAPES[shape], folder),
    )


def bench_model(shape: str, precision: str = "fp32", explanations: bool = False) -> Path:
    """The model folder of that checkpoint, as the exporter makes it."""
    checkpoint = bench_checkpoint(shape)
    return made_once(
        STATE / f"{shape}-{precision}{'-explanations' * explanations}",
        [Path(__file__), HERE / "requirements.txt", *HERE.glob("labelstream_export/*.py")],
        lambda folder: export(
            checkpoint=str(checkpoint),
            task=SEQUENCE_CLASSIFICATION,
            output=folder,
            precision=precision,
            explanations=explanations,
        ),
    )


def _make_checkpoint(config: PretrainedConfig, folder: Path) -> None:
    folder.mkdir()
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join([*WORDPIECE_SPECIALS, *words()]) + "\n", "utf-8")
    kind = BertTokenizerFast if config.model_type == "bert" else DistilBertTokenizerFast
    tokenizer = kind(str(vocabulary), model_max_length=MAX_LENGTH)
    torch.manual_seed(SEED)
    config = copy.deepcopy(config)
    config.vocab_size, config.max_position_embeddings = VOCABULARY, MAX_LENGTH
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    # Fresh logits hardly differ, and an absolute tolerance would be met at once; nor do labels.
    with torch.no_grad():
        texts = make_texts(SCALED_BY)
        logits = [model(**tokenizer(text, return_tensors="pt")).logits[0] for text in texts]
        scale = 1 / torch.stack(logits).std(dim=0)
        model.classifier.weight.mul_(scale.unsqueeze(1))
        model.classifier.bias.copy_(-scale * torch.stack(logits).mean(dim=0))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@dataclass(frozen=True)
class Phase:
    """One measurement.

    Attributes:
        seconds: on the wall.
        results: what was made in them.
        cpu: seconds of the measured processes' own, over all cores; None where the system does not
            tell.
        taken: the share of their cores that other processes took; None where that is not known.
    """

    seconds: float
    results: Any
    cpu: float | None
    taken: float | None


class Stopwatch:
    """Runs from when it is made."""

    def __init__(self, pids: Sequence[int], threads: int) -> None:
        """Begins to measure.

        Args:
            pids: the processes that are measured.
            threads: how many cores they may take.
        """
        self.pids, self.threads = pids, threads
        self.own, (self.busy, self.cores) = self._own(), machine_seconds()
        self.start = time.perf_counter()

    def stop(self, results: Any) -> Phase:
        """The measurement until now."""
        seconds = time.perf_counter() - self.start
        if self.own is None or self.busy is None:
            return Phase(seconds, results, None, None)
        cpu = (self._own() or 0) - self.own
        others = (machine_seconds()[0] or 0) - self.busy - cpu
        spare = (self.cores - self.threads) * seconds
        return Phase(seconds, results, cpu, max(0.0, others - spare) / (self.threads * seconds))

    def _own(self) -> float | None:
        each = [process_seconds(pid) for pid in self.pids]
        return None if None in each else sum(each)


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def process_seconds(pid: int) -> float | None:
    """The processor time of a process, of all its threads."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_seconds() -> tuple[float | None, int]:
    """The processor time of everything on this machine, what a hypervisor kept for itself included;
    and the number of its cores."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return None, 0
    user, nice, system, _, _, irq, softirq, steal = map(int, lines[0].split()[1:9])
    ticks = user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK"), sum(line.startswith("cpu") for line in lines) - 1


def measure_undisturbed(name: str, measure: Callable[[], Phase]) -> Phase:
    """Measures again where others took of the cores, at most ``ATTEMPTS`` times."""
    attempts: list[Phase] = []
    while len(attempts) < ATTEMPTS:
        attempts.append(measure())
        last = attempts[-1]
        say(f"{name}: {last.seconds:.1f} s, CPU/wall {cpu_of(last)}, others took {taken_of(last)}")
        if (last.taken or 0) <= TAKEN:
            break
    return min(attempts, key=lambda phase: phase.taken or 0)


def cpu_of(phase: Phase) -> str:
    """How many cores the measured processes kept busy."""
    return "unknown" if phase.cpu is None else f"{phase.cpu / phase.seconds:.2f}"


def taken_of(phase: Phase) -> str:
    """What others took of the cores."""
    return "unknown" if phase.taken is None else f"{phase.taken:.0%}"


def tell_noise(phases: Sequence[Phase]) -> None:
    """Says it where a measurement was disturbed to the last."""
    if any((phase.taken or 0) > TAKEN for phase in phases):
        say(f"others took more than {TAKEN:.0%} of the cores: run it again when they are free")


def entry(name: str, value: float, unit: str, bound: float | None = None) -> dict[str, Any]:
    """One figure of the JSON file; one without a bound is told only."""
    holds = None if bound is None else value >= bound
    return {"name": name, "value": round(value, 4), "unit": unit, "bound": bound, "holds": holds}


def print_bounds(entries: Sequence[dict[str, Any]]) -> None:
    """Prints the figures that have a bound."""
    print_table(
        [
            ["", "value", "bound", "holds"],
            *(
                [
                    each["name"],
                    f"{each['value']:.2f}",
                    f"at least {each['bound']}",
                    "yes" if each["holds"] else "NO",
                ]
                for each in entries
                if each["bound"] is not None
            ),
        ]
    )


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Prints rows with aligned columns, the first of them the heads."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    for place, row in enumerate(rows):
        print(f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths))} |")
        if place == 0:
            print(f"| {' | '.join('-' * width for width in widths)} |")


def parser_of(mode: str, about: str | None) -> argparse.ArgumentParser:
    """The options that each bench has."""
    parser = argparse.ArgumentParser(prog=f"bench.sh --{mode}", description=about)
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser


def check_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Ends with a sentence where one of the shared options cannot be."""
    for name in ("records", "rounds", "threads"):
        if getattr(options, name, 1) < 1:
            parser.error(f"--{name} must be at least 1")
    texts = getattr(options, "texts", None)
    if texts and not texts.is_file():
        parser.error(f"there is no file {texts}")
    if options.json and not options.json.absolute().parent.is_dir():
        parser.error(f"there is no folder for {options.json}: make it")


def write_json(file: Path | None, entries: Sequence[dict[str, Any]]) -> None:
    """Writes the figures, where a file was asked for."""
    if file:
        file.write_text(json.dumps(entries, indent=2) + "\n", "utf-8")
