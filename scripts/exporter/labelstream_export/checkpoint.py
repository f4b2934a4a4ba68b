"""Reads a checkpoint: its configuration, its weights with the head of the task, its tokenizer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import cached_file

from labelstream_export.errors import ExportError
from labelstream_export.progress import say
from labelstream_export.tasks import TEXT_GENERATION, Task

WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin", "*.bin.index.json")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory.

    Attributes:
        name: the folder's own name or the hub id, never a path.
        model: in evaluation mode, float32, on the CPU.
        tokenizer: a fast tokenizer.
        config: ``config.json`` as the checkpoint has it, less where it was saved.
        generation_config: the text of ``generation_config.json``, where there is one.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    config: dict[str, Any]
    generation_config: str | None


def load_checkpoint(
    source: str, task: Task, tokenizer: str | None = None, lower_case: bool | None = None
) -> Checkpoint:
    """Loads a checkpoint folder or hub id.

    Args:
        source: the folder or id.
        task: whose head it has.
        tokenizer: another folder or id that its tokenizer is in.
        lower_case: whether that is to lower-case, where it is not as it was saved.

    Raises:
        ExportError: it is not there, or lacks its configuration, its weights, the head of the
            task, or a fast tokenizer.
    """
    if Path(source).is_dir():
        _check_folder(Path(source))
        name = Path(source).resolve().name
    elif Path(source).exists():
        raise ExportError(
            f"{source} is neither a folder nor a TorchServe archive: give a checkpoint"
        )
    elif source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise ExportError(f"there is no folder {source}: give a checkpoint folder or a hub id")
    else:
        say(f"asking the hub for {source}")
        name = source

    config = read_config(source)
    generation_config = _fetch(source, "generation_config.json", required=False)
    model = _load_model(source, task)
    tokenizer = load_tokenizer(tokenizer or source, task, lower_case)
    highest, embeddings = max(tokenizer.get_vocab().values()), model.get_input_embeddings()
    if highest >= embeddings.num_embeddings:
        raise ExportError(
            f"the tokenizer of {source} gives ids up to {highest}, and the model has embeddings "
            f"for {embeddings.num_embeddings}: give the tokenizer that the model was trained with"
        )
    return Checkpoint(
        name=name,
        model=model,
        tokenizer=tokenizer,
        config=config,
        generation_config=generation_config and Path(generation_config).read_text("utf-8"),
    )


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ExportError(
            f"{folder} has no config.json: give the folder that save_pretrained() wrote"
        )
    if not any(file for pattern in WEIGHTS for file in folder.glob(pattern)):
        raise ExportError(
            f"{folder} has no weights (model.safetensors or pytorch_model.bin): add them, or give "
            "the folder that save_pretrained() wrote"
        )


def _fetch(source: str, file: str, required: bool) -> str | None:
    """The path of one file of the checkpoint, downloaded if need be; None if it is not required and
    the checkpoint has none."""
    try:
        return cached_file(source, file, _raise_exceptions_for_missing_entries=required)
    except (OSError, ValueError) as error:
        raise ExportError(
            f"checkpoint {source} is neither a folder here nor to be had from the hub "
            f"({_first_line(error)}): check the name and the network, or give a folder"
        ) from error


def read_config(source: str) -> dict[str, Any]:
    """The content of ``config.json``, less the path that the checkpoint was saved from."""
    try:
        content = json.loads(Path(_fetch(source, "config.json", required=True)).read_text("utf-8"))
    except ValueError as error:
        raise ExportError(f"config.json of {source} is not JSON ({error}): repair it") from error
    if not isinstance(content, dict):
        raise ExportError(f"config.json of {source} is not a JSON object: repair it")
    content.pop("_name_or_path", None)
    return content


def _load_model(source: str, task: Task) -> PreTrainedModel:
    try:
        model, loading = getattr(transformers, task.auto_class).from_pretrained(
            source,
            dtype=torch.float32,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:  # transformers and safetensors raise what they happen to raise
        raise ExportError(
            f"checkpoint {source} cannot be loaded for {task.name} ({_first_line(error)}): give a "
            f"checkpoint of an architecture that transformers {transformers.__version__} has for it"
        ) from error
    if loading["missing_keys"]:
        missing = ", ".join(sorted(loading["missing_keys"])[:3])
        raise ExportError(
            f"checkpoint {source} was not trained for {task.name}: it has no weights for "
            f"{missing}, which would be random; fine-tune it first, or give one with this head"
        )
    return model.eval().requires_grad_(False)


def load_tokenizer(
    source: str, task: Task, lower_case: bool | None = None
) -> PreTrainedTokenizerFast:
    """Loads the tokenizer of a folder or hub id.

    Raises:
        ExportError: there is none, or it is not a fast one, or has no padding token.
    """
    options = {} if lower_case is None else {"do_lower_case": lower_case}
    way_out = "save the checkpoint with a tokenizer.json (AutoTokenizer, use_fast=True)"
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source, use_fast=True, trust_remote_code=False, **options
        )
    except Exception as error:  # transformers raises what its converters happen to raise
        raise ExportError(
            f"the tokenizer of {source} cannot be loaded ({_first_line(error)}): {way_out}"
        ) from error
    if not tokenizer.is_fast:
        raise ExportError(
            f"the tokenizer of {source} ({type(tokenizer).__name__}) is not a fast one: {way_out}"
        )
    if tokenizer.pad_token_id is None and task is not TEXT_GENERATION:
        raise ExportError(
            f"the tokenizer of {source} has no padding token, without which texts of different "
            "lengths cannot share a batch: set pad_token and save it again"
        )
    return tokenizer


def _first_line(error: Exception) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line.replace(str(Path.home()), "~").rstrip(".:")
