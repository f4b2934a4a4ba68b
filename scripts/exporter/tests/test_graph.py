"""Device constants are found wherever they stand, and removed where that can be done."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from labelstream_export.errors import ExportError
from labelstream_export.graph import check_devices, free_devices


class Positions(nn.Module):
    """Makes a tensor of its own, as position ids are made."""

    def forward(self, ids):
        return ids + torch.arange(ids.shape[1], device=ids.device)


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Positions()

    def forward(self, ids):
        return self.inner(ids) * 2


class Table(nn.Module):
    def forward(self, ids):
        return ids + torch.tensor([1, 2, 3])


class Scalar(nn.Module):
    def forward(self, ids):
        return ids + torch.tensor(5)


class Branch(nn.Module):
    """Scripted, its constant stands in a nested block."""

    def forward(self, ids: torch.Tensor):
        if bool(ids.sum() > 0):
            return ids + torch.arange(ids.size(1), device="cpu")
        return ids


class NoTensor(nn.Module):
    def forward(self, size: int):
        return torch.zeros([size], device="cpu")


IDS = torch.ones(2, 3, dtype=torch.long)


def traced(module: nn.Module) -> torch.jit.ScriptModule:
    return torch.jit.trace(module, IDS, check_trace=False)


@pytest.mark.parametrize("module", [Positions(), Outer()], ids=["module", "submodule"])
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_constant_is_found_and_replaced_by_the_device_of_the_input(module):
    script = traced(module)
    with pytest.raises(ExportError, match='device constant "cpu"'):
        check_devices(script)
    assert free_devices(script) == 1
    check_devices(script)
    longer = torch.ones(1, 5, dtype=torch.long)
    assert torch.equal(script(longer), module(longer))
    assert script(longer.to("meta")).device.type == "meta"  # follows its input to another device


def test_constant_in_a_branch_is_found_and_replaced():
    script = torch.jit.script(Branch())
    with pytest.raises(ExportError, match="device constant"):
        check_devices(script)
    free_devices(script)
    check_devices(script)
    assert torch.equal(script(IDS), Branch()(IDS))


def test_constant_without_an_input_to_follow_is_refused():
    script = torch.jit.script(NoTensor())
    assert free_devices(script) == 0
    with pytest.raises(ExportError, match="device constant"):
        check_devices(script)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_table_made_by_the_code_follows_its_input_and_a_scalar_may_stay():
    table = traced(Table())
    with pytest.raises(ExportError, match=r"tensor constant of shape \[3\]"):
        check_devices(table)
    assert free_devices(table) > 0
    check_devices(table)
    assert torch.equal(table(IDS), Table()(IDS))
    assert table(IDS.to("meta")).device.type == "meta"
    scalar = traced(Scalar())
    free_devices(scalar)
    check_devices(scalar)
