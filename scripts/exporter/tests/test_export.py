"""A model folder holds what the checkpoint was, and its module gives the pipeline's numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
import yaml
from tokenizers import Tokenizer

import fixture_texts
from fixture_checkpoints import ENCODERS, LABELS, MAX_LENGTH
from labelstream_export.errors import ExportError
from labelstream_export.export import export
from labelstream_export.folder import UNSUMMED, sha256
from labelstream_export.graph import check_devices
from labelstream_export.tasks import SEQUENCE_CLASSIFICATION
from modules import change

INPUTS = {
    "bert": ["input_ids", "attention_mask", "token_type_ids"],
    "distilbert": ["input_ids", "attention_mask"],
    "roberta": ["input_ids", "attention_mask"],
    "electra": ["input_ids", "attention_mask", "token_type_ids"],
    "albert": ["input_ids", "attention_mask", "token_type_ids"],
    "deberta-v2": ["input_ids", "attention_mask", "token_type_ids"],
    "xlm-roberta": ["input_ids", "attention_mask"],
    "mpnet": ["input_ids", "attention_mask"],
    "modernbert": ["input_ids", "attention_mask"],
}
EMBEDDINGS = {
    "deberta-v2": "deberta.embeddings",
    "xlm-roberta": "roberta.embeddings",
    "modernbert": "model.embeddings",
}
WORDPIECE = ("bert", "distilbert", "electra", "mpnet")
SENTENCEPIECE = ("albert", "deberta-v2", "xlm-roberta")
each_architecture = pytest.mark.parametrize("architecture", ENCODERS)


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "labelstream.json").read_text("utf-8"))


def load(folder: Path) -> torch.jit.ScriptModule:
    return torch.jit.load(str(folder / "model.pt"))


@each_architecture
def test_padded_batch_gives_the_scores_of_the_pipeline(checkpoints, exported, architecture):
    """Works on the folder's files alone, the way the Java side does."""
    folder = exported[architecture]
    manifest = manifest_of(folder)
    names = json.loads((folder / "index_to_name.json").read_text("utf-8"))
    texts = [fixture_texts.readable(text) for text in fixture_texts.TEXTS.values()]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(manifest["max_length"])
    tokenizer.enable_padding(pad_id=manifest["pad_token_id"])
    encodings = tokenizer.encode_batch(texts)
    tensors = {
        "input_ids": torch.tensor([encoding.ids for encoding in encodings]),
        "attention_mask": torch.tensor([encoding.attention_mask for encoding in encodings]),
        "token_type_ids": torch.tensor([encoding.type_ids for encoding in encodings]),
    }
    scores = load(folder)(*[tensors[name] for name in manifest["inputs"]]).softmax(dim=-1)

    pipeline = transformers.pipeline("text-classification", model=str(checkpoints[architecture]))
    for text, row in zip(texts, scores):
        for expected in pipeline(text, top_k=None, truncation=True):
            index = next(index for index, name in names.items() if name == expected["label"])
            assert row[int(index)].item() == pytest.approx(expected["score"], abs=1e-5), text


@each_architecture
def test_manifest_tells_the_facts(checkpoints, exported, architecture):
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoints[architecture])
    manifest = manifest_of(exported[architecture])
    checked = manifest.pop("checked")
    sums = manifest.pop("sha256")
    assert manifest.pop("labels_sha256") == sha256(exported[architecture] / "index_to_name.json")
    assert manifest.pop("versions")["torch"] == "2.7.1"
    assert manifest == {
        "format": 1,
        "task": "sequence_classification",
        "architecture": f"{ENCODERS[architecture][0]}ForSequenceClassification",
        "model_type": architecture,
        "precision": "fp32",
        "inputs": INPUTS[architecture],
        "methods": ["forward", "embed", "gradients"],
        "explain": "model.pt",
        "num_labels": 3,
        "problem_type": None,
        "max_length": MAX_LENGTH,
        "pad_token_id": 1 if architecture in ("roberta", "xlm-roberta", "mpnet") else 0,
        "padding_side": "right",
        "truncation_side": "right",
        "model_input_names": tokenizer.model_input_names,
        "unk_token_id": tokenizer.unk_token_id,
        "cls_token_id": tokenizer.cls_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "continuing_subword_prefix": "##" if architecture in WORDPIECE else None,
        "decoder": "WordPiece"
        if architecture in WORDPIECE
        else "Metaspace"
        if architecture in SENTENCEPIECE
        else "ByteLevel",
        "clean_up_tokenization_spaces": tokenizer.clean_up_tokenization_spaces,
        "do_lower_case": architecture in ("distilbert", "electra", "mpnet", "albert"),
        "embedding_name": EMBEDDINGS.get(architecture, f"{architecture}.embeddings"),
    }
    assert checked["texts"] > 10
    assert checked["largest_difference"] <= 5e-5
    assert checked["explanations"]["largest_gradient_difference"] <= 1e-4
    files = {file.name for file in exported[architecture].iterdir()}
    assert set(sums) == files - set(UNSUMMED)
    assert all(sha256(exported[architecture] / name) == digest for name, digest in sums.items())


@each_architecture
def test_small_files_say_the_same_as_the_manifest(exported, architecture):
    folder = exported[architecture]
    manifest = manifest_of(folder)
    handler = yaml.safe_load((folder / "model-config.yaml").read_text("utf-8"))["handler"]
    assert handler["mode"] == manifest["task"]
    for key in ("max_length", "num_labels", "do_lower_case", "embedding_name"):
        assert handler[key] == manifest[key]
    labels = json.loads((folder / "index_to_name.json").read_text("utf-8"))
    assert list(labels.items()) == [(str(index), name) for index, name in enumerate(LABELS)]
    tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    assert tokenizer["truncation"] is None
    assert tokenizer["padding"] is None


@each_architecture
def test_folder_names_no_path_of_this_machine(checkpoints, exported, architecture):
    folders = [str(checkpoints[architecture].parent), str(Path(torch.__file__).parents[1])]
    for file in exported[architecture].iterdir():
        content = file.read_bytes()
        assert not any(folder.encode() in content for folder in folders), file.name


@each_architecture
def test_no_device_is_left_in_the_written_module(exported, architecture):
    check_devices(load(exported[architecture]))


@each_architecture
def test_module_follows_its_inputs_to_another_device(exported, architecture):
    """The meta device computes shapes only, and like a GPU refuses a tensor of the CPU."""
    module = load(exported[architecture])
    change(module, lambda tensor: tensor.to("meta"))
    inputs = [torch.ones(2, 5, dtype=torch.long, device="meta") for _ in INPUTS[architecture]]
    logits = module(*inputs)
    assert logits.device.type == "meta"
    assert logits.shape == (2, 3)


@each_architecture
def test_gradients_reach_the_embeddings(checkpoints, exported, architecture):
    """Explanations need them; a frozen module would have none."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        checkpoints[architecture]
    ).eval()
    module = load(exported[architecture])
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    inputs = [ids, torch.ones_like(ids), torch.zeros_like(ids)][: len(INPUTS[architecture])]
    name = ("word_embeddings.weight", "tok_embeddings.weight")
    gradients = []
    for run in (module, lambda *tensors: model(*tensors[:2]).logits):
        owner = module if run is module else model
        weight = next(value for key, value in owner.named_parameters() if key.endswith(name))
        weight.requires_grad_(True)
        gradients.append(torch.autograd.grad(run(*inputs)[0, 1], weight)[0])
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-5)


def test_max_length_can_be_lowered_but_not_raised(checkpoints, tmp_path):
    export(
        checkpoint=str(checkpoints["bert"]),
        task=SEQUENCE_CLASSIFICATION,
        output=tmp_path / "short",
        max_length=16,
    )
    assert manifest_of(tmp_path / "short")["max_length"] == 16
    with pytest.raises(ExportError, match="--max-length 65 is more than the 64 tokens"):
        export(
            checkpoint=str(checkpoints["bert"]),
            task=SEQUENCE_CLASSIFICATION,
            output=tmp_path / "long",
            max_length=65,
        )
    assert [file.name for file in tmp_path.iterdir()] == ["short"]


def test_roberta_loses_the_positions_before_its_padding_id(checkpoints, tmp_path):
    checkpoint = shutil.copytree(checkpoints["roberta"], tmp_path / "checkpoint")
    settings = json.loads((checkpoint / "tokenizer_config.json").read_text("utf-8"))
    settings["model_max_length"] = 1000
    (checkpoint / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    export(checkpoint=str(checkpoint), task=SEQUENCE_CLASSIFICATION, output=tmp_path / "model")
    assert manifest_of(tmp_path / "model")["max_length"] == MAX_LENGTH


def test_force_replaces_a_folder_and_keeps_its_card(checkpoints, tmp_path):
    arguments = {"checkpoint": str(checkpoints["distilbert"]), "task": SEQUENCE_CLASSIFICATION}
    output = tmp_path / "model"
    export(**arguments, output=output)
    (output / "README.md").write_text("my card", "utf-8")
    (output / "stale.txt").touch()
    with pytest.raises(ExportError, match="exists: give another --output, or --force"):
        export(**arguments, output=output)
    export(**arguments, output=output, force=True)
    assert (output / "README.md").read_text("utf-8") == "my card"
    assert not (output / "stale.txt").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_card_may_be_there_before_the_model(checkpoints, tmp_path):
    (tmp_path / "README.md").write_text("my card", "utf-8")
    export(
        checkpoint=str(checkpoints["electra"]),
        task=SEQUENCE_CLASSIFICATION,
        output=tmp_path,
        force=True,
    )
    assert (tmp_path / "README.md").read_text("utf-8") == "my card"
    assert (tmp_path / "model.pt").is_file()


def test_force_does_not_replace_what_is_no_model_folder(checkpoints, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ExportError, match="holds something else than a model folder"):
        export(
            checkpoint=str(checkpoints["bert"]),
            task=SEQUENCE_CLASSIFICATION,
            output=tmp_path,
            force=True,
        )
    assert (tmp_path / "thesis.tex").exists()


def test_labels_are_written_as_they_are_in_any_script(checkpoints, tmp_path):
    checkpoint = shutil.copytree(checkpoints["distilbert"], tmp_path / "checkpoint")
    config = json.loads((checkpoint / "config.json").read_text("utf-8"))
    config["id2label"] = {"0": "négatif", "1": "中性", "2": "🙂"}
    (checkpoint / "config.json").write_text(json.dumps(config), "utf-8")
    export(checkpoint=str(checkpoint), task=SEQUENCE_CLASSIFICATION, output=tmp_path / "model")
    content = (tmp_path / "model" / "index_to_name.json").read_text("utf-8")
    assert "🙂" in content
    assert list(json.loads(content).values()) == ["négatif", "中性", "🙂"]
