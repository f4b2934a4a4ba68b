"""What the benches share: a measurement that tells what others took of the cores, and how results
are printed and written."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
STATE = Path(os.environ.get("LABELSTREAM_STATE") or REPOSITORY / ".labelstream") / "bench"

ATTEMPTS = 3
TAKEN = 0.05  # the share of the cores that others may take


def say(line: str) -> None:
    """Prints one line of progress to standard error."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


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


def print_bounds(entries: Sequence[dict[str, Any]], word: str = "at least") -> None:
    """Prints the figures that have a bound."""
    print_table(
        [
            ["", "value", "bound", "holds"],
            *(
                [
                    each["name"],
                    f"{each['value']:.2f}",
                    f"{word} {each['bound']}",
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


def add_chart(parser: argparse.ArgumentParser) -> None:
    """Adds ``--chart``, the SVG file of a chart."""
    parser.add_argument("--chart", type=Path, metavar="FILE")


def add_precisions(parser: argparse.ArgumentParser, known: Sequence[str], default: str) -> None:
    """Adds ``--precisions``, a list of some that the bench has."""

    def read(text: str) -> list[str]:
        for precision in text.split(","):
            if precision not in known:
                parser.error(f"there is no precision {precision}: give some of {','.join(known)}")
        return text.split(",")

    parser.add_argument("--precisions", metavar="LIST", type=read, default=default)


def check_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Ends with a sentence where one of the shared options cannot be."""
    for name in ("records", "rounds", "seconds", "threads"):
        if getattr(options, name, 1) < 1:
            parser.error(f"--{name} must be at least 1")
    texts = getattr(options, "texts", None)
    if texts and not texts.is_file():
        parser.error(f"there is no file {texts}")
    for file in (options.json, getattr(options, "chart", None)):
        if file and not file.absolute().parent.is_dir():
            parser.error(f"there is no folder for {file}: make it")


def write_json(file: Path | None, entries: Sequence[dict[str, Any]]) -> None:
    """Writes the figures, where a file was asked for."""
    if file:
        file.write_text(json.dumps(entries, indent=2) + "\n", "utf-8")
