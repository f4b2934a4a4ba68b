"""A module that was traced elsewhere, as archives in ``save_mode: torchscript`` hold it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from labelstream_export.errors import ExportError
from labelstream_export.graph import check_devices
from labelstream_export.rows import Rows
from labelstream_export.tasks import QUESTION_ANSWERING, SEQUENCE_CLASSIFICATION, Task
from labelstream_export.verify import PADDING_TOLERANCE, batches, check, difference_of, run, tell

INPUTS = ("input_ids", "attention_mask")
NAMES = {QUESTION_ANSWERING: ("start_logits", "end_logits")}


class Traced(nn.Module):
    """The traced module behind the outputs that the task's model folders have."""

    def __init__(self, model: torch.jit.ScriptModule, task: Task) -> None:
        super().__init__()
        self.model = model
        self.names = NAMES.get(task, ("logits",))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits.

        Args:
            input_ids: int64 [batch, tokens].
            attention_mask: int64 [batch, tokens].

        Returns:
            float32 [batch, num_labels], [batch, tokens, num_labels], or, for question answering,
            [batch, tokens, 2].
        """
        outputs = self.model(input_ids, attention_mask)
        if isinstance(outputs, Tensor):
            outputs = (outputs,)
        if isinstance(outputs, dict):
            outputs = tuple(outputs[name] for name in self.names)
        if len(self.names) == 1:
            return outputs[0].float()
        return torch.stack((outputs[0], outputs[1]), dim=-1).float()


def load_traced(file: Path, task: Task) -> Traced:
    """Loads a traced module.

    Raises:
        ExportError: it is none.
    """
    try:
        module = torch.jit.load(str(file), map_location="cpu").eval()
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ExportError(
            f"{file.name} is no TorchScript module ({reason}): archive what torch.jit.save wrote, "
            "or the checkpoint with save_mode pretrained"
        ) from error
    return Traced(module, task)


def verify_traced(
    path: Path, traced: Traced, task: Task, tokenizer: PreTrainedTokenizerFast, max_length: int
) -> dict[str, float]:
    """Holds the written module against the one of the archive, and each row of a batch against the
    row alone: a trace may be bound to the shape of its example.

    Returns:
        As ``verify``.

    Raises:
        ExportError: as ``verify``.
    """
    rows = Rows(tokenizer, len(tokenizer), INPUTS, task is QUESTION_ANSWERING)
    module = torch.jit.load(str(path), map_location="cpu")
    check_devices(module)
    count, largest, largest_padding = 0, 0.0, 0.0
    with torch.inference_mode():
        for lengths in batches(max_length):
            lengths = rows.lengths(lengths)
            tell(lengths)
            batch = rows.batch(lengths)
            what = f"rows of {lengths} tokens"
            logits = run(module, batch, what)
            difference = difference_of(logits, run(traced, batch, what))
            check(difference, PADDING_TOLERANCE["fp32"], what)
            largest = max(largest, difference)
            for row, length in enumerate(lengths):
                alone = run(module, [tensor[row : row + 1, :length] for tensor in batch], what)
                kept = logits[row : row + 1]
                if task is not SEQUENCE_CLASSIFICATION:
                    kept = kept[:, :length]
                difference = difference_of(kept, alone)
                check(difference, PADDING_TOLERANCE["fp32"], f"{what} and of {length} alone")
                largest_padding = max(largest_padding, difference)
            count += len(lengths)
    return {
        "texts": count,
        "largest_difference": largest,
        "largest_padding_difference": largest_padding,
    }


def class_count(traced: Traced, tokenizer: PreTrainedTokenizerFast) -> int:
    """How many classes the module tells apart."""
    batch = Rows(tokenizer, len(tokenizer), INPUTS).batch([5])
    with torch.inference_mode():
        return run(traced, batch, "a row of 5 tokens").shape[-1]
