"""Decoders as classifiers: the last token as transformers finds it, whatever stands for padding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from test_lengths import made
from tokenizers import Tokenizer

from fixture_tokenizers import make_tokenizer
from labelstream_export.export import export
from labelstream_export.tasks import SEQUENCE_CLASSIFICATION

CLASSIFIER = "AutoModelForSequenceClassification"
TEXTS = ("Anna lives in Paris.", "ok", "The report, which nobody had read, was long and dull.")
END = "<|endoftext|>"


def checkpoint_of(folder: Path, config_pad: int | None, tokenizer_pad: str | None) -> Path:
    made("llama", folder, CLASSIFIER, pad_token_id=config_pad)
    settings = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    settings["pad_token"] = tokenizer_pad
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    (folder / "special_tokens_map.json").unlink()
    return folder


@pytest.mark.parametrize("config_pad", [0, 7, None])
@pytest.mark.parametrize("tokenizer_pad", [END, "<new>", None])
def test_score_of_a_text_does_not_depend_on_its_company(config_pad, tokenizer_pad, tmp_path):
    """``<new>`` was added after the training, and has no embedding."""
    checkpoint = checkpoint_of(tmp_path / "checkpoint", config_pad, tokenizer_pad)
    original = transformers.AutoTokenizer.from_pretrained(checkpoint)
    assert original.pad_token == tokenizer_pad
    export(checkpoint=str(checkpoint), task=SEQUENCE_CLASSIFICATION, output=tmp_path / "model")
    manifest = json.loads((tmp_path / "model" / "labelstream.json").read_text("utf-8"))
    assert manifest["methods"] == ["forward", "embed", "gradients"]

    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint).eval()
    module = torch.jit.load(str(tmp_path / "model" / "model.pt"))
    tokenizer = Tokenizer.from_file(str(tmp_path / "model" / "tokenizer.json"))
    tokenizer.enable_padding(pad_id=manifest["pad_token_id"])
    # Texts that hold what stands for padding, and one that ends with it.
    padding = original.decode([config_pad or 0])
    texts = [*TEXTS, f"x {padding} y", f"it ends with {padding}"]
    encodings = tokenizer.encode_batch(texts)
    ids = torch.tensor([encoding.ids for encoding in encodings])
    mask = torch.tensor([encoding.attention_mask for encoding in encodings])
    assert mask.min() == 0
    with torch.inference_mode():
        logits = module(ids, mask)
        for text, row in zip(texts, logits):
            expected = model(**original(text, return_tensors="pt")).logits[0]
            torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-4)


def test_head_that_looks_for_the_end_takes_the_last_one_of_each_row(tmp_path):
    """BART's head: rows of a batch need not hold as many ends as each other."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    tokenizer = make_tokenizer("roberta", folder)
    config = transformers.BartConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=64,
        pad_token_id=1,
        eos_token_id=2,
        init_std=0.4,
    )
    torch.manual_seed(1)
    model = transformers.BartForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    export(checkpoint=str(folder), task=SEQUENCE_CLASSIFICATION, output=tmp_path / "model")
    module = torch.jit.load(str(tmp_path / "model" / "model.pt"))
    rows = [[0, 11, 12, 13, 2], [0, 11, 2, 12, 2], [0, 2, 2, 14, 15, 16, 2]]
    width = max(map(len, rows))
    ids = torch.tensor([row + [1] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    with torch.inference_mode():
        for row, logits in zip(rows, module(ids, mask)):
            expected = model(torch.tensor([row])).logits[0]
            torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
