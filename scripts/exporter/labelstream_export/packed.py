"""Linear layers as oneDNN runs them best: weights in its own order, bias and activation inside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import activations

from labelstream_export.module import own_code
from labelstream_export.precision import convolutions_to_linear

# An activation as oneDNN names it, and which of its forms. Where transformers has several classes
# for one function, they are told apart by the last digits of float32 only.
ACTIVATIONS: dict[type[nn.Module], tuple[str, str]] = {
    nn.ReLU: ("relu", ""),
    nn.Tanh: ("tanh", ""),
    nn.SiLU: ("swish", ""),
    activations.GELUActivation: ("gelu", "none"),
    activations.NewGELUActivation: ("gelu", "tanh"),
    activations.GELUTanh: ("gelu", "tanh"),
}
NONE = ("none", "")
# Below this many weights a layer is a head, and nothing is gained.
SMALLEST = 1 << 8


class PackedLinear(torch.jit.ScriptModule):
    """A linear layer and the activation behind it.

    A file holds the weights as the checkpoint has them; they are packed when it is loaded, for
    the processor that is there. On a GPU, and where gradients are asked for, which oneDNN's product
    does not have, the plain operators run.
    """

    def __init__(self, linear: nn.Linear, activation: tuple[str, str] = NONE) -> None:
        """
        Args:
            linear: float32, on the CPU.
            activation: of ``ACTIVATIONS``, or ``NONE``.
        """
        super().__init__()
        self.register_buffer("weight", linear.weight.detach())
        bias = linear.bias
        if bias is None:
            bias = torch.zeros(linear.out_features)
        self.register_buffer("bias", bias.detach())
        packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)
        self.register_buffer("packed", packed)
        self.attr, self.algorithm = activation

    @torch.jit.script_method
    def __getstate__(self):  # noqa: ANN204
        # type: () -> Tuple[Tensor, Tensor, str, str, bool]
        return self.weight, self.bias, self.attr, self.algorithm, self.training

    @torch.jit.script_method
    def __setstate__(self, state) -> None:  # noqa: ANN001
        # type: (Tuple[Tensor, Tensor, str, str, bool]) -> None
        self.weight, self.bias, self.attr, self.algorithm, self.training = state
        if self.weight.device.type == "cpu":
            self.packed = torch.ops.mkldnn._reorder_linear_weight(self.weight, None)
        else:
            self.packed = self.weight

    @torch.jit.script_method
    def forward(self, x: Tensor) -> Tensor:
        """Args:
            x: float32 [..., inputs].

        Returns:
            float32 [..., outputs].
        """
        if x.device.type == "cpu" and not x.requires_grad:
            return torch.ops.mkldnn._linear_pointwise(
                x, self.packed, self.bias, self.attr, [], self.algorithm
            )
        y = functional.linear(x, self.weight, self.bias)
        if self.attr == "gelu":
            y = functional.gelu(y, approximate=self.algorithm)
        elif self.attr == "relu":
            y = functional.relu(y)
        elif self.attr == "tanh":
            y = torch.tanh(y)
        elif self.attr == "swish":
            y = functional.silu(y)
        return y


def pack(wrapper: nn.Module, examples: Sequence[Tensor]) -> int:
    """Replaces the linear layers of a model, and the activations behind them, in place.

    Args:
        wrapper: its attribute ``model`` is a float32 model on the CPU.
        examples: its arguments, to see which activation follows which layer.

    Returns:
        How many layers were replaced.
    """
    if not torch.backends.mkldnn.is_available():
        return 0
    model = wrapper.model
    convolutions_to_linear(model)
    followed = followed_by(wrapper, examples)
    uses = Counter(id(one) for _, one in model.named_parameters(remove_duplicate=False))
    count = 0
    for name, module in list(model.named_modules()):
        # A weight that is an embedding's too would be held twice.
        if type(module) is not nn.Linear or uses[id(module.weight)] > 1:
            continue
        if module.weight.numel() < SMALLEST or module.weight.dtype is not torch.float32:
            continue
        activation = followed.get(name)
        kind = ACTIVATIONS[type(model.get_submodule(activation))] if activation else NONE
        model.set_submodule(name, PackedLinear(module, kind))
        if activation:
            model.set_submodule(activation, nn.Identity())
        count += 1
    return count


def followed_by(wrapper: nn.Module, examples: Sequence[Tensor]) -> dict[str, str]:
    """The activation behind each linear layer, by their names in the model: one that takes the
    layer's output as it is; neither is run more than once.

    Raises:
        ExportError: the model cannot be run as it would be traced.
    """
    outputs: dict[int, tuple[str, Tensor]] = {}
    found: dict[str, str] = {}
    runs: Counter[str] = Counter()

    def made(name: str, module: nn.Module, arguments: Sequence[Any], output: Any) -> None:
        runs[name] += 1
        outputs[id(output)] = (name, output)  # kept, so that no other gets its id

    def taken(name: str, module: nn.Module, arguments: Sequence[Any]) -> None:
        runs[name] += 1
        if arguments and id(arguments[0]) in outputs:
            found[outputs[id(arguments[0])][0]] = name

    handles = []
    for name, module in wrapper.model.named_modules():
        if type(module) is nn.Linear:
            handles.append(module.register_forward_hook(partial(made, name)))
        elif type(module) in ACTIVATIONS:
            handles.append(module.register_forward_pre_hook(partial(taken, name)))
    try:
        with torch.no_grad(), own_code(wrapper.model):
            wrapper(*examples)
    finally:
        for handle in handles:
            handle.remove()
    return {one: behind for one, behind in found.items() if runs[one] == runs[behind] == 1}
