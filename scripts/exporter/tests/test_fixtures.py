"""The parity fixtures in the repository are what their generator makes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import make_fixtures
from make_fixtures import FIXTURES, PARITY

FOLDER_LIMIT = 150 * 1024


def numbers(results: list[dict]) -> list[dict]:
    """The results with scores by label, so that near ties may change places."""
    return [
        {**result, "scores": {score["label"]: score["score"] for score in result["scores"]}}
        for result in results
    ]


@pytest.mark.parametrize("fixture", FIXTURES[2:3], ids=lambda fixture: fixture.name)
def test_remade_fixture_equals_the_one_in_the_repository(fixture, tmp_path: Path):
    make_fixtures.make_fixture(fixture, tmp_path)
    name = f"{fixture.name}.expected.json"
    made = json.loads((tmp_path / name).read_text("utf-8"))
    kept = json.loads((PARITY / name).read_text("utf-8"))
    assert [case["name"] for case in made["cases"]] == [case["name"] for case in kept["cases"]]
    for new, old in zip(made["cases"], kept["cases"]):
        for one, other in zip(numbers(new["results"]), numbers(old["results"])):
            assert one["scores"] == pytest.approx(other["scores"], abs=1e-5)
            assert (one["tokens"], one["truncated"]) == (other["tokens"], other["truncated"])


def test_texts_in_the_repository_are_those_of_the_generator():
    content = (PARITY / "texts.json").read_bytes()
    assert b"\\ud83d" in content  # a lone surrogate, as its escape
    assert json.loads(content.decode("utf-8")) == make_fixtures.inputs()
    assert len(make_fixtures.inputs()["texts"]) >= 50


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.name)
def test_fixture_is_small_and_has_a_result_for_each_text(fixture):
    files = (PARITY / fixture.name).iterdir()
    assert sum(file.stat().st_size for file in files) <= FOLDER_LIMIT
    expected = json.loads((PARITY / f"{fixture.name}.expected.json").read_text("utf-8"))
    for case in expected["cases"]:
        assert len(case["results"]) == len(make_fixtures.inputs()[case["inputs"]])
