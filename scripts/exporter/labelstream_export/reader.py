"""What the job asks of a model folder when it reads it: an export ends by asking the same, so that
no folder is written that cannot start.

Both readers are held to one list of rules, ``reader-rules.json`` among the test resources of the
operators.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from labelstream_export.errors import ExportError
from labelstream_export.folder import FORMAT, sha256
from labelstream_export.torchserve import split_names

FILES = ("labelstream.json", "model.pt", "tokenizer.json", "config.json", "model-config.yaml")
TEXTS = ("task", "precision")
TEXTS_OR_NULL = (
    "architecture",
    "model_type",
    "problem_type",
    "embedding_name",
    "continuing_subword_prefix",
    "decoder",
    "torchserve",
    "explain",
)
PRECISIONS = ("fp32", "bf16", "int8")
# The range of each number: beyond what any model has.
MOST_TOKENS = 2**24
WHOLE = {"max_length": (1, MOST_TOKENS)}
WHOLE_OR_NULL = {
    "num_labels": (0, 2**20),
    "pad_token_id": (0, MOST_TOKENS),
    "unk_token_id": (0, MOST_TOKENS),
    "cls_token_id": (0, MOST_TOKENS),
    "bos_token_id": (0, MOST_TOKENS),
}
CACHE = {"layers": (1, 2**10), "heads": (1, 2**12), "head_dim": (1, 2**12)}
LISTS = ("inputs", "methods")
# The range of each number that generation takes from the folder.
WHOLE_SETTINGS = {
    "max_new_tokens": (1, 1_000_000),
    "min_new_tokens": (0, 1_000_000),
    "num_beams": (1, 64),
    "no_repeat_ngram_size": (0, 1_000_000),
    "top_k": (0, 2**31 - 1),
}
SETTINGS = {
    "temperature": (2**-126, 3.4e38),
    "repetition_penalty": (2**-126, 3.4e38),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "length_penalty": (-100, 100),
}
# A file of the folder itself, and none that begins with a dot.
PLAIN_NAME = re.compile(r"[^./\\:\x00-\x1f\x7f][^/\\:\x00-\x1f\x7f]*")
FLAGS = ("do_sample", "return_full_text")


def check_folder(folder: Path) -> dict[str, Any]:
    """Reads a model folder, and checks that it is complete, unchanged, and agrees with itself.

    Returns:
        The content of ``labelstream.json``.

    Raises:
        ExportError: it is not.
    """
    for name in FILES:
        if not (folder / name).is_file():
            raise ExportError(
                f"{folder.name} has no {name}: it is no whole model folder; copy it again, or "
                "export the checkpoint again"
            )
    manifest = _json(folder / "labelstream.json")
    _check_manifest(manifest)
    for name, given in manifest.get("sha256", {}).items():
        # What is meant to be edited may be edited.
        file = folder / name
        if name != "model-config.yaml" and (not file.is_file() or sha256(file) != given):
            raise ExportError(
                f"{name} of {folder.name} is not the file that was exported: copy the folder "
                "again, or export the checkpoint again"
            )
    _check_config(folder / "model-config.yaml", manifest)
    if manifest.get("num_labels"):
        _check_labels(folder / "index_to_name.json", manifest["num_labels"])
    settings = folder / "generation_config.json"
    if manifest["task"] == "text_generation" and settings.is_file():
        check_settings(_json(settings))
    return manifest


def _check_manifest(manifest: Mapping[str, Any]) -> None:
    if manifest.get("format") != FORMAT:
        raise _wrong("labelstream.json", "format", f"to be {FORMAT}")
    for name in (*TEXTS, *TEXTS_OR_NULL):
        value = manifest.get(name)
        if not (isinstance(value, str) or (value is None and name in TEXTS_OR_NULL)):
            raise _wrong("labelstream.json", name, "a text")
    if manifest["precision"] not in PRECISIONS:
        raise _wrong("labelstream.json", "precision", f"one of {', '.join(PRECISIONS)}")
    if manifest.get("truncation_side") not in (None, "left", "right"):
        raise _wrong("labelstream.json", "truncation_side", "left or right")
    for name, bounds in {**WHOLE, **WHOLE_OR_NULL}.items():
        if not (manifest.get(name) is None and name in WHOLE_OR_NULL):
            _check_whole(manifest.get(name), name, bounds)
    cache = manifest.get("cache")
    if cache is not None:
        if not isinstance(cache, dict):
            raise _wrong("labelstream.json", "cache", "layers, heads and head_dim")
        for name, bounds in CACHE.items():
            _check_whole(cache.get(name), f"cache.{name}", bounds)
    for name in LISTS:
        if not manifest.get(name) or not isinstance(manifest[name], list):
            raise _wrong("labelstream.json", name, "a list of names")
    sums = manifest.get("sha256") or {}
    explain = manifest.get("explain")
    for name in (*sums, *([explain] if explain else [])):
        if not PLAIN_NAME.fullmatch(name):
            raise _wrong("labelstream.json", f"the file {name!r}", "one of its own folder")
    ends = manifest.get("eos_token_ids") or []
    if not all(type(end) is int for end in ends):
        raise _wrong("labelstream.json", "eos_token_ids", "whole numbers")


def _check_whole(value: Any, name: str, bounds: tuple[int, int]) -> None:
    least, most = bounds
    if not (_is_whole(value, least) and value <= most):
        raise _wrong("labelstream.json", name, f"a whole number from {least} to {most}")


def _check_config(file: Path, manifest: Mapping[str, Any]) -> None:
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except yaml.YAMLError:
        content = None
    handler = content.get("handler") if isinstance(content, dict) else None
    if not isinstance(handler, dict):
        raise _wrong(file.name, "handler", "a section with names and values")
    for name in ("num_labels", "max_length"):
        value = handler.get(name)
        if value is not None and not str(value).strip().isdigit():
            raise _wrong(file.name, name, "a whole number")
    if handler.get("num_labels") not in (None, manifest.get("num_labels")):
        raise _wrong(file.name, "num_labels", "what the model's head gives")
    if int(handler.get("max_length") or 0) > manifest["max_length"]:
        raise _wrong(file.name, "max_length", f"at most {manifest['max_length']}")


def _check_labels(file: Path, classes: int) -> None:
    content = _json(file)
    names = content.get("label_list")
    if "label_list" not in content:
        indices = [str(key).strip() for key in content]
        if sorted(indices) != sorted(str(index) for index in range(len(content))):
            raise _wrong(file.name, "its keys", "the indices from 0 on, without a gap")
        names = list(content.values())
    elif isinstance(names, str):
        names = split_names(names)
    if not isinstance(names, list) or len(names) != classes:
        raise _wrong(file.name, "its names", f"{classes} names")
    for name in names:
        if not (isinstance(name, (int, float)) or (isinstance(name, str) and name.strip())):
            raise _wrong(file.name, "a name", "a text that is not blank")


def check_settings(settings: Mapping[str, Any]) -> None:
    """Checks the settings of ``generation_config.json`` that are taken from it.

    Raises:
        ExportError: one is not of the type or in the range that generation takes.
    """
    file = "generation_config.json"
    for name, (least, most) in {**WHOLE_SETTINGS, **SETTINGS}.items():
        value = settings.get(name)
        fits = _is_whole(value, least) if name in WHOLE_SETTINGS else _is_number(value)
        if value is not None and not (fits and least <= value <= most):
            raise _wrong(file, name, f"from {least} to {most}")
    for name in FLAGS:
        if settings.get(name) is not None and not isinstance(settings[name], bool):
            raise _wrong(file, name, "true or false")
    stopping = settings.get("early_stopping")
    if stopping is not None and not (isinstance(stopping, bool) or stopping == "never"):
        raise _wrong(file, "early_stopping", 'true, false or "never"')
    words = settings.get("bad_words_ids")
    if words is not None and not (
        isinstance(words, list)
        and all(
            isinstance(word, list) and word and all(_is_whole(at, 0) for at in word)
            for word in words
        )
    ):
        raise _wrong(file, "bad_words_ids", "lists of token ids")
    stops = settings.get("stop_strings")
    texts = stops if isinstance(stops, list) else [stops]
    if stops is not None and not all(isinstance(text, str) and text for text in texts):
        raise _wrong(file, "stop_strings", "a text, or a list of texts")


def _is_whole(value: Any, least: float) -> bool:
    return type(value) is int and value >= least


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise ExportError(f"{file.name} is no JSON object: copy the folder again")
    return content


def _wrong(file: str, name: str, expected: str) -> ExportError:
    return ExportError(
        f"the job could not read {file}: it asks {name} to be {expected}; correct it, in the "
        "checkpoint and export again where the exporter wrote it"
    )
