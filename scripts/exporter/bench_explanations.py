"""Explanations per second, against Captum: the same model, texts and number of threads in one run,
so that the ratios hold where the absolute figures drift.

Captum's ``LayerIntegratedGradients`` explains one text after another, with its steps in batches of
the size that is fastest here. Labelstream is ``scripts/label.sh``, which stays up: its clock runs
from the first text that goes in to the last explanation that comes out, and the label of each text
is in it too.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel
from transformers import PreTrainedTokenizerFast as FastTokenizer
from transformers.utils import logging

try:
    import captum

    from fixture_explanations import STEPS, attribute, encode, model_tensors
except ImportError:
    sys.exit("bench: Captum has no version for this Python: run it with Python 3.10 to 3.13")

import bench_common
from bench_common import (
    REPOSITORY,
    Phase,
    Stopwatch,
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
from bench_models import SHAPES, bench_model, read_texts
from labelstream_export.export import MODULE
from labelstream_export.tasks import SEQUENCE_CLASSIFICATION

LABEL = REPOSITORY / "scripts" / "label.sh"
WARM_UP_SECONDS = 5
TEXTS = 24
ROUNDS = 2
DIFFERENCE = 1e-3  # between the two at fixed steps, relative, in L2
FIXED_BOUND, ADAPTIVE_BOUND = 1.0, 3.0
CAPTUM, FIXED, ADAPTIVE = f"Captum, {STEPS} steps", f"Labelstream, {STEPS} steps", "adaptive"
# How many steps of a text of some tokens Captum runs as one batch.
BATCHES: dict[str, Callable[[int], int]] = {
    "8 rows": lambda tokens: 8,
    "16 rows": lambda tokens: 16,
    "all rows": lambda tokens: STEPS,
    "256 tokens": lambda tokens: max(1, 256 // tokens),
    "512 tokens": lambda tokens: max(1, 512 // tokens),
    "1024 tokens": lambda tokens: max(1, 1024 // tokens),
}


def load(folder: Path) -> tuple[PreTrainedModel, FastTokenizer]:
    """The Hugging Face model that a model folder was exported from, with its weights.

    Exits with a sentence where Captum could not run it as it stands.
    """
    facts = json.loads((folder / "labelstream.json").read_text("utf-8"))
    if facts["task"] != SEQUENCE_CLASSIFICATION.name or facts["precision"] != "fp32":
        sys.exit(f"bench: {folder} is not a sequence classifier in fp32: give one that is")
    model = transformers.AutoModelForSequenceClassification.from_config(
        transformers.AutoConfig.from_pretrained(folder)
    )
    weights = torch.jit.load(str(folder / MODULE)).model.state_dict()
    kept = model.load_state_dict(weights, strict=False)
    if set(kept.missing_keys) & set(dict(model.named_parameters())):
        sys.exit(
            f"bench: {folder}/{MODULE} has not all weights of its config.json: export it again"
        )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.model_max_length, tokenizer.model_input_names = facts["max_length"], facts["inputs"]
    return model.eval(), tokenizer


@dataclass(frozen=True)
class Explained:
    """What one side says of a text.

    Attributes:
        importances: float32 [tokens], of L2 norm 1.
        steps: how many gradients it took.
    """

    importances: Tensor
    steps: int


class Captum:
    """Captum's explanations of what the model predicts."""

    def __init__(self, folder: Path) -> None:
        self.model, self.tokenizer = load(folder)
        self.pid = os.getpid()
        self.batch = next(iter(BATCHES))

    def tune(self, texts: Sequence[str]) -> None:
        """Settles on the batches that are fastest for these texts."""
        seconds = {}
        for self.batch in BATCHES:
            start = time.perf_counter()
            self.explain(texts)
            seconds[self.batch] = time.perf_counter() - start
            say(f"Captum in batches of {self.batch}: {seconds[self.batch]:.2f} s")
        self.batch = min(seconds, key=seconds.__getitem__)

    def explain(self, texts: Sequence[str]) -> list[Explained]:
        """Explains texts, one after another."""
        return [self._explain(text) for text in texts]

    def _explain(self, text: str) -> Explained:
        encoded = encode(self.tokenizer, {"text": text})
        with torch.inference_mode():
            target = self.model(**model_tensors(encoded)).logits[0].argmax().item()
        rows = BATCHES[self.batch](encoded["input_ids"].shape[1])
        attributions, _ = attribute(self.model, SEQUENCE_CLASSIFICATION, encoded, target, rows=rows)
        sums = attributions.sum(dim=-1)
        return Explained(sums / sums.norm(), STEPS)


class Labelstream:
    """``scripts/label.sh`` with explanations, as a process that waits for texts; to be closed."""

    def __init__(self, folder: Path, steps: str, threads: int) -> None:
        self.log = bench_common.STATE / f"label-{steps}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        options = [os.environ.get("JAVA_TOOL_OPTIONS", ""), f"-Dlabelstream.workers={threads}"]
        reading, writing = os.pipe()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [LABEL, folder, "--explanations", f"/dev/fd/{writing}", "--steps", steps],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=[writing],
                env={**os.environ, "JAVA_TOOL_OPTIONS": " ".join(options).strip()},
            )
        os.close(writing)
        self.pid = self.process.pid
        self.explanations = os.fdopen(reading, "rb")

    def explain(self, texts: Sequence[str]) -> list[Explained]:
        """Explains texts, which go in at once."""
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        sending = threading.Thread(target=self._send, args=[lines.encode()])
        sending.start()  # beside the reading, so that neither pipe can fill up for good
        received = [self.explanations.readline() for _ in texts]
        sending.join()
        return [self._read(line) for line in received]

    def _send(self, lines: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # that it has ended is seen where it is read
            self.process.stdin.write(lines)
            self.process.stdin.flush()

    def _read(self, line: bytes) -> Explained:
        content: dict[str, Any] = json.loads(line or "{}")
        if "importances" not in content:
            reason = content.get("error", {}).get("message", "it has ended")
            sys.exit(f"bench: label.sh does not explain ({reason}): see {self.log}")
        return Explained(torch.tensor(content["importances"]), content["steps"])

    def close(self) -> None:
        """Ends the process."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.explanations.close()


def measure(side: Captum | Labelstream, texts: Sequence[str], threads: int) -> Phase:
    """Explains the texts once."""
    watch = Stopwatch([side.pid], threads)
    return watch.stop(side.explain(texts))


def warm_up(side: Captum | Labelstream, texts: Sequence[str]) -> None:
    """Explains texts until what is done only once, and what Java compiles, no longer counts."""
    end = time.perf_counter() + WARM_UP_SECONDS
    while time.perf_counter() < end:
        side.explain(texts)


def largest_difference(some: Sequence[Explained], others: Sequence[Explained]) -> float:
    """Between the importances of a text, relative, in L2; NaN where one is not a number."""
    differences = [
        (one.importances - other.importances).norm() / other.importances.norm()
        for one, other in zip(some, others)
    ]
    return torch.stack(differences).max().item()


def run(folder: Path, texts: Sequence[str], threads: int) -> dict[str, list[Phase]]:
    """All measurements, round by round."""
    with contextlib.ExitStack() as stack:
        few = sorted(texts, key=len)[:: max(1, len(texts) // 4)]
        captum_side = Captum(folder)
        sides: dict[str, Captum | Labelstream] = {CAPTUM: captum_side}
        warm_up(captum_side, few)
        for name, steps in ((FIXED, str(STEPS)), (f"Labelstream, {ADAPTIVE}", ADAPTIVE)):
            say(f"starting {name}")
            sides[name] = Labelstream(folder, steps, threads)
            stack.callback(sides[name].close)
            warm_up(sides[name], few)  # before the next starts: what is unpacked is then there
        captum_side.tune(few)
        phases: dict[str, list[Phase]] = {name: [] for name in sides}
        for number in range(1, ROUNDS + 1):
            for name, side in sides.items():
                what = f"round {number} of {ROUNDS}, {name}"
                one = functools.partial(measure, side, texts, threads)
                phases[name].append(measure_undisturbed(what, one))
        weights = sum(parameter.numel() for parameter in captum_side.model.parameters())
        lengths = [len(result.importances) for result in phases[CAPTUM][0].results]
        print(
            f"{len(texts)} texts of {min(lengths)} to {max(lengths)} tokens (mean "
            f"{statistics.mean(lengths):.0f}), {weights / 1e6:.1f} million weights in fp32, "
            f"{threads} thread{'s' * (threads > 1)} on each side\n"
            f"Captum {captum.__version__} with torch {torch.__version__}: one text at a time, its "
            f"steps in batches of {captum_side.batch} (the fastest of {', '.join(BATCHES)})\n"
        )
    return phases


def report(phases: dict[str, list[Phase]]) -> list[dict[str, Any]]:
    """Prints the tables.

    Args:
        phases: Captum's rounds, Labelstream's at fixed and at adaptive steps, in this order.

    Returns:
        The content of the JSON file.
    """
    best = {name: min(own, key=lambda phase: phase.seconds) for name, own in phases.items()}
    reference, fixed, adaptive = best.values()
    rows = [
        ["", "explanations/s", "to Captum", "mean steps", "seconds", "CPU/wall", "others took"],
    ]
    for name, own in phases.items():
        steps = statistics.mean(result.steps for result in best[name].results)
        rows.append(
            [
                name,
                f"{len(best[name].results) / best[name].seconds:.3f}",
                f"{reference.seconds / best[name].seconds:.2f}",
                f"{steps:.1f}",
                ", ".join(f"{phase.seconds:.1f}" for phase in own),
                ", ".join(map(cpu_of, own)),
                ", ".join(map(taken_of, own)),
            ]
        )
    print_table(rows)
    print("\nThe first columns are of the faster round; the others tell of each.\n")
    values = [
        ("explanations.fixed_to_captum", fixed, FIXED_BOUND),
        ("explanations.adaptive_to_captum", adaptive, ADAPTIVE_BOUND),
    ]
    entries = []
    for name, side, bound in values:
        ratio = reference.seconds / side.seconds
        entries.append(entry(name, ratio, "ratio", bound))
    print_bounds(entries)
    difference = largest_difference(fixed.results, reference.results)
    print(
        f"\nLargest difference from Captum's importances (relative, in L2): {difference:.1g} at "
        f"{STEPS} steps, "
        f"{largest_difference(adaptive.results, reference.results):.1g} with adaptive ones"
    )
    if not difference <= DIFFERENCE:
        sys.exit(
            f"bench: the two do not explain alike: their importances differ by {difference:.1g}, "
            f"and {DIFFERENCE:.0e} is allowed; run the exporter's tests"
        )
    tell_noise([phase for own in phases.values() for phase in own])
    return entries


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the tables, and writes the JSON file."""
    parser = parser_of("explanations", __doc__)
    parser.add_argument("--texts", type=Path, metavar="FILE")
    parser.add_argument("--model", type=Path, metavar="MODEL_FOLDER")
    parser.add_argument("--threads", type=int, metavar="N", default=cores())
    parser.add_argument("--shape", choices=SHAPES, default="bert")
    options = parser.parse_args(arguments)
    if options.model and not (options.model / "labelstream.json").is_file():
        parser.error(
            f"{options.model} is no model folder: give one, such as model-assets/sentiment"
        )
    check_options(parser, options)
    logging.set_verbosity_error()
    torch.set_num_threads(options.threads)
    folder = (options.model or bench_model(options.shape, explanations=True)).resolve()
    texts = read_texts(options.texts, TEXTS)
    phases = run(folder, texts, options.threads)
    entries = report(phases)
    write_json(options.json, entries)


if __name__ == "__main__":
    main()
