"""Scores before and after transformers' logits processors, the sampling ones among them."""

from __future__ import annotations

import math
from typing import Any

import torch
import transformers
from transformers.generation import (
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    MinPLogitsWarper,
    NoBadWordsLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

TOKENS = (3, 7, 3, 1, 7, 3)  # what was read so far; the last four of them are new
PROMPT = 2
PARAMETERS: tuple[dict[str, Any], ...] = (
    {"temperature": 0.5},
    {"temperature": 1.7},
    {"top_k": 1},
    {"top_k": 4},
    {"top_k": 100},
    {"top_p": 0.0},
    {"top_p": 0.3},
    {"top_p": 0.8},
    {"top_p": 0.95},
    {"min_p": 0.02},
    {"min_p": 0.5},
    {"min_p": 1.0},
    {"temperature": 0.7, "top_k": 6, "top_p": 0.9},
    {"temperature": 2.0, "top_k": 60, "top_p": 0.95, "min_p": 0.05},
    {"repetition_penalty": 1.4},
    {"repetition_penalty": 0.8},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3},
    {"bad_words_ids": [[5], [7, 3, 2], [9, 9], [3, 0]]},
    {"min_new_tokens": 4, "eos_token_id": [0, 2]},
    {"min_new_tokens": 5, "eos_token_id": [0, 2]},
    {"repetition_penalty": 1.2, "no_repeat_ngram_size": 2, "bad_words_ids": [[4]], "top_p": 0.7},
)


def results() -> dict[str, Any]:
    """The content of ``processors.expected.json``: ``tokens``, of which the first ``prompt`` are
    the prompt, ``logits``, and for each of ``cases`` its ``parameters`` and ``scores``, one row for
    each row of ``logits``. A score of minus infinity is null."""
    logits = _logits()
    return {
        "transformers": transformers.__version__,
        "tokens": list(TOKENS),
        "prompt": PROMPT,
        "logits": [_plain(row) for row in logits],
        "cases": [
            {
                "parameters": parameters,
                "scores": [_plain(row) for row in _processed(parameters, logits)],
            }
            for parameters in PARAMETERS
        ],
    }


def _logits() -> torch.Tensor:
    """float32 [rows, 12]: drawn at random, flat, with ties, with a sure winner, with tokens that
    are excluded already."""
    generator = torch.Generator().manual_seed(5)
    drawn = torch.randn(3, 12, generator=generator)
    ties = torch.tensor([2.0, 1, 1, 1, 0, 0, -1, 2, 1, -3, 0.5, 0.5])
    sure = torch.zeros(12)
    sure[4] = 40.0
    excluded = drawn[0].clone()
    excluded[::2] = -math.inf
    rows = [drawn[0], 3 * drawn[1], 8 * drawn[2], torch.zeros(12), ties, sure, excluded]
    return torch.stack(rows).mul(1e4).round().div(1e4)


def _processed(parameters: dict[str, Any], logits: torch.Tensor) -> torch.Tensor:
    """In the order in which ``generate()`` has them."""
    ends = torch.tensor(parameters.get("eos_token_id", [0]))
    makers = {
        "repetition_penalty": RepetitionPenaltyLogitsProcessor,
        "no_repeat_ngram_size": NoRepeatNGramLogitsProcessor,
        "bad_words_ids": NoBadWordsLogitsProcessor,
        "min_new_tokens": lambda least: MinNewTokensLengthLogitsProcessor(PROMPT, least, ends),
        "temperature": TemperatureLogitsWarper,
        "top_k": TopKLogitsWarper,
        "top_p": TopPLogitsWarper,
        "min_p": MinPLogitsWarper,
    }
    processors = LogitsProcessorList(
        make(parameters[name]) for name, make in makers.items() if name in parameters
    )
    return processors(torch.tensor([TOKENS]).expand(len(logits), -1), logits.clone())


def _plain(row: torch.Tensor) -> list[float | None]:
    return [float(f"{value:.7g}") if math.isfinite(value) else None for value in row.tolist()]
