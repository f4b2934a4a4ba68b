"""What a record costs with more subtasks, TaskManagers and partitions, Kafka to Kafka, as
``--offline`` measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench_common import (
    Phase,
    check_options,
    cores,
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
from bench_kafka import PARTITIONS, Cluster, label_all, values_of
from bench_models import bench_model, make_texts

TEXTS, RECORDS, WARM_UP = 300, 1500, 300
TWO_TO_ONE, FLAT = 0.9, 0.9


@dataclass(frozen=True)
class Setting:
    """How a job is spread out."""

    taskmanagers: int = 1
    parallelism: int = 1
    partitions: int = PARTITIONS

    def __str__(self) -> str:
        return (
            f"{self.taskmanagers} TaskManager{'s' * (self.taskmanagers > 1)}, parallelism "
            f"{self.parallelism}, {self.partitions} partition{'s' * (self.partitions > 1)}"
        )


ONE, TWO = Setting(1, 2), Setting(2, 2)
BY_PARTITIONS = [Setting(1, 1, partitions) for partitions in (1, 4, 16, 64)]
SETTINGS = list(dict.fromkeys([Setting(), ONE, TWO, *BY_PARTITIONS]))


def speed(phase: Phase) -> float:
    """Records per second."""
    return len(phase.results) / phase.seconds


def compare(phases: dict[Setting, Phase]) -> list[dict[str, Any]]:
    """The content of the JSON file. What a record costs is the processor's time, or, where that is
    not known, the time on the wall."""
    entries = [
        entry(f"scale.{setting}", speed(phase), "records/s") for setting, phase in phases.items()
    ]
    two = speed(phases[TWO]) / speed(phases[ONE])
    entries.append(entry("scale.two_taskmanagers_to_one", two, "ratio", TWO_TO_ONE))
    costs = [
        (phases[each].cpu or phases[each].seconds) / len(phases[each].results)
        for each in BY_PARTITIONS
    ]
    flat = min(costs) / max(costs)
    return [*entries, entry("scale.least_to_most_cost_by_partitions", flat, "ratio", FLAT)]


def report(phases: dict[Setting, Phase]) -> list[dict[str, Any]]:
    """Prints the tables; returns the content of the JSON file."""
    rows = [["", "records/s", "CPU ms a record", "CPU/wall", "others took"]]
    for setting, phase in phases.items():
        cost = "unknown" if phase.cpu is None else f"{phase.cpu / len(phase.results) * 1000:.2f}"
        rows.append([str(setting), f"{speed(phase):.1f}", cost, cpu_of(phase), taken_of(phase)])
    print_table(rows)
    print()
    entries = compare(phases)
    print_bounds(entries)
    tell_noise(list(phases.values()))
    return entries


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table, and writes the JSON file."""
    parser = parser_of("scale", __doc__)
    parser.add_argument("--records", type=int, metavar="N", default=RECORDS)
    options = parser.parse_args(arguments)
    check_options(parser, options)
    model = bench_model("distilbert", "int8")
    values = values_of(make_texts(TEXTS), WARM_UP + options.records)
    phases: dict[Setting, Phase] = {}
    for count in sorted({setting.taskmanagers for setting in SETTINGS}):
        each = max(1, cores() // count)  # cores of a TaskManager
        with Cluster(slots=max(2, cores()) // count, taskmanagers=count, workers=each) as cluster:
            for setting in SETTINGS:
                if setting.taskmanagers == count:
                    phases[setting] = measure_undisturbed(
                        str(setting),
                        lambda: label_all(  # called at once
                            cluster,  # noqa: B023
                            model,
                            values,
                            WARM_UP,
                            partitions=setting.partitions,  # noqa: B023
                            parallelism=setting.parallelism,  # noqa: B023
                        ),
                    )
    write_json(options.json, report({setting: phases[setting] for setting in SETTINGS}))


if __name__ == "__main__":
    main()
