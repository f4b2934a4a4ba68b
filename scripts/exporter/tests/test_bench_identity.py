"""The bench of everything but the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import bench_common as common
import bench_identity as bench
from labelstream_export.reader import check_folder


def test_records_have_200_bytes_and_places_of_their_own() -> None:
    values = bench.make_values(1200)
    assert {len(value) for value in values} == {200}
    read = [json.loads(value) for value in values]
    assert [each["id"] for each in read] == [str(place) for place in range(1200)]
    assert all(each["text"] for each in read)


def test_the_module_returns_a_constant_in_a_folder_like_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(common, "STATE", tmp_path)
    folder = bench.constant_model()
    check_folder(folder)
    ids = torch.ones(3, 7, dtype=torch.int64)
    assert torch.jit.load(str(folder / "model.pt"))(ids, ids).tolist() == [[0.0, 0.0]] * 3


def test_the_faster_round_counts(capsys: pytest.CaptureFixture) -> None:
    phases = [common.Phase(2.0, [None] * 100, 1.0, 0.0), common.Phase(1.0, [None] * 100, 1.0, 0.0)]
    assert bench.report(phases) == [
        {
            "name": "identity.records_per_second",
            "value": 100.0,
            "unit": "records/s",
            "bound": 80_000,
            "holds": False,
        }
    ]
    assert "| round 1 | 50 " in capsys.readouterr().out
