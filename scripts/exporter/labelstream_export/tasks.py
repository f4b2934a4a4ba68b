"""The tasks that can be exported, by their names in model folders and in Hugging Face pipelines."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        name: as ``labelstream.json`` writes it.
        alias: the Hugging Face pipeline's name.
        others: further names of the pipeline, and of tasks that are this one.
        auto_class: the transformers class that loads a checkpoint with this task's head.
        labelled: whether the head's classes have names.
    """

    name: str
    alias: str
    auto_class: str
    labelled: bool
    others: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        """Tasks are compared by identity, in another process too."""
        return find_task, (self.name,)


SEQUENCE_CLASSIFICATION = Task(
    "sequence_classification",
    "text-classification",
    "AutoModelForSequenceClassification",
    True,
    ("sentiment-analysis", "text-ranking", "rerank", "reranking", "cross-encoder"),
)
TOKEN_CLASSIFICATION = Task(
    "token_classification",
    "token-classification",
    "AutoModelForTokenClassification",
    True,
    ("ner", "pos"),
)
QUESTION_ANSWERING = Task(
    "question_answering", "question-answering", "AutoModelForQuestionAnswering", False, ("qa",)
)
TEXT_GENERATION = Task("text_generation", "text-generation", "AutoModelForCausalLM", False)
TASKS = (SEQUENCE_CLASSIFICATION, TOKEN_CLASSIFICATION, QUESTION_ANSWERING, TEXT_GENERATION)


# Tasks of other pipelines, and what to give instead, where there is something.
ELSEWHERE = {
    "zero_shot_classification": "an NLI model as sequence_classification, with text and text_pair",
    "text2text_generation": None,
    "summarization": None,
    "translation": None,
    "fill_mask": None,
    "feature_extraction": None,
    "sentence_similarity": None,
    "conversational": "text_generation, with the chat written out by its template as the prompt",
    "table_question_answering": None,
    "document_question_answering": None,
    "visual_question_answering": None,
}


def find_task(name: str) -> Task:
    """The task of this name or alias, hyphens and underscores alike.

    Raises:
        ValueError: no such task; the message names the nearest one, or says that it is not done.
    """
    known = {_key(key): task for task in TASKS for key in (task.name, task.alias, *task.others)}
    wanted = _key(name)
    if wanted in known:
        return known[wanted]
    names = ", ".join(task.name for task in TASKS)
    if wanted in ELSEWHERE or wanted.startswith(("translation_", "image_", "audio_")):
        instead = ELSEWHERE.get(wanted)
        raise ValueError(
            f"task '{name}' is not done here: "
            + (f"use {instead}" if instead else f"there are {names}")
        )
    nearest = difflib.get_close_matches(wanted, known, n=1, cutoff=0.6)
    if not nearest:
        raise ValueError(f"unknown task '{name}': there are {names}")
    raise ValueError(f"unknown task '{name}': the nearest known one is {known[nearest[0]].name}")


def _key(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")
