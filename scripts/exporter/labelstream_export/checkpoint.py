"""Reads a checkpoint: its configuration, its weights with the head of the task, its tokenizer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import SLOW_TO_FAST_CONVERTERS
from transformers.utils import cached_file

from labelstream_export.errors import ExportError, reason_of
from labelstream_export.progress import say
from labelstream_export.survey import (
    TOKENIZERS,
    look_at_config,
    look_at_files,
    look_for_adapter,
    own_code,
)
from labelstream_export.tasks import Task

MISMATCH = re.compile(
    r"size mismatch for (\S+): copying a param with shape torch\.Size\(\[([^\]]*)\]\) "
    r"from checkpoint, the shape in current model is torch\.Size\(\[([^\]]*)\]\)"
)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory.

    Attributes:
        name: the folder's own name or the hub id, never a path.
        model: in evaluation mode, float32, on the CPU.
        tokenizer: a fast tokenizer.
        config: ``config.json`` as the checkpoint has it, less where it was saved.
        load: loads the model once more.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    config: dict[str, Any]
    load: Callable[[], PreTrainedModel]


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
        look_at_files(Path(source))
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
        adapter = _fetch(source, "adapter_config.json", required=False)
        look_for_adapter(adapter and Path(adapter), name)

    config = read_config(source)
    look_at_config(config, name, task)
    model = _load_model(source, task)
    tokenizer = load_tokenizer(tokenizer or source, lower_case)
    _check_ids(tokenizer, model, name)
    return Checkpoint(
        name=name,
        model=model,
        tokenizer=tokenizer,
        config=config,
        load=lambda: _load_model(source, task),
    )


def _check_ids(tokenizer: PreTrainedTokenizerFast, model: PreTrainedModel, name: str) -> None:
    """A special token that was added and has no embedding may stay (padding, mostly): only a text
    that holds it by its name gives its id. It does not stay where every text gives it."""
    try:
        count = model.get_input_embeddings().num_embeddings
    except (AttributeError, NotImplementedError):
        raise ExportError(
            f"{type(model).__name__} has no table of embeddings, an entry for each token: give a "
            "checkpoint of another architecture"
        ) from None
    every = set(tokenizer("a", "a")["input_ids"])
    added = tokenizer.added_tokens_decoder
    given = [
        at
        for at in tokenizer.get_vocab().values()
        if at in every or at not in added or not added[at].special
    ]
    highest = max(given)
    if highest >= count:
        raise ExportError(
            f"the tokenizer of {name} gives ids up to {highest}, and the model has embeddings for "
            f"{count}: give the tokenizer that the model was trained with (--tokenizer)"
        )


def _fetch(source: str, file: str, required: bool) -> str | None:
    """The path of one file of the checkpoint, downloaded if need be; None if it is not required and
    the checkpoint has none."""
    try:
        return cached_file(source, file, _raise_exceptions_for_missing_entries=required)
    except (OSError, ValueError) as error:
        raise ExportError(
            f"{source} is neither a folder here nor to be had from the hub ({reason_of(error)}): "
            "check the name and the network, or give a folder"
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
        raise ExportError(_why_not_loaded(Path(source).name, task, error)) from error
    if loading["missing_keys"]:
        missing = sorted(loading["missing_keys"])
        made = ", ".join(getattr(model.config, "architectures", None) or ["another model"])
        raise ExportError(
            f"{Path(source).name} was not trained for {task.name}: it is {made}, without "
            f"{missing[0]}, which would be random; fine-tune it, or give one with this head"
        )
    return model.eval().requires_grad_(False)


def _why_not_loaded(name: str, task: Task, error: Exception) -> str:
    shapes = MISMATCH.search(str(error))
    if shapes is None:
        return (
            f"{name} cannot be loaded for {task.name} ({reason_of(error)}): look at its "
            "config.json and its weights, or copy it again"
        )
    parameter, held, told = shapes.groups()
    (rows, _, width), (named, _, asked) = held.partition(","), told.partition(",")
    if task.labelled and width == asked:  # the head's weight or bias, whose rows are the classes
        return (
            f"the head of {name} gives {rows} logits, and its config.json names {named} classes: "
            "correct id2label (or num_labels), so that the counts agree"
        )
    return (
        f"{parameter} of {name} has the shape [{held}], and its config.json asks for [{told}]: "
        "give the configuration that the weights were saved with"
    )


def load_tokenizer(source: str, lower_case: bool | None = None) -> PreTrainedTokenizerFast:
    """Loads the tokenizer of a folder or hub id.

    Raises:
        ExportError: there is none, or it is not a fast one.
    """
    options = {} if lower_case is None else {"do_lower_case": lower_case}
    name, folder = Path(source).name, Path(source)
    settings = _tokenizer_settings(folder)
    kind = settings.get("tokenizer_class")
    if isinstance(settings.get("auto_map"), dict) and not _is_known(kind):
        code = str(next(iter(settings["auto_map"].values())))
        raise ExportError(own_code(f"the tokenizer of {name}", code))
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source, use_fast=True, trust_remote_code=False, **options
        )
    except Exception as error:  # transformers raises what its converters happen to raise
        if folder.is_dir() and not any(at for each in TOKENIZERS for at in folder.glob(each)):
            raise ExportError(
                f"{name} has no tokenizer: add its tokenizer.json, or give the folder or hub id of "
                "the tokenizer that the model was trained with as --tokenizer"
            ) from error
        if kind and not _is_fast(kind):
            raise ExportError(_slow(name, kind)) from error
        raise ExportError(
            f"the tokenizer of {name} cannot be loaded ({reason_of(error)}): give another as "
            "--tokenizer, or save it again with a tokenizer.json"
        ) from error
    if not tokenizer.is_fast:
        raise ExportError(_slow(name, type(tokenizer).__name__))
    normalizer = tokenizer.backend_tokenizer.normalizer
    for token in tokenizer.added_tokens_decoder.values() if normalizer else ():
        # The library would find it everywhere, in the middle of characters too, and panic.
        if token.normalized and not normalizer.normalize_str(token.content):
            raise ExportError(
                f"the tokenizer's normalizer leaves nothing of the added token {token.content!r}, "
                "by which other texts break it: remove it from added_tokens of tokenizer.json"
            )
    return tokenizer


def _tokenizer_settings(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_known(kind: str | None) -> bool:
    return kind is not None and hasattr(transformers, kind)


def _is_fast(kind: str) -> bool:
    return kind.endswith("Fast") or kind in SLOW_TO_FAST_CONVERTERS


def _slow(name: str, kind: str) -> str:
    return (
        f"the tokenizer of {name} ({kind}) runs in Python alone, and transformers has no fast one "
        "for it: give a model whose tokenizer has a tokenizer.json"
    )
