"""Linear layers in 8-bit integers, activations too, whose ranges are those of texts.

``calibrate`` runs a model on texts and finds for each layer how its inputs are best turned into
integers; ``quantize`` replaces the layers. A row's numbers do not depend on the other rows of its
batch, since ranges are fixed.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from labelstream_export.first_token import Recorder
from labelstream_export.module import own_code
from labelstream_export.packed import ACTIVATIONS, NONE, followed_by
from labelstream_export.precision import convolutions_to_linear, in_precision
from labelstream_export.tasks import TEXT_GENERATION, Task

# How much of the inputs' unevenness goes over into the weights, 0 to 1 (SmoothQuant's alpha).
SMOOTHINGS = (0.0, 0.3, 0.5, 0.7, 0.9)
# What is kept of the range of inputs: those beyond are cut off.
REACHES = (1.0, 0.9, 0.75)
# How far texts may go beyond those that a range was found with.
HEADROOM = 1.1
# Inputs of a layer that its range is chosen by.
KEPT = 512


@dataclass(frozen=True)
class Recipe:
    """How a layer's inputs become integers: ``clamp(round(x * factor) + zero, 0, 255)``.

    Attributes:
        factor: float32 [inputs], or [1] where all have the same.
        zero: 0 to 255.
        error: of the outputs on the texts, relative in the L2 norm.
    """

    factor: Tensor
    zero: int
    error: float


@dataclass
class Group:
    """Layers that take the same inputs.

    Attributes:
        layers: their names in the model.
        producer: the layer whose output, with its activation, is these inputs and nothing else's.
        rows: some inputs, float32 [rows, inputs].
        least: the smallest of all inputs, float32 [inputs].
        most: the largest, float32 [inputs].
        recipe: once it is found.
    """

    layers: list[str]
    producer: str | None = None
    rows: list[Tensor] = field(default_factory=list)
    least: Tensor | None = None
    most: Tensor | None = None
    recipe: Recipe | None = None

    def see(self, x: Tensor, rows: int) -> None:
        """Keeps some of a text's inputs."""
        x = x.detach().flatten(0, -2)
        least, most = x.amin(dim=0), x.amax(dim=0)
        self.least = least if self.least is None else torch.minimum(self.least, least)
        self.most = most if self.most is None else torch.maximum(self.most, most)
        self.rows.append(x[torch.linspace(0, len(x) - 1, min(rows, len(x))).long()].clone())

    def decide(self, weight: Tensor) -> None:
        """Finds the recipe by which the outputs on the kept inputs change least.

        Args:
            weight: of all layers together, float32 [outputs, inputs].
        """
        x = torch.cat(self.rows)
        self.rows.clear()
        expected = functional.linear(x, weight)
        largest = torch.maximum(self.most, -self.least).clamp(min=1e-5)
        columns = weight.abs().amax(dim=0).clamp(min=1e-5)
        best: Recipe | None = None
        for smoothing in SMOOTHINGS if self.producer is None else SMOOTHINGS[:1]:
            smooth = largest.pow(smoothing) / columns.pow(1 - smoothing)
            smooth = smooth / smooth.log().mean().exp() if smoothing else torch.ones(1)
            low = min(0.0, (self.least / smooth).min().item())
            high = max(1e-5, (self.most / smooth).max().item())
            for reach in REACHES:
                scale = (high - low) * reach * HEADROOM / 255
                zero = min(255, max(0, round(255 * -low / (high - low))))
                recipe = Recipe(1 / (smooth * scale), zero, 0.0)
                whole, unit = quantized_weight(weight, recipe.factor)
                given = functional.linear(integers(x, recipe), whole.float()) * unit
                error = ((given - expected).norm() / expected.norm().clamp(min=1e-30)).item()
                if best is None or error < best.error:
                    best = replace(recipe, error=error)
        self.recipe = best


def integers(x: Tensor, recipe: Recipe) -> Tensor:
    """Inputs as integers above and below ``zero``, in the type of ``x``."""
    return ((x * recipe.factor).round() + recipe.zero).clamp(0, 255) - recipe.zero


@torch.jit.script
def exact_products() -> bool:
    """Whether this processor adds up products of the largest integers exactly."""
    largest = torch.full([16, 64], 127, dtype=torch.int8)
    product = torch.ops.onednn.qlinear_pointwise(
        torch.full([1, 64], 255, dtype=torch.uint8),
        1.0,
        0,
        torch.ops.onednn.qlinear_prepack(largest, None),
        torch.ones(16),
        torch.zeros(16, dtype=torch.int32),
        None,
        1.0,
        0,
        torch.float32,
        "none",
        [],
        "",
    )
    return bool((product == 255.0 * 127.0 * 64.0).all())


class Quantize(torch.jit.ScriptModule):
    """Turns float32 into uint8: ``clamp(round(x * factor) + zero, 0, 255)``."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.register_buffer("factor", recipe.factor.clone())
        self.register_buffer("shift", torch.tensor([float(recipe.zero - 128)]))

    @torch.jit.script_method
    def forward(self, x: Tensor) -> Tensor:
        """Args:
            x: float32 [..., inputs].

        Returns:
            uint8 [..., inputs].
        """
        # PyTorch has a fast conversion to int8 only: so 128 below, and then the highest bit.
        y = torch.addcmul(self.shift, x, self.factor).round_().clamp_(-128.0, 127.0)
        return y.to(torch.int8).to(torch.uint8).bitwise_xor_(128)


class QuantizedLinear(torch.jit.ScriptModule):
    """A linear layer of integers, and the activation behind it.

    A file holds the weights as int8, one scale for each output; they are packed when it is loaded,
    for the processor that is there. One whose product of integers is not exact (those before AVX512
    VNNI cut off sums) multiplies the same numbers in float32.
    """

    def __init__(
        self,
        linear: nn.Linear,
        recipe: Recipe,
        activation: tuple[str, str] = NONE,
        following: Recipe | None = None,
    ) -> None:
        """
        Args:
            linear: float32, on the CPU.
            recipe: of its inputs.
            activation: of ``ACTIVATIONS``, or ``NONE``.
            following: of the only layer that takes its output, which is then uint8.
        """
        super().__init__()
        weight, scales = quantized_weight(linear.weight.detach(), recipe.factor)
        self.register_buffer("factor", recipe.factor.clone())
        self.register_buffer("weight", weight)
        self.register_buffer("scales", scales)
        bias = linear.bias
        if bias is None:
            bias = torch.zeros(linear.out_features)
        self.register_buffer("bias", bias.detach())
        self.attr, self.algorithm = activation
        self.zero = recipe.zero
        self.out_scale = 1.0 if following is None else 1.0 / following.factor.item()
        self.out_zero = -1 if following is None else following.zero
        self.register_buffer("zeros", torch.zeros(len(scales), dtype=torch.int32))
        self.exact = exact_products()
        self.register_buffer("packed", torch.zeros(0))
        self.register_buffer("wide", torch.zeros(0))
        if self.exact:
            self.packed = torch.ops.onednn.qlinear_prepack(weight, None)
        else:
            wide = weight.float() * scales.unsqueeze(1)
            self.wide = torch.ops.mkldnn._reorder_linear_weight(wide, None)

    @torch.jit.script_method
    def __getstate__(self):  # noqa: ANN204
        # type: () -> Tuple[Tensor, Tensor, Tensor, Tensor, str, str, int, float, int, bool]
        return (
            self.factor,
            self.weight,
            self.scales,
            self.bias,
            self.attr,
            self.algorithm,
            self.zero,
            self.out_scale,
            self.out_zero,
            self.training,
        )

    @torch.jit.script_method
    def __setstate__(self, state) -> None:  # noqa: ANN001
        # type: (Tuple[Tensor, Tensor, Tensor, Tensor, str, str, int, float, int, bool]) -> None
        (
            self.factor,
            self.weight,
            self.scales,
            self.bias,
            self.attr,
            self.algorithm,
            self.zero,
            self.out_scale,
            self.out_zero,
            self.training,
        ) = state
        self.zeros = torch.zeros(self.weight.size(0), dtype=torch.int32)
        self.exact = exact_products()
        self.packed = torch.zeros(0)
        self.wide = torch.zeros(0)
        if self.exact:
            self.packed = torch.ops.onednn.qlinear_prepack(self.weight, None)
        else:
            wide = self.weight.to(torch.float32) * self.scales.unsqueeze(1)
            self.wide = torch.ops.mkldnn._reorder_linear_weight(wide, None)

    @torch.jit.script_method
    def forward(self, x: Tensor) -> Tensor:
        """Args:
            x: uint8 [..., inputs].

        Returns:
            float32 [..., outputs]; or uint8, for the layer that follows.
        """
        if self.exact:
            return torch.ops.onednn.qlinear_pointwise(
                x,
                1.0,
                self.zero,
                self.packed,
                self.scales,
                self.zeros,
                self.bias,
                self.out_scale,
                self.out_zero if self.out_zero >= 0 else 0,
                torch.uint8 if self.out_zero >= 0 else torch.float32,
                self.attr,
                [],
                self.algorithm,
            )
        y = torch.ops.mkldnn._linear_pointwise(
            x.to(torch.float32) - float(self.zero),
            self.wide,
            self.bias,
            self.attr,
            [],
            self.algorithm,
        )
        if self.out_zero < 0:
            return y
        y = (y / self.out_scale).round_().add_(float(self.out_zero)).clamp_(0.0, 255.0)
        return y.to(torch.uint8)


class _Shared:
    """Inputs that several layers take are turned into integers once."""

    def __init__(self) -> None:
        self.x: Tensor | None = None
        self.y: Tensor | None = None

    def of(self, quantize: Quantize, x: Tensor) -> Tensor:
        if self.y is None or self.x is not x:
            self.x, self.y = x, quantize(x)
        return self.y


class _Layer(nn.Module):
    """A linear layer of integers in place of one of floats."""

    def __init__(self, linear: QuantizedLinear, quantize: Quantize | None, shared: _Shared) -> None:
        super().__init__()
        self.linear, self.shared = linear, shared
        self.quantize = quantize

    @property
    def weight(self) -> Tensor:
        """Of integers; some models look at the type of their layers' weights."""
        return self.linear.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x if self.quantize is None else self.shared.of(self.quantize, x))


def quantized_weight(weight: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    """Weights for inputs that are multiplied by ``factor``.

    Returns:
        They as int8 [outputs, inputs], and what a unit of each output's sums is worth, float32
        [outputs].
    """
    weight = weight / factor
    scales = weight.abs().amax(dim=1).clamp(min=1e-30) / 127
    return (weight / scales.unsqueeze(1)).round().clamp(-127, 127).to(torch.int8), scales


def calibrate(wrapper: nn.Module, texts: Sequence[Sequence[Tensor]]) -> list[Group]:
    """Finds for the linear layers of a model how their inputs become integers.

    Heads, and layers that take one token of a text, are left out: they cost little.

    Args:
        wrapper: its attribute ``model`` is a float32 model on the CPU; Conv1D layers of it become
            linear ones.
        texts: its arguments for each, of one row.
    """
    model = wrapper.model
    convolutions_to_linear(model)
    groups = _groups(wrapper, texts[0])
    of = {name: group for group in groups for name in group.layers[:1]}
    rows = max(1, KEPT // len(texts))
    handles = [
        model.get_submodule(name).register_forward_pre_hook(
            lambda _, given, group=group: group.see(given[0], rows)
        )
        for name, group in of.items()
    ]
    try:
        with torch.inference_mode():
            for arguments in texts:
                with own_code(model):
                    wrapper(*arguments)
            for group in groups:
                layers = [model.get_submodule(name).weight for name in group.layers]
                group.decide(torch.cat(layers))
    finally:
        for handle in handles:
            handle.remove()
    return groups


def _groups(wrapper: nn.Module, example: Sequence[Tensor]) -> list[Group]:
    """Layers that take the same tensor, in the order in which they run."""
    model = wrapper.model
    uses = Counter(id(one) for _, one in model.named_parameters(remove_duplicate=False))
    inside = f"{model.base_model_prefix}."
    taken: dict[str, list[Tensor]] = {}
    given: dict[str, Tensor] = {}
    handles = []

    def take(name: str, module: nn.Module, arguments: Sequence[Any]) -> None:
        taken.setdefault(name, []).append(arguments[0])

    def give(name: str, module: nn.Module, arguments: Sequence[Any], output: Any) -> None:
        given[name] = output

    for name, module in model.named_modules():
        if type(module) is nn.Linear:
            handles.append(module.register_forward_pre_hook(partial(take, name)))
        if type(module) is nn.Linear or type(module) in ACTIVATIONS:
            handles.append(module.register_forward_hook(partial(give, name)))
    try:
        with own_code(model), Recorder(model) as recorder, torch.inference_mode():
            wrapper(*example)
    finally:
        for handle in handles:
            handle.remove()
    followed = followed_by(wrapper, example)
    readers = recorder.readers()
    producers = {}
    for name, tensors in taken.items():
        last = given[followed.get(name, name)]
        if len(tensors) == 1 and readers[id(last)] == 1:
            producers[id(last)] = name
    groups: dict[int, Group] = {}
    for name, tensors in taken.items():
        module = model.get_submodule(name)
        if not name.startswith(inside) or uses[id(module.weight)] > 1 or tensors[0].dim() < 3:
            continue
        if module.weight.dtype is not torch.float32:
            continue
        once = len(tensors) == 1
        key = id(tensors[0]) if once else id(module)
        group = groups.setdefault(key, Group([]))
        group.layers.append(name)
        group.producer = producers.get(key) if once else None
    made = list(groups.values())
    names = {name for group in made for name in group.layers}
    for group in made:
        if group.producer not in names:
            group.producer = None
    return made


def quantize(wrapper: nn.Module, groups: Sequence[Group], examples: Sequence[Tensor]) -> None:
    """Replaces layers, and the activations behind them, in place.

    Args:
        wrapper: its attribute ``model`` is a float32 model on the CPU.
        groups: which layers, and how.
        examples: its arguments, to see which activation follows which layer.
    """
    model = wrapper.model
    convolutions_to_linear(model)
    followed = followed_by(wrapper, examples)
    names = {name for group in groups for name in group.layers}
    following = {group.producer: group.recipe for group in groups if group.producer in names}
    for group in groups:
        chained = group.producer in names
        shared, scale = _Shared(), None if chained else Quantize(group.recipe)
        for name in group.layers:
            activation = followed.get(name)
            kind = ACTIVATIONS[type(model.get_submodule(activation))] if activation else NONE
            linear = model.get_submodule(name)
            made = QuantizedLinear(linear, group.recipe, kind, following.get(name))
            model.set_submodule(name, _Layer(made, scale, shared))
            if activation:
                model.set_submodule(activation, nn.Identity())


class Simulated(nn.Module):
    """What a layer of integers gives, by plain operators in float64."""

    def __init__(self, layer: torch.jit.ScriptModule) -> None:
        """
        Args:
            layer: a ``QuantizedLinear``, as it comes out of a file.
        """
        super().__init__()
        self.recipe = Recipe(layer.factor.double(), layer.zero, 0.0)
        self.weight = layer.weight.double()
        self.scales, self.bias = layer.scales.double(), layer.bias.double()

    def forward(self, x: Tensor) -> Tensor:
        """Args:
            x: float32 [..., inputs].

        Returns:
            float32 [..., outputs].
        """
        whole = integers(
            x * self.recipe.factor.float(), Recipe(torch.ones(1), self.recipe.zero, 0.0)
        )
        return (functional.linear(whole.double(), self.weight) * self.scales + self.bias).float()


def simulate(model: nn.Module, module: torch.jit.ScriptModule) -> int:
    """Replaces those layers of a checkpoint's model that a module has in integers, in place.

    Returns:
        How many they are.
    """
    count = 0
    convolutions_to_linear(model)
    for name, layer in module.named_modules():
        if layer.original_name == QuantizedLinear.__name__:
            path = name.removeprefix("model.").removesuffix(".linear")
            model.set_submodule(path, Simulated(layer))
            count += 1
    return count


def judged_by(model: PreTrainedModel, path: Path, precision: str, task: Task) -> PreTrainedModel:
    """A checkpoint's model, by plain operators, in the precision of a written module.

    Args:
        model: float32, left as it is.
        path: the module.
    """
    if precision != "int8" or task is TEXT_GENERATION:
        return in_precision(model, precision)
    twin = copy.deepcopy(model)
    if simulate(twin, torch.jit.load(str(path), map_location="cpu")):
        return twin
    return in_precision(model, precision)  # as an older exporter wrote it
