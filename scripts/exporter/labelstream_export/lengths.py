"""How long a text may be, and at which lengths a model may begin to behave otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from labelstream_export.errors import ExportError
from labelstream_export.progress import say

# transformers' sign for "no limit" is 1e30; no model reads texts of this many tokens.
UNLIMITED = 10_000_000
# What is not compared is not promised: attention costs the square of the length, so that a longer
# text is compared, and taken, only where it is asked for.
LONGEST = 8192
# Settings that say from which length on a text is treated otherwise.
THRESHOLD = re.compile(
    "window|chunk|block|stride|distance|bucket|span|local|position|length|context|max_seq"
)
# Position scalings that choose by the length of what is read at once, and so by a text's company.
SCALED_BY_LENGTH = ("dynamic", "longrope")


def effective_length(
    tokenizer: PreTrainedTokenizerFast | None,
    positions: int | None,
    asked: int | None,
    scaled: tuple[int, str] | None = None,
) -> int:
    """How many tokens of a text the exported model sees, special ones included.

    Args:
        tokenizer: the checkpoint's; its ``model_max_length`` is one limit. None where it is not.
        positions: how many the model has, or None for no limit.
        asked: what the user wants, or None for as many as possible.
        scaled: as ``scaled_positions``.

    Raises:
        ExportError: more is asked than possible, or there is no limit and none is asked.
    """
    longest = None if tokenizer is None else tokenizer.model_max_length
    limits = [int(limit) for limit in (positions, longest) if limit is not None and limit > 0]
    limit = min(limits, default=UNLIMITED + 1)
    if scaled and (asked or limit) > scaled[0]:
        if asked is not None:
            raise ExportError(
                f"--max-length {asked} is beyond the {scaled[0]} tokens from which on rope scaling "
                f"{scaled[1]} depends on a text's company: ask for {scaled[0]} or less"
            )
        say(
            f"max_length is {scaled[0]}, not {limit}: beyond it rope scaling {scaled[1]} depends "
            "on a text's company"
        )
        limit = scaled[0]
    if asked is not None and asked > limit:
        raise ExportError(
            f"--max-length {asked} is more than the {limit} tokens that the checkpoint allows: "
            "ask for that or less"
        )
    if asked is None and limit > UNLIMITED:
        raise ExportError(
            "neither the tokenizer nor the model says how long a text may be: give --max-length"
        )
    if asked is None and limit > LONGEST:
        say(
            f"max_length is {LONGEST}, not {limit}: no longer text is compared with the checkpoint "
            "unless --max-length asks for it"
        )
        return LONGEST
    return limit if asked is None else asked


def scaled_positions(model: PreTrainedModel) -> tuple[int, str] | None:
    """Up to how many tokens a position scaling that chooses by length stays what it is, and its
    name; None where there is no such scaling."""
    found = []
    for module in model.modules():
        kind = str(getattr(module, "rope_type", ""))
        if not any(name in kind for name in SCALED_BY_LENGTH):
            continue
        config = module.config
        scaling = getattr(config, "rope_scaling", None) or {}
        original = (
            getattr(config, "original_max_position_embeddings", None)
            if kind == "longrope"
            else scaling.get("original_max_position_embeddings")
        )
        found.append((min(original or UNLIMITED, config.max_position_embeddings), kind))
    return min(found, default=None)


def thresholds(config: Mapping[str, Any], max_length: int) -> list[int]:
    """Lengths up to ``max_length`` that stand just above a threshold of the configuration, the
    longest first.

    Args:
        config: the content of ``config.json``.
    """
    above = {number + 1 for number in _named(config) if 1 < number < max_length}
    return sorted(above, reverse=True)


def _named(content: Any, name: str = "") -> Iterator[int]:
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from _named(value, str(key))
    elif isinstance(content, list):
        for value in content:
            yield from _named(value, name)
    elif type(content) is int and THRESHOLD.search(name):
        yield content
