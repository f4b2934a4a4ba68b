"""TorchServe model archives: a ``.mar`` file, which is a zip, a ``.tar.gz`` (``--archive-format
tgz``), or the folder that they unpack to.

The layout is that of ``torch-model-archiver`` with the generalized Hugging Face handler:
``MAR-INF/MANIFEST.json`` names the serialized file, and beside it stand the checkpoint's own files,
``index_to_name.json``, and the settings in ``model-config.yaml`` (section ``handler``) or, in older
archives, in ``setup_config.json``.
"""

from __future__ import annotations

import json
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

import yaml

from labelstream_export.apart import GIB
from labelstream_export.errors import ExportError, reason_of
from labelstream_export.tasks import TEXT_GENERATION, Task, find_task

MANIFEST = PurePosixPath("MAR-INF/MANIFEST.json")
MOST_FILES = 10_000
# Weights hardly shrink when they are packed.
MOST_TIMES = 20
ALWAYS_BYTES = 1 << 30
BLOCK = 1 << 20
TOKENIZER_FILES = ("tokenizer*", "vocab*", "*.model", "merges.txt")
# By which names transformers finds weights.
WEIGHTS = {".bin": "pytorch_model.bin", ".safetensors": "model.safetensors"}
SAVE_MODES = ("pretrained", "torchscript")


@dataclass(frozen=True)
class Archive:
    """An archive, unpacked.

    Attributes:
        name: of the model, as the manifest has it.
        folder: where its files are.
        serialized: the weights, or the traced module.
        task: what the handler was told to serve.
        save_mode: ``pretrained`` (weights of a checkpoint) or ``torchscript`` (a traced module).
        handler: the settings of the handler, as they are written.
        settings: the other settings of ``model-config.yaml``.
        labels: the names of the classes, in index order, or None where the archive has none.
    """

    name: str
    folder: Path
    serialized: Path
    task: Task
    save_mode: str
    handler: dict[str, Any]
    settings: dict[str, Any]
    labels: list[str] | None

    @property
    def max_length(self) -> int | None:
        """The longest text in tokens, or None where it is not told.

        Raises:
            ExportError: it is told, and is no number.
        """
        told = self.handler.get("max_length")
        if told is None:
            return None
        if not str(told).isdigit() or int(told) < 3:
            raise ExportError(f"the archive's max_length is {told!r}: give a number of 3 or more")
        return int(told)

    @property
    def lower_cases(self) -> bool | None:
        """What the handler tells the tokenizer about lower-casing, or None where it does not."""
        told = self.handler.get("do_lower_case")
        return None if told is None else str(told).lower() == "true"

    @property
    def tokenizer(self) -> str:
        """The folder or hub id that the handler takes the tokenizer from."""
        held = any(file for pattern in TOKENIZER_FILES for file in self.folder.glob(pattern))
        return str(self.folder if held else self.handler.get("model_name", self.folder))


def is_archive(source: str) -> bool:
    """Whether it is an archive, and not a checkpoint."""
    path = Path(source)
    return (path / MANIFEST).is_file() or (
        path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))
    )


def open_archive(source: str, scratch: Path) -> Archive:
    """Reads an archive.

    Args:
        source: a file or folder, for which ``is_archive``.
        scratch: an empty folder, where its files are put.

    Raises:
        ExportError: it is not laid out as it should be, or would write outside of the folder.
    """
    if Path(source).is_dir():
        shutil.copytree(source, scratch, dirs_exist_ok=True)
    else:
        _unpack(Path(source), scratch)
    manifest = _read_json(scratch / MANIFEST, source).get("model")
    if not isinstance(manifest, dict):
        raise ExportError(f"{MANIFEST} of {source} has no section model: archive the model again")
    settings, handler = _settings(scratch, manifest, source)
    mode = str(handler.get("mode"))
    try:
        task = find_task(mode)
    except ValueError as error:
        raise ExportError(f"the handler's mode in {source} is not a task ({error})") from None
    save_mode = handler.get("save_mode", "pretrained")
    if save_mode not in SAVE_MODES or (save_mode == "torchscript" and task is TEXT_GENERATION):
        raise ExportError(
            f"the archive {source} has save_mode {save_mode} for {task.name}, which cannot be "
            "exported: archive the model with save_mode pretrained"
        )
    return Archive(
        name=str(manifest.get("modelName") or Path(source).stem),
        folder=scratch,
        serialized=_serialized(scratch, manifest, save_mode, source),
        task=task,
        save_mode=save_mode,
        handler=handler,
        settings=settings,
        labels=_labels(scratch / "index_to_name.json", source),
    )


@dataclass(frozen=True)
class _Entry:
    """A file in an archive.

    Attributes:
        name: its path.
        size: in bytes, as the archive tells it.
        plain: whether it is a file, and no link or device.
        open: begins to read it.
    """

    name: str
    size: int
    plain: bool
    open: Callable[[], IO[bytes]]


def _unpack(file: Path, folder: Path) -> None:
    """Nothing is written outside of the folder, no links, and no more than the limits."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            entries = [
                _Entry(
                    entry.filename,
                    entry.file_size,
                    not stat.S_ISLNK(entry.external_attr >> 16),
                    partial(archive.open, entry),
                )
                for entry in archive.infolist()
                if not entry.is_dir()
            ]
            _unpack_all(file, entries, folder)
        return
    try:
        with tarfile.open(file) as archive:
            entries = [
                _Entry(entry.name, entry.size, entry.isreg(), partial(archive.extractfile, entry))
                for entry in archive
                if not entry.isdir()
            ]
            _unpack_all(file, entries, folder)
    except (tarfile.TarError, EOFError) as error:
        raise ExportError(
            f"{file.name} cannot be unpacked ({reason_of(error)}): archive the model again"
        ) from error


def _unpack_all(file: Path, entries: Sequence[_Entry], folder: Path) -> None:
    most = max(ALWAYS_BYTES, MOST_TIMES * file.stat().st_size)
    total = sum(entry.size for entry in entries)
    if len(entries) > MOST_FILES or total > most:
        raise ExportError(
            f"{file.name} unpacks to {len(entries)} files of {total / GIB:.1f} GiB in all, more "
            f"than {MOST_FILES} files or {most / GIB:.1f} GiB: it is no model archive"
        )
    free = shutil.disk_usage(folder).free
    if total > free:
        raise ExportError(
            f"{file.name} unpacks to {total / GIB:.1f} GiB, but {folder.parent} has "
            f"{free / GIB:.1f} GiB free: set TMPDIR to a folder with more"
        )
    for entry in entries:
        path = PurePosixPath(entry.name)
        unsafe = path.is_absolute() or ".." in path.parts or "\\" in entry.name
        if unsafe or ":" in entry.name or not entry.plain:
            raise ExportError(
                f"{file} holds {entry.name!r}, which would be written elsewhere: archive the model "
                "again"
            )
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        left = entry.size  # what was counted above: the content may be more than is told
        try:
            with entry.open() as packed, target.open("wb") as unpacked:
                while block := packed.read(BLOCK):
                    left -= len(block)
                    if left < 0:
                        raise zipfile.BadZipFile("it is larger than it says")
                    unpacked.write(block)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise ExportError(
                f"{entry.name} in {file} cannot be unpacked ({error}): archive the model again"
            ) from error


def _settings(
    folder: Path, manifest: dict[str, Any], source: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings outside and inside the section ``handler``."""
    file = folder / Path(str(manifest.get("configFile") or "model-config.yaml")).name
    if file.is_file():
        try:
            settings = yaml.safe_load(file.read_text("utf-8")) or {}
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            line = str(error).splitlines()[0]
            raise ExportError(f"{file.name} of {source} is no YAML ({line}): repair it") from error
        handler = settings.pop("handler", None) if isinstance(settings, dict) else None
        if isinstance(handler, dict):
            return settings, handler
    if (folder / "setup_config.json").is_file():
        return {}, _read_json(folder / "setup_config.json", source)
    raise ExportError(
        f"{source} has neither a section handler in {file.name} nor a setup_config.json, so that "
        "its mode is not known: add one of them"
    )


def _serialized(folder: Path, manifest: dict[str, Any], save_mode: str, source: str) -> Path:
    name = manifest.get("serializedFile")
    if name is None:  # the archiver lets it be left out where the weights are among the extra files
        name = next((weights for weights in WEIGHTS.values() if (folder / weights).is_file()), None)
    if name is None:
        raise ExportError(
            f"{source} has no model weights, and its manifest names no serializedFile: archive the "
            "model again"
        )
    file = folder / Path(str(name)).name
    if not file.is_file():
        raise ExportError(f"{source} has no serialized file {name}: archive the model again")
    wanted = WEIGHTS.get(file.suffix) if save_mode == "pretrained" else None
    if wanted and wanted != file.name:
        return file.rename(folder / wanted)
    return file


def _labels(file: Path, source: str) -> list[str] | None:
    """In each form that the handler or people have: indices as keys; ``label_list`` as the string
    of a list, with or without quotes around the names, or as a JSON list."""
    if not file.is_file():
        return None
    content = _read_json(file, source)
    if "label_list" in content:
        names = content["label_list"]
        if isinstance(names, str):
            names = split_names(names)
        if not isinstance(names, list):
            raise ExportError(
                f"label_list in index_to_name.json of {source} is no list: write it as one, such "
                'as "[O, B-PER, I-PER]"'
            )
        return [str(name) for name in names]
    if set(content) != {str(index) for index in range(len(content))}:
        raise ExportError(
            f"index_to_name.json of {source} does not name the classes 0 to {len(content) - 1} in "
            "turn: repair it"
        )
    return [str(content[str(index)]) for index in range(len(content))]


def split_names(text: str) -> list[str] | None:
    """The names in the string of a list, ``[O, B-PER]`` or ``['O', 'B-PER, full']``, as the job
    reads it; None where it has no brackets."""
    inner = text.strip()
    if not (inner.startswith("[") and inner.endswith("]")):
        return None
    names, name, quote = [], "", ""
    for letter in inner[1:-1]:
        if not quote and letter == ",":
            names.append(name)
            name = ""
            continue
        if not quote and letter in "'\"" and not name.strip():
            quote = letter
        elif letter == quote:
            quote = ""
        name += letter
    if name.strip() or not names:
        names.append(name)
    return [_unquoted(name.strip()) for name in names]


def _unquoted(text: str) -> str:
    quoted = len(text) >= 2 and text[0] in "'\"" and text[-1] == text[0]
    return text[1:-1] if quoted else text


def _read_json(file: Path, source: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise ExportError(f"{source} has no {file.name}: archive the model again") from None
    except ValueError as error:
        raise ExportError(f"{file.name} of {source} is not JSON ({error}): repair it") from error
    if not isinstance(content, dict):
        raise ExportError(f"{file.name} of {source} is not a JSON object: repair it")
    return content
