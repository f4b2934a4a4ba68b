"""Archives made by TorchServe's documented layout become model folders with one command."""

from __future__ import annotations

import json
import stat
import tarfile
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest
import torch
import transformers
import yaml

import labelstream_export.torchserve as torchserve
from fixture_checkpoints import ENTITY_LABELS, make_checkpoint
from labelstream_export.cli import main
from labelstream_export.errors import ExportError
from labelstream_export.export import export
from labelstream_export.tasks import QUESTION_ANSWERING, SEQUENCE_CLASSIFICATION, Task
from labelstream_export.tasks import TOKEN_CLASSIFICATION as TOKENS

NAMES = ["schlecht", "mittel", "gut"]
HANDLER = {
    "model_name": "bert-base-uncased",
    "mode": "sequence_classification",
    "do_lower_case": False,
    "num_labels": "0",
    "save_mode": "pretrained",
    "max_length": "40",
    "captum_explanation": False,
    "embedding_name": "bert",
    "BetterTransformer": False,
}
SETTINGS = {"minWorkers": 1, "batchSize": 4, "responseTimeout": 120}


def unpacked(folder: Path, task: Task = SEQUENCE_CLASSIFICATION, labels=NAMES, **changes) -> Path:
    """An archive's folder, in ``save_mode`` pretrained or torchscript."""
    archive = folder / "archive"
    make_checkpoint("bert", archive, ["a", "b", "c"] if labels is NAMES else labels, task=task)
    handler = {**HANDLER, "mode": task.name, **changes}
    serialized = "model.safetensors"
    if handler["save_mode"] == "torchscript":
        serialized = "traced_model.pt"
        model = getattr(transformers, task.auto_class).from_pretrained(archive, torchscript=True)
        ids = torch.randint(5, 100, (1, 40))
        torch.jit.trace(model.eval(), [ids, torch.ones_like(ids)]).save(archive / serialized)
        (archive / "model.safetensors").unlink()
    manifest = {
        "createdOn": "01/01/2025 00:00:00",
        "runtime": "python",
        "model": {
            "modelName": "Opinions",
            "serializedFile": serialized,
            "handler": "Transformer_handler_generalized.py",
            "modelVersion": "1.0",
            "configFile": "model-config.yaml",
        },
        "archiverVersion": "0.12.0",
    }
    (archive / "MAR-INF").mkdir()
    (archive / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
    (archive / "model-config.yaml").write_text(yaml.safe_dump({**SETTINGS, "handler": handler}))
    names = {str(index): name for index, name in enumerate(labels)}
    (archive / "index_to_name.json").write_text(json.dumps(names), "utf-8")
    return archive


def packed(archive: Path) -> Path:
    file = archive.parent / "Opinions.mar"
    with zipfile.ZipFile(file, "w") as target:
        for part in archive.rglob("*"):
            if part.is_file():
                target.write(part, part.relative_to(archive))
    return file


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "labelstream.json").read_text("utf-8"))


def labels_of(folder: Path) -> list[str]:
    return list(json.loads((folder / "index_to_name.json").read_text("utf-8")).values())


@pytest.mark.parametrize("save_mode", ["pretrained", "torchscript"])
def test_mar_file_becomes_a_folder_with_its_labels_by_one_command(tmp_path, save_mode):
    archive = unpacked(tmp_path, save_mode=save_mode)
    assert main([str(packed(archive)), "--output", str(tmp_path / "model")]) == 0
    manifest = manifest_of(tmp_path / "model")
    assert manifest["task"] == "sequence_classification"
    assert manifest["max_length"] == 40
    assert manifest["torchserve"] == save_mode
    assert manifest["architecture"] == "BertForSequenceClassification"
    assert labels_of(tmp_path / "model") == NAMES
    content = yaml.safe_load((tmp_path / "model" / "model-config.yaml").read_text("utf-8"))
    assert {key: content[key] for key in SETTINGS} == SETTINGS
    assert content["handler"]["captum_explanation"] is False
    assert ("explain" in manifest) == (save_mode == "pretrained")  # the job file may ask for them
    assert content["handler"]["BetterTransformer"] is False
    assert content["handler"]["num_labels"] == 3
    assert content["handler"]["max_length"] == 40

    make_checkpoint("bert", tmp_path / "original")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "original")
    ids = torch.tensor([[2, 9, 10, 3], [2, 11, 3, 0]])
    mask = (ids > 0).long()
    tensors = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    module = torch.jit.load(str(tmp_path / "model" / "model.pt"))
    with torch.inference_mode():
        logits = module(*[tensors[name] for name in manifest["inputs"]])
        expected = model.eval()(ids, attention_mask=mask).logits
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_traced_modules_cannot_be_explained_and_say_so(tmp_path):
    archive = unpacked(tmp_path, save_mode="torchscript")
    export(checkpoint=str(archive), task=None, output=tmp_path / "model")
    manifest = manifest_of(tmp_path / "model")
    assert manifest["inputs"] == ["input_ids", "attention_mask"]
    assert manifest["methods"] == ["forward"]
    assert "explain" not in manifest
    assert "cannot be explained" in manifest["note"]
    assert "embedding_name" not in manifest


@pytest.mark.parametrize("task", [TOKENS, QUESTION_ANSWERING], ids=lambda task: task.name)
def test_traced_modules_of_other_tasks_give_one_tensor(tmp_path, task):
    archive = unpacked(tmp_path, task, ENTITY_LABELS, save_mode="torchscript")
    if task is QUESTION_ANSWERING:
        (archive / "index_to_name.json").unlink()
    export(checkpoint=str(archive), task=None, output=tmp_path / "model")
    ids = torch.tensor([[2, 9, 10, 3]])
    logits = torch.jit.load(str(tmp_path / "model" / "model.pt"))(ids, torch.ones_like(ids))
    assert list(logits.shape) == [1, 4, 2 if task is QUESTION_ANSWERING else 6]


def test_archive_format_tgz_is_read_too(tmp_path):
    archive = unpacked(tmp_path)
    file = tmp_path / "Opinions.tar.gz"
    with tarfile.open(file, "w:gz") as target:
        target.add(archive, arcname=".")
    export(checkpoint=str(file), task=None, output=tmp_path / "model")
    assert labels_of(tmp_path / "model") == NAMES
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    outside = tarfile.TarInfo("../outside")
    for entry in (link, outside):
        with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as target:
            target.addfile(entry)
        refuse(tmp_path / "bad.tar.gz", tmp_path / "other", "would be written elsewhere")
    (tmp_path / "bad.tar.gz").write_bytes(file.read_bytes()[:2000])
    refuse(tmp_path / "bad.tar.gz", tmp_path / "other", "cannot be unpacked|neither a folder")


def test_name_with_a_comma_inside_quotes_is_one_name(tmp_path):
    archive = unpacked(tmp_path, TOKENS)
    label_list = "['O', 'B-PER, full', I-PER]"
    (archive / "index_to_name.json").write_text(json.dumps({"label_list": label_list}))
    export(checkpoint=str(archive), task=TOKENS, output=tmp_path / "model")
    assert labels_of(tmp_path / "model") == ["O", "B-PER, full", "I-PER"]


@pytest.mark.parametrize(
    "label_list", ["[O, B-PER, I-PER]", "['O', 'B-PER', 'I-PER']", ["O", "B-PER", "I-PER"]]
)
def test_label_list_is_read_in_each_form(tmp_path, label_list):
    archive = unpacked(tmp_path, TOKENS)
    (archive / "index_to_name.json").write_text(json.dumps({"label_list": label_list}))
    export(checkpoint=str(archive), task=TOKENS, output=tmp_path / "model")
    assert labels_of(tmp_path / "model") == ["O", "B-PER", "I-PER"]


def test_older_archives_have_a_setup_config(tmp_path):
    archive = unpacked(tmp_path)
    (archive / "model-config.yaml").unlink()
    setup = {**HANDLER, "do_lower_case": "True", "FasterTransformer": False}
    (archive / "setup_config.json").write_text(json.dumps(setup))
    (archive / "model.safetensors").rename(archive / "weights.safetensors")
    content = json.loads((archive / "MAR-INF" / "MANIFEST.json").read_text())
    content["model"]["serializedFile"] = "weights.safetensors"
    (archive / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(content))
    export(checkpoint=str(packed(archive)), task=None, output=tmp_path / "model")
    manifest = manifest_of(tmp_path / "model")
    assert manifest["max_length"] == 40
    assert manifest["do_lower_case"] is True  # as the handler tells its tokenizer
    handler = yaml.safe_load((tmp_path / "model" / "model-config.yaml").read_text("utf-8"))
    assert handler["handler"]["FasterTransformer"] is False


def test_weights_among_the_extra_files_need_no_serialized_file(tmp_path):
    archive = unpacked(tmp_path, save_mode="pretrained")
    content = json.loads((archive / "MAR-INF" / "MANIFEST.json").read_text())
    del content["model"]["serializedFile"]
    (archive / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(content))
    export(checkpoint=str(packed(archive)), task=None, output=tmp_path / "model")
    assert labels_of(tmp_path / "model") == NAMES
    (archive / "model.safetensors").unlink()
    refuse(archive, tmp_path / "other", "has no model weights, and its manifest names no")


def refuse(archive: Path, tmp_path: Path, sentence: str, **arguments) -> None:
    with pytest.raises(ExportError, match=sentence) as failure:
        export(
            **{"checkpoint": str(archive), "task": None, "output": tmp_path / "model", **arguments}
        )
    assert "\n" not in str(failure.value)
    assert not (tmp_path / "model").exists()


def test_what_does_not_fit_is_refused(tmp_path):
    archive = unpacked(tmp_path, save_mode="torchscript")
    refuse(archive, tmp_path, "is for sequence_classification", task=QUESTION_ANSWERING)
    refuse(archive, tmp_path, "can only be taken as it is", precision="int8")
    (archive / "index_to_name.json").write_text('{"0": "a", "1": "b"}')
    refuse(archive, tmp_path, "names 2 classes, but the model gives 3 logits")
    (archive / "index_to_name.json").write_text('{"0": "a", "2": "b"}')
    refuse(archive, tmp_path, "does not name the classes 0 to 1")
    (archive / "traced_model.pt").write_bytes(b"nothing")
    (archive / "index_to_name.json").unlink()
    refuse(archive, tmp_path, "is no TorchScript module")
    (archive / "traced_model.pt").unlink()
    refuse(archive, tmp_path, "has no serialized file traced_model.pt")
    (archive / "model-config.yaml").write_text("handler: {mode: summarization}")
    refuse(archive, tmp_path, "mode .* is not a task")
    (archive / "model-config.yaml").unlink()
    refuse(archive, tmp_path, "nor a setup_config.json")


def test_checkpoint_without_a_task_is_refused(checkpoints, tmp_path):
    refuse(checkpoints["bert"], tmp_path, "does not tell its task")


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside", "..\\outside"])
def test_nothing_is_written_outside_of_the_folder(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "bad.mar", "w") as archive:
        archive.writestr(name, "content")
    refuse(tmp_path / "bad.mar", tmp_path, "would be written elsewhere")
    assert not list(tmp_path.rglob("*outside*"))


def test_links_and_too_much_are_refused(tmp_path, monkeypatch):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "bad.mar", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    refuse(tmp_path / "bad.mar", tmp_path, "would be written elsewhere")
    with zipfile.ZipFile(tmp_path / "large.mar", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(1_000_000))  # a thousand times what is packed
    monkeypatch.setattr(torchserve, "ALWAYS_BYTES", 99_999)
    refuse(tmp_path / "large.mar", tmp_path, "it is no model archive")
    monkeypatch.setattr(torchserve, "ALWAYS_BYTES", 1 << 40)
    usage = namedtuple("usage", "total used free")(1 << 40, 1 << 40, 500_000)
    monkeypatch.setattr(torchserve.shutil, "disk_usage", lambda folder: usage)
    refuse(tmp_path / "large.mar", tmp_path, "set TMPDIR to a folder with more")


class Loops(torch.nn.Module):
    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        while input_ids.size(0) > 0:
            input_ids = input_ids + attention_mask
        return input_ids


class Eats(torch.nn.Module):
    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return torch.zeros([4 << 30]) + input_ids.size(0)


class Writes(torch.nn.Module):
    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return torch.from_file("large.bin", True, 1 << 30, dtype=torch.float)


@pytest.mark.parametrize(
    ("module", "sentence", "bounds"),
    [
        (Loops(), "has not ended within 0.2 minutes", {"traced_minutes": 0.2}),
        (Eats(), "needs more than 1 GiB of memory", {"traced_memory": 1}),
        (Writes(), "File too large|large.bin|ended its process", {}),
    ],
    ids=["loops", "eats", "writes"],
)
def test_a_traced_module_is_code_and_gets_bounds(tmp_path, monkeypatch, module, sentence, bounds):
    monkeypatch.chdir(tmp_path)
    archive = unpacked(tmp_path, save_mode="torchscript")
    torch.jit.script(module).save(archive / "traced_model.pt")

    refuse(archive, tmp_path, sentence, **bounds)

    written = tmp_path / "large.bin"
    assert not written.exists() or written.stat().st_size < 2 << 30
