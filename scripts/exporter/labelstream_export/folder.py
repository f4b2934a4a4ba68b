"""The small files of a model folder, beside the module and the tokenizer."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
import yaml

import labelstream_export
from labelstream_export.checkpoint import Checkpoint
from labelstream_export.errors import ExportError
from labelstream_export.settings import generation_settings, not_done
from labelstream_export.survey import check_texts
from labelstream_export.torchserve import Archive

FORMAT = 1
# Not summed: the card and the labels may be changed by hand, and the list does not list itself.
UNSUMMED = ("README.md", "index_to_name.json", "labelstream.json")


def label_names(checkpoint: Checkpoint) -> list[str]:
    """The names of the classes, in index order.

    Raises:
        ExportError: ``id2label`` has a gap.
    """
    names = checkpoint.model.config.id2label
    if sorted(names) != list(range(len(names))):
        raise ExportError(
            f"id2label in config.json of {checkpoint.name} does not name the classes 0 to "
            f"{len(names) - 1} in turn (it has {sorted(names)}): repair it"
        )
    check_texts(names.items(), f"the list of names of {checkpoint.name}")
    return [str(names[index]) for index in range(len(names))]


def write_labels(names: list[str], folder: Path) -> None:
    """Writes ``index_to_name.json``."""
    write_json(
        {str(index): name for index, name in enumerate(names)}, folder / "index_to_name.json"
    )


def write_configs(checkpoint: Checkpoint, folder: Path) -> list[str]:
    """Writes ``config.json``, and ``generation_config.json`` where the checkpoint generates.

    Returns:
        The settings of the latter that are not done here.
    """
    write_json(checkpoint.config, folder / "config.json")
    model = checkpoint.model
    if not model.can_generate() or model.generation_config is None:
        return []
    settings = generation_settings(model, checkpoint.name)
    write_json(settings, folder / "generation_config.json")
    return not_done(settings)


def write_handler(
    facts: dict[str, Any], name: str, folder: Path, archive: Archive | None = None
) -> None:
    """Writes ``model-config.yaml`` with TorchServe's keys.

    Args:
        facts: the content of ``labelstream.json`` as far as it is known.
        name: the checkpoint's.
        folder: the model folder.
        archive: whose other settings are kept as they were.
    """
    handler = {
        "mode": facts["task"],
        "model_name": name,
        "max_length": facts["max_length"],
        **({"num_labels": facts["num_labels"]} if facts["num_labels"] else {}),
        "do_lower_case": facts["do_lower_case"],
        **({"embedding_name": facts["embedding_name"]} if "embedding_name" in facts else {}),
        "save_mode": "torchscript",
    }
    if archive is not None:
        told = set(handler) | {"num_labels", "embedding_name"}  # of the checkpoint, or not known
        handler |= {key: value for key, value in archive.handler.items() if key not in told}
    content = {**(archive.settings if archive else {}), "handler": handler}
    content = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (folder / "model-config.yaml").write_text(content, "utf-8")


def write_manifest(facts: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Writes ``labelstream.json``: the facts, the versions, and the sum of each file that is there.

    Returns:
        What was written.
    """
    summed = sorted(file for file in folder.iterdir() if file.name not in UNSUMMED)
    manifest = {
        "format": FORMAT,
        **facts,
        "versions": {
            "labelstream_export": labelstream_export.__version__,
            "torch": torch.__version__.partition("+")[0],  # +cpu or +cu126 is the machine's affair
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
        },
        "sha256": {file.name: sha256(file) for file in summed},
    }
    labels = folder / "index_to_name.json"
    if labels.exists():
        manifest["labels_sha256"] = sha256(labels)
    write_json(manifest, folder / "labelstream.json")
    return manifest


def sha256(file: Path) -> str:
    """The SHA-256 of the file, in hexadecimal."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_json(content: dict[str, Any], file: Path) -> None:
    """Writes JSON in UTF-8, indented, in the order given."""
    file.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", "utf-8")
