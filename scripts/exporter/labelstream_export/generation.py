"""The TorchScript side of a text generator: one step of decoding, with the cache going in and out.

The first step reads a prompt, at once or in chunks; each further one reads the token that was
chosen last.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerFast
from transformers.cache_utils import DynamicLayer

from labelstream_export.errors import ExportError
from labelstream_export.graph import check_devices
from labelstream_export.masks import traceable_masks
from labelstream_export.module import run_model
from labelstream_export.rows import SEED
from labelstream_export.verify import (
    PADDING_TOLERANCE,
    TOLERANCE,
    check,
    difference_of,
    run,
    tell,
)

INPUTS = ("input_ids", "attention_mask", "position_ids", "past")
# Between a text read in chunks and at once the sums run over other blocks; in reduced precision the
# difference is told but not judged, as for padding.
WHOLE_TOLERANCE = PADDING_TOLERANCE


class Step(nn.Module):
    """A decoder as a module of plain tensors.

    Attributes:
        cache: ``layers``, ``heads`` (of keys and values) and ``head_dim``, the sizes of ``past``.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        taken = inspect.signature(model.forward).parameters
        # Some take positions among their other arguments, and have no use for them.
        takes_any = any(each.kind is each.VAR_KEYWORD for each in taken.values())
        for name in ("position_ids", "past_key_values"):
            if name not in taken and not takes_any:
                raise ExportError(
                    f"{type(model).__name__} takes no {name}, by which prompts of different "
                    "lengths are read together: give a checkpoint of another architecture"
                )
        self.cache = cache_sizes(model)
        _share_tables(model)
        # Where it can be told, the logits of the last position alone are computed.
        self.options = {"logits_to_keep": 1} if "logits_to_keep" in taken else {}
        self.makes_masks = _makes_masks(model)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, past: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One step.

        Args:
            input_ids: int64 [batch, new], the tokens that the cache does not hold yet.
            attention_mask: int64 [batch, past + new], 0 on padding, which stands on the left.
            position_ids: int64 [batch, new], the number of real tokens before each.
            past: float32 [layers, 2, batch, heads, past, head_dim], keys and values; may be empty.

        Returns:
            Logits of the last position, float32 [batch, vocabulary]; and ``past`` with the new
            tokens added, float32 [layers, 2, batch, heads, past + new, head_dim].
        """
        columns = torch.arange(attention_mask.shape[1], device=input_ids.device)
        rows = columns[past.shape[4] :]
        cache = _cache(past.to(self.model.dtype))
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask
            if self.makes_masks
            else self._mask(attention_mask, rows, columns),
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
            cache_position=rows,
            return_dict=True,
            **self.options,
        )
        layers = [torch.stack((layer.keys, layer.values)) for layer in cache.layers]
        return outputs.logits[:, -1].float(), torch.stack(layers).float()

    def whole(self, ids: Tensor, mask: Tensor, places: Tensor, kept: Tensor) -> Tensor:
        """The model's logits at the positions ``kept`` of whole texts, read at once."""
        options = {"logits_to_keep": kept} if self.options else {}
        logits = self.model(
            input_ids=ids, attention_mask=mask, position_ids=places, return_dict=True, **options
        ).logits.float()
        return logits if self.options else logits[:, kept]

    def _mask(self, attention_mask: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """What is added to the attention scores, [batch, 1, new, past + new], for a model whose
        own code for masks depends on whether there is a past."""
        distance = rows.unsqueeze(1) - columns.unsqueeze(0)
        causal = (distance >= 0).unsqueeze(0) & attention_mask.bool().unsqueeze(1)
        # A token sees itself even where it is padding: a row without any gives no numbers.
        seen = causal | (distance == 0)
        smallest = torch.finfo(self.model.dtype).min
        zeros = torch.zeros_like(seen, dtype=self.model.dtype)
        return zeros.masked_fill(~seen, smallest).unsqueeze(1)


def _makes_masks(model: PreTrainedModel) -> bool:
    """Whether its masks are made by ``masking_utils``, and so for each layer as it needs them."""
    ids = torch.zeros(1, 2, dtype=torch.long)
    options = {"attention_mask": torch.ones_like(ids), "use_cache": False}
    with torch.inference_mode(), traceable_masks() as made:
        run_model(lambda: model(input_ids=ids, **options), [], "a row of 2 tokens")
    return bool(made)


def _share_tables(model: PreTrainedModel) -> None:
    """Makes one of equal buffers: GPT-2 has a causal mask of all positions in each layer."""
    tables: dict[tuple[str, bytes], Tensor] = {}
    for module in model.modules():
        for name, table in module.named_buffers(recurse=False):
            content = table.reshape(-1).view(torch.uint8).numpy().tobytes()
            key = (f"{table.dtype} {table.shape}", content)
            setattr(module, name, tables.setdefault(key, table))


def _cache(past: Tensor) -> DynamicCache:
    """A cache that holds ``past``. Its own ways to be filled begin each layer with an empty tensor,
    which a trace would keep as a constant, on the device that it was made on."""
    cache = DynamicCache()
    for keys, values in past.unbind(0):
        layer = DynamicLayer()
        layer.keys, layer.values = keys, values
        layer.dtype, layer.device, layer.is_initialized = past.dtype, past.device, True
        cache.layers.append(layer)
    return cache


def cache_sizes(model: PreTrainedModel) -> dict[str, int]:
    """``layers``, ``heads`` and ``head_dim`` of the keys and values that the model keeps."""
    ids = torch.zeros(1, 1, dtype=torch.long)
    try:
        with torch.inference_mode():
            cache = model(input_ids=ids, use_cache=True, return_dict=True).past_key_values
        shapes = {tuple(tensor.shape) for layer in cache for tensor in layer[:2]}
        ((_, heads, _, head_dim),) = shapes
    except Exception:  # a model's own code may raise anything
        raise ExportError(
            f"{type(model).__name__} keeps no keys and values of one shape in all layers: give a "
            "checkpoint of another architecture"
        ) from None
    return {"layers": len(cache), "heads": heads, "head_dim": head_dim}


def generation_facts(step: Step, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """What a generator's ``labelstream.json`` has beside the tokenizer's facts.

    ``eos_token_ids`` are those that ``generate()`` stops at: the generation configuration's, which
    need not be the tokenizer's. Padding is masked, so that any id will do where there is none.
    """
    settings = step.model.generation_config
    ends = settings.eos_token_id
    ends = [] if ends is None else ends if isinstance(ends, list) else [ends]
    ends = [end for end in dict.fromkeys(ends) if end >= 0]  # -1 stands for none
    count = step.model.get_input_embeddings().num_embeddings
    pads = (tokenizer.pad_token_id, settings.pad_token_id, *ends, 0)
    starts = (settings.bos_token_id, tokenizer.bos_token_id)
    return {
        "cache": step.cache,
        "pad_token_id": next(pad for pad in pads if pad is not None and 0 <= pad < count),
        "padding_side": "left",
        "bos_token_id": next((at for at in starts if at is not None and at >= 0), None),
        "eos_token_ids": ends,
    }


def step_examples(
    step: Step, lengths: list[int], past: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Random tokens with nothing in the cache but zeros.

    Args:
        lengths: real tokens of each row, padded on the left to the longest; more than ``past``.
        past: how many of the columns are in the cache already.
        generator: of the tokens.

    Returns:
        The arguments of ``Step.forward``.
    """
    shape = (len(lengths), max(lengths))
    vocabulary = step.model.get_input_embeddings().num_embeddings
    ids = torch.randint(0, vocabulary, shape, generator=generator)
    mask = (torch.arange(shape[1]) >= shape[1] - torch.tensor(lengths).unsqueeze(1)).long()
    sizes = step.cache
    cache = torch.zeros(sizes["layers"], 2, len(lengths), sizes["heads"], past, sizes["head_dim"])
    return ids[:, past:], mask, positions(mask)[:, past:], cache


def positions(mask: Tensor) -> Tensor:
    """The position of each column of an attention mask [batch, tokens]; 0 on padding."""
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


def verify_steps(
    path: Path,
    reduced: PreTrainedModel,
    original: PreTrainedModel,
    max_length: int,
    precision: str,
    above: Sequence[int] = (),
) -> dict[str, float]:
    """Loads a generator's module and holds its logits against those of the step before it was
    traced, and against those of the model given the whole texts at once.

    Batches of rows of different lengths are read at once, in chunks, and token by token, the
    longest that the model takes first.

    Args:
        path: the module.
        reduced: the model in the precision of the module.
        original: the model in fp32, which nothing was run on, and by which the step itself is
            judged.
        max_length: tokens of a prompt and of what is generated.
        precision: of the module.
        above: lengths above which the model may behave otherwise.

    Returns:
        ``texts``, the number of rows compared; ``largest_difference`` between module and step;
        ``largest_padding_difference`` between a row in any of its chunks and the model's whole
        batch. Differences are relative to the largest logit where that is above 1.

    Raises:
        ExportError: as ``verify``.
    """
    if reduced is not original:
        exact = Step(original)
        _compare(exact, exact, max_length, "fp32", above)
    module = torch.jit.load(str(path), map_location="cpu")
    check_devices(module)
    return _compare(module, Step(reduced), max_length, precision, above)


def _schedule(max_length: int, above: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """The lengths of the rows of each batch, and the chunks that it is read in."""
    middle, ragged = min(40, max_length), min(512, max_length)
    small = [
        ([ragged, ragged // 2], [ragged // 2, ragged - ragged // 2]),
        ([middle, 2, middle // 2], [1, middle // 2, middle - middle // 2 - 2, 1]),
        ([middle, 1, middle // 2], [middle]),
        ([middle // 2], [1] * (middle // 2)),
        ([1], [1]),
    ]
    crossing = [
        ([length + 1, length // 2], [length - 2, 1, 1, 1])
        for length in above
        if 8 <= length < max_length
    ]
    longest = [([max_length], [max_length // 2, max_length - max_length // 2])]
    return longest + crossing + small


def _compare(
    module: torch.jit.ScriptModule | Step,
    step: Step,
    max_length: int,
    precision: str,
    above: Sequence[int],
) -> dict[str, float]:
    generator = torch.Generator().manual_seed(SEED)
    rows, largest, largest_whole = 0, 0.0, 0.0
    with torch.inference_mode():
        for lengths, chunks in _schedule(max_length, above):
            tell(lengths)
            ids, mask, places, past = step_examples(step, lengths, 0, generator)
            ends = torch.tensor(chunks).cumsum(0) - 1
            whole = run_model(step.whole, [ids, mask, places, ends], f"rows of {lengths} tokens")
            seen = 0
            for at, chunk in enumerate(chunks):
                end = seen + chunk
                batch = (ids[:, seen:end], mask[:, :end], places[:, seen:end], past)
                what = f"rows of {lengths} tokens, {seen} of them in the cache"
                expected = run_model(step, batch, what)
                given = run(module, batch, what)
                real = mask[:, end - 1].bool()  # what a model says of padding means nothing
                for one, other in zip((given[0][real], given[1]), (expected[0][real], expected[1])):
                    if other.numel():
                        difference = difference_of(one, other)
                        check(difference, TOLERANCE[precision], what)
                        largest = max(largest, difference)
                (logits, past), seen = given, end
                if real.any():
                    difference = difference_of(logits[real], whole[real, at])
                    check(difference, WHOLE_TOLERANCE[precision], f"{what}, and all at once")
                    largest_whole = max(largest_whole, difference)
            rows += len(lengths)
    return {
        "texts": rows,
        "largest_difference": largest,
        "largest_padding_difference": largest_whole,
    }
