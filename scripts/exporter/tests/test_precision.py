"""Reduced precision: smaller numbers inside, float32 outside, and agreement that is measured."""

from __future__ import annotations

import json

import pytest
import torch

from fixture_checkpoints import ENTITY_LABELS, make_checkpoint
from labelstream_export.agreement import Yardstick
from labelstream_export.cli import main
from labelstream_export.errors import ExportError
from labelstream_export.export import export
from labelstream_export.tasks import (
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    TASKS,
    TEXT_GENERATION,
)

ARCHITECTURES = {TEXT_GENERATION: ("gpt2", "llama")}


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_each_task_is_exported_with_float_outputs(task, precision, tmp_path):
    for architecture in ARCHITECTURES.get(task, ("bert", "modernbert")):
        folder = tmp_path / architecture
        make_checkpoint(architecture, folder / "checkpoint", ENTITY_LABELS, task=task)
        export(
            checkpoint=str(folder / "checkpoint"),
            task=task,
            output=folder / "model",
            precision=precision,
        )
        manifest = json.loads((folder / "model" / "labelstream.json").read_text("utf-8"))
        assert manifest["precision"] == precision
        agreement = manifest["checked"]["agreement"]
        assert agreement["on"] == "built-in"
        assert 0.4 <= agreement["equal"] <= 1
        module = torch.jit.load(str(folder / "model" / "model.pt"))
        kinds = {parameter.dtype for parameter in module.parameters()}
        assert (torch.bfloat16 in kinds) == (precision == "bf16")
        ids = torch.tensor([[5, 6, 7]])
        if task is TEXT_GENERATION:
            sizes = manifest["cache"]
            past = torch.zeros(sizes["layers"], 2, 1, sizes["heads"], 0, sizes["head_dim"])
            outputs = module(ids, torch.ones_like(ids), torch.tensor([[0, 1, 2]]), past)
        else:
            tensors = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            rest = torch.zeros_like(ids)
            outputs = [module(*[tensors.get(name, rest) for name in manifest["inputs"]])]
        assert all(output.dtype == torch.float32 for output in outputs)
        assert "**Precision.**" in (folder / "model" / "README.md").read_text("utf-8")


def test_too_little_agreement_on_given_texts_is_refused(checkpoints, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("A first text.\n\nAnd a second one.\n", "utf-8")
    arguments = {
        "checkpoint": str(checkpoints["bert"]),
        "task": SEQUENCE_CLASSIFICATION,
        "precision": "bf16",
    }
    with pytest.raises(ExportError, match="of 2 decisions on .* asks for 101.00%"):
        export(**arguments, output=tmp_path / "model", yardstick=Yardstick(texts, 1.01))
    assert not (tmp_path / "model").exists()
    export(**arguments, output=tmp_path / "model", yardstick=Yardstick(texts, 0.0))
    manifest = json.loads((tmp_path / "model" / "labelstream.json").read_text("utf-8"))
    assert manifest["checked"]["agreement"]["on"] == "given"
    assert manifest["checked"]["agreement"]["texts"] == 2


@pytest.mark.parametrize(
    ("content", "sentence"),
    [("\n \n", "has no texts"), ("no tab here\n", "needs a question, a tab and a context")],
)
def test_unusable_texts_are_refused(tmp_path, content, sentence):
    make_checkpoint("bert", tmp_path / "checkpoint", task=QUESTION_ANSWERING)
    (tmp_path / "texts.txt").write_text(content, "utf-8")
    with pytest.raises(ExportError, match=sentence):
        export(
            checkpoint=str(tmp_path / "checkpoint"),
            task=QUESTION_ANSWERING,
            output=tmp_path / "model",
            precision="bf16",
            yardstick=Yardstick(tmp_path / "texts.txt"),
        )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--agreement", "f"], "compares with fp32"),
        (["--precision", "int8", "--min-agreement", "2"], "is not a share"),
        (["--precision", "int8", "--min-agreement", "much"], "is not a share"),
    ],
)
def test_wrong_use_ends_with_2(capsys, arguments, sentence):
    with pytest.raises(SystemExit) as exit:
        main(["x", "--task", "text-classification", "--output", "y", *arguments])
    assert exit.value.code == 2
    assert sentence in capsys.readouterr().err
