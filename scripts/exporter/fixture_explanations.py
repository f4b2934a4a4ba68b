"""What the reference gives for explanations: Captum's layer integrated gradients on a checkpoint's
own model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from captum.attr import LayerIntegratedGradients
from torch import Tensor
from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerFast

from labelstream_export.tasks import QUESTION_ANSWERING, SEQUENCE_CLASSIFICATION, Task

STEPS = 50
PARTS = ("start", "end")  # of an answer, in the order of the logits


@dataclass(frozen=True)
class Explanation:
    """Layer integrated gradients of one logit.

    Attributes:
        attributions: float32 [tokens, hidden].
        delta: the sum of the attributions, less ``value - baseline``.
        value: the logit of the text.
        baseline: the logit of the same with the padding token for each token of the text.
    """

    attributions: Tensor
    delta: float
    value: float
    baseline: float

    @property
    def sums(self) -> Tensor:
        """Attributions summed over the hidden dimension, float32 [tokens]."""
        return self.attributions.sum(dim=-1)

    @property
    def importances(self) -> Tensor:
        """The sums, divided by their L2 norm; zeros where that is zero. Float32 [tokens]."""
        norm = self.sums.norm()
        return self.sums / norm if norm > 0 else self.sums


def encode(tokenizer: PreTrainedTokenizerFast, given: dict[str, str]) -> BatchEncoding:
    """A text, or a question with its context, cut to what the model sees.

    Returns:
        Tensors int64 [1, tokens], ``special_tokens_mask`` among them.
    """
    texts = [given[key] for key in ("text", "question", "context") if key in given]
    return tokenizer(*texts, truncation=True, return_special_tokens_mask=True, return_tensors="pt")


def model_tensors(encoded: BatchEncoding) -> dict[str, Tensor]:
    """What the model takes, of what ``encode`` returned."""
    return {name: value for name, value in encoded.items() if name != "special_tokens_mask"}


def baseline_ids(encoded: BatchEncoding, pad: int) -> Tensor:
    """The ids with the padding id for each that is not special, int64 [1, tokens]."""
    return torch.where(encoded["special_tokens_mask"].bool(), encoded["input_ids"], pad)


def attribute(
    model: PreTrainedModel,
    task: Task,
    encoded: BatchEncoding,
    target: int | tuple[int, int],
    steps: int = STEPS,
    rows: int = 10,
) -> tuple[Tensor, float]:
    """Captum's layer integrated gradients of one logit.

    Args:
        model: in evaluation mode.
        task: the model's.
        encoded: as ``encode`` returned it.
        target: a class; token and class; or token and 0 for a start, 1 for an end.
        steps: of the Gauss-Legendre rule.
        rows: how many of the steps run as one batch.

    Returns:
        Attributions, float32 [tokens, hidden], and the convergence delta.
    """
    ids, others, run = _prepare(model, task, encoded)
    attributions, delta = LayerIntegratedGradients(run, model.base_model.embeddings).attribute(
        ids,
        baselines=baseline_ids(encoded, model.config.pad_token_id),
        additional_forward_args=others,
        target=target,
        n_steps=steps,
        method="gausslegendre",
        internal_batch_size=rows,
        return_convergence_delta=True,
    )
    return attributions[0].detach(), delta.item()


def explain(
    model: PreTrainedModel,
    task: Task,
    encoded: BatchEncoding,
    target: int | tuple[int, int],
    steps: int = STEPS,
) -> Explanation:
    """What ``attribute`` gives, and the logit at both ends of the path."""
    attributions, delta = attribute(model, task, encoded, target, steps)
    ids, others, run = _prepare(model, task, encoded)
    baseline = baseline_ids(encoded, model.config.pad_token_id)
    place = (0, target) if task is SEQUENCE_CLASSIFICATION else (0, *target)
    with torch.inference_mode():
        value, start = run(ids, *others)[place].item(), run(baseline, *others)[place].item()
    return Explanation(attributions, delta, value, start)


def _prepare(
    model: PreTrainedModel, task: Task, encoded: BatchEncoding
) -> tuple[Tensor, tuple[Tensor, ...], Callable[..., Tensor]]:
    """The ids, the model's other tensors, and the logits as a function of both."""
    tensors = model_tensors(encoded)
    ids, others = tensors.pop("input_ids"), tuple(tensors.values())

    def run(ids: Tensor, *others: Tensor) -> Tensor:
        outputs = model(ids, **dict(zip(tensors, others)), return_dict=False)
        return torch.stack(outputs[:2], dim=-1) if task is QUESTION_ANSWERING else outputs[0]

    return ids, others, run
