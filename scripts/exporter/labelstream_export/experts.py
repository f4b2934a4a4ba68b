"""Mixtures of experts, traced so that every expert is run over the tokens that chose it.

transformers' blocks go through the experts that a text has chosen; a trace would keep those of its
example, and no others. An expert that no token has chosen is run over none, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


@contextmanager
def every_expert() -> Iterator[None]:
    """Has each expert count as chosen for as long as it is entered. The blocks (Mixtral, Qwen-MoE,
    GPT-OSS, …) ask ``torch.greater(tokens of each expert, 0)``, and nothing else asks so."""
    greater = torch.greater

    def chosen(given: Tensor, other: Any, **options: Any) -> Tensor:
        result = greater(given, other, **options)
        of_experts = isinstance(other, int) and other == 0 and given.dim() == 1
        return torch.ones_like(result) if of_experts else result

    torch.greater = chosen
    try:
        yield
    finally:
        torch.greater = greater
