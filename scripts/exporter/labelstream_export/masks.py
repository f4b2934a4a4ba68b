"""The attention masks of transformers' models, made in a way that can be traced.

transformers 4.57 makes them with ``torch.vmap``, which a tracer cannot follow. The rule of a mask
(causal, a sliding window, chunks, padding) is a function of indices that broadcasts as well: so the
masks here are the model's own, whichever its configuration asks of which layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import masking_utils


@contextmanager
def traceable_masks() -> Iterator[list[int]]:
    """Has models make their masks by broadcasting for as long as it is entered.

    Yields:
        A list that grows by each mask that is made: a model that makes none through transformers'
        ``masking_utils`` has code of its own for them.
    """
    made: list[int] = []

    def mask(
        batch_size: int,
        cache_position: Tensor,
        kv_length: int,
        kv_offset: int = 0,
        mask_function: Callable = masking_utils.causal_mask_function,
        attention_mask: Tensor | None = None,
        **unused: Any,
    ) -> Tensor:
        """As ``masking_utils.sdpa_mask``: bool [batch, 1, new, past + new]; never left out, since
        whether it can be depends on the text."""
        made.append(1)
        device = cache_position.device
        padding = masking_utils.prepare_padding_mask(
            attention_mask, kv_length, kv_offset, _slice=False
        )
        if padding is not None:
            mask_function = masking_utils.and_masks(
                mask_function, masking_utils.padding_mask_function(padding)
            )
        rows = torch.arange(batch_size, device=device).view(-1, 1, 1, 1)
        heads = torch.zeros(1, 1, 1, 1, dtype=torch.long, device=device)
        columns = torch.arange(kv_length, device=device) + kv_offset
        seen = mask_function(rows, heads, cache_position.view(-1, 1), columns.view(1, -1))
        return seen.expand(batch_size, 1, cache_position.shape[0], kv_length)

    functions = masking_utils.ALL_MASK_ATTENTION_FUNCTIONS
    own = masking_utils.sdpa_mask
    masking_utils.sdpa_mask = mask
    functions["sdpa"] = mask
    try:
        yield made
    finally:
        masking_utils.sdpa_mask = own
        del functions["sdpa"]
