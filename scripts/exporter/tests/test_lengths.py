"""Whatever a model does otherwise from some length on is compared beyond it, or is not promised."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers

import labelstream_export.lengths as lengths
from fixture_checkpoints import LABELS
from fixture_tokenizers import make_tokenizer
from labelstream_export.errors import ExportError
from labelstream_export.export import export
from labelstream_export.lengths import effective_length, thresholds
from labelstream_export.tasks import SEQUENCE_CLASSIFICATION, TEXT_GENERATION
from sweep import generated

WINDOW = 24
SHAPE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 32,
    "head_dim": 8,
    "max_position_embeddings": 96,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
LAYERS = {"layer_types": ["sliding_attention", "full_attention"]}
# Every way in which configurations ask for a window.
WINDOWED = {
    "mistral": {},
    "mixtral": {"num_local_experts": 2},
    "phi3": {},
    "starcoder2": {},
    "qwen2": {"use_sliding_window": True, "max_window_layers": 1},
    "qwen3_moe": {
        "use_sliding_window": True,
        "num_experts": 2,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
    },
    "gemma2": {**LAYERS, "query_pre_attn_scalar": 8},
    "gemma3_text": {**LAYERS, "query_pre_attn_scalar": 8},
    "cohere2": LAYERS,
    "smollm3": {"use_sliding_window": True, **LAYERS},
}


def made(architecture: str, folder: Path, head: str = "AutoModelForCausalLM", **settings) -> Path:
    """A checkpoint whose head is sharp enough to tell attention from attention."""
    folder.mkdir()
    tokenizer = make_tokenizer("gpt2", folder)
    tokenizer.pad_token = tokenizer.eos_token
    named = {} if head == "AutoModelForCausalLM" else {"id2label": dict(enumerate(LABELS))}
    config = transformers.AutoConfig.for_model(
        architecture, vocab_size=len(tokenizer), **{**SHAPE, **named, **settings}
    )
    torch.manual_seed(3)
    model = getattr(transformers, head).from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(8)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("architecture", WINDOWED)
def test_tokens_beyond_a_sliding_window_are_those_of_generate(architecture, tmp_path):
    """Prompts of 40 tokens, and a window of 24."""
    checkpoint = made(
        architecture, tmp_path / "checkpoint", sliding_window=WINDOW, **WINDOWED[architecture]
    )
    export(checkpoint=str(checkpoint), task=TEXT_GENERATION, output=tmp_path / "model")
    pairs = list(generated(checkpoint, tmp_path / "model"))
    assert [given for given, _ in pairs] == [expected for _, expected in pairs]


def test_comparison_goes_beyond_every_threshold_of_the_configuration():
    config = {
        "sliding_window": 4096,
        "max_position_embeddings": 8192,
        "num_hidden_layers": 32,
        "rope_scaling": {"original_max_position_embeddings": 2048, "factor": 4.0},
        "attention_window": [64, 128],
        "vocab_size": 600,
    }
    assert thresholds(config, 8192) == [4097, 2049, 129, 65]
    assert thresholds(config, 100) == [65]


def test_longer_texts_than_are_compared_are_not_promised(capsys, monkeypatch):
    class Tokenizer:
        model_max_length = 131_072

    assert effective_length(Tokenizer(), None, None) == lengths.LONGEST
    assert "max_length is 8192, not 131072: no longer text is compared" in capsys.readouterr().err
    assert effective_length(Tokenizer(), None, 20_000) == 20_000


@pytest.mark.parametrize("architecture", ["xlnet", "bert"])
def test_no_limit_of_positions_is_no_limit(architecture):
    from labelstream_export.module import position_limit

    class Model:
        config = transformers.AutoConfig.for_model(architecture)

        def named_modules(self):
            return []

    assert position_limit(Model()) == (None if architecture == "xlnet" else 512)


@pytest.mark.parametrize("kind", ["longrope", "dynamic"])
def test_scalings_that_go_by_the_company_of_a_text_are_told_by_name(kind, tmp_path, capsys):
    """They are taken up to where they begin."""
    if kind == "longrope":
        scaling = {"type": kind, "long_factor": [4.0] * 4, "short_factor": [1.0] * 4}
        settings = {
            "hidden_size": 32,
            "original_max_position_embeddings": 32,
            "max_position_embeddings": 96,
        }
    else:
        scaling = {"rope_type": kind, "factor": 2.0}
        settings = {"max_position_embeddings": 32}
    checkpoint = made(
        "phi3" if kind == "longrope" else "llama",
        tmp_path / "checkpoint",
        "AutoModelForSequenceClassification",
        rope_scaling=scaling,
        **settings,
    )
    arguments = {"checkpoint": str(checkpoint), "task": SEQUENCE_CLASSIFICATION}
    export(**arguments, output=tmp_path / "model")
    manifest = json.loads((tmp_path / "model" / "labelstream.json").read_text("utf-8"))
    assert manifest["max_length"] == 32
    with pytest.raises(ExportError, match=f"rope scaling {kind}|more than the 32 tokens"):
        export(**arguments, output=tmp_path / "longer", max_length=64)


def test_yarn_holds_on_both_sides_of_its_threshold(tmp_path):
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 24}
    checkpoint = made("qwen2", tmp_path / "checkpoint", rope_scaling=scaling)
    export(checkpoint=str(checkpoint), task=TEXT_GENERATION, output=tmp_path / "model")
    pairs = list(generated(checkpoint, tmp_path / "model"))
    assert [given for given, _ in pairs] == [expected for _, expected in pairs]


def test_model_that_changed_itself_while_it_was_traced_is_refused(
    checkpoints, tmp_path, monkeypatch
):
    """It is compared with one that was loaded afresh, not with its changed self."""
    original = transformers.DistilBertForSequenceClassification.forward

    def forward(self, input_ids=None, attention_mask=None, **options):
        first = not getattr(self, "ran", False)
        self.ran = True
        logits = original(self, input_ids, attention_mask, **options)[0]
        return (logits * (1.0 if first else 1.5),)

    monkeypatch.setattr(transformers.DistilBertForSequenceClassification, "forward", forward)
    with pytest.raises(ExportError, match="does not agree with the checkpoint"):
        export(
            checkpoint=str(checkpoints["distilbert"]),
            task=SEQUENCE_CLASSIFICATION,
            output=tmp_path / "model",
            explanations=False,
        )
