"""Looks at a checkpoint before it is loaded, for what transformers would pass over in silence or
tell in words that do not help."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import transformers
from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto

from labelstream_export.errors import ExportError
from labelstream_export.progress import say
from labelstream_export.tasks import TASKS, TEXT_GENERATION, Task

WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin", "*.bin.index.json")
TOKENIZERS = ("tokenizer*", "vocab*", "*.model", "merges.txt", "sentencepiece*", "*.codes")
# Weights that are not read, by the endings of their files.
FOREIGN = {
    ".gguf": "GGUF",
    ".h5": "TensorFlow",
    ".msgpack": "Flax",
    ".onnx": "ONNX",
    ".ckpt": "Lightning",
    ".pth": "original PyTorch",
}
POINTER = b"version https://git-lfs"
CLASSES = {
    "AutoModelForSequenceClassification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "AutoModelForTokenClassification": "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    "AutoModelForQuestionAnswering": "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
    "AutoModelForCausalLM": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
}


def look_at_files(folder: Path) -> None:
    """Looks at the files of a checkpoint folder.

    Raises:
        ExportError: they are an adapter's, or not all there, or no weights that are read here.
    """
    name, names = folder.resolve().name, {file.name for file in folder.iterdir()}
    look_for_adapter(folder / "adapter_config.json", name)
    held = [file for pattern in WEIGHTS for file in folder.glob(pattern)]
    if not held:
        _tell_what_is_there(folder, name, names)
    if "config.json" not in names:
        raise ExportError(
            f"{name} has no config.json: give the folder that save_pretrained() wrote"
        )
    for file in [*held, *(at for pattern in TOKENIZERS for at in folder.glob(pattern))]:
        if file.is_file() and _is_pointer(file):
            raise ExportError(
                f"{file.name} of {name} is a Git LFS pointer, not the file itself: run "
                "`git lfs pull` in it"
            )
    for index in held:
        if index.name.endswith(".index.json"):
            _look_for_shards(index, name, names)


def look_for_adapter(file: Path | None, name: str) -> None:
    """Whether there is an adapter, whose base would go out without it."""
    if file is None or not file.is_file():
        return
    try:
        settings = json.loads(file.read_text("utf-8"))
        kind, base = settings.get("peft_type"), settings.get("base_model_name_or_path")
    except (ValueError, AttributeError):
        kind, base = None, None
    raise ExportError(
        f"{name} holds a {kind or 'PEFT'} adapter of {_short(base or 'a base')}, which is not "
        "applied here: merge them (merge_and_unload()), save the whole with its tokenizer, and "
        "give that"
    )


def _tell_what_is_there(folder: Path, name: str, names: set[str]) -> None:
    saved = sorted(at for at in names if at.startswith("checkpoint-") and (folder / at).is_dir())
    if saved:
        raise ExportError(
            f"{name} has no weights, but {len(saved)} saved steps of a training: give one of them, "
            f"such as {saved[-1]}"
        )
    for ending, kind in FOREIGN.items():
        if any(at.endswith(ending) for at in names) or any(folder.glob(f"onnx/*{ending}")):
            raise ExportError(
                f"{name} has {kind} weights alone, which are not read here: give the checkpoint "
                "with model.safetensors or pytorch_model.bin"
            )
    if "config.json" not in names:
        raise ExportError(
            f"{name} has no config.json: give the folder that save_pretrained() wrote"
        )
    raise ExportError(
        f"{name} has no weights (model.safetensors or pytorch_model.bin): add them, or give the "
        "folder that save_pretrained() wrote"
    )


def _is_pointer(file: Path) -> bool:
    with file.open("rb") as content:
        return content.read(len(POINTER)) == POINTER


def _look_for_shards(index: Path, name: str, names: set[str]) -> None:
    try:
        shards = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError):
        raise ExportError(
            f"{index.name} of {name} is no index of weights: copy the checkpoint again"
        ) from None
    missing = sorted(shards - names)
    if missing:
        raise ExportError(
            f"{name} lacks {missing[0]} ({len(missing)} of {len(shards)} files of weights): copy "
            "what is missing"
        )


def look_at_config(config: Mapping[str, Any], name: str, task: Task) -> None:
    """Looks at the content of ``config.json``.

    Raises:
        ExportError: the model is quantized, or code of its own, or none that transformers has for
            the task; or the names of its classes are none.
    """
    quantized = config.get("quantization_config")
    if quantized:
        method = quantized.get("quant_method") if isinstance(quantized, Mapping) else None
        raise ExportError(
            f"{name} is quantized ({method or 'some way'}): export the unquantized checkpoint that "
            "it was made of, with --precision int8 where it is to be small"
        )
    kind, code = config.get("model_type"), _own_code(config, task)
    if kind not in CONFIG_MAPPING:
        if code:
            raise ExportError(own_code(f"the model of {name}", code))
        near = difflib.get_close_matches(str(kind), list(CONFIG_MAPPING), n=1)
        told = f"has the model_type {kind}, which" if kind else "tells no model_type that"
        hint = f" (the nearest is {near[0]})" if near else ""
        raise ExportError(
            f"config.json of {name} {told} transformers {transformers.__version__} knows"
            f"{'' if not kind else ' nothing of'}{hint}: give a checkpoint of one that it knows"
        )
    if config.get("is_encoder_decoder") and task is TEXT_GENERATION:
        raise ExportError(
            f"{name} is an encoder-decoder ({kind}), as for summaries and translations: such "
            "models cannot be exported; give a decoder such as GPT-2 or Llama"
        )
    known = {each.name for each in TASKS if kind in known_for(each)}
    if task.name not in known:
        rest = f"it has it for {', '.join(sorted(known))}" if known else "nor for another task here"
        raise ExportError(
            f"transformers {transformers.__version__} has no {kind} for {task.name}, {rest}: give "
            "another checkpoint"
        )
    if code:
        say(f"code of its own ({code}) is not run: transformers' own {kind} is taken")
    if task.labelled:
        check_names(config.get("id2label"), name)


def own_code(what: str, code: str) -> str:
    """The one sentence for what would run code of a checkpoint."""
    return (
        f"{what} is code of its own ({_short(code)}), which is never run here, so that there is no "
        "--trust-remote-code: give one that transformers has itself"
    )


def _own_code(config: Mapping[str, Any], task: Task) -> str | None:
    held = config.get("auto_map")
    if not isinstance(held, Mapping) or not held:
        return None
    return str(held.get(task.auto_class) or next(iter(held.values())))


def known_for(task: Task) -> Mapping[str, Any]:
    """The classes that transformers has for the task, by model type."""
    return getattr(modeling_auto, CLASSES[task.auto_class])


def check_names(names: Any, name: str) -> None:
    """Checks the names of classes as ``config.json`` has them, which may have none.

    Raises:
        ExportError: they are not one text for each class.
    """
    if names is None:
        return
    where = f"id2label in config.json of {name}"
    if not isinstance(names, Mapping):
        raise ExportError(f'{where} is no object: write {{"0": "first name", "1": …}}')
    if {str(key) for key in names} != {str(index) for index in range(len(names))}:
        raise ExportError(
            f"{where} does not name the classes 0 to {len(names) - 1} in turn (it has "
            f"{_short(', '.join(map(str, names)))}): repair it"
        )
    check_texts(names.items(), where)


def check_texts(names: Iterable[tuple[Any, Any]], where: str) -> None:
    """Checks that each class has a name that can be read."""
    for index, text in names:
        if isinstance(text, (int, float)) or (isinstance(text, str) and text.strip()):
            continue
        is_text = isinstance(text, str)
        what = "a blank" if is_text else "nothing" if text is None else f"a {type(text).__name__}"
        raise ExportError(f"{where} names class {index} with {what}: give it a text as its name")


def _short(text: str, most: int = 48) -> str:
    return text if len(text) <= most else "…" + text[-most + 1 :]
