"""The tasks that can be exported, by their names in model folders and in Hugging Face pipelines."""

from __future__ import annotations

import difflib
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        name: as ``labelstream.json`` writes it.
        alias: the Hugging Face pipeline's name.
        auto_class: the transformers class that loads a checkpoint with this task's head.
        labelled: whether the head's classes have names.
    """

    name: str
    alias: str
    auto_class: str
    labelled: bool


SEQUENCE_CLASSIFICATION = Task(
    "sequence_classification", "text-classification", "AutoModelForSequenceClassification", True
)
TOKEN_CLASSIFICATION = Task(
    "token_classification", "token-classification", "AutoModelForTokenClassification", True
)
QUESTION_ANSWERING = Task(
    "question_answering", "question-answering", "AutoModelForQuestionAnswering", False
)
TEXT_GENERATION = Task("text_generation", "text-generation", "AutoModelForCausalLM", False)
TASKS = (SEQUENCE_CLASSIFICATION, TOKEN_CLASSIFICATION, QUESTION_ANSWERING, TEXT_GENERATION)


def find_task(name: str) -> Task:
    """The task of this name or alias, hyphens and underscores alike.

    Raises:
        ValueError: no such task; the message names the nearest one.
    """
    known = {key.replace("-", "_"): task for task in TASKS for key in (task.name, task.alias)}
    wanted = name.lower().replace("-", "_")
    if wanted in known:
        return known[wanted]
    nearest = difflib.get_close_matches(wanted, known, n=1, cutoff=0)[0]
    raise ValueError(f"unknown task '{name}': the nearest known one is {known[nearest].name}")
