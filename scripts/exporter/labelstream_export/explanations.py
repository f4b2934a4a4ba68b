"""What layer integrated gradients need of a module: its embeddings, and gradients with respect to
them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from labelstream_export.errors import ExportError, last_reason_of
from labelstream_export.graph import check_devices
from labelstream_export.module import Encoder, embeddings_of, trace
from labelstream_export.rows import SEED, Rows
from labelstream_export.tasks import QUESTION_ANSWERING, SEQUENCE_CLASSIFICATION, Task
from labelstream_export.verify import PADDING_TOLERANCE as LOGITS_PADDING
from labelstream_export.verify import batches, difference_of

METHODS = ("embed", "gradients")
# A trace cannot differentiate, and DJL has one gradient collector for a whole JVM: so it is done
# inside the module. The embeddings are cloned because what ``embed`` gives under DJL is an
# inference tensor, and the mode is set because DJL turns it off in one of its threads.
GRADIENTS = """\
def gradients(self, embeddings: Tensor, index: Tensor, {inputs}) -> Tuple[Tensor, Tensor]:
    enabled = torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    given = embeddings.detach().clone().requires_grad_(True)
    logits = self.logits(given, {names}).flatten(1)
    values = logits.gather(1, index.unsqueeze(1)).squeeze(1)
    gradients = torch.autograd.grad([values.sum()], [given])[0]
    torch.set_grad_enabled(enabled)
    assert gradients is not None
    return values.detach(), gradients
"""
# Between the module's gradients and the model's own, as a share of the latter's L2 norm; and
# between those of a padded row and of the row alone, where sums run over other blocks. Attributions
# are held to the second.
GRADIENT_TOLERANCE = 1e-4
LOGITS_TOLERANCE = LOGITS_PADDING["fp32"]
PADDING_TOLERANCE = 1e-3
# How much of the longest text is compared, in tokens: what is kept for a backward pass grows with
# it, and what depends on the length shows in the logits, which are compared up to the longest.
LONGEST = 512


def trace_explained(encoder: Encoder, examples: tuple[Tensor, ...]) -> torch.jit.ScriptModule:
    """Traces an encoder with ``embed`` and ``gradients`` beside ``forward``.

    ``gradients(embeddings, index, *tensors)`` takes float32 [batch, tokens, hidden], int64 [batch]
    and the arguments of ``forward``. ``index`` counts the logits of a row, flattened: a class,
    ``token * num_labels + class``, or ``token * 2`` for a start and one more for an end. It
    returns these logits, float32 [batch], and the derivative of each with respect to the
    embeddings of its row, float32 [batch, tokens, hidden].

    Args:
        encoder: in float32.
        examples: the arguments of ``forward``.

    Raises:
        ExportError: the model cannot be traced so.
    """
    if encoder.left:
        raise ExportError("its padding stands on the left")
    with torch.no_grad():
        embeddings = encoder.embed(*examples)
    if not isinstance(embeddings, Tensor) or embeddings.dim() != 3:
        raise ExportError("its embeddings module does not give one vector for each token")
    module = trace(
        encoder,
        {"forward": examples, "embed": examples, "logits": (embeddings, *examples)},
    )
    names = ", ".join(encoder.inputs)
    module.define(
        GRADIENTS.format(names=names, inputs=names.replace(",", ": Tensor,") + ": Tensor")
    )
    return module


def verify_explained(
    path: Path,
    task: Task,
    model: PreTrainedModel,
    rows: Rows,
    max_length: int,
) -> dict[str, float]:
    """Loads the module and holds its embeddings, logits and gradients, for rows of different
    lengths in one batch, against what PyTorch's autograd gives for the model and each row alone.

    Args:
        path: the module.
        model: in float32.
        rows: to compare.

    Returns:
        ``texts``, the number of rows compared; ``largest_gradient_difference`` between module and
        model, and ``largest_padding_difference`` between a row of a batch and that row alone, both
        relative in the L2 norm of a batch.

    Raises:
        ExportError: a difference is above its tolerance, or the module cannot be run, or is bound
            to a device.
    """
    generator = torch.Generator().manual_seed(SEED)
    inputs = rows.inputs
    module = torch.jit.load(str(path), map_location="cpu")
    check_devices(module)
    width = 2 if task is QUESTION_ANSWERING else model.config.num_labels
    count, largest, largest_padding = 0, 0.0, 0.0
    for lengths in batches(min(max_length, LONGEST)):
        lengths = rows.lengths(lengths)
        batch = rows.batch(lengths)
        places = 1 if task is SEQUENCE_CLASSIFICATION else torch.tensor(lengths)
        drawn = torch.rand(len(lengths), generator=generator)
        index = (drawn * width * places).long()
        what = f"rows of {lengths} tokens"
        try:
            with torch.inference_mode():  # as DJL calls these
                embeddings, logits = module.embed(*batch), module(*batch)
            values, given = module.gradients(embeddings, index, *batch)
        except RuntimeError as error:
            raise ExportError(
                f"there are no gradients of {what} ({last_reason_of(error)})"
            ) from error
        seen = dict(zip(inputs, batch))["attention_mask"].unsqueeze(-1)
        alone, own_embeddings = torch.zeros_like(given), torch.zeros_like(embeddings)
        own_values = torch.zeros_like(values)
        for row, length in enumerate(lengths):
            single = [tensor[row : row + 1, :length] for tensor in batch]
            made = _autograd(model, task, inputs, single, index[row : row + 1])
            own_embeddings[row, :length], own_values[row], alone[row, :length] = (
                made[0][0],
                made[1][0],
                made[2][0],
            )
            if min(lengths) == max(lengths):
                difference = relative_difference(given[row], alone[row])
                _check(difference, GRADIENT_TOLERANCE, f"gradients, {what}")
                largest = max(largest, difference)
        for name, one, other in (
            ("embeddings", embeddings * seen, own_embeddings),
            ("logits", _at(logits, index), own_values),
            ("logits of the embeddings", values, own_values),
        ):
            _check(difference_of(one, other), LOGITS_TOLERANCE, f"{name}, {what}")
        difference = relative_difference(given * seen, alone)
        _check(difference, PADDING_TOLERANCE, f"gradients, {what} and each alone")
        largest_padding = max(largest_padding, difference)
        count += len(lengths)
    return {
        "texts": count,
        "largest_gradient_difference": largest,
        "largest_padding_difference": largest_padding,
    }


def _autograd(
    model: PreTrainedModel,
    task: Task,
    inputs: Sequence[str],
    batch: Sequence[Tensor],
    index: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The model's embeddings, the logits at ``index``, and their gradients, by autograd alone."""
    made: list[Tensor] = []

    def differentiate(module: nn.Module, arguments: Any, output: Tensor) -> Tensor:
        made.append(output.detach().requires_grad_(True))
        return made[-1]

    handle = embeddings_of(model).register_forward_hook(differentiate)
    try:
        with torch.enable_grad():
            outputs = model(**dict(zip(inputs, batch)), return_dict=False)
            span = task is QUESTION_ANSWERING
            logits = torch.stack(outputs[:2], dim=-1) if span else outputs[0]
            values = _at(logits, index)
            if len(made) != 1:
                raise ExportError(f"its embeddings module is run {len(made)} times")
            (gradients,) = torch.autograd.grad(values.sum(), made)
    finally:
        handle.remove()
    return made[0].detach(), values.detach(), gradients


def _at(logits: Tensor, index: Tensor) -> Tensor:
    return logits.flatten(1).gather(1, index.unsqueeze(1)).squeeze(1)


def relative_difference(given: Tensor, expected: Tensor) -> float:
    """The L2 norm of the difference as a share of that of ``expected``; NaN where the two are not
    of one shape and type, or no numbers."""
    if given.shape != expected.shape or given.dtype != expected.dtype:
        return float("nan")
    return ((given - expected).norm() / expected.norm().clamp(min=1e-30)).item()


def _check(difference: float, allowed: float, what: str) -> None:
    if not difference <= allowed:  # so that NaN is refused too
        raise ExportError(
            f"what explanations need does not agree with the checkpoint ({what}: they differ by "
            f"{difference:.2g}, allowed is {allowed:.0e})"
        )
