"""An export from beginning to end."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.utils import logging as hub_logging
from transformers.utils import logging

from labelstream_export import folder as files
from labelstream_export.archive import write_module
from labelstream_export.card import card
from labelstream_export.checkpoint import Checkpoint, load_checkpoint
from labelstream_export.errors import ExportError
from labelstream_export.graph import check_devices, free_devices
from labelstream_export.module import (
    SequenceClassifier,
    embeddings_path,
    example_inputs,
    model_inputs,
    position_limit,
    trace,
)
from labelstream_export.progress import say
from labelstream_export.tasks import Task
from labelstream_export.tokenizer import (
    check_tokenizer,
    effective_length,
    lower_cases,
    write_tokenizer,
)
from labelstream_export.verify import SEED, verify


def export(
    *,
    checkpoint: str,
    task: Task,
    output: Path,
    precision: str = "fp32",
    max_length: int | None = None,
    force: bool = False,
) -> None:
    """Writes a model folder, checked against the checkpoint.

    Everything is written to a folder beside ``output``, which takes that name at the end: a failed
    export leaves nothing, and does not touch what was there.

    Args:
        checkpoint: a folder or a hub id.
        task: the task whose head the checkpoint has.
        output: the model folder.
        precision: of the weights.
        max_length: tokens of a text that the model sees, special ones included; None for as many
            as the checkpoint allows.
        force: whether to replace ``output``, a model folder or one with nothing but a card; its
            ``README.md`` is kept.

    Raises:
        ExportError: the export cannot be done, or its result does not agree with the checkpoint.
    """
    _silence()
    output = Path(output).resolve()
    if output.exists():
        _check_replaceable(output, force)
    say(f"loading {checkpoint}")
    loaded = load_checkpoint(checkpoint, task)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as scratch:
        made = Path(scratch) / "model"
        made.mkdir()
        _write(loaded, task, made, precision, max_length)
        if (output / "README.md").is_file():
            shutil.copyfile(output / "README.md", made / "README.md")
        if output.exists():
            output.rename(Path(scratch) / "replaced")
        made.rename(output)
    say(f"wrote {output}")


def _write(
    checkpoint: Checkpoint, task: Task, folder: Path, precision: str, asked: int | None
) -> None:
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    inputs = model_inputs(model, tokenizer)
    max_length = effective_length(tokenizer, position_limit(model), asked)
    labels = files.label_names(checkpoint)

    say(f"tracing {type(model).__name__}")
    generator = torch.Generator().manual_seed(SEED)
    vocabulary = model.get_input_embeddings().num_embeddings
    lengths = (min(9, max_length), min(6, max_length))
    examples = example_inputs(inputs, lengths, tokenizer, vocabulary, generator)
    wrapper = SequenceClassifier(model, inputs)
    module = trace(wrapper, examples)
    free_devices(module)
    check_devices(module)
    write_module(module, folder / "model.pt")
    del module

    write_tokenizer(tokenizer, max_length, folder)
    check_tokenizer(tokenizer, folder)
    files.write_configs(checkpoint, folder)
    files.write_labels(labels, folder)

    say(f"comparing with the checkpoint, up to {max_length} tokens")
    checked = verify(folder / "model.pt", model, tokenizer, inputs, max_length, precision)
    say(f"{checked['texts']} rows agree, largest difference {checked['largest_difference']:.1e}")
    facts: dict[str, Any] = {
        "task": task.name,
        "architecture": type(model).__name__,
        "model_type": model.config.model_type,
        "precision": precision,
        "inputs": inputs,
        "methods": list(wrapper.METHODS),
        "num_labels": len(labels),
        "problem_type": model.config.problem_type,
        "max_length": max_length,
        "pad_token_id": tokenizer.pad_token_id,
        "padding_side": tokenizer.padding_side,
        "truncation_side": tokenizer.truncation_side,
        "do_lower_case": lower_cases(folder),
        "embedding_name": embeddings_path(model),
        "checked": checked,
    }
    files.write_handler(facts, checkpoint.name, folder)
    manifest = files.write_manifest(facts, folder)
    (folder / "README.md").write_text(card(manifest, checkpoint.name, labels), "utf-8")


def _check_replaceable(output: Path, force: bool) -> None:
    if not output.is_dir():
        raise ExportError(f"{output} is a file: give a folder as --output")
    if not force:
        raise ExportError(f"{output} exists: give another --output, or --force to replace it")
    # So that a slip of the hand (--output ~) does not replace a folder of something else.
    held = {file.name for file in output.iterdir()}
    if "labelstream.json" not in held and held - {"README.md"}:
        raise ExportError(
            f"{output} holds something else than a model folder: give another --output"
        )


def _silence() -> None:
    """What transformers says about its own affairs would hide this program's own lines."""
    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    logging.disable_progress_bar()
