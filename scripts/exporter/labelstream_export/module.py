"""The TorchScript side of a checkpoint: what is traced, and under which conditions."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from labelstream_export.errors import ExportError, reason_of
from labelstream_export.experts import every_expert
from labelstream_export.masks import traceable_masks
from labelstream_export.rows import INPUTS
from labelstream_export.tasks import (
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    TOKEN_CLASSIFICATION,
    Task,
)

# What stands in for the id of padding, and of an end that is not a text's last one, where a model
# looks for these ids: no text gives them.
PADDING, EARLIER_END = -1, -2
# How far rows of a batch may be from the same rows alone, for padding to stand on the right side.
AGREES = 1e-3


class Encoder(nn.Module):
    """A model that reads a whole text at once, as a module of plain tensors.

    ``forward`` becomes a method of the TorchScript module, and where texts are to be explained so
    do ``embed`` and ``logits``, which are its two halves: for the same tensors,
    ``forward(*tensors)`` is ``logits(embed(*tensors), *tensors)``.
    """

    def __init__(self, model: PreTrainedModel, inputs: Sequence[str], left: bool = False) -> None:
        """
        Args:
            model: keeps no cache from now on. Where it finds the end of a text by an id, that of
                padding or of an end, it is made to find it by the attention mask.
            inputs: of ``INPUTS``.
            left: whether it needs its padding on the left. Rows come with theirs on the right, and
                go so.
        """
        super().__init__()
        self.model = model
        self.inputs = tuple(inputs)
        self.left = left
        for module in model.modules():
            if isinstance(getattr(module, "config", None), PretrainedConfig):
                module.config.use_cache = False
        code = inspect.getsource(inspect.unwrap(type(model).forward))
        self.ends_by_padding = "pad_token_id" in code
        self.ends_by_end = "eos_mask" in code
        if self.ends_by_padding:
            padding, count = model.config.pad_token_id, len(model.get_input_embeddings().weight)
            if padding is None or not 0 <= padding < count:
                model.config.pad_token_id = PADDING
        if self.ends_by_padding or self.ends_by_end:
            _read_stand_ins(model)

    def outputs(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What the model returns for one int64 tensor [batch, tokens] for each of ``inputs``."""
        given = dict(zip(self.inputs, tensors))
        mask = given["attention_mask"]
        if self.left:
            given = {name: _turned(tensor, mask, 1) for name, tensor in given.items()}
        ids, seen = given["input_ids"], given["attention_mask"] != 0
        if self.ends_by_padding:
            ids = ids.masked_fill(~seen, self.model.config.pad_token_id)
        if self.ends_by_end:
            ends = (ids == self.model.config.eos_token_id) & seen
            later = ends.flip(1).cumsum(dim=1).flip(1) - ends.long()
            ids = ids.masked_fill(ends & (later > 0), EARLIER_END)
        given["input_ids"] = ids
        return self.model(**given, return_dict=False)

    def in_place(self, logits: Tensor, tensors: Sequence[Tensor]) -> Tensor:
        """Logits of tokens [batch, tokens, ...] in the order of ``tensors``."""
        mask = dict(zip(self.inputs, tensors))["attention_mask"]
        return _turned(logits, mask, -1) if self.left else logits

    def embed(self, *tensors: Tensor) -> Tensor:
        """What the embeddings module (see ``embeddings_path``) gives.

        Args:
            tensors: as ``forward``'s.

        Returns:
            float32 [batch, tokens, hidden], where hidden is the width of the embeddings.
        """

        def stop(module: nn.Module, arguments: tuple, output: Tensor) -> None:
            raise _EmbeddedError(output)

        # The model is left as soon as they are made, so that a trace holds nothing else.
        handle = embeddings_of(self.model).register_forward_hook(stop)
        try:
            self.outputs(tensors)
        except _EmbeddedError as embedded:
            return embedded.output
        finally:
            handle.remove()
        raise ExportError(f"{type(self.model).__name__} does not use its embeddings module")

    def logits(self, embeddings: Tensor, *tensors: Tensor) -> Tensor:
        """What ``forward`` gives where the embeddings module gives ``embeddings``.

        Args:
            embeddings: float32 [batch, tokens, hidden].
            tensors: as ``forward``'s.
        """
        replaced = embeddings_of(self.model)
        replaced.forward = lambda *arguments, **options: embeddings
        try:
            return type(self).forward(self, *tensors)  # all of it
        finally:
            del replaced.forward


def _turned(tensor: Tensor, mask: Tensor, way: int) -> Tensor:
    """Rows with their padding on the other side.

    Args:
        tensor: [batch, tokens, ...].
        mask: int64 [batch, tokens], 0 on padding, which stands on the right.
        way: 1 from right to left, -1 back.
    """
    places = torch.arange(mask.shape[1], device=mask.device).unsqueeze(0)
    index = (places + way * mask.sum(dim=1, keepdim=True)) % mask.shape[1]
    for _ in range(tensor.dim() - 2):
        index = index.unsqueeze(-1)
    return tensor.gather(1, index.expand_as(tensor))


def _read_stand_ins(model: PreTrainedModel) -> None:
    """Lets the embeddings of tokens read ``PADDING`` and ``EARLIER_END``."""
    ends = model.config.eos_token_id
    end = ends if isinstance(ends, int) and ends >= 0 else 0

    def real(module: nn.Module, arguments: tuple) -> tuple:
        ids = arguments[0]
        if ids.is_floating_point():
            return arguments
        return (ids.masked_fill(ids == PADDING, 0).masked_fill(ids == EARLIER_END, end),)

    count = len(model.get_input_embeddings().weight)
    for module in model.modules():
        if isinstance(module, nn.Embedding) and module.num_embeddings == count:
            module.register_forward_pre_hook(real)


class _EmbeddedError(Exception):
    """Carries the output of the embeddings module out of the model."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output


class SequenceClassifier(Encoder):
    """A classifier of texts."""

    def forward(self, *tensors: Tensor) -> Tensor:
        """Logits.

        Args:
            tensors: one int64 tensor [batch, tokens] for each of ``inputs``, in that order.

        Returns:
            float32 [batch, num_labels].
        """
        return self.outputs(tensors)[0].float()


class TokenClassifier(Encoder):
    """A classifier of each token of a text."""

    def forward(self, *tensors: Tensor) -> Tensor:
        """Logits.

        Args:
            tensors: one int64 tensor [batch, tokens] for each of ``inputs``, in that order.

        Returns:
            float32 [batch, tokens, num_labels].
        """
        return self.in_place(self.outputs(tensors)[0].float(), tensors)


class SpanFinder(Encoder):
    """A model that tells where an answer starts and where it ends."""

    def forward(self, *tensors: Tensor) -> Tensor:
        """Logits of each token as the first and as the last one of the answer.

        Args:
            tensors: one int64 tensor [batch, tokens] for each of ``inputs``, in that order.

        Returns:
            float32 [batch, tokens, 2].
        """
        start, end = self.outputs(tensors)[:2]
        return self.in_place(torch.stack((start, end), dim=-1).float(), tensors)


ENCODERS = {
    SEQUENCE_CLASSIFICATION: SequenceClassifier,
    TOKEN_CLASSIFICATION: TokenClassifier,
    QUESTION_ANSWERING: SpanFinder,
}


def model_inputs(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """The inputs that a pipeline would give the model: what its tokenizer makes, of what it takes.

    Raises:
        ExportError: the tokenizer makes something that cannot be exported.
    """
    made = set(tokenizer("a text"))
    taken = made & set(inspect.signature(model.forward).parameters)
    unknown = taken - set(INPUTS)
    if unknown or "input_ids" not in taken or "attention_mask" not in taken:
        raise ExportError(
            f"{type(model).__name__} takes {', '.join(sorted(taken)) or 'none'} of what its "
            f"tokenizer makes, and only {', '.join(INPUTS)} (the first two always) can be exported"
            ": give another checkpoint"
        )
    return [name for name in INPUTS if name in taken]


def encoder_of(
    task: Task, model: PreTrainedModel, inputs: Sequence[str], example: Sequence[Tensor]
) -> Encoder:
    """The model as a module of plain tensors, with its padding on the side that it needs.

    Args:
        example: rows of different lengths, a tensor for each of ``inputs``.
    """
    kind = ENCODERS[task]
    right = kind(model, inputs)
    lengths = example[1].sum(dim=1).tolist()
    what = f"rows of {lengths} tokens"
    with torch.inference_mode():
        singles = [
            run_model(right, [tensor[row : row + 1, :length] for tensor in example], what)[0]
            for row, length in enumerate(lengths)
        ]
        for encoder in (right, kind(model, inputs, left=True)):
            together = run_model(encoder, example, what)
            if task is not SEQUENCE_CLASSIFICATION:
                together = [logits[:length] for logits, length in zip(together, lengths)]
            pairs = zip(together, singles)
            if all(torch.allclose(one, other, AGREES, AGREES) for one, other in pairs):
                return encoder
    return right


def run_model(model: Callable[..., Any], arguments: Sequence[Any], what: str) -> Any:
    """What the checkpoint's own model gives.

    Raises:
        ExportError: it fails.
    """
    try:
        return model(*arguments)
    except Exception as error:  # a model's own code may raise anything
        raise ExportError(
            f"the checkpoint's own model fails on {what} ({reason_of(error)}): give --max-length "
            "where it is the length, or another checkpoint"
        ) from error


def trace(module: nn.Module, examples: Mapping[str, tuple[Tensor, ...]]) -> torch.jit.ScriptModule:
    """Traces methods of a module.

    Args:
        module: has the attribute ``model``.
        examples: the arguments of each method, by its name.

    Raises:
        ExportError: the model cannot be traced.
    """
    with (
        warnings.catch_warnings(),
        torch.no_grad(),
        traceable_masks(),
        every_expert(),
        own_code(module.model),
    ):
        warnings.simplefilter("ignore")  # tracer warnings: the comparison with the model decides
        return torch.jit.trace_module(module, dict(examples), check_trace=False)


@contextmanager
def own_code(model: nn.Module) -> Iterator[None]:
    """What a model's own code raises within, run in the way in which it is traced, is a sentence.

    Raises:
        ExportError: it fails so.
    """
    try:
        yield
    except ExportError:
        raise
    except Exception as error:  # it may raise anything
        raise ExportError(
            f"{type(model).__name__} cannot be traced ({reason_of(error)}): give a "
            "checkpoint of another architecture"
        ) from error


def embeddings_path(model: PreTrainedModel) -> str:
    """The dotted path of the embeddings module (``bert.embeddings``): word, position and type
    embeddings together where the model has such a module, else the word embeddings alone."""
    base = model.base_model
    words = model.get_input_embeddings()
    found = getattr(base, "embeddings", None)
    wanted = found if isinstance(found, nn.Module) else words
    return next(name for name, module in model.named_modules() if module is wanted)


def embeddings_of(model: PreTrainedModel) -> nn.Module:
    """The module at ``embeddings_path``."""
    return model.get_submodule(embeddings_path(model))


def padding_id(tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel) -> int:
    """The id that rows are padded with: the tokenizer's, unless it has none or the model has no
    embedding for it. Padding is masked, so that any other does as well."""
    count = model.get_input_embeddings().num_embeddings
    ids = (tokenizer.pad_token_id, model.config.pad_token_id, tokenizer.eos_token_id, 0)
    return next(at for at in ids if isinstance(at, int) and 0 <= at < count)


def position_limit(model: PreTrainedModel) -> int | None:
    """How many tokens the model has positions for, or None where it has no such limit.

    Models of the RoBERTa family count positions from the padding id on, so that
    ``max_position_embeddings`` promises more than there is.
    """
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            reserved = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - reserved
    limit = getattr(model.config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None  # XLNet writes -1
