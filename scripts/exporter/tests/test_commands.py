"""The command line, as a user meets it: statuses and sentences."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import bootstrap
from labelstream_export.cli import main
from labelstream_export.tasks import find_task

SCRIPTS = Path(__file__).resolve().parents[2]


def launch(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs export_model.py with this Python, in the given environment."""
    return subprocess.run(
        [sys.executable, SCRIPTS / "export_model.py", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_help_and_wrong_use_build_no_environment(tmp_path):
    venv = tmp_path / "venv"
    helped = launch("--help", LABELSTREAM_VENV=str(venv))
    assert helped.returncode == 0
    assert "CHECKPOINT" in helped.stdout
    wrong = launch("x", "--task", "text-clasification", "--output", "y", LABELSTREAM_VENV=str(venv))
    assert wrong.returncode == 2
    assert "the nearest known one is sequence_classification" in wrong.stderr
    assert not venv.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--task", "text-classification"], "--output"),
        (["--task", "sequence_clasification", "--output", "y"], "sequence_classification"),
        (["--task", "text-classification", "--output", "y", "--precision", "fp64"], "use fp32"),
        (["--task", "text-classification", "--output", "y", "--max-length", "-1"], "3 or more"),
    ],
)
def test_wrong_use_ends_with_2(capsys, arguments, sentence):
    with pytest.raises(SystemExit) as exit:
        main(["x", *arguments])
    assert exit.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("ner", "token_classification"),
        ("sentiment-analysis", "sequence_classification"),
        ("Sequence_Classification", "sequence_classification"),
        ("text-ranking", "sequence_classification"),
        ("qa", "question_answering"),
    ],
)
def test_names_that_people_type_are_tasks(name, found):
    assert find_task(name).name == found


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("summarization", "is not done here: there are sequence_classification"),
        ("translation_en_to_fr", "is not done here"),
        ("image-classification", "is not done here"),
        ("zero-shot-classification", "use an NLI model as sequence_classification"),
        ("token-clasification", "the nearest known one is token_classification"),
        ("haiku", "there are sequence_classification, token_classification"),
    ],
)
def test_other_tasks_are_told_as_such(name, sentence):
    with pytest.raises(ValueError, match=sentence):
        find_task(name)


def test_failure_ends_with_1_and_one_sentence(capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    output = str(tmp_path / "model")
    assert main([str(tmp_path / "empty"), "--task", "text-classification", "--output", output]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("export_model.py: ")
    assert "has no config.json" in last


def test_folder_that_cannot_be_written_is_a_sentence(capsys, checkpoints, tmp_path):
    (tmp_path / "file").touch()
    arguments = [str(checkpoints["bert"]), "--task", "text-classification"]
    assert main([*arguments, "--output", str(tmp_path / "file" / "model")]) == 1
    assert "check the path, its permissions" in capsys.readouterr().err


def test_unforeseen_failure_is_a_sentence_too(capsys, monkeypatch, tmp_path):
    def fail(**options):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr("labelstream_export.export.export", fail)
    monkeypatch.delenv("LABELSTREAM_DEBUG", raising=False)
    assert main(["x", "--task", "text-classification", "--output", str(tmp_path / "y")]) == 1
    error = capsys.readouterr().err
    assert "RuntimeError: first line" in error
    assert "second line" not in error
    assert "Traceback" not in error


def test_whole_export_through_the_command(capsys, checkpoints, tmp_path):
    arguments = [str(checkpoints["roberta"]), "--task", "text-classification"]
    assert main([*arguments, "--output", str(tmp_path / "model")]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "rows agree" in captured.err
    assert (tmp_path / "model" / "model.pt").is_file()


def test_environment_is_built_once_and_again_when_requirements_change(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# nothing to install\n")
    folder = tmp_path / "venv"
    bootstrap.ensure_environment(folder, [requirements])
    assert (folder / "bin" / "python").exists()
    stamps = set(folder.glob(".labelstream-requirements-*"))
    bootstrap.ensure_environment(folder, [requirements])
    assert set(folder.glob(".labelstream-requirements-*")) == stamps
    requirements.write_text("# still nothing\n")
    bootstrap.ensure_environment(folder, [requirements])
    assert len(set(folder.glob(".labelstream-requirements-*"))) == 2


def test_installation_that_fails_ends_with_a_sentence_and_no_stamp(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("./there-is-no-such-package\n")
    with pytest.raises(SystemExit, match="cannot install requirements.txt"):
        bootstrap.ensure_environment(tmp_path / "venv", [requirements])
    assert not list((tmp_path / "venv").glob(".labelstream-requirements-*"))


def test_a_peer_that_cannot_be_installed_is_left_out_with_a_line(tmp_path, capfd):
    nothing = tmp_path / "requirements.txt"
    nothing.write_text("")
    peers = tmp_path / "requirements-bench.txt"
    peers.write_text("# two\n./there-is-no-such-package  # and why\n")
    folder = tmp_path / "venv"
    bootstrap.ensure_environment(folder, [nothing])
    bootstrap.ensure_peers(folder, peers, nothing)
    assert "./there-is-no-such-package cannot be installed" in capfd.readouterr().err
