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
from labelstream_export.tasks import SEQUENCE_CLASSIFICATION, TEXT_GENERATION

MOST = 200  # letters of a reason


def refuse(checkpoint: Path | str, output: Path, sentence: str) -> None:
    """Exports, and expects a sentence and no trace of the output."""
    with pytest.raises(ExportError, match=sentence) as failure:
        export(checkpoint=str(checkpoint), task=SEQUENCE_CLASSIFICATION, output=output)
    assert "\n" not in str(failure.value)
    assert len(str(failure.value)) <= MOST, str(failure.value)
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
    refuse(checkpoint, tmp_path / "model", "has the model_type nonesuch, which transformers")


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
    refuse(
        checkpoint,
        tmp_path / "model",
        "has no tokenizer: add its tokenizer.json, or give .* as --tokenizer",
    )


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
    refuse(checkpoint, tmp_path / "model", "runs in Python alone, and transformers has no fast one")


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
    from labelstream_export.lengths import effective_length

    class Unlimited:
        model_max_length = int(1e30)

    assert effective_length(Unlimited(), 512, None) == 512
    assert effective_length(Unlimited(), None, 100) == 100
    with pytest.raises(ExportError, match="give --max-length"):
        effective_length(Unlimited(), None, None)


ADAPTER = {"peft_type": "LORA", "base_model_name_or_path": "bert-base-uncased"}


@pytest.mark.parametrize("base", ["none", "config", "weights"])
def test_adapter_is_never_left_out(checkpoint, tmp_path, base):
    """Beside its base it would be ignored, and the base exported."""
    (checkpoint / "adapter_config.json").write_text(json.dumps(ADAPTER), "utf-8")
    (checkpoint / "adapter_model.safetensors").write_bytes(b"...")
    if base != "weights":
        (checkpoint / "model.safetensors").unlink()
    if base == "none":
        (checkpoint / "config.json").unlink()
    refuse(checkpoint, tmp_path / "model", "a LORA adapter of bert-base-uncased, .* merge them")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"quantization_config": {"quant_method": "gptq", "bits": 4}},
            "is quantized .gptq.: export the unquantized .* --precision int8",
        ),
        (
            {
                "model_type": "nomic_bert",
                "auto_map": {"AutoModelForSequenceClassification": "modeling_nomic.Nomic"},
            },
            "is code of its own .modeling_nomic.Nomic., .* no --trust-remote-code",
        ),
        ({"model_type": "distillbert"}, "the nearest is distilbert"),
        ({"model_type": None}, "tells no model_type"),
        ({"model_type": "vit"}, "has no vit for sequence_classification, nor for another task"),
        ({"id2label": {"A": "0", "B": "1", "C": "2"}}, "does not name the classes 0 to 2"),
        ({"id2label": ["A", "B", "C"]}, "id2label in config.json of checkpoint is no object"),
        ({"id2label": {"0": "A", "1": " ", "2": "B"}}, "names class 1 with a blank"),
        ({"id2label": {"0": "A", "1": None, "2": "B"}}, "names class 1 with nothing"),
        ({"id2label": {"0": ["a"], "1": "A", "2": "B"}}, "names class 0 with a list"),
        (
            {"id2label": {str(at): f"L{at}" for at in range(4)}, "label2id": {}},
            "gives 3 logits, and its config.json names 4 classes",
        ),
        ({"dim": 18}, "has the shape .16., and its config.json asks for .18.|has the shape"),
    ],
)
def test_configuration_is_looked_at_first(checkpoint, tmp_path, changes, sentence):
    edit(checkpoint / "config.json", **changes)
    refuse(checkpoint, tmp_path / "model", sentence)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"model-q4.gguf": "GGUF"}, "has GGUF weights alone"),
        ({"tf_model.h5": "x"}, "has TensorFlow weights alone"),
        ({"model.onnx": "x"}, "has ONNX weights alone"),
        (
            {"model.safetensors": "version https://git-lfs.github.com/spec/v1\noid sha256:01\n"},
            "model.safetensors of checkpoint is a Git LFS pointer.*git lfs pull",
        ),
        (
            {
                "model.safetensors.index.json": json.dumps(
                    {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
                )
            },
            "lacks model-00001-of-00002.safetensors .1 of 1 files",
        ),
        ({"checkpoint-500/config.json": "{}"}, "such as checkpoint-500"),
    ],
)
def test_files_are_looked_at_first(checkpoint, tmp_path, files, sentence):
    (checkpoint / "model.safetensors").unlink()
    for name, content in files.items():
        (checkpoint / name).parent.mkdir(exist_ok=True)
        (checkpoint / name).write_text(content, "utf-8")
    refuse(checkpoint, tmp_path / "model", sentence)


@pytest.mark.parametrize("kind", ["PhobertTokenizer", "ByT5Tokenizer", "BertJapaneseTokenizer"])
def test_tokenizer_that_runs_in_python_alone_is_told_as_such(checkpoint, tmp_path, kind):
    for file in checkpoint.glob("tokenizer*"):
        file.unlink()
    (checkpoint / "vocab.txt").write_text("[PAD]\n[UNK]\na\nb\n")
    (checkpoint / "bpe.codes").write_text("a b 3\n")
    (checkpoint / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind}))
    refuse(checkpoint, tmp_path / "model", f"{kind}. runs in Python alone")


def test_tokenizer_of_its_own_code_is_not_run(checkpoint, tmp_path):
    (checkpoint / "tokenization_mine.py").write_text("raise SystemExit('executed')\n")
    edit(
        checkpoint / "tokenizer_config.json",
        tokenizer_class="MyTokenizer",
        auto_map={"AutoTokenizer": ["tokenization_mine.MyTokenizer", None]},
    )
    refuse(checkpoint, tmp_path / "model", "the tokenizer of checkpoint is code of its own")


def test_added_token_of_which_nothing_is_left(checkpoint, tmp_path):
    content = json.loads((checkpoint / "tokenizer.json").read_text("utf-8"))
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "special"), False)
    token = {"id": len(content["model"]["vocab"]), "content": "\x07", "normalized": True, **flags}
    edit(checkpoint / "tokenizer.json", added_tokens=[*content["added_tokens"], token])
    refuse(checkpoint, tmp_path / "model", r"leaves nothing of the added token '\\x07'")


def test_encoder_decoder_is_no_generator_here(checkpoint, tmp_path):
    (checkpoint / "config.json").write_text(
        json.dumps({"model_type": "t5", "is_encoder_decoder": True}), "utf-8"
    )
    with pytest.raises(ExportError, match="is an encoder-decoder .t5., .* cannot be exported"):
        export(checkpoint=str(checkpoint), task=TEXT_GENERATION, output=tmp_path / "model")


def test_special_token_without_an_embedding_may_be_there(checkpoint, tmp_path):
    """A [PAD] that was added after the training: no text gives it but by its name."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    tokenizer.add_special_tokens({"pad_token": "<new pad>"})
    assert tokenizer.pad_token_id == 600
    tokenizer.save_pretrained(checkpoint)
    output = tmp_path / "model"
    export(checkpoint=str(checkpoint), task=SEQUENCE_CLASSIFICATION, output=output)
    manifest = json.loads((output / "labelstream.json").read_text("utf-8"))
    assert 0 <= manifest["pad_token_id"] < 600


def test_tokenizer_may_lie_elsewhere(checkpoint, checkpoints, tmp_path):
    for file in [*checkpoint.glob("*token*"), *checkpoint.glob("vocab*")]:
        file.unlink()
    export(
        checkpoint=str(checkpoint),
        task=SEQUENCE_CLASSIFICATION,
        output=tmp_path / "model",
        tokenizer=str(checkpoints["distilbert"]),
    )
    assert (tmp_path / "model" / "tokenizer.json").is_file()
