"""The bench of generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers

import bench_common as common
import bench_engines as peers
import bench_generation as bench


def test_prompts_are_the_same_each_time_and_want_10_to_100_tokens() -> None:
    asked = bench.make_prompts()
    assert bench.make_prompts() == asked
    assert len(asked) == 32
    assert sorted(wanted for _, wanted in asked)[:: len(asked) - 1] == [10, 100]
    assert max(len(text.split()) for text, _ in asked) <= bench.LONGEST_PROMPT


def test_prompts_of_about_the_same_length_go_together() -> None:
    asked = [("a", 1), ("b", 9), ("c", 2), ("d", 8)]
    assert bench.batches(asked, 2) == [[("b", 9), ("d", 8)], [("c", 2), ("a", 1)]]


def test_a_word_is_a_token_and_comes_back(tmp_path: Path) -> None:
    bench._make_tokenizer(tmp_path)
    tokenizer = transformers.GPT2TokenizerFast(
        str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt")
    )
    assert len(tokenizer) == bench.VOCABULARY
    text = bench.make_prompts()[3][0]
    assert tokenizer.tokenize(text)[3:] == [f"Ġ{word}" for word in text.split()[1:]]
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_generate_gives_what_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "STATE", tmp_path)
    checkpoint = bench.generator_checkpoint(1)
    do = bench.generate(checkpoint, "2", peers.Layout(1, 1))
    assert do([("ba be", 3), ("bi bo bu", 1), ("ba", 2)]) == [3, 1, 2]


def sides() -> dict[str, dict[str, Any]]:
    def made(speed: float, alone: float = 0, first: float = 0) -> dict[str, Any]:
        alone_too = {"alone": alone, "first": first} if alone else {}
        return {"phases": [common.Phase(1.0, None, 1.0, 0.0)], "speed": speed, **alone_too}

    return {
        "Labelstream fp32": made(240, 40, 0.03),
        "generate() fp32, batch 1, 1 x 2 threads": made(50, 50, 0.02),
        "generate() fp32, batch 8, 1 x 2 threads": made(120, 48, 0.02),
        "CTranslate2 fp32, batch 8, 1 x 2 threads": made(150, 60, 0.02),
        "CTranslate2 fp32, batch 8, 2 x 1 thread": made(160),
        "CTranslate2 int8, batch 8, 1 x 2 threads": made(290, 90, 0.01),
    }


def test_ratios_are_to_the_best_of_the_same_precision(capsys: pytest.CaptureFixture) -> None:
    entries = {each["name"]: each for each in bench.report(sides(), ["fp32"])}
    assert entries["generation.fp32.to_generate"]["value"] == 2.0
    assert entries["generation.fp32.to_generate"]["holds"] is True
    assert entries["generation.fp32.to_ctranslate2"]["value"] == 1.5
    assert entries["generation.fp32.alone_to_generate"]["value"] == 0.8
    assert entries["generation.fp32.alone_to_generate"]["holds"] is False
    assert entries["generation.fp32.seconds_to_first_token"]["value"] == 0.03
    assert "| Labelstream fp32 " in capsys.readouterr().out
