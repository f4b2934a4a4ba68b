"""The exporter's reader takes what the job's takes, by the list that both are held to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from labelstream_export.errors import ExportError
from labelstream_export.reader import check_folder, check_settings
from labelstream_export.settings import NOT_DONE, not_done

RESOURCES = Path(__file__).resolve().parents[3] / "operators" / "src" / "test" / "resources"
RULES = json.loads((RESOURCES / "reader-rules.json").read_text("utf-8"))


def name_of(rule: dict) -> str:
    return json.dumps(rule, ensure_ascii=False)[:90]


@pytest.mark.parametrize("rule", RULES["folders"], ids=name_of)
def test_folder(rule, tmp_path):
    folder = shutil.copytree(
        RESOURCES / "parity/distilbert-sequence_classification", tmp_path / "m"
    )
    file = folder / rule["file"]
    if "content" in rule:
        file.write_text(rule["content"], "utf-8")
    else:
        content = file.read_text("utf-8")
        assert rule["from"] in content
        file.write_text(content.replace(rule["from"], rule["to"]), "utf-8")
    if rule["reads"]:
        assert check_folder(folder)["task"] == "sequence_classification"
    else:
        with pytest.raises(ExportError):
            check_folder(folder)


@pytest.mark.parametrize("rule", RULES["settings"], ids=name_of)
def test_settings(rule):
    if rule["reads"]:
        check_settings(rule["given"])
    else:
        with pytest.raises(ExportError):
            check_settings(rule["given"])


@pytest.mark.parametrize("rule", RULES["not_done"], ids=name_of)
def test_what_is_not_done(rule):
    assert len(not_done(rule["given"])) == int(rule["told"])


def test_each_setting_that_is_not_done_has_a_rule():
    told = {name for rule in RULES["not_done"] if rule["told"] for name in rule["given"]}
    assert told == set(NOT_DONE)


@pytest.mark.parametrize("file", ["model.pt", "tokenizer.json"])
def test_folder_that_is_not_whole_or_was_changed(file, tmp_path):
    folder = shutil.copytree(
        RESOURCES / "parity/distilbert-sequence_classification", tmp_path / "m"
    )
    with (folder / file).open("ab") as content:
        content.write(b" ")
    with pytest.raises(ExportError, match=f"{file} of m is not the file that was exported"):
        check_folder(folder)
    (folder / file).unlink()
    with pytest.raises(ExportError, match=f"m has no {file}"):
        check_folder(folder)
