"""The other tasks that encoders do: the module's outputs are the model's, on the folder's files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
import yaml
from tokenizers import Tokenizer

import fixture_texts
from fixture_checkpoints import ENCODERS, ENTITY_LABELS, make_checkpoint
from labelstream_export.errors import ExportError
from labelstream_export.export import export
from labelstream_export.tasks import QUESTION_ANSWERING, TOKEN_CLASSIFICATION

each_architecture = pytest.mark.parametrize("architecture", ENCODERS)


def made(architecture: str, task, folder: Path) -> tuple[Path, dict]:
    """A checkpoint, exported to ``folder / "model"``, and its manifest."""
    make_checkpoint(architecture, folder / "checkpoint", ENTITY_LABELS, task=task)
    export(checkpoint=str(folder / "checkpoint"), task=task, output=folder / "model")
    manifest = json.loads((folder / "model" / "labelstream.json").read_text("utf-8"))
    return folder / "checkpoint", manifest


def run(folder: Path, manifest: dict, encodings: list) -> torch.Tensor:
    """The module's outputs for encodings of the folder's tokenizer, padded to one batch."""
    fields = {
        "input_ids": "ids",
        "attention_mask": "attention_mask",
        "token_type_ids": "type_ids",
    }
    tensors = [
        torch.tensor([getattr(encoding, fields[name]) for encoding in encodings])
        for name in manifest["inputs"]
    ]
    return torch.jit.load(str(folder / "model.pt"))(*tensors)


@each_architecture
def test_token_logits_of_a_padded_batch_are_the_models(architecture, tmp_path):
    checkpoint, manifest = made(architecture, TOKEN_CLASSIFICATION, tmp_path)
    texts = [fixture_texts.readable(text) for text in fixture_texts.ENTITIES.values()]
    tokenizer = Tokenizer.from_file(str(tmp_path / "model" / "tokenizer.json"))
    tokenizer.enable_truncation(manifest["max_length"])
    tokenizer.enable_padding(pad_id=manifest["pad_token_id"])
    encodings = tokenizer.encode_batch(texts)
    logits = run(tmp_path / "model", manifest, encodings)
    assert logits.shape[2] == manifest["num_labels"] == len(ENTITY_LABELS)

    original = transformers.AutoTokenizer.from_pretrained(checkpoint)
    model = transformers.AutoModelForTokenClassification.from_pretrained(checkpoint).eval()
    for text, row in zip(texts, logits):
        with torch.inference_mode():
            expected = model(**original(text, truncation=True, return_tensors="pt")).logits[0]
        torch.testing.assert_close(row[: len(expected)], expected, rtol=1e-4, atol=1e-4)
    labels = json.loads((tmp_path / "model" / "index_to_name.json").read_text("utf-8"))
    assert list(labels.items()) == [(str(at), name) for at, name in enumerate(ENTITY_LABELS)]
    handler = yaml.safe_load((tmp_path / "model" / "model-config.yaml").read_text("utf-8"))
    assert handler["handler"]["mode"] == "token_classification"


@each_architecture
def test_answer_logits_are_start_and_end_in_one_tensor(architecture, tmp_path):
    checkpoint, manifest = made(architecture, QUESTION_ANSWERING, tmp_path)
    question, context = fixture_texts.QUESTIONS["emoji_before"]
    tokenizer = Tokenizer.from_file(str(tmp_path / "model" / "tokenizer.json"))
    logits = run(tmp_path / "model", manifest, [tokenizer.encode(question, context)])

    original = transformers.AutoTokenizer.from_pretrained(checkpoint)
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(checkpoint).eval()
    with torch.inference_mode():
        expected = model(**original(question, context, return_tensors="pt"))
    torch.testing.assert_close(logits[..., 0], expected.start_logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits[..., 1], expected.end_logits, rtol=1e-4, atol=1e-4)
    assert manifest["num_labels"] == 0
    assert "labels_sha256" not in manifest
    assert not (tmp_path / "model" / "index_to_name.json").exists()
    handler = yaml.safe_load((tmp_path / "model" / "model-config.yaml").read_text("utf-8"))
    assert handler["handler"]["mode"] == "question_answering"
    assert "num_labels" not in handler["handler"]


def test_deberta_of_version_2_is_exported_too(tmp_path, monkeypatch):
    """With absolute positions, a convolution, and projections of their own for positions."""
    prefix, shape = ENCODERS["deberta-v2"]
    older = {
        **shape,
        "position_biased_input": True,
        "share_att_key": False,
        "type_vocab_size": 2,
        "conv_kernel_size": 3,
        "conv_act": "gelu",
    }
    monkeypatch.setitem(make_checkpoint.__globals__["ARCHITECTURES"], "deberta-v2", (prefix, older))
    _, manifest = made("deberta-v2", TOKEN_CLASSIFICATION, tmp_path)
    assert manifest["checked"]["largest_padding_difference"] < 1e-4


def test_architecture_that_is_not_on_the_list_is_tried(tmp_path):
    """What agrees is taken, whatever its name."""
    make_checkpoint("bert", tmp_path / "checkpoint")
    config = transformers.RoFormerConfig(
        vocab_size=600,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        num_labels=3,
    )
    model = transformers.RoFormerForTokenClassification(config)
    model.save_pretrained(tmp_path / "checkpoint")
    arguments = {"checkpoint": str(tmp_path / "checkpoint"), "task": TOKEN_CLASSIFICATION}
    try:
        export(**arguments, output=tmp_path / "model")
    except ExportError as refusal:
        assert "\n" not in str(refusal)
        assert not (tmp_path / "model").exists()
    else:
        manifest = json.loads((tmp_path / "model" / "labelstream.json").read_text("utf-8"))
        assert manifest["model_type"] == "roformer"
