"""Makes the fixtures of explanations that the Java side is tested against.

    cd scripts/exporter
    python3 bootstrap.py --dev -- python make_explanations.py [--output FOLDER] [--only NAME...]

What is written: ``inputs.json`` with the lists ``texts`` and ``questions``, and for each fixture a
model folder, made by the exporter, with a ``NAME.expected.json`` beside it that comes from Captum
on the checkpoint and not on the export, one text at a time:

    {"task": ..., "captum": ..., "inputs": "texts", "steps": 50, "results": [
      {"words": [...], "spans": [null, [0, 4], ...], "target": 1, "importances": [...], "norm": 1.2,
       "delta": 0.0012, "value": 3.1, "baseline": -0.2, "precise": {"importances": [...], ...}}]}

``results`` has one entry for each entry of the list that ``inputs`` names, in its order. ``words``
are the tokens as the tokenizer names them; ``spans`` count code points of the text, and are null
for special tokens. ``target`` is a class, or ``[token, class]``. ``importances`` are attributions
summed over the hidden dimension and divided by their L2 norm, ``norm`` (all zero where that is
zero); ``delta`` is the convergence delta before that division; ``value`` and ``baseline`` are the
target's logit of the text and of its baseline. ``precise``, for some texts, is the same with 300
steps.

In question answering ``target`` is ``{"start": token, "end": token}``; what begins with
``importances`` above stands twice, under ``start`` and ``end``; and ``fields`` tells which text a
span points into, 0 for the question and 1 for the context.

A fixture in reduced precision is a model folder alone: its ``expected`` is that of the same name
without the precision.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import captum
import torch
import transformers
from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging

import fixture_texts
from fixture_checkpoints import ENTITY_LABELS, LABELS, make_checkpoint
from fixture_explanations import PARTS, STEPS, Explanation, encode, explain, model_tensors
from fixture_training import train
from labelstream_export.export import export
from labelstream_export.progress import say
from labelstream_export.tasks import (
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    TASKS,
    TOKEN_CLASSIFICATION,
    Task,
)

REPOSITORY = Path(__file__).resolve().parent.parent.parent
EXPLANATIONS = REPOSITORY / "operators" / "src" / "test" / "resources" / "explanations"
ARCHITECTURES = ("bert", "roberta", "distilbert", "electra")
VOCABULARY, LAYERS = 264, 1  # as little as makes 25 folders small
PRECISE_STEPS = 300
PRECISE_EVERY = 6  # which texts have them
TEXTS = (
    *("film_good", "film_bad", "film_mixed", "service_bad", "negation", "upper", "numbers"),
    *("punctuation_only", "contraction", "german", "russian", "empty", "blank", "one_letter"),
    *("one_emoji", "double_spaces", "lines", "emoji_first", "emoji_zwj", "astral_letters"),
    *("hebrew", "chinese", "korean", "combining_marks", "ligatures_and_width", "zero_width"),
    *("special_tokens_bert", "unknown_runes", "exactly_full", "one_too_many"),
)
# Such as fit into one window of each tokenizer.
QUESTIONS = (
    *("tesla", "soup", "one_word", "one_letter", "two_words", "punctuation"),
    *("question_in_context", "repeated_words", "hyphens", "astral", "emoji_before"),
    *("emoji_inside", "emoji_only", "zwj", "combining", "precomposed", "ligatures"),
    *("mixed_direction", "unknown_around", "blank_context", "blank_question", "blanks"),
    *("controls", "special_question", "pieces", "html", "chinese_spaces", "korean"),
    *("unknown", "emoji_question"),
)


@dataclass(frozen=True)
class Fixture:
    """A checkpoint with random weights, or trained on a toy task."""

    architecture: str
    task: Task
    trained: bool
    precision: str = "fp32"
    seed: int = 1

    @property
    def name(self) -> str:
        weights = "trained" if self.trained else "random"
        suffix = "" if self.precision == "fp32" else f"-{self.precision}"
        return f"{self.architecture}-{self.task.name}-{weights}{suffix}"


FIXTURES = (
    *(
        Fixture(architecture, task, trained)
        for architecture in ARCHITECTURES
        for task in TASKS[:3]
        for trained in (False, True)
    ),
    Fixture("distilbert", SEQUENCE_CLASSIFICATION, True, "int8"),
)


def make_fixture(fixture: Fixture, folder: Path) -> None:
    """Writes the model folder ``NAME``, and ``NAME.expected.json`` for fp32, into ``folder``."""
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = Path(scratch) / fixture.name
        make_weights(fixture, checkpoint)
        export(
            checkpoint=str(checkpoint),
            task=fixture.task,
            output=folder / fixture.name,
            precision=fixture.precision,
            force=True,
        )
        if fixture.precision == "fp32":
            model = getattr(transformers, fixture.task.auto_class).from_pretrained(checkpoint)
            tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
            content = expected(model, tokenizer, fixture.task)
            _write(content, folder / f"{fixture.name}.expected.json", "results")


def make_weights(fixture: Fixture, checkpoint: Path) -> None:
    """Writes the fixture's checkpoint."""
    make_checkpoint(
        fixture.architecture,
        checkpoint,
        ENTITY_LABELS if fixture.task is TOKEN_CLASSIFICATION else LABELS,
        seed=fixture.seed,
        task=fixture.task,
        vocabulary=VOCABULARY,
        layers=LAYERS,
    )
    if fixture.trained:
        loss = train(checkpoint, fixture.task, fixture.seed)
        say(f"{fixture.name} is trained to a loss of {loss:.4f}")


def inputs() -> dict[str, list[dict[str, str]]]:
    """The content of ``inputs.json``, in the order of the results."""
    return {
        "texts": [{"name": name, "text": fixture_texts.TEXTS[name]} for name in TEXTS],
        "questions": [
            dict(zip(("name", "question", "context"), (name, *fixture_texts.QUESTIONS[name])))
            for name in QUESTIONS
        ],
    }


def expected(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, task: Task
) -> dict[str, Any]:
    """The content of ``NAME.expected.json``."""
    model.eval()
    kind = "questions" if task is QUESTION_ANSWERING else "texts"
    return {
        "task": task.name,
        "captum": captum.__version__,
        "transformers": transformers.__version__,
        "inputs": kind,
        "steps": STEPS,
        "results": [
            result(model, tokenizer, task, given, place)
            for place, given in enumerate(inputs()[kind])
        ],
    }


def result(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    task: Task,
    given: dict[str, str],
    place: int,
) -> dict[str, Any]:
    """What is expected of one text.

    Args:
        place: the text's, by which some texts get another target than the prediction, and some a
            precise explanation too.
    """
    encoded = encode(tokenizer, given)
    with torch.inference_mode():
        outputs = model(**model_tensors(encoded), return_dict=False)
    special = encoded["special_tokens_mask"][0].bool()
    answer = {
        "words": tokenizer.convert_ids_to_tokens(encoded["input_ids"][0]),
        "spans": [
            None if is_special else list(span)
            for span, is_special in zip(encoded[0].offsets, special.tolist())
        ],
    }
    precise = place % PRECISE_EVERY == 0

    def explained(target: int | tuple[int, int]) -> dict[str, Any]:
        content = _content(explain(model, task, encoded, target))
        if precise:
            content["precise"] = _content(explain(model, task, encoded, target, PRECISE_STEPS))
        return content

    if task is QUESTION_ANSWERING:
        answer["fields"] = encoded[0].sequence_ids
        answer["target"] = _span(outputs[0][0], outputs[1][0], encoded)
        for part, name in enumerate(PARTS):
            answer[name] = explained((answer["target"][name], part))
        return answer
    logits, other = outputs[0][0], place % 3 == 2
    if task is SEQUENCE_CLASSIFICATION:
        target = (logits.argmax().item() + other) % len(logits)
    else:
        real = [token for token, is_special in enumerate(special.tolist()) if not is_special]
        token = real[place % len(real)] if real else 0
        target = (token, (logits[token].argmax().item() + other) % len(logits[token]))
    answer["target"] = target
    return {**answer, **explained(target)}


def _span(start: torch.Tensor, end: torch.Tensor, encoded: BatchEncoding) -> dict[str, int]:
    """The best token of the context to begin with, and the best one behind it to end with; the
    first token of all where there is no context."""
    context = torch.tensor([field == 1 for field in encoded[0].sequence_ids])
    if not context.any():
        return dict.fromkeys(PARTS, 0)
    first = start.masked_fill(~context, -torch.inf).argmax().item()
    context[:first] = False
    return {"start": first, "end": end.masked_fill(~context, -torch.inf).argmax().item()}


def _content(explanation: Explanation) -> dict[str, Any]:
    return {
        "importances": [round(value, 6) for value in explanation.importances.tolist()],
        "norm": _rounded(explanation.sums.norm().item()),
        "delta": _rounded(explanation.delta),
        "value": _rounded(explanation.value),
        "baseline": _rounded(explanation.baseline),
    }


def _rounded(value: float) -> float:
    return float(f"{value:.7g}")


def _write(content: dict[str, Any], file: Path, *lists: str) -> None:
    """Writes JSON in UTF-8, with one line for each entry of these lists and no blanks."""
    rest = {key: value for key, value in content.items() if key not in lists}
    parts = [json.dumps(rest, ensure_ascii=False)[1:-1]] if rest else []
    for name in lists:
        entries = ",\n".join(
            json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in content[name]
        )
        parts.append(f"{json.dumps(name)}: [\n{entries}]")
    file.write_text("{" + ",\n".join(parts) + "}\n", "utf-8")


def main() -> None:
    """Makes all fixtures, or those that are asked for."""
    parser = argparse.ArgumentParser(description="Makes the fixtures of explanations.")
    parser.add_argument("--output", type=Path, default=EXPLANATIONS, metavar="FOLDER")
    names = [fixture.name for fixture in FIXTURES]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME")
    options = parser.parse_args()
    folder = options.output
    logging.set_verbosity_error()
    torch.set_num_threads(1)  # models this small only wait for each other
    folder.mkdir(parents=True, exist_ok=True)
    _write(inputs(), folder / "inputs.json", "texts", "questions")
    for fixture in FIXTURES:
        if options.only is None or fixture.name in options.only:
            make_fixture(fixture, folder)


if __name__ == "__main__":
    main()
