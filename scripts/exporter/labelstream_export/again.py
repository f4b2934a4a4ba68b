"""A model folder checked again: on another machine, or against its checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labelstream_export.checkpoint import load_checkpoint
from labelstream_export.errors import ExportError
from labelstream_export.generation import step_examples, verify_steps
from labelstream_export.graph import check_devices
from labelstream_export.lengths import thresholds
from labelstream_export.module import encoder_of
from labelstream_export.progress import say
from labelstream_export.quantized import judged_by
from labelstream_export.reader import check_folder
from labelstream_export.rows import SEED, Rows
from labelstream_export.tasks import QUESTION_ANSWERING, TEXT_GENERATION, find_task
from labelstream_export.verify import TOLERANCE, run, verify

# What is kept of the logits of a row: the largest ones, by their place.
KEPT = 8
LENGTHS = (5, 17)


def probes(
    model: Any, batches: Sequence[Sequence[Tensor]], inputs: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows, and what the checkpoint's model gives for them, to be kept in ``labelstream.json``.

    Args:
        model: as a module of plain tensors, in the precision of the module.
        batches: the arguments of ``forward``, of one row each.
        inputs: their names.

    Returns:
        For each row the arguments that are ids or masks, and ``logits``: pairs of a place in the
        flattened logits and the number there.
    """
    kept = []
    with torch.inference_mode():
        for batch in batches:
            logits = _logits(model(*batch))
            best = logits.topk(min(KEPT, logits.numel()))
            tensors = {
                name: tensor[0].tolist() for name, tensor in zip(inputs, batch) if name != "past"
            }
            pairs = zip(best.indices.tolist(), best.values.tolist())
            kept.append({**tensors, "logits": [[at, round(value, 6)] for at, value in pairs]})
    return kept


def probe_batches(model: Any, rows: Rows | None, max_length: int) -> list[tuple[Tensor, ...]]:
    """A row of each of ``LENGTHS``."""
    lengths = sorted({min(length, max_length) for length in LENGTHS})
    if rows is not None:
        return [rows.batch([length]) for length in lengths]
    generator = torch.Generator().manual_seed(SEED)
    return [step_examples(model, [length], 0, generator) for length in lengths]


def _logits(outputs: Any) -> Tensor:
    return (outputs[0] if isinstance(outputs, tuple) else outputs)[0].flatten()


def verify_folder(
    folder: Path, checkpoint: str | None = None, tokenizer: str | None = None
) -> None:
    """Reads a model folder as the job does, runs its module on this machine, and holds it against
    what its checkpoint gave when it was exported; and against the checkpoint, where there is one.

    Raises:
        ExportError: the folder is not whole, or its module gives other numbers.
    """
    manifest = check_folder(Path(folder))
    say(f"{folder} is whole, and the job can read it")
    module = torch.jit.load(str(Path(folder) / "model.pt"), map_location="cpu").eval()
    check_devices(module)
    kept = manifest["checked"].get("probes", [])
    largest = max((_difference(module, manifest, probe) for probe in kept), default=0.0)
    allowed = TOLERANCE[manifest["precision"]]
    if not largest <= allowed:
        raise ExportError(
            f"on this machine {Path(folder).name} gives other numbers than its checkpoint gave "
            f"(the logits differ by {largest:.2g}, allowed is {allowed:.0e}): export it here"
        )
    if kept:
        say(f"{len(kept)} rows agree with what was kept of them, largest difference {largest:.1e}")
    elif checkpoint is None:
        raise ExportError(
            f"{Path(folder).name} keeps no rows to compare, as an older exporter wrote it: give "
            "its checkpoint as well, or export it again"
        )
    if checkpoint is not None:
        _against(checkpoint, tokenizer, Path(folder), manifest)


def _difference(module: Any, manifest: dict[str, Any], probe: dict[str, Any]) -> float:
    tensors = [torch.tensor([probe[name]]) for name in manifest["inputs"] if name != "past"]
    if "past" in manifest["inputs"]:
        sizes = manifest["cache"]
        tensors.append(torch.zeros(sizes["layers"], 2, 1, sizes["heads"], 0, sizes["head_dim"]))
    with torch.inference_mode():
        given = _logits(run(module, tensors, "a row that was kept"))
    places, values = (torch.tensor(side) for side in zip(*probe["logits"]))
    scale = values.abs().max().clamp(min=1)
    return ((given[places] - values).abs().max() / scale).item()


def _against(
    checkpoint: str, tokenizer: str | None, folder: Path, manifest: dict[str, Any]
) -> None:
    task, precision = find_task(manifest["task"]), manifest["precision"]
    max_length, inputs = manifest["max_length"], manifest["inputs"]
    loaded = load_checkpoint(checkpoint, task, tokenizer)
    say(f"comparing with {loaded.name}, up to {max_length} tokens")
    above = thresholds(loaded.config, max_length)
    reduced = judged_by(loaded.model, folder / "model.pt", precision, task)
    if task is TEXT_GENERATION:
        checked = verify_steps(
            folder / "model.pt", reduced, loaded.model, max_length, precision, above
        )
    else:
        count = loaded.model.get_input_embeddings().num_embeddings
        pairs = task is QUESTION_ANSWERING
        rows = Rows(loaded.tokenizer, count, inputs, pairs, manifest["pad_token_id"])
        lengths = [min(9, max_length), min(6, max_length)]
        encoder = encoder_of(task, reduced, inputs, rows.batch(lengths))
        checked = verify(folder / "model.pt", task, encoder, rows, max_length, precision, above)
    say(f"{checked['texts']} rows agree, largest difference {checked['largest_difference']:.1e}")
