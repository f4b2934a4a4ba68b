"""How often a model in reduced precision decides as its fp32 original does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerFast

from labelstream_export.errors import ExportError
from labelstream_export.tasks import (
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    TEXT_GENERATION,
    Task,
)

# Of the spread of a regression's values: nearer than this counts as equal.
REGRESSION_SHARE = 0.05

TEXTS = (
    "This film was wonderful from the first scene to the last.",
    "I have rarely been so bored; the plot makes no sense at all.",
    "Terrible service: we waited for an hour and the soup was cold.",
    "The staff were friendly and found us a room at once.",
    "It is not bad, but I would not call it good either.",
    "Why does my order still say 'pending' after two weeks?",
    "Marie Curie was born in Warsaw in 1867 and worked in Paris.",
    "On 3 March 2024 the price fell by 12.5 % to $1,999.99.",
    "The United Nations opened an office in Nairobi, Kenya.",
    "Please cancel my subscription and refund the last payment.",
    "DO NOT BUY THIS PRODUCT",
    "Angela met Mr. Tanaka of Toyota at the airport in Osaka.",
    "Once upon a time there was a girl who lived by the sea.",
    "The train from Berlin to Munich leaves at a quarter past nine.",
    "def add(a, b): return a + b  # why not?",
    "Die Straße ist schön, aber die Fußgänger müssen lange warten.",
    "L'été dernier, nous avons mangé des crêpes à Orléans.",
    "Москва слезам не верит.",
    "我喜欢这部电影,非常好看。",
    "Great music, poor acting, and an ending \U0001f642 that I did not understand.",
)
QUESTIONS = (
    ("Who is CEO of Tesla?", "Elon Musk is the CEO of Tesla."),
    ("Where was Marie Curie born?", "Marie Curie was born in Warsaw in 1867 and worked in Paris."),
    (
        "When does the train leave?",
        "The train from Berlin to Munich leaves at a quarter past nine.",
    ),
    ("How much did the price fall?", "On 3 March 2024 the price fell by 12.5 % to $1,999.99."),
    ("What was cold?", "We waited for an hour, and when the soup came at last it was cold."),
    ("Who lived by the sea?", "Once upon a time there was a girl who lived by the sea."),
    ("Which office was opened?", "The United Nations opened an office in Nairobi, Kenya."),
    ("Whom did Angela meet?", "Angela met Mr. Tanaka of Toyota at the airport in Osaka."),
)


@dataclass(frozen=True)
class Yardstick:
    """What agreement is measured on.

    Attributes:
        file: texts, one on a line; for question answering a question, a tab and a context. None
            for built-in ones, by which no export is refused.
        least: the share of equal decisions below which an export is refused, 0 to 1.
    """

    file: Path | None = None
    least: float = 0.99


BUILT_IN = Yardstick()


def measure(
    yardstick: Yardstick,
    task: Task,
    original: PreTrainedModel,
    reduced: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    inputs: Sequence[str],
    max_length: int,
) -> dict[str, Any]:
    """Runs both models on each text.

    A decision is the best class of a text or of each token; whether each class applies, for
    ``multi_label_classification``; the best start and end in the context; the best next token after
    each token; a value, for ``regression``.

    Returns:
        ``texts``; ``decisions``; ``equal``, the share of equal ones; ``on``, ``given`` or
        ``built-in``.

    Raises:
        ExportError: the file cannot be used, or the share is too small.
    """
    texts = texts_of(yardstick.file, task)
    taken = ("input_ids", "attention_mask") if task is TEXT_GENERATION else inputs
    pairs: list[tuple[Tensor, Tensor]] = []
    with torch.inference_mode():
        for text in texts:
            encoded = encoded_text(tokenizer, text, task, max_length)
            arguments = {name: encoded[name] for name in taken}
            if arguments["input_ids"].shape[1] == 0:
                continue
            place = 0 if tokenizer.padding_side == "left" else 1
            context = torch.tensor([part == place for part in encoded.sequence_ids(0)])
            pairs.append(
                tuple(_decisions(task, model, arguments, context) for model in (original, reduced))
            )
    first, second = (torch.cat(side) for side in zip(*pairs))
    if first.is_floating_point():
        equal = (first - second).abs() <= REGRESSION_SHARE * (first.max() - first.min())
    else:
        equal = first == second
    share = equal.float().mean().item()
    if yardstick.file and not share >= yardstick.least:
        raise ExportError(
            f"{share:.2%} of {len(equal)} decisions on {yardstick.file} are those of fp32, and "
            f"--min-agreement asks for {yardstick.least:.2%}: export in a higher precision, or "
            "lower --min-agreement"
        )
    return {
        "texts": len(pairs),
        "decisions": len(equal),
        "equal": share,
        "on": "given" if yardstick.file else "built-in",
    }


def encoded_text(
    tokenizer: PreTrainedTokenizerFast, text: tuple[str, ...], task: Task, max_length: int
) -> BatchEncoding:
    """A text, or a question and a context, as the pipeline gives it to the model: with padding on
    the left the context stands first."""
    left = tokenizer.padding_side == "left"
    shortened = "only_first" if left else "only_second"
    return tokenizer(
        *(reversed(text) if left else text),
        truncation=shortened if task is QUESTION_ANSWERING else True,
        max_length=max_length,
        return_tensors="pt",
    )


def texts_of(file: Path | None, task: Task) -> list[tuple[str, ...]]:
    """The texts of a file, or the built-in ones.

    Raises:
        ExportError: the file cannot be used.
    """
    return _read(file, task) if file else _built_in(task)


def _decisions(
    task: Task, model: PreTrainedModel, arguments: dict[str, Tensor], context: Tensor
) -> Tensor:
    """One dimension, integers but for a regression."""
    outputs = model(**arguments, return_dict=True)
    if task is QUESTION_ANSWERING:
        logits = torch.stack((outputs.start_logits[0], outputs.end_logits[0])).float()
        best = logits.masked_fill(~context, float("-inf")).argmax(dim=1)
        return (best[0] * len(context) + best[1]).unsqueeze(0)
    logits = outputs.logits[0].float()
    if task is SEQUENCE_CLASSIFICATION and model.config.problem_type == "regression":
        return logits
    if task is SEQUENCE_CLASSIFICATION and (
        model.config.problem_type == "multi_label_classification" or len(logits) == 1
    ):
        return (logits > 0).long()
    return logits.argmax(dim=-1).reshape(-1)


def _built_in(task: Task) -> list[tuple[str, ...]]:
    return list(QUESTIONS) if task is QUESTION_ANSWERING else [(text,) for text in TEXTS]


def _read(file: Path, task: Task) -> list[tuple[str, ...]]:
    try:
        lines = file.read_text("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ExportError(f"{file} is not UTF-8 ({error}): save it as UTF-8") from error
    texts = [(line,) for line in lines if line.strip()]
    if task is QUESTION_ANSWERING:
        texts = [tuple(line.split("\t", 1)) for (line,) in texts]
        if any(len(text) < 2 for text in texts):
            raise ExportError(
                f"{file} needs a question, a tab and a context on each line: add them"
            )
    if not texts:
        raise ExportError(f"{file} has no texts: put one on each line")
    return texts
