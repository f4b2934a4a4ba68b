"""The tokenizer of a model folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from labelstream_export.errors import ExportError

PROBES = ("An ordinary sentence, with UPPER case.", "", "ünïcödé 🙂 日本語 שלום", "[SEP] </s> " * 3)


def write_tokenizer(tokenizer: PreTrainedTokenizerFast, max_length: int, folder: Path) -> None:
    """Writes ``tokenizer.json`` and ``tokenizer_config.json``.

    Truncation and padding are left out of the first, since who reads it sets them; the second
    tells ``max_length`` as ``model_max_length``.
    """
    scratch = folder / "tokenizer"
    tokenizer.save_pretrained(scratch)
    content = _read(scratch / "tokenizer.json")
    content["truncation"] = content["padding"] = None
    _write(content, folder / "tokenizer.json")
    settings = _read(scratch / "tokenizer_config.json")
    settings["model_max_length"] = max_length
    _write(settings, folder / "tokenizer_config.json")
    for file in scratch.iterdir():
        file.unlink()
    scratch.rmdir()


def check_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Checks that the written tokenizer gives the checkpoint's ids.

    Raises:
        ExportError: it does not.
    """
    written = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    for text in PROBES:
        if written(text)["input_ids"] != tokenizer(text)["input_ids"]:
            raise ExportError(
                f"the written tokenizer.json gives other ids than the checkpoint's for {text!r}: "
                "save the checkpoint's tokenizer again with this version of transformers"
            )


def tokenizer_facts(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """What a pipeline asks of its tokenizer beside ``tokenizer.json``, by transformers' names.

    ``continuing_subword_prefix`` is the model's (``##``), or None where it has none or an empty
    one: the token classification pipeline tells by it whether a token begins a word. ``decoder`` is
    the kind that makes one string of several tokens, or None, which joins them with blanks.
    """
    backend = tokenizer.backend_tokenizer
    decoder = json.loads(backend.to_str())["decoder"]
    names = ("unk", "cls", "sep", "bos", "eos")
    return {
        "padding_side": tokenizer.padding_side,
        "truncation_side": tokenizer.truncation_side,
        "model_input_names": list(tokenizer.model_input_names),
        **{f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in names},
        "continuing_subword_prefix": getattr(backend.model, "continuing_subword_prefix", None)
        or None,
        "decoder": decoder and decoder["type"],
        "clean_up_tokenization_spaces": tokenizer.clean_up_tokenization_spaces,
    }


def lower_cases(folder: Path) -> bool:
    """Whether the normalizer of the folder's ``tokenizer.json`` lower-cases its text."""
    normalizer = _read(folder / "tokenizer.json").get("normalizer")
    return any(
        part.get("type") == "Lowercase" or part.get("lowercase") is True
        for part in _parts(normalizer or {})
    )


def _parts(normalizer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield normalizer
    for part in normalizer.get("normalizers", []):
        yield from _parts(part)


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text("utf-8"))


def _write(content: dict[str, Any], file: Path) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", "utf-8")
