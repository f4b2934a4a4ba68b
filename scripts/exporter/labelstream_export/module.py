"""The TorchScript side of a checkpoint: what is traced, and under which conditions."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from labelstream_export.errors import ExportError
from labelstream_export.tasks import (
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    TOKEN_CLASSIFICATION,
)

# In which order a module takes them; no other input can be exported.
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class Encoder(nn.Module):
    """A model that reads a whole text at once, as a module of plain tensors.

    ``forward`` becomes a method of the TorchScript module, and where texts are to be explained so
    do ``embed`` and ``logits``, which are its two halves: for the same tensors,
    ``forward(*tensors)`` is ``logits(embed(*tensors), *tensors)``.
    """

    def __init__(self, model: PreTrainedModel, inputs: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.inputs = tuple(inputs)

    def outputs(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What the model returns for one int64 tensor [batch, tokens] for each of ``inputs``."""
        return self.model(**dict(zip(self.inputs, tensors)), return_dict=False)

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
            return self.forward(*tensors)
        finally:
            del replaced.forward


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
        return self.outputs(tensors)[0].float()


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
        return torch.stack((start, end), dim=-1).float()


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
            f"{type(model).__name__} with {type(tokenizer).__name__} takes {sorted(taken)}, and "
            f"only {', '.join(INPUTS)} can be exported (the first two are required): give another "
            "checkpoint"
        )
    return [name for name in INPUTS if name in taken]


def example_inputs(
    inputs: Sequence[str],
    lengths: Sequence[int],
    tokenizer: PreTrainedTokenizerFast,
    vocabulary: int,
    generator: torch.Generator,
) -> tuple[Tensor, ...]:
    """Random rows of the given lengths, padded on the right to the longest.

    Returns:
        One int64 tensor [len(lengths), max(lengths)] for each of ``inputs``.
    """
    shape = (len(lengths), max(lengths))
    ends = torch.tensor(lengths).unsqueeze(1)
    mask = (torch.arange(shape[1]) < ends).long()
    ids = torch.randint(0, vocabulary, shape, generator=generator)
    # Some models tell padding by its id, so that no real token may carry it.
    ids[ids == tokenizer.pad_token_id] = (tokenizer.pad_token_id + 1) % vocabulary
    tensors = {
        "input_ids": torch.where(mask.bool(), ids, tokenizer.pad_token_id),
        "attention_mask": mask,
        # The second half of each row is a second sentence.
        "token_type_ids": (torch.arange(shape[1]) >= ends // 2).long() * mask,
    }
    return tuple(tensors[name] for name in inputs)


def trace(module: nn.Module, examples: Mapping[str, tuple[Tensor, ...]]) -> torch.jit.ScriptModule:
    """Traces methods of a module.

    Args:
        module: has the attribute ``model``.
        examples: the arguments of each method, by its name.

    Raises:
        ExportError: the model cannot be traced.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracer warnings: the comparison with the model decides
        try:
            return torch.jit.trace_module(module, dict(examples), check_trace=False)
        except Exception as error:  # the tracer runs the model's own code, which may raise anything
            reason = str(error).strip().splitlines()[0]
            raise ExportError(
                f"{type(module.model).__name__} cannot be traced ({reason}): give a checkpoint of "
                "another architecture"
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


def position_limit(model: PreTrainedModel) -> int | None:
    """How many tokens the model has positions for, or None where it has no such limit.

    Models of the RoBERTa family count positions from the padding id on, so that
    ``max_position_embeddings`` promises more than there is.
    """
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            reserved = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - reserved
    return getattr(model.config, "max_position_embeddings", None)
