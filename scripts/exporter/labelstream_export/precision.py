"""A model in another precision than that of its checkpoint."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from labelstream_export.errors import ExportError

# libtorch chooses the engine when it loads a module, and this is what it chooses.
ENGINE = "x86"


def in_precision(model: PreTrainedModel, precision: str) -> PreTrainedModel:
    """The model in this precision; the given one is left as it is.

    Args:
        model: float32, on the CPU.
        precision: ``fp32`` gives the model itself; ``bf16`` casts all weights, while tables that
            the code computes (rotary frequencies) stay float32, as transformers loads them;
            ``int8``, of a generator, holds the weights of linear layers as integers and converts
            their inputs as they come (dynamic quantisation), all else stays float32; encoders have
            ``quantized``.

    Raises:
        ExportError: this machine cannot run int8 the way libtorch does.
    """
    if precision == "fp32":
        return model
    twin = copy.deepcopy(model)
    if precision == "bf16":
        for parameter in twin.parameters():
            parameter.data = parameter.data.to(torch.bfloat16)
        return twin
    check_engine()
    torch.backends.quantized.engine = ENGINE
    convolutions_to_linear(twin)
    return torch.ao.quantization.quantize_dynamic(twin, {nn.Linear}, torch.qint8, inplace=True)


def check_engine() -> None:
    """Whether this machine runs int8 the way libtorch does.

    Raises:
        ExportError: it does not.
    """
    if ENGINE not in torch.backends.quantized.supported_engines:
        raise ExportError("int8 can only be exported and checked on an x86 CPU: use one, or bf16")


def multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16; True where Linux does not tell."""
    try:
        told = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return True
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(told.split()))


def convolutions_to_linear(module: nn.Module) -> None:
    """GPT-2 keeps its linear layers transposed, under a name that quantisation does not know."""
    for name, child in module.named_children():
        if isinstance(child, Conv1D):
            inputs, outputs = child.weight.shape
            linear = nn.Linear(inputs, outputs).requires_grad_(False)
            linear.weight.copy_(child.weight.T)
            linear.bias.copy_(child.bias)
            setattr(module, name, linear)
        else:
            convolutions_to_linear(child)
