"""What cannot be exported is refused with a sentence, and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers

import labelstream_export.export as export_module
from fixture_checkpoints import ENCODERS
from labelstream_export.errors import ExportError
from labelstream_export.export import export
from labelstream_export.tasks import SEQUENCE_CLASSIFICATION


def refuse(checkpoint: Path | str, output: Path, sentence: str) -> None:
    """Exports, and expects a sentence and no trace of the output."""
    with pytest.raises(ExportError, match=sentence) as failure:
        export(checkpoint=str(checkpoint), task=SEQUENCE_CLASSIFICATION, output=output)
    assert "\n" not in str(failure.value)
    assert not [file for file in output.parent.iterdir() if output.name in file.name]


@pytest.fixture
def checkpoint(checkpoints, tmp_path) -> Path:
    """A checkpoint that a test may spoil."""
    return shutil.copytree(checkpoints["distilbert"], tmp_path / "checkpoint")


def edit(file: Path, **changes) -> None:
    content = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**content, **changes}), "utf-8")


def test_folder_without_config(checkpoint, tmp_path):
    (checkpoint / "config.json").unlink()
    refuse(checkpoint, tmp_path / "model", "has no config.json")


def test_folder_without_weights(checkpoint, tmp_path):
    (checkpoint / "model.safetensors").unlink()
    refuse(checkpoint, tmp_path / "model", "has no weights")


def test_broken_weights(checkpoint, tmp_path):
    (checkpoint / "model.safetensors").write_bytes(b"not weights at all")
    refuse(checkpoint, tmp_path / "model", "cannot be loaded for sequence_classification")


def test_config_that_is_not_json(checkpoint, tmp_path):
    (checkpoint / "config.json").write_text("{", "utf-8")
    refuse(checkpoint, tmp_path / "model", "is not JSON")


def test_unknown_model_type(checkpoint, tmp_path):
    edit(checkpoint / "config.json", model_type="nonesuch")
    refuse(checkpoint, tmp_path / "model", "cannot be loaded for sequence_classification")


def test_folder_that_is_not_there(tmp_path):
    refuse(tmp_path / "nowhere", tmp_path / "model", "there is no folder")


def test_hub_that_cannot_be_reached(tmp_path):
    refuse("someone/something", tmp_path / "model", "neither a folder here nor to be had")


@pytest.mark.parametrize("architecture", ENCODERS)
def test_checkpoint_without_the_head(checkpoints, tmp_path, architecture):
    """transformers would make up a random head, with a warning."""
    source = shutil.copytree(checkpoints[architecture], tmp_path / "checkpoint")
    model = transformers.AutoModel.from_pretrained(source)
    model.save_pretrained(source)
    refuse(source, tmp_path / "model", "was not trained for sequence_classification")


def test_checkpoint_without_a_tokenizer(checkpoint, tmp_path):
    for file in [*checkpoint.glob("*token*"), *checkpoint.glob("vocab*")]:
        file.unlink()
    refuse(checkpoint, tmp_path / "model", "tokenizer of .* cannot be loaded")


def test_tokenizer_of_another_model(checkpoint, tmp_path):
    content = json.loads((checkpoint / "tokenizer.json").read_text("utf-8"))
    content["model"]["vocab"]["beyond"] = 600
    edit(checkpoint / "tokenizer.json", **content)
    refuse(checkpoint, tmp_path / "model", "ids up to 600, and the model has embeddings for 600")


def test_tokenizer_that_is_not_a_fast_one(checkpoint, tmp_path, monkeypatch):
    slow = transformers.CanineTokenizer()
    monkeypatch.setattr(
        transformers.AutoTokenizer, "from_pretrained", lambda *args, **options: slow
    )
    refuse(checkpoint, tmp_path / "model", "is not a fast one")


def test_labels_with_a_gap(checkpoint, tmp_path):
    edit(checkpoint / "config.json", id2label={"0": "a", "1": "b", "3": "c"})
    refuse(checkpoint, tmp_path / "model", "does not name the classes 0 to 2")


def test_module_that_disagrees_with_the_checkpoint(checkpoint, tmp_path, monkeypatch):
    """The weights change after tracing, as if the file were damaged."""

    def damage(module, path):
        with torch.no_grad():
            bias = module.model.classifier.bias
            bias += 0.001
            write(module, path)
            bias -= 0.001

    write = export_module.write_module
    monkeypatch.setattr(export_module, "write_module", damage)
    refuse(checkpoint, tmp_path / "model", "does not agree with the checkpoint")


def test_model_that_decides_by_length_is_refused(checkpoint, tmp_path, monkeypatch):
    """A trace keeps only the branch that its example took."""
    original = transformers.DistilBertForSequenceClassification.forward

    def forward(self, input_ids=None, attention_mask=None, **options):
        outputs = original(self, input_ids, attention_mask, **options)
        return (outputs[0] * (2.0 if input_ids.shape[1] > 20 else 1.0),)

    monkeypatch.setattr(transformers.DistilBertForSequenceClassification, "forward", forward)
    refuse(checkpoint, tmp_path / "model", "does not agree with the checkpoint")


def test_device_constant_that_cannot_be_removed(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "free_devices", lambda module: 0)
    refuse(checkpoint, tmp_path / "model", 'holds the device constant "cpu"')


def test_written_tokenizer_that_gives_other_ids(checkpoint, tmp_path, monkeypatch):
    def spoil(tokenizer, max_length, folder):
        write(tokenizer, max_length, folder)
        edit(folder / "tokenizer.json", normalizer=None)

    write = export_module.write_tokenizer
    monkeypatch.setattr(export_module, "write_tokenizer", spoil)
    refuse(checkpoint, tmp_path / "model", "gives other ids than the checkpoint's")


def test_limit_that_nobody_tells():
    from labelstream_export.tokenizer import effective_length

    class Unlimited:
        model_max_length = int(1e30)

    assert effective_length(Unlimited(), 512, None) == 512
    assert effective_length(Unlimited(), None, 100) == 100
    with pytest.raises(ExportError, match="give --max-length"):
        effective_length(Unlimited(), None, None)
