"""Packed linear layers give what plain ones give, from a file too, and let gradients through."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

from labelstream_export.generation import Step, step_examples
from labelstream_export.module import SequenceClassifier
from labelstream_export.packed import ACTIVATIONS, NONE, PackedLinear, pack


def reloaded(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    buffer.seek(0)
    return torch.jit.load(buffer)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [None, *ACTIVATIONS], ids=str)
def test_layer_and_activation_are_those_of_pytorch(kind, bias):
    torch.manual_seed(3)
    linear, activation = nn.Linear(64, 96, bias=bias), kind() if kind else nn.Identity()
    packed = reloaded(PackedLinear(linear, ACTIVATIONS[kind] if kind else NONE))
    for shape in ((1, 64), (37, 64), (3, 5, 64)):
        x = torch.randn(shape)
        given, expected = x.clone().requires_grad_(), x.clone().requires_grad_()
        with torch.inference_mode():
            torch.testing.assert_close(packed(x), activation(linear(x)), rtol=1e-5, atol=1e-5)
        packed(given).sum().backward()
        activation(linear(expected)).sum().backward()
        torch.testing.assert_close(given.grad, expected.grad, rtol=1e-4, atol=1e-4)


def test_activation_behind_a_layer_goes_into_it(checkpoints: dict[str, Path]):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoints["bert"])
    encoder = SequenceClassifier(model.eval(), ["input_ids", "attention_mask"])
    examples = (torch.tensor([[5, 6, 7, 8, 9]]), torch.ones(1, 5, dtype=torch.long))
    with torch.no_grad():
        expected = encoder(*examples)

    count = pack(encoder, examples)

    kinds = [part.attr for part in model.modules() if isinstance(part, PackedLinear)]
    layers = model.config.num_hidden_layers
    assert count == len(kinds)
    assert kinds.count("gelu") == layers
    assert kinds.count("tanh") == 1  # the pooler's
    assert kinds.count("none") == 5 * layers
    with torch.no_grad():
        torch.testing.assert_close(encoder(*examples), expected, rtol=1e-5, atol=1e-5)


def test_weights_that_are_embeddings_too_are_not_held_twice():
    config = transformers.GPT2Config(n_layer=1, n_embd=64, n_head=2, vocab_size=100)
    step = Step(transformers.GPT2LMHeadModel(config).eval())
    examples = step_examples(step, [6, 4], 3, torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = step(*examples)[0]

    assert pack(step, examples) == 4

    assert type(step.model.lm_head) is nn.Linear
    with torch.no_grad():
        torch.testing.assert_close(step(*examples)[0], expected, rtol=1e-5, atol=1e-5)


def test_file_holds_the_weights_once(tmp_path: Path):
    linear = nn.Linear(512, 512)
    torch.jit.save(PackedLinear(linear), tmp_path / "packed.pt")
    assert (tmp_path / "packed.pt").stat().st_size < 1.1 * 4 * 512 * 512
