"""Makes the parity fixtures that the Java side is tested against.

    cd scripts/exporter
    python3 bootstrap.py -- python make_fixtures.py [--output FOLDER]

What is written: ``texts.json`` with the lists ``texts`` and ``pairs``, and for each fixture a model
folder, made by the exporter, with a ``NAME.expected.json`` beside it. What is expected comes from
the transformers pipeline alone, one text at a time, on the checkpoint and not on the export:

    {"task": ..., "transformers": ..., "cases": [
      {"name": "default", "inputs": "texts", "parameters": {},
       "results": [{"scores": [{"label", "score"}, ...], "tokens": 12, "truncated": false}, ...]}]}

``results`` has one entry for each entry of the list that ``inputs`` names, in its order; ``scores``
has all labels, best first.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import transformers
from transformers.utils import logging

import fixture_texts
from fixture_checkpoints import LABELS, make_checkpoint
from labelstream_export.export import export
from labelstream_export.tasks import SEQUENCE_CLASSIFICATION

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PARITY = REPOSITORY / "operators" / "src" / "test" / "resources" / "parity"


@dataclass(frozen=True)
class Case:
    """One run of the pipeline over all texts, or all pairs of texts.

    Attributes:
        name: unique within its fixture.
        inputs: ``texts`` or ``pairs``, a list of ``texts.json``.
        parameters: given to the pipeline beside ``top_k=None, truncation=True``.
    """

    name: str
    inputs: str = "texts"
    parameters: dict[str, Any] = field(default_factory=dict)


DEFAULT = Case("default")
PAIRS = Case("pairs", inputs="pairs")
FUNCTIONS = tuple(
    Case(name, parameters={"function_to_apply": name}) for name in ("softmax", "sigmoid", "none")
)


@dataclass(frozen=True)
class Fixture:
    """A checkpoint with random weights, and what is run on it."""

    name: str
    architecture: str
    cases: tuple[Case, ...]
    labels: tuple[str, ...] = LABELS
    problem_type: str | None = None
    seed: int = 1


FIXTURES = (
    Fixture("bert-sequence_classification", "bert", (DEFAULT, PAIRS, *FUNCTIONS)),
    Fixture("distilbert-sequence_classification", "distilbert", (DEFAULT, PAIRS)),
    Fixture("roberta-sequence_classification", "roberta", (DEFAULT, PAIRS)),
    Fixture("electra-sequence_classification", "electra", (DEFAULT, PAIRS)),
    Fixture(
        "distilbert-sequence_classification-multi_label",
        "distilbert",
        (DEFAULT,),
        labels=("toxic", "spam", "urgent", "praise"),
        problem_type="multi_label_classification",
        seed=2,
    ),
    Fixture(
        "distilbert-sequence_classification-regression",
        "distilbert",
        (DEFAULT,),
        labels=("stars",),
        problem_type="regression",
        seed=3,
    ),
)


def make_fixture(fixture: Fixture, folder: Path) -> None:
    """Writes the model folder ``NAME`` and ``NAME.expected.json`` into ``folder``."""
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = Path(scratch) / fixture.name
        make_checkpoint(
            fixture.architecture, checkpoint, fixture.labels, fixture.problem_type, fixture.seed
        )
        export(
            checkpoint=str(checkpoint),
            task=SEQUENCE_CLASSIFICATION,
            output=folder / fixture.name,
            force=True,
        )
        pipeline = transformers.pipeline("text-classification", model=str(checkpoint), device=-1)
        cases = [
            {
                "name": case.name,
                "inputs": case.inputs,
                "parameters": case.parameters,
                "results": [
                    _run(pipeline, given, case.parameters) for given in inputs()[case.inputs]
                ],
            }
            for case in fixture.cases
        ]
    expected = {
        "task": SEQUENCE_CLASSIFICATION.name,
        "transformers": transformers.__version__,
        "cases": cases,
    }
    _write(expected, folder / f"{fixture.name}.expected.json")


def inputs() -> dict[str, list[dict[str, str]]]:
    """The content of ``texts.json``: ``texts`` and ``pairs``, in the order of the results."""
    return {
        "texts": [{"name": name, "text": text} for name, text in fixture_texts.TEXTS.items()],
        "pairs": [
            {"name": name, "text": first, "text_pair": second}
            for name, (first, second) in fixture_texts.PAIRS.items()
        ],
    }


def _run(
    pipeline: transformers.Pipeline, given: dict[str, str], parameters: dict[str, Any]
) -> dict[str, Any]:
    """The pipeline's answer to one text: all scores, how many tokens the model saw, and whether
    that was less than the whole text."""
    texts = {
        key: fixture_texts.readable(given[key]) for key in ("text", "text_pair") if key in given
    }
    pair = "text_pair" in texts
    scores = pipeline(texts if pair else texts["text"], top_k=None, truncation=True, **parameters)
    whole = len(pipeline.tokenizer(**texts)["input_ids"])
    seen = len(pipeline.tokenizer(**texts, truncation=True)["input_ids"])
    return {"scores": scores, "tokens": seen, "truncated": seen < whole}


def _write(content: dict[str, Any], file: Path) -> None:
    """Writes JSON in UTF-8; a lone surrogate, which UTF-8 cannot hold, becomes its escape."""
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    file.write_bytes(text.encode("utf-8", errors="backslashreplace"))


def main() -> None:
    """Makes all fixtures."""
    parser = argparse.ArgumentParser(description="Makes the parity fixtures.")
    parser.add_argument("--output", type=Path, default=PARITY, metavar="FOLDER")
    folder = parser.parse_args().output
    logging.set_verbosity_error()
    folder.mkdir(parents=True, exist_ok=True)
    _write(inputs(), folder / "texts.json")
    for fixture in FIXTURES:
        make_fixture(fixture, folder)


if __name__ == "__main__":
    main()
