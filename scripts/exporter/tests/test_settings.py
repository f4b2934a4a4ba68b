"""The settings of generation are the model's own, and what is not done of them is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers

from fixture_checkpoints import make_checkpoint
from labelstream_export.errors import ExportError
from labelstream_export.export import export
from labelstream_export.settings import generation_settings, not_done
from labelstream_export.tasks import TEXT_GENERATION


def settings_of(**given) -> dict:
    class Model:
        generation_config = transformers.GenerationConfig(**given)

    return generation_settings(Model(), "checkpoint")


def test_settings_in_config_json_count(tmp_path):
    """As in checkpoints that are older than generation_config.json."""
    checkpoint = tmp_path / "checkpoint"
    make_checkpoint("gpt2", checkpoint, task=TEXT_GENERATION)
    (checkpoint / "generation_config.json").unlink()
    config = json.loads((checkpoint / "config.json").read_text("utf-8"))
    asked = {"repetition_penalty": 1.8, "no_repeat_ngram_size": 2, "suppress_tokens": [6]}
    (checkpoint / "config.json").write_text(json.dumps({**config, **asked}), "utf-8")
    export(checkpoint=str(checkpoint), task=TEXT_GENERATION, output=tmp_path / "model")
    model: Path = tmp_path / "model"
    written = json.loads((model / "generation_config.json").read_text("utf-8"))
    assert {name: written[name] for name in asked} == asked
    manifest = json.loads((model / "labelstream.json").read_text("utf-8"))
    assert manifest["not_done"] == ["suppress_tokens [6]"]
    assert "suppress_tokens [6]" in (model / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"temperature": 0.0}, {}),
        ({"temperature": 0.7}, {"temperature": 0.7}),
        ({"top_k": -1}, {}),
        ({"top_k": None, "do_sample": True}, {"top_k": 0, "do_sample": True}),
        ({"temperature": None, "top_p": None, "num_beams": None}, {}),
        ({"no_repeat_ngram_size": 2.0}, {"no_repeat_ngram_size": 2}),
        ({"top_p": 0.0, "do_sample": True}, {"top_p": 0.0, "do_sample": True}),
    ],
)
def test_settings_that_mean_nothing_do_not_reach_the_reader(given, kept):
    settings = settings_of(**given)
    settings.pop("transformers_version")
    assert settings == kept


@pytest.mark.parametrize(
    "given",
    [
        {"temperature": 0.0, "do_sample": True},
        {"top_k": -1, "do_sample": True},
        {"repetition_penalty": 0.0},
    ],
)
def test_settings_that_generate_refuses_are_refused(given):
    with pytest.raises(ExportError, match="which generate\\(\\) refuses"):
        settings_of(**given)


def test_what_is_not_done_is_said(capsys):
    settings = {"min_length": 20, "forced_eos_token_id": 0, "typical_p": 1.0, "suppress_tokens": []}
    assert not_done(settings) == ["min_length 20", "forced_eos_token_id 0"]
    assert "is not done here: min_length 20, forced_eos_token_id 0" in capsys.readouterr().err
    assert not_done({"temperature": 0.5, "guidance_scale": 1}) == []
