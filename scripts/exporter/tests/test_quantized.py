"""Layers of integers give what integers give, from a file too, and on processors of other kinds."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor, nn

from labelstream_export.module import SequenceClassifier, trace
from labelstream_export.packed import ACTIVATIONS, NONE
from labelstream_export.quantized import (
    Group,
    Quantize,
    QuantizedLinear,
    Recipe,
    Simulated,
    calibrate,
    integers,
    quantize,
    simulate,
)

HERE = Path(__file__).resolve().parent
INPUTS = ["input_ids", "attention_mask"]


def reloaded(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    buffer.seek(0)
    return torch.jit.load(buffer)


def inputs(rows: int, width: int) -> Tensor:
    """With a column that is far larger than the others, as transformers have them."""
    x = torch.randn(rows, width) + 0.5
    x[:, 3] *= 20
    return x


def recipe_for(linear: nn.Linear, x: Tensor) -> Recipe:
    group = Group(["layer"])
    group.see(x, len(x))
    group.decide(linear.weight.detach())
    return group.recipe


def test_integers_are_those_of_the_recipe():
    torch.manual_seed(2)
    x = torch.cat([inputs(64, 32), torch.tensor([[1e9] * 32, [-1e9] * 32])])
    recipe = Recipe(torch.rand(32) * 20 + 1, 97, 0.0)

    given = reloaded(Quantize(recipe))(x)

    assert given.dtype is torch.uint8
    assert torch.equal(given.float() - 97, integers(x, recipe))
    assert given[-2].unique().tolist() == [255]
    assert given[-1].unique().tolist() == [0]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [None, *ACTIVATIONS], ids=str)
def test_layer_and_activation_are_those_of_integers(kind, bias):
    torch.manual_seed(3)
    linear, activation = nn.Linear(64, 96, bias=bias), kind() if kind else nn.Identity()
    x = inputs(200, 64)
    recipe = recipe_for(linear, x)
    scale = Quantize(recipe)
    layer = reloaded(QuantizedLinear(linear, recipe, ACTIVATIONS[kind] if kind else NONE))

    with torch.inference_mode():
        for some in (x, x[:1], x.view(4, 50, 64)):
            expected = activation(Simulated(layer)(some))
            torch.testing.assert_close(layer(scale(some)), expected, rtol=1e-5, atol=1e-5)
        error = (layer(scale(x)) - activation(linear(x))).norm() / activation(linear(x)).norm()
    assert error < 0.02


def test_output_for_the_next_layer_is_its_input():
    torch.manual_seed(4)
    first, second = nn.Linear(32, 64), nn.Linear(64, 16)
    x, gelu = inputs(100, 32), nn.GELU()
    middle = gelu(first(x)).detach()
    own = Recipe(torch.tensor([255 / (middle.max() - middle.min()).item()]), 20, 0.0)
    before = recipe_for(first, x)
    layer = reloaded(QuantizedLinear(first, before, ("gelu", "none"), own))

    with torch.inference_mode():
        given = layer(Quantize(before)(x))
        expected = integers(gelu(Simulated(layer)(x)), own) + own.zero

    assert given.dtype is torch.uint8
    assert torch.equal(given.float(), expected)
    after = reloaded(QuantizedLinear(second, own))
    with torch.inference_mode():
        torch.testing.assert_close(after(given), Simulated(after)(gelu(Simulated(layer)(x))))


def test_uneven_inputs_lose_less_than_with_one_scale_for_all():
    torch.manual_seed(5)
    linear, x = nn.Linear(64, 64), inputs(400, 64)
    one = Recipe(torch.tensor([255 / (x.max() - x.min()).item()]), 128, 0.0)

    def error(recipe: Recipe) -> float:
        layer = QuantizedLinear(linear, recipe)
        with torch.inference_mode():
            return ((layer(Quantize(recipe)(x)) - linear(x)).norm() / linear(x).norm()).item()

    found = recipe_for(linear, x)
    assert error(found) < error(one) / 2
    assert error(found) == pytest.approx(found.error, rel=0.1)


# What a processor without exact products of 8-bit integers does; oneDNN is told to be one.
ELSEWHERE = """
import sys, torch
given, expected = torch.load(sys.argv[2])
layer = torch.jit.load(sys.argv[1])
with torch.inference_mode():
    torch.testing.assert_close(layer(given), expected, rtol=1e-5, atol=1e-5)
print("exact" if layer.exact else "wide")
"""


@pytest.mark.parametrize(("isa", "kind"), [("DEFAULT", "exact"), ("AVX2", "wide")])
def test_numbers_are_the_same_on_other_processors(isa: str, kind: str, tmp_path: Path):
    torch.manual_seed(6)
    linear, x = nn.Linear(256, 32), inputs(50, 256)
    linear.weight.data.abs_()  # so that sums are large
    recipe = recipe_for(linear, x)
    layer = QuantizedLinear(linear, recipe, ("gelu", "none"))
    torch.jit.save(layer, tmp_path / "layer.pt")
    with torch.inference_mode():
        expected = nn.functional.gelu(Simulated(layer)(x))
        torch.save((Quantize(recipe)(x), expected), tmp_path / "tensors.pt")
    files = [str(tmp_path / "layer.pt"), str(tmp_path / "tensors.pt")]
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": isa}
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *files],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    flags = Path("/proc/cpuinfo").read_text("utf-8")
    if kind == "exact" and "avx512_vnni" not in flags and "avx_vnni" not in flags:
        kind = "wide"
    assert done.stdout.strip() == kind


def batch(lengths: list[int]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(len(lengths))
    ids = torch.randint(5, 50, (len(lengths), max(lengths)), generator=generator)
    mask = torch.tensor([[1] * length + [0] * (max(lengths) - length) for length in lengths])
    return ids, mask


def test_layers_that_share_inputs_are_found(checkpoints: dict[str, Path]):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoints["bert"])
    encoder = SequenceClassifier(model.eval(), INPUTS)
    texts = [batch([length]) for length in (5, 9, 30)]

    groups = calibrate(encoder, texts)

    first = [[name.removeprefix("bert.encoder.layer.0.") for name in g.layers] for g in groups[:4]]
    assert first == [
        ["attention.self.query", "attention.self.key", "attention.self.value"],
        ["attention.output.dense"],
        ["intermediate.dense"],
        ["output.dense"],
    ]
    assert [g.producer is not None for g in groups[:4]] == [False, False, False, True]
    # The pooler and the head, which take one token of a text, are left out.
    assert len(groups) == 4 * model.config.num_hidden_layers

    quantize(encoder, groups, batch([9, 6]))
    module = reloaded(trace(encoder, {"forward": batch([9, 6])}))
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoints["bert"])
    judge = SequenceClassifier(plain.eval(), INPUTS)
    assert simulate(judge.model, module) == 6 * model.config.num_hidden_layers
    with torch.inference_mode():
        for lengths in ([30, 3], [1], [7, 7, 7]):
            given = batch(lengths)
            torch.testing.assert_close(module(*given), judge(*given), rtol=0.02, atol=0.02)
        # A row does not depend on its company.
        together, alone = module(*batch([30, 3]))[1:], [t[1:, :3] for t in batch([30, 3])]
        torch.testing.assert_close(together, module(*alone), rtol=0.02, atol=0.02)
