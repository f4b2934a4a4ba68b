"""A generator's steps, driven the way the Java side drives them, give what generate() gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers

import fixture_texts
from fixture_checkpoints import GENERATORS, make_checkpoint
from fixture_tokenizers import POSITIONS
from labelstream_export.export import export
from labelstream_export.tasks import TEXT_GENERATION
from make_fixtures import GENERATOR_SEEDS

each_architecture = pytest.mark.parametrize("architecture", GENERATORS)
NEW = 100


@pytest.fixture(scope="module")
def generators(tmp_path_factory) -> dict[str, Path]:
    """A folder with ``checkpoint`` and ``model`` for each architecture."""
    root = tmp_path_factory.mktemp("generators")
    for architecture in GENERATORS:
        folder = root / architecture
        make_checkpoint(
            architecture,
            folder / "checkpoint",
            seed=GENERATOR_SEEDS[architecture],
            task=TEXT_GENERATION,
        )
        export(checkpoint=str(folder / "checkpoint"), task=TEXT_GENERATION, output=folder / "model")
    return {architecture: root / architecture for architecture in GENERATORS}


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "model" / "labelstream.json").read_text("utf-8"))


def greedy(folder: Path, prompts: list[list[int]], chunk: int) -> list[list[int]]:
    """The new tokens of a batch of prompts, padded on the left and read in chunks."""
    manifest = manifest_of(folder)
    module = torch.jit.load(str(folder / "model" / "model.pt"))
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), longest), manifest["pad_token_id"])
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    sizes = manifest["cache"]
    past = torch.zeros(sizes["layers"], 2, len(prompts), sizes["heads"], 0, sizes["head_dim"])
    made: list[torch.Tensor] = []
    while len(made) < NEW:
        for new in ids[:, past.shape[4] :].split(chunk, dim=1):
            seen = past.shape[4] + new.shape[1]
            positions = (mask[:, :seen].cumsum(1) - 1).clamp(min=0)[:, -new.shape[1] :]
            logits, past = module(new, mask[:, :seen], positions, past)
        made.append(logits.argmax(dim=1, keepdim=True))
        ids = torch.cat([ids, made[-1]], dim=1)
        mask = torch.cat([mask, torch.ones_like(made[-1])], dim=1)
    return torch.cat(made, dim=1).tolist()


@each_architecture
def test_greedy_tokens_are_those_of_generate_alone_and_in_a_batch(generators, architecture):
    folder = generators[architecture]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "checkpoint")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "checkpoint").eval()
    texts = [text for text in fixture_texts.PROMPTS.values() if text][:5]
    prompts = [tokenizer(text)["input_ids"] for text in texts]
    expected = []
    for prompt in prompts:
        output = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=NEW,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        expected.append(output[0, len(prompt) :].tolist())
    assert greedy(folder, prompts[:1], chunk=1000) == expected[:1]
    assert greedy(folder, prompts, chunk=7) == expected
    assert sum(len(set(tokens)) for tokens in expected) > 10 * len(expected)


@each_architecture
def test_manifest_tells_what_decoding_needs(generators, architecture):
    manifest = manifest_of(generators[architecture])
    assert manifest["inputs"] == ["input_ids", "attention_mask", "position_ids", "past"]
    head_dim = 4 if architecture in ("llama", "qwen2") else 6 if architecture == "gpt_neo" else 8
    assert manifest["cache"] == {"layers": 2, "heads": 2, "head_dim": head_dim}
    assert manifest["max_length"] == POSITIONS
    assert manifest["padding_side"] == "left"
    assert manifest["num_labels"] == 0
    assert manifest["eos_token_ids"] == [2 if architecture in ("opt", "llama") else 0]
    assert isinstance(manifest["pad_token_id"], int)
    assert "embedding_name" not in manifest
    folder = generators[architecture] / "model"
    assert not (folder / "index_to_name.json").exists()
    assert (folder / "generation_config.json").read_text("utf-8") == (
        generators[architecture] / "checkpoint" / "generation_config.json"
    ).read_text("utf-8")


def test_layers_with_a_sliding_window_are_masked_by_it(tmp_path, monkeypatch):
    prefix, shape = GENERATORS["qwen2"]
    sliding = {
        **shape,
        "use_sliding_window": True,
        "sliding_window": 8,
        "max_window_layers": 1,
    }
    monkeypatch.setitem(make_checkpoint.__globals__["ARCHITECTURES"], "qwen2", (prefix, sliding))
    make_checkpoint("qwen2", tmp_path / "checkpoint", task=TEXT_GENERATION)
    export(checkpoint=str(tmp_path / "checkpoint"), task=TEXT_GENERATION, output=tmp_path / "model")
    assert manifest_of(tmp_path)["checked"]["largest_padding_difference"] < 1e-4
