"""An export from beginning to end."""

from __future__ import annotations

import copy
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.utils import logging as hub_logging
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import logging

from labelstream_export import folder as files
from labelstream_export.again import probe_batches, probes
from labelstream_export.agreement import (
    BUILT_IN,
    Yardstick,
    encoded_text,
    measure,
    texts_of,
)
from labelstream_export.apart import GIB, Bounds, run_apart
from labelstream_export.archive import write_module
from labelstream_export.card import card
from labelstream_export.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_tokenizer,
    read_config,
)
from labelstream_export.errors import ExportError, reason_of
from labelstream_export.explanations import LONGEST, METHODS, trace_explained, verify_explained
from labelstream_export.first_token import first_token_only
from labelstream_export.generation import INPUTS as STEP_INPUTS
from labelstream_export.generation import Step, generation_facts, step_examples, verify_steps
from labelstream_export.graph import check_devices, free_devices
from labelstream_export.lengths import effective_length, scaled_positions, thresholds
from labelstream_export.module import (
    Encoder,
    embeddings_path,
    encoder_of,
    model_inputs,
    padding_id,
    position_limit,
    trace,
)
from labelstream_export.packed import pack
from labelstream_export.precision import check_engine, in_precision, multiplies_bfloat16
from labelstream_export.progress import say
from labelstream_export.quantized import calibrate, judged_by, quantize
from labelstream_export.reader import check_folder
from labelstream_export.rows import SEED, Rows
from labelstream_export.tasks import (
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    TASKS,
    TEXT_GENERATION,
    Task,
)
from labelstream_export.tokenizer import (
    check_tokenizer,
    lower_cases,
    tokenizer_facts,
    write_tokenizer,
)
from labelstream_export.torchserve import Archive, is_archive, open_archive
from labelstream_export.traced import INPUTS as TRACED_INPUTS
from labelstream_export.traced import class_count, load_traced, verify_traced
from labelstream_export.verify import TOLERANCE, verify

# Texts are taken for the ranges of activations up to this number.
CALIBRATION_TEXTS = 256
# How often a quarter of the layers, those that lose most, goes back to fp32 where int8 decides
# otherwise.
REFINEMENTS = 2
MODULE = "model.pt"
TWIN = "explain.pt"


def export(
    *,
    checkpoint: str,
    task: Task | None,
    output: Path,
    tokenizer: str | None = None,
    precision: str = "fp32",
    max_length: int | None = None,
    yardstick: Yardstick = BUILT_IN,
    calibration: Path | None = None,
    explanations: bool = True,
    force: bool = False,
    traced_minutes: float = 30,
    traced_memory: float = 16,
) -> None:
    """Writes a model folder, checked against the checkpoint.

    Everything is written to a folder beside ``output``, which takes that name at the end: a failed
    export leaves nothing, and does not touch what was there.

    Args:
        checkpoint: a folder, a hub id, or a TorchServe archive (file or folder).
        task: the task whose head the checkpoint has; None for an archive's own.
        output: the model folder.
        tokenizer: a folder or hub id with its tokenizer; None for the checkpoint's own.
        precision: of the weights, ``fp32``, ``bf16`` or ``int8``.
        max_length: tokens of a text that the model sees, special ones included; None for as many
            as the checkpoint allows, or the archive tells.
        yardstick: what bf16 and int8 have to agree with fp32 on.
        calibration: texts by which int8 finds the ranges of activations, one on a line; for
            question answering a question, a tab and a context. None for built-in ones.
        explanations: whether an encoder gets the methods that explanations need: in the module
            itself in fp32, else in a twin in fp32. Where the model does not allow it the export
            goes on without them, and says so.
        force: whether to replace ``output``, a model folder or one with nothing but a card; its
            ``README.md`` is kept.
        traced_minutes: how long an archive's traced module may be run: it is code.
        traced_memory: how much memory it may take, in GiB.

    Raises:
        ExportError: the export cannot be done, or its result does not agree with the checkpoint.
    """
    _silence()
    output = Path(output).resolve()
    if output.exists():
        _check_replaceable(output, force)
    with tempfile.TemporaryDirectory(prefix="labelstream-archive-") as unpacked:
        say(f"loading {checkpoint}")
        archive = open_archive(checkpoint, Path(unpacked)) if is_archive(checkpoint) else None
        task = _task(task, archive, checkpoint)
        if archive is None:
            loaded = load_checkpoint(checkpoint, task, tokenizer)
        elif archive.save_mode == "pretrained":
            loaded = _load_archived(archive)
        else:
            loaded = None
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as scratch:
            made = Path(scratch) / "model"
            made.mkdir()
            if loaded is None:
                size = archive.serialized.stat().st_size
                run_apart(
                    Bounds(traced_minutes, traced_memory, 4 * size + GIB),
                    f"the traced module {archive.serialized.name}",
                    _write_traced,
                    archive,
                    made,
                    precision,
                    max_length,
                )
            else:
                asked = _Asked(precision, max_length, yardstick, calibration, explanations)
                _write(loaded, task, made, asked, archive)
            check_folder(made)
            if (output / "README.md").is_file():
                shutil.copyfile(output / "README.md", made / "README.md")
            if output.exists():
                output.rename(Path(scratch) / "replaced")
            made.rename(output)
    say(f"wrote {output}")


def _task(task: Task | None, archive: Archive | None, checkpoint: str) -> Task:
    if archive is None and task is None:
        names = ", ".join(known.name for known in TASKS)
        raise ExportError(f"{checkpoint} does not tell its task: give --task, one of {names}")
    if archive is not None and task not in (None, archive.task):
        raise ExportError(
            f"the archive {checkpoint} is for {archive.task.name}: leave out --task {task.name}"
        )
    return archive.task if task is None else task


def _load_archived(archive: Archive) -> Checkpoint:
    """The checkpoint in the archive, with the archive's labels."""
    loaded = load_checkpoint(
        str(archive.folder), archive.task, archive.tokenizer, archive.lower_cases
    )
    config = loaded.model.config
    if archive.task.labelled and archive.labels is not None:
        _check_count(archive, config.num_labels)
        config.id2label = dict(enumerate(archive.labels))
    return replace(loaded, name=archive.name)


def _check_count(archive: Archive, classes: int) -> None:
    if len(archive.labels) != classes:
        raise ExportError(
            f"index_to_name.json of {archive.name} names {len(archive.labels)} classes, but the "
            f"model gives {classes} logits: add or remove names so that the counts agree"
        )


@dataclass(frozen=True)
class _Export:
    """What is known of a checkpoint before anything of it is traced.

    Attributes:
        max_length: tokens of a text that the model sees.
        inputs: names of the module's arguments.
        padding: the id that rows are padded with.
        rows: to trace and to compare with; None for a generator.
    """

    checkpoint: Checkpoint
    task: Task
    folder: Path
    precision: str
    max_length: int
    inputs: list[str]
    padding: int
    rows: Rows | None

    @property
    def model(self) -> PreTrainedModel:
        return self.checkpoint.model


@dataclass(frozen=True)
class _Asked:
    """What an export of a checkpoint is asked for, as ``export`` has it."""

    precision: str
    max_length: int | None
    yardstick: Yardstick
    calibration: Path | None
    explanations: bool


def _write(
    checkpoint: Checkpoint, task: Task, folder: Path, asked: _Asked, archive: Archive | None
) -> None:
    made = _plan(checkpoint, task, folder, asked.precision, asked.max_length, archive)
    labels = files.label_names(checkpoint) if task.labelled else []
    wrapper, examples = _in_precision(made, asked)
    say(f"tracing {type(made.model).__name__}")
    whole = asked.precision == "fp32"
    _leave_out(made, wrapper, examples)
    explained: dict[str, Any] = {}
    if asked.explanations and made.rows is not None:
        encoder = wrapper if whole else encoder_of(task, made.model, made.inputs, examples)
        explained = _write_explained(made, encoder, examples, MODULE if whole else TWIN)
    if explained.get("explain") != MODULE:
        _write_module(trace(wrapper, {"forward": examples}), folder / MODULE)
    write_tokenizer(checkpoint.tokenizer, made.max_length, folder)
    check_tokenizer(checkpoint.tokenizer, folder)
    skipped = files.write_configs(checkpoint, folder)
    checked = _compare(made, wrapper, asked.yardstick)
    if "checked" in explained:
        checked["explanations"] = explained.pop("checked")
    facts: dict[str, Any] = {
        "task": task.name,
        "architecture": type(made.model).__name__,
        "model_type": made.model.config.model_type,
        "precision": asked.precision,
        "inputs": made.inputs,
        "methods": ["forward", *(METHODS if explained.get("explain") == MODULE else ())],
        "num_labels": len(labels),
        "problem_type": made.model.config.problem_type,
        "max_length": made.max_length,
        **tokenizer_facts(checkpoint.tokenizer),
        "pad_token_id": made.padding,
        "do_lower_case": lower_cases(folder),
        **(
            generation_facts(wrapper, checkpoint.tokenizer)
            if made.rows is None
            else {"embedding_name": embeddings_path(made.model)}
        ),
        **({"torchserve": archive.save_mode} if archive else {}),
        **explained,
        **({"not_done": skipped} if skipped else {}),
        "checked": checked,
    }
    _write_small_files(facts, checkpoint.name, labels, folder, archive)


def _plan(
    checkpoint: Checkpoint,
    task: Task,
    folder: Path,
    precision: str,
    asked: int | None,
    archive: Archive | None,
) -> _Export:
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    generates = task is TEXT_GENERATION
    positions = position_limit(model)
    limited = None if generates and positions is not None else tokenizer
    max_length = effective_length(limited, positions, asked, scaled_positions(model))
    if asked is None and archive is not None and archive.max_length is not None:
        max_length = min(max_length, archive.max_length)
    inputs = list(STEP_INPUTS) if generates else model_inputs(model, tokenizer)
    padding = padding_id(tokenizer, model)
    rows = None
    if not generates:
        vocabulary = model.get_input_embeddings().num_embeddings
        rows = Rows(tokenizer, vocabulary, inputs, task is QUESTION_ANSWERING, padding)
    return _Export(checkpoint, task, folder, precision, max_length, inputs, padding, rows)


def _wrapped(made: _Export, model: PreTrainedModel) -> tuple[Any, tuple[Tensor, ...]]:
    """The model as a module of plain tensors, and arguments to trace it with."""
    lengths = [min(9, made.max_length), min(6, made.max_length)]
    if made.rows is None:
        step = Step(model)
        generator = torch.Generator().manual_seed(SEED)
        return step, step_examples(step, lengths, lengths[0] // 2, generator)
    examples = made.rows.batch(lengths)
    return encoder_of(made.task, model, made.inputs, examples), examples


def _in_precision(made: _Export, asked: _Asked) -> tuple[Any, tuple[Tensor, ...]]:
    """The model as a module of plain tensors in the precision that is asked for, and arguments to
    trace it with."""
    if asked.precision == "int8" and made.rows is not None:
        return _quantized(made, asked)
    if asked.precision != "fp32":
        if asked.precision == "bf16" and not multiplies_bfloat16():
            say("this processor has no instructions for bf16: on one like it fp32 is faster")
        return _wrapped(made, in_precision(made.model, asked.precision))
    wrapper, examples = _wrapped(made, copy.deepcopy(made.model))
    pack(wrapper, examples)
    return wrapper, examples


def _quantized(made: _Export, asked: _Asked) -> tuple[Any, tuple[Tensor, ...]]:
    """An encoder with layers of integers: as many as leave its decisions what they were."""
    check_engine()
    tokenizer, longest = made.checkpoint.tokenizer, made.max_length
    texts = [
        tuple(encoded[name] for name in made.inputs)
        for encoded in (
            encoded_text(tokenizer, text, made.task, longest)
            for text in texts_of(asked.calibration, made.task)[:CALIBRATION_TEXTS]
        )
        if encoded["input_ids"].shape[1] > 0
    ]
    say(f"finding the ranges of activations on {len(texts)} texts")
    groups = calibrate(_wrapped(made, copy.deepcopy(made.model))[0], texts)
    count = sum(len(group.layers) for group in groups)
    judging = replace(asked.yardstick, least=0.0)
    for turn in range(REFINEMENTS + 1):
        wrapper, examples = _wrapped(made, copy.deepcopy(made.model))
        quantize(wrapper, groups, examples)
        pack(wrapper, examples)
        agreed = measure(
            judging, made.task, made.model, wrapper.model, tokenizer, made.inputs, longest
        )
        if agreed["equal"] >= asked.yardstick.least or turn == REFINEMENTS:
            break
        groups.sort(key=lambda group: group.recipe.error)
        groups = groups[: max(1, len(groups) * 3 // 4)]
    kept = sum(len(group.layers) for group in groups)
    say(f"{kept} of {count} linear layers are in int8, the others in fp32")
    return wrapper, examples


def _leave_out(made: _Export, wrapper: Any, examples: tuple[Tensor, ...]) -> None:
    """Lets a classifier of texts leave out of its last layer what it does not read."""
    if made.task is not SEQUENCE_CLASSIFICATION or examples[0].shape[1] == 1:
        return
    others = made.rows.batch([1]), made.rows.batch([min(made.max_length, 17), 2, 5])
    checks = [examples, *others]
    if made.precision != "fp32":
        # Whether it may is seen where numbers are exact: in others a last bit becomes a step.
        exact, _ = _wrapped(made, made.model)
        if not first_token_only(exact, examples, checks, trace):
            return
    first_token_only(wrapper, examples, checks, trace, TOLERANCE[made.precision])


def _write_explained(
    made: _Export, encoder: Encoder, examples: tuple[Tensor, ...], file: str
) -> dict[str, Any]:
    """Writes the module with what explanations need, where the model allows it.

    Returns:
        ``explain``, its file, and what was ``checked``; or a ``note`` that says why there is none.
    """
    try:
        _write_module(trace_explained(encoder, examples), made.folder / file)
        say(f"comparing gradients, up to {min(made.max_length, LONGEST)} tokens")
        checked = verify_explained(
            made.folder / file, made.task, made.model, made.rows, made.max_length
        )
        return {"explain": file, "checked": checked}
    except ExportError as error:
        (made.folder / file).unlink(missing_ok=True)
        note = f"it is written without explanations: {error}"
        say(f"{type(made.model).__name__}: {note}")
        return {"note": note}


def _compare(made: _Export, wrapper: Any, yardstick: Yardstick) -> dict[str, Any]:
    """Holds the written module against the checkpoint."""
    say(f"comparing with the checkpoint, up to {made.max_length} tokens")
    checkpoint, path, longest = made.checkpoint, made.folder / MODULE, made.max_length
    above = thresholds(checkpoint.config, longest)
    # The model was run while it was traced, and may have changed itself: so it is loaded afresh.
    fresh = checkpoint.load()
    judged = judged_by(fresh, path, made.precision, made.task)
    if made.rows is None:
        judge: Any = Step(judged)
        checked = verify_steps(path, judged, fresh, longest, made.precision, above)
    else:
        judge = type(wrapper)(judged, made.inputs, wrapper.left)
        checked = verify(path, made.task, judge, made.rows, longest, made.precision, above)
    say(f"{checked['texts']} rows agree, largest difference {checked['largest_difference']:.1e}")
    if made.precision != "fp32":
        checked["agreement"] = measure(
            yardstick,
            made.task,
            made.model,
            wrapper.model,
            checkpoint.tokenizer,
            made.inputs,
            longest,
        )
        say(f"{checked['agreement']['equal']:.2%} of the decisions are those of fp32")
    kept = Step(judged) if made.rows is None else judge
    checked["probes"] = probes(kept, probe_batches(kept, made.rows, longest), made.inputs)
    return checked


def _write_traced(archive: Archive, folder: Path, precision: str, asked: int | None) -> None:
    """The module of an archive, with outputs as its task has them here; it is run."""
    _silence()
    if precision != "fp32":
        raise ExportError(
            f"the archive {archive.name} holds a traced module, which can only be taken as it is: "
            "leave out --precision, or archive the checkpoint with save_mode pretrained"
        )
    task, tokenizer = archive.task, load_tokenizer(archive.tokenizer)
    max_length = effective_length(tokenizer, archive.max_length, asked)
    traced = load_traced(archive.serialized, task)
    labels: list[str] = []
    config_file = archive.folder / "config.json"
    config = read_config(str(archive.folder)) if config_file.is_file() else {}
    if task.labelled:
        classes = class_count(traced, tokenizer)
        named = config.get("id2label", {})
        labels = archive.labels or [
            str(named.get(str(index), f"LABEL_{index}")) for index in range(classes)
        ]
        _check_count(replace(archive, labels=labels), classes)

    say(f"wrapping {archive.serialized.name}")
    pairs = task is QUESTION_ANSWERING
    rows = Rows(tokenizer, len(tokenizer), TRACED_INPUTS, pairs)
    examples = rows.batch([6, 4])
    _write_module(trace(traced, {"forward": examples}), folder / MODULE)
    write_tokenizer(tokenizer, max_length, folder)
    check_tokenizer(tokenizer, folder)
    files.write_json(config, folder / "config.json")
    say(f"comparing rows in batches and alone, up to {max_length} tokens")
    checked = verify_traced(folder / MODULE, traced, task, tokenizer, max_length)
    checked["probes"] = probes(traced, probe_batches(traced, rows, max_length), TRACED_INPUTS)
    facts: dict[str, Any] = {
        "task": task.name,
        "architecture": traced.model.original_name,
        "model_type": config.get("model_type"),
        "precision": precision,
        "inputs": list(TRACED_INPUTS),
        "methods": ["forward"],
        "num_labels": len(labels),
        "problem_type": config.get("problem_type"),
        "max_length": max_length,
        **tokenizer_facts(tokenizer),
        "pad_token_id": rows.padding,
        "do_lower_case": lower_cases(folder),
        "torchserve": archive.save_mode,
        "note": "traced by its archive's maker, without what explanations need: it cannot be "
        "explained",
        "checked": checked,
    }
    _write_small_files(facts, archive.name, labels, folder, archive)


def _write_module(module: torch.jit.ScriptModule, file: Path) -> None:
    free_devices(module)
    check_devices(module)
    try:
        write_module(module, file)
    except RuntimeError as error:  # what a trace cannot hold is found when it is written
        raise ExportError(
            f"the traced model cannot be written ({reason_of(error)}): give a checkpoint of "
            "another architecture"
        ) from error


def _write_small_files(
    facts: dict[str, Any],
    name: str,
    labels: list[str],
    folder: Path,
    archive: Archive | None,
) -> None:
    if labels:
        files.write_labels(labels, folder)
    files.write_handler(facts, name, folder, archive)
    manifest = files.write_manifest(facts, folder)
    (folder / "README.md").write_text(card(manifest, name, labels), "utf-8")


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
