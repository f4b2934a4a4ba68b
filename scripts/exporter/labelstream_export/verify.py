"""Compares a written module with the checkpoint's own model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labelstream_export.errors import ExportError, last_reason_of
from labelstream_export.graph import check_devices
from labelstream_export.module import Encoder, run_model
from labelstream_export.progress import say
from labelstream_export.rows import Rows
from labelstream_export.tasks import QUESTION_ANSWERING, SEQUENCE_CLASSIFICATION, Task

# Between the module and the model on the same batch: libtorch fuses operators and rounds otherwise.
# In reduced precision a last bit of an activation may fall on either side of a step.
TOLERANCE = {"fp32": 5e-5, "bf16": 0.2, "int8": 0.2}
# Between a padded row and the same row alone: there the model's own sums run over other blocks, and
# their rounding is not the export's. This is the tolerance of scores. In reduced precision the
# difference is told but not judged: int8 has one scale for a whole batch, and what it costs is
# measured as agreement.
PADDING_TOLERANCE = {"fp32": 1e-4, "bf16": float("inf"), "int8": float("inf")}
# From this many tokens on a comparison takes so long that it is told of.
LONG = 2048


def verify(
    path: Path,
    task: Task,
    encoder: Encoder,
    rows: Rows,
    max_length: int,
    precision: str,
    above: Sequence[int] = (),
) -> dict[str, float]:
    """Loads the module of an encoder and holds its logits against the model's, for rows of all
    lengths, the longest first.

    Each batch must give what the model gives for that batch, and each of its rows what the model
    gives for that row alone, without padding.

    Args:
        path: the module.
        encoder: around a model that nothing was run on, in the precision of the module.
        rows: to compare.
        above: lengths above which the model may behave otherwise.

    Returns:
        ``texts``, the number of rows compared; ``largest_difference`` between module and model;
        ``largest_padding_difference`` between a row of a batch and that row alone. Differences are
        relative to the largest logit where that is above 1.

    Raises:
        ExportError: a difference is above its tolerance, or the module cannot be run, or is bound
            to a device.
    """
    module = torch.jit.load(str(path), map_location="cpu")
    check_devices(module)
    model = encoder.model

    def alone(*tensors: Tensor) -> Tensor:
        outputs = model(**dict(zip(encoder.inputs, tensors)), return_dict=False)
        if task is QUESTION_ANSWERING:
            return torch.stack(outputs[:2], dim=-1).float()
        return outputs[0].float()

    count, largest, largest_padding = 0, 0.0, 0.0
    with torch.inference_mode():
        for lengths in batches(max_length, above):
            lengths = rows.lengths(lengths)
            tell(lengths)
            batch = rows.batch(lengths)
            logits = run(module, batch, f"rows of {lengths} tokens")
            expected = run_model(encoder, batch, f"rows of {lengths} tokens")
            difference = difference_of(logits, expected)
            check(difference, TOLERANCE[precision], f"rows of {lengths} tokens in one batch")
            largest = max(largest, difference)
            for row, length in enumerate(lengths):
                what = f"a row of {length} tokens, padded to {max(lengths)} and alone"
                single = [tensor[row : row + 1, :length] for tensor in batch]
                kept = logits[row : row + 1]
                if task is not SEQUENCE_CLASSIFICATION:
                    kept = kept[:, :length]
                difference = difference_of(kept, run_model(alone, single, what))
                check(difference, PADDING_TOLERANCE[precision], what)
                largest_padding = max(largest_padding, difference)
            count += len(lengths)
    return {
        "texts": count,
        "largest_difference": largest,
        "largest_padding_difference": largest_padding,
    }


def batches(max_length: int, above: Sequence[int] = ()) -> list[list[int]]:
    """Lengths of the rows of each batch: the longest that the model takes, one above each
    threshold, ragged and even batches, a single row, one token alone."""
    short, middle = min(7, max_length), max(1, max_length // 3)
    # What a batch of long rows costs is spent on the longest alone.
    ragged = min(max_length, 512)
    return [
        [max_length],
        *([length, min(5, length)] for length in above if length < max_length),
        [ragged, 2, max(1, ragged // 3)],
        [3, min(middle, 170), min(middle, 170), 1, 2, short, 3, 2],
        [min(middle, 170), 1, short, 2],
        [short],
        [1, 1, 1],
        [1],
    ]


def tell(lengths: Sequence[int]) -> None:
    """Says that long rows are being compared, which takes its time."""
    if max(lengths) >= LONG:
        say(f"comparing {'rows' if len(lengths) > 1 else 'a row'} of {max(lengths)} tokens")


def run(module: torch.jit.ScriptModule, batch: Sequence[Tensor], what: str) -> Any:
    """What the module gives for the batch.

    Raises:
        ExportError: it fails.
    """
    try:
        return module(*batch)
    except RuntimeError as error:
        raise ExportError(
            f"the exported module fails on {what} ({last_reason_of(error)}): this checkpoint "
            "cannot be exported"
        ) from error


def check(difference: float, allowed: float, what: str) -> None:
    """Holds a difference against what is allowed.

    Raises:
        ExportError: it is larger, or not a number.
    """
    if not difference <= allowed:  # so that NaN is refused too
        raise ExportError(
            f"the exported module does not agree with the checkpoint ({what}: the logits differ by "
            f"{difference:.2g}, allowed is {allowed:.0e}): this checkpoint cannot be exported"
        )


def difference_of(given: Tensor, expected: Tensor) -> float:
    """The largest difference, relative to the largest expected number where that is above 1; NaN
    where the two are not of one shape and type, or no numbers."""
    if given.shape != expected.shape or given.dtype != expected.dtype:
        return float("nan")
    return ((given - expected).abs().max() / expected.abs().max().clamp(min=1)).item()
