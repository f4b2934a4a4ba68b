"""A model folder can be checked again, without its checkpoint and with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fixture_checkpoints import make_checkpoint
from labelstream_export.cli import main
from labelstream_export.export import export
from labelstream_export.tasks import TEXT_GENERATION


def test_folder_is_verified_alone_and_against_its_checkpoint(checkpoints, exported, capsys):
    assert main(["--verify", str(exported["bert"])]) == 0
    assert "2 rows agree with what was kept of them" in capsys.readouterr().err
    assert main([str(checkpoints["bert"]), "--verify", str(exported["bert"])]) == 0
    assert "comparing with bert, up to 64 tokens" in capsys.readouterr().err


def test_generator_is_verified_too(tmp_path, capsys):
    make_checkpoint("gpt2", tmp_path / "checkpoint", task=TEXT_GENERATION)
    export(checkpoint=str(tmp_path / "checkpoint"), task=TEXT_GENERATION, output=tmp_path / "model")
    assert main(["--verify", str(tmp_path / "model")]) == 0
    assert "2 rows agree" in capsys.readouterr().err


def test_other_numbers_than_the_checkpoints_are_told(exported, tmp_path, capsys):
    folder: Path = shutil.copytree(exported["bert"], tmp_path / "model")
    file = folder / "labelstream.json"
    manifest = json.loads(file.read_text("utf-8"))
    manifest["checked"]["probes"][0]["logits"][0][1] += 0.01
    file.write_text(json.dumps(manifest), "utf-8")
    assert main(["--verify", str(folder)]) == 1
    assert "on this machine model gives other numbers" in capsys.readouterr().err
    del manifest["checked"]["probes"]
    file.write_text(json.dumps(manifest), "utf-8")
    assert main(["--verify", str(folder)]) == 1
    assert "keeps no rows to compare" in capsys.readouterr().err
    (folder / "model.pt").write_bytes(b"")
    assert main(["--verify", str(folder)]) == 1
    assert "is not the file that was exported" in capsys.readouterr().err


def test_other_checkpoint_is_told(checkpoints, exported, capsys):
    assert main([str(checkpoints["electra"]), "--verify", str(exported["bert"])]) == 1
    assert "does not agree with the checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["x"], ["--output", "y"], ["--verify", "a", "--output", "b"]]
)
def test_wrong_use_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2
    assert "--verify" in capsys.readouterr().err
