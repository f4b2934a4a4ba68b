"""The fixtures of explanations in the repository are what Captum gives for their models."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
import transformers

pytest.importorskip("captum", reason="Captum has no version for this Python")

import make_explanations  # noqa: E402
from labelstream_export.tasks import (  # noqa: E402
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    TOKEN_CLASSIFICATION,
)
from make_explanations import EXPLANATIONS, FIXTURES, Fixture, inputs, result  # noqa: E402

FOLDER_LIMIT = {"fp32": 120 * 1024, "int8": 200 * 1024}
ALL_LIMIT = 3 * 1024 * 1024
EXACT = [fixture for fixture in FIXTURES if fixture.precision == "fp32"]
each_exact = pytest.mark.parametrize("fixture", EXACT, ids=lambda fixture: fixture.name)


def kept(fixture: Fixture) -> dict:
    return json.loads((EXPLANATIONS / f"{fixture.name}.expected.json").read_text("utf-8"))


def model_of(fixture: Fixture) -> transformers.PreTrainedModel:
    """The checkpoint's model, with the weights that the model folder has."""
    folder = EXPLANATIONS / fixture.name
    config = transformers.AutoConfig.from_pretrained(folder)
    model = getattr(transformers, fixture.task.auto_class).from_config(config)
    state = torch.jit.load(str(folder / "model.pt")).model.state_dict()
    missing = set(dict(model.named_parameters())) - set(state)
    assert not missing
    model.load_state_dict(state, strict=False)
    return model.eval()


def explanations_of(answer: dict) -> list[dict]:
    """The explanation of a text, or the two of an answer."""
    return [answer[part] for part in ("start", "end")] if "start" in answer else [answer]


def compare(new: dict, old: dict) -> None:
    for key in ("words", "spans", "fields", "target"):
        assert new.get(key) == old.get(key)
    for one, other in zip(explanations_of(new), explanations_of(old)):
        assert one["importances"] == pytest.approx(other["importances"], abs=2e-5)
        for key in ("norm", "delta", "value", "baseline"):
            assert one[key] == pytest.approx(other[key], rel=1e-4, abs=2e-5)
        assert ("precise" in one) == ("precise" in other)


SAMPLE = (
    Fixture("bert", QUESTION_ANSWERING, True),
    Fixture("roberta", TOKEN_CLASSIFICATION, False),
    Fixture("distilbert", SEQUENCE_CLASSIFICATION, True),
    Fixture("electra", TOKEN_CLASSIFICATION, True),
)


@pytest.mark.parametrize("fixture", SAMPLE, ids=lambda fixture: fixture.name)
def test_captums_explanations_of_a_model_are_those_in_the_repository(fixture):
    model = model_of(fixture)
    tokenizer = transformers.AutoTokenizer.from_pretrained(EXPLANATIONS / fixture.name)
    content = kept(fixture)
    for place, given in list(enumerate(inputs()[content["inputs"]]))[::3]:
        made = json.loads(json.dumps(result(model, tokenizer, fixture.task, given, place)))
        compare(made, content["results"][place])


def test_remade_fixture_equals_the_one_in_the_repository(tmp_path: Path):
    fixture = Fixture("electra", SEQUENCE_CLASSIFICATION, False)
    make_explanations.make_fixture(fixture, tmp_path)
    made = json.loads((tmp_path / f"{fixture.name}.expected.json").read_text("utf-8"))
    assert made.keys() == kept(fixture).keys()
    for new, old in zip(made["results"], kept(fixture)["results"]):
        compare(new, old)


def test_training_makes_logits_peaked(tmp_path: Path):
    fixture = Fixture("distilbert", TOKEN_CLASSIFICATION, True)
    make_explanations.make_weights(fixture, tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = tokenizer("Anna met a friend in Paris.", return_tensors="pt")
    for model in (
        transformers.AutoModelForTokenClassification.from_pretrained(tmp_path).eval(),
        model_of(fixture),
    ):
        best = model(**text).logits.softmax(dim=-1).max(dim=-1)
        assert best.values.mean() > 0.95
        labels = {model.config.id2label[index] for index in best.indices[0].tolist()}
        assert {"O", "B-PER", "B-LOC"} <= labels


def test_inputs_in_the_repository_are_those_of_the_generator():
    assert json.loads((EXPLANATIONS / "inputs.json").read_text("utf-8")) == inputs()
    assert all(len(texts) == 30 for texts in inputs().values())


@each_exact
def test_each_text_has_explanations_that_add_up(fixture):
    content = kept(fixture)
    assert len(content["results"]) == 30
    zeros, most = 0, 0.0
    for answer in content["results"]:
        assert len(answer["words"]) == len(answer["spans"]) <= 64
        for explanation in explanations_of(answer):
            importances = explanation["importances"]
            assert len(importances) == len(answer["words"])
            norm = math.sqrt(sum(value * value for value in importances))
            assert norm == pytest.approx(1 if explanation["norm"] else 0, abs=1e-5)
            zeros += norm == 0
            total = sum(importances) * explanation["norm"]
            change = explanation["value"] - explanation["baseline"]
            digits = abs(explanation["value"]) + abs(explanation["baseline"])
            rounding = 1e-6 * (len(importances) * explanation["norm"] + digits) + 1e-5
            assert total - change == pytest.approx(explanation["delta"], abs=rounding)
            most = max(most, abs(change))
    if fixture.task is not QUESTION_ANSWERING:
        assert zeros > 0  # blank texts
        assert any(len(answer["words"]) == 64 for answer in content["results"])
    assert most > (5 if fixture.trained else 0.1)
    assert any("precise" in explanations_of(answer)[0] for answer in content["results"])


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.name)
def test_model_folder_is_small_and_can_be_explained(fixture):
    folder = EXPLANATIONS / fixture.name
    assert sum(file.stat().st_size for file in folder.iterdir()) <= FOLDER_LIMIT[fixture.precision]
    manifest = json.loads((folder / "labelstream.json").read_text("utf-8"))
    assert manifest["explain"] == ("model.pt" if fixture.precision == "fp32" else "explain.pt")


def test_fixtures_together_are_small():
    files = [file for file in EXPLANATIONS.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= ALL_LIMIT
