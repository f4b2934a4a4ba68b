"""The written file is the module, less what only a debugger reads."""

from __future__ import annotations

import zipfile

import torch
from torch import nn

from labelstream_export.archive import write_module


def test_written_module_gives_the_same_and_is_smaller(tmp_path):
    module = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))
    example = torch.randn(3, 4)
    script = torch.jit.trace(module, example)
    torch.jit.save(script, tmp_path / "whole.pt")
    write_module(script, tmp_path / "model.pt")

    assert torch.equal(torch.jit.load(tmp_path / "model.pt")(example), module(example))
    assert (tmp_path / "model.pt").stat().st_size < (tmp_path / "whole.pt").stat().st_size
    names = zipfile.ZipFile(tmp_path / "model.pt").namelist()
    assert "model/data.pkl" in names
    assert not [name for name in names if "debug_pkl" in name or "traced_inputs" in name]


def test_operator_versions_are_kept(tmp_path):
    """Division changed its meaning once; the version in the file tells which is meant."""

    class Divide(nn.Module):
        def forward(self, numbers):
            return numbers / 2

    numbers = torch.tensor([1, 3])
    script = torch.jit.trace(Divide(), numbers)
    torch.jit.save(script, tmp_path / "whole.pt")
    write_module(script, tmp_path / "model.pt")
    versions = []
    for file in ("whole", "model"):
        archive = zipfile.ZipFile(tmp_path / f"{file}.pt")
        name = next(name for name in archive.namelist() if name.endswith("version"))
        versions.append((name.partition("/")[2], archive.read(name)))
    assert versions[0] == versions[1]
    assert torch.equal(torch.jit.load(tmp_path / "model.pt")(numbers), numbers / 2)
