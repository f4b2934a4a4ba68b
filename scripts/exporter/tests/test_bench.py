"""The bench of explanations, on a tiny model: that it measures the same thing on both sides, and
tells it as its readers expect. No test looks at a clock."""

from __future__ import annotations

import json
import os
import statistics
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

pytest.importorskip("captum", reason="Captum has no version for this Python")

import bench_common as common  # noqa: E402
import bench_explanations as bench  # noqa: E402
import bench_models as models  # noqa: E402
from fixture_explanations import explain  # noqa: E402
from labelstream_export.tasks import SEQUENCE_CLASSIFICATION  # noqa: E402

BUILT = (bench.REPOSITORY / "job" / "target" / "labelstream-job.jar").exists()


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's folder; not to be changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(common, "STATE", tmp_path_factory.mktemp("bench"))
        return models.bench_model("tiny", explanations=True)


def test_texts_have_the_published_lengths() -> None:
    texts = models.make_texts(1000)
    lengths = sorted(len(text.split()) + 2 for text in texts)
    assert statistics.mean(lengths) == pytest.approx(42, abs=1)
    assert lengths[989] == pytest.approx(193, abs=5)
    assert models.make_texts(1000) == texts


def test_each_word_is_a_token(model_folder: Path) -> None:
    _, tokenizer = bench.load(model_folder)
    text = models.make_texts(3)[0]
    assert tokenizer.tokenize(text) == text.split()
    assert tokenizer.unk_token not in tokenizer.tokenize(" ".join(models.words()[::1000]))


def test_the_model_is_that_of_the_folder(model_folder: Path) -> None:
    model, tokenizer = bench.load(model_folder)
    encoded = tokenizer(models.make_texts(2), padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = torch.jit.load(str(model_folder / "model.pt"))(*encoded.values())
        assert torch.allclose(model(**encoded).logits, expected, atol=1e-5)


def test_batches_do_not_change_what_captum_says(model_folder: Path) -> None:
    side = bench.Captum(model_folder)
    text = models.make_texts(3)[1]
    encoded = side.tokenizer(text, return_special_tokens_mask=True, return_tensors="pt")
    expected = []
    for side.batch in bench.BATCHES:
        (given,) = side.explain([text])
        if not expected:
            target = side.model(encoded["input_ids"]).logits[0].argmax().item()
            expected.append(explain(side.model, SEQUENCE_CLASSIFICATION, encoded, target))
        assert torch.allclose(given.importances, expected[0].importances, atol=1e-5)
        assert given.steps == 50


def phase(seconds: float, importances: list[float], taken: float = 0.0) -> common.Phase:
    results = [bench.Explained(torch.tensor(importances), 50)]
    return common.Phase(seconds, results, seconds, taken)


def test_ratios_are_those_of_the_faster_rounds(capsys: pytest.CaptureFixture) -> None:
    same = [0.6, 0.8]
    phases = {
        "Captum": [phase(9.0, same), phase(6.0, same)],
        "fixed": [phase(7.5, same), phase(8.0, same)],
        "adaptive": [phase(2.0, same), phase(1.5, same)],
    }
    entries = bench.report(phases)
    assert entries == [
        {
            "name": "explanations.fixed_to_captum",
            "value": 0.8,
            "unit": "ratio",
            "bound": 1.0,
            "holds": False,
        },
        {
            "name": "explanations.adaptive_to_captum",
            "value": 4.0,
            "unit": "ratio",
            "bound": 3.0,
            "holds": True,
        },
    ]
    table = capsys.readouterr().out
    assert "| explanations.fixed_to_captum    | 0.80  | at least 1.0 | NO    |" in table


def test_explanations_that_differ_are_not_compared() -> None:
    phases = {
        "Captum": [phase(1.0, [0.6, 0.8])],
        "fixed": [phase(1.0, [0.6, -0.8])],
        "adaptive": [phase(1.0, [0.6, 0.8])],
    }
    with pytest.raises(SystemExit, match="do not explain alike"):
        bench.report(phases)


def test_it_is_measured_again_when_others_took_of_the_cores() -> None:
    phases = [phase(1.0, [1.0], 0.5), phase(3.0, [1.0], 0.2), phase(2.0, [1.0], 0.3)]
    assert common.measure_undisturbed("any", lambda: phases.pop(0)).seconds == 3.0
    phases = [phase(1.0, [1.0], 0.5), phase(3.0, [1.0], 0.01), phase(2.0, [1.0], 0.0)]
    assert common.measure_undisturbed("any", lambda: phases.pop(0)).seconds == 3.0


@pytest.mark.skipif(common.process_seconds(os.getpid()) is None, reason="only Linux tells")
def test_processor_time_is_that_of_the_side() -> None:
    def compute(texts: list[str]) -> list:
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass
        return []

    seen = bench.measure(SimpleNamespace(pid=os.getpid(), explain=compute), [], 1)
    assert seen.cpu == pytest.approx(0.3, abs=0.05)
    assert seen.cpu <= seen.seconds + 0.05


@pytest.mark.skipif(not BUILT, reason="the job is not built: run mvn package before")
def test_the_whole(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(bench, "WARM_UP_SECONDS", 0.1)
    monkeypatch.setattr(common, "STATE", tmp_path)
    monkeypatch.setattr(common, "ATTEMPTS", 1)
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(models.make_texts(4)), "utf-8")
    file = tmp_path / "bench.json"
    bench.main(
        [
            *("--model", str(model_folder), "--texts", str(texts)),
            *("--threads", "1", "--json", str(file)),
        ]
    )
    entries = json.loads(file.read_text("utf-8"))
    assert [(entry["name"], entry["unit"], entry["bound"]) for entry in entries] == [
        ("explanations.fixed_to_captum", "ratio", 1.0),
        ("explanations.adaptive_to_captum", "ratio", 3.0),
    ]
    for entry in entries:
        assert entry["value"] > 0
        assert entry["holds"] == (entry["value"] >= entry["bound"])
    table = capsys.readouterr().out
    assert "4 texts of" in table and "Labelstream, adaptive" in table


def test_a_model_of_another_task_is_refused() -> None:
    folder = bench.REPOSITORY / "model-assets" / "entities"
    with pytest.raises(SystemExit, match="not a sequence classifier in fp32"):
        bench.load(folder)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--threads", "0"], "--threads must be at least 1"),
        (["--model", "nowhere"], "nowhere is no model folder"),
        (["--texts", "nowhere.txt"], "there is no file nowhere.txt"),
        (["--json", "nowhere/bench.json"], "there is no folder for nowhere/bench.json"),
    ],
)
def test_wrong_use_ends_with_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench.main(arguments)
    assert sentence in capsys.readouterr().err
