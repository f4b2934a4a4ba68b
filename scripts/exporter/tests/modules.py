"""What tests do to modules."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def change(module: torch.jit.ScriptModule, to: Callable[[Tensor], Tensor]) -> None:
    """Changes each tensor of a module but packed weights, which another device or type has none of.

    ``module.to`` cannot swap a script's tensors.
    """
    for part in module.modules():
        tensors = [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]
        for name, tensor in tensors:
            if not tensor.is_mkldnn:
                part._c.setattr(name, to(tensor))
