"""An exported encoder gives the explanations that Captum gives for its checkpoint."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
import pytest
import torch
import transformers
from torch import Tensor

import fixture_texts
import labelstream_export.explanations as explanations
import labelstream_export.module
from fixture_checkpoints import ENCODERS, HEADS, make_checkpoint
from labelstream_export.cli import main
from labelstream_export.explanations import relative_difference
from labelstream_export.export import export
from labelstream_export.folder import sha256
from labelstream_export.graph import check_devices
from labelstream_export.tasks import (
    QUESTION_ANSWERING,
    SEQUENCE_CLASSIFICATION,
    TEXT_GENERATION,
    TOKEN_CLASSIFICATION,
    Task,
)
from modules import change

pytest.importorskip("captum", reason="Captum has no version for this Python")

import fixture_explanations as reference  # noqa: E402

FIRST_FOUR = ("bert", "roberta", "distilbert", "electra")
TEXTS = ("film_mixed", "emoji_zwj", "unknown_runes", "one_too_many")
QUESTIONS = ("emoji_before", "soup", "unknown_around", "long")
each_task = pytest.mark.parametrize("task", HEADS, ids=lambda task: task.name)


def manifest_of(folder: Path) -> dict:
    return json.loads((folder / "labelstream.json").read_text("utf-8"))


def load(folder: Path) -> torch.jit.ScriptModule:
    return torch.jit.load(str(folder / manifest_of(folder)["explain"]))


def made(architecture: str, task: Task, folder: Path, **options) -> Path:
    """A model folder beside the checkpoint."""
    if not (folder / "checkpoint").exists():
        make_checkpoint(architecture, folder / "checkpoint", task=task)
    output = folder / "model"
    export(checkpoint=str(folder / "checkpoint"), task=task, output=output, force=True, **options)
    return output


def integrate(
    module: torch.jit.ScriptModule, tensors: list[Tensor], baseline: Tensor, index: int
) -> tuple[Tensor, float]:
    """Attributions [tokens, hidden] and their delta, by the methods of the module alone; all steps
    in one batch."""
    nodes, weights = numpy.polynomial.legendre.leggauss(reference.STEPS)
    alphas = torch.tensor((1 + nodes) / 2, dtype=torch.float32).view(-1, 1, 1)
    weights = torch.tensor(weights / 2, dtype=torch.float32).view(-1, 1, 1)
    start, end = module.embed(baseline, *tensors[1:]), module.embed(*tensors)
    points = start + alphas * (end - start)
    rows = [tensor.expand(len(points), -1) for tensor in tensors]
    _, gradients = module.gradients(points, torch.full((len(points),), index), *rows)
    attributions = ((end - start) * (weights * gradients).sum(dim=0))[0]
    at = torch.tensor([index])
    values = [module.gradients(place, at, *tensors)[0].item() for place in (end, start)]
    return attributions, attributions.sum().item() - (values[0] - values[1])


@each_task
@pytest.mark.parametrize("architecture", ENCODERS)
def test_integrated_gradients_are_captums(architecture, task, tmp_path):
    folder = made(architecture, task, tmp_path)
    manifest = manifest_of(folder)
    assert manifest["methods"] == ["forward", "embed", "gradients"]
    assert manifest["explain"] == "model.pt"
    module = load(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "checkpoint")
    model = getattr(transformers, task.auto_class).from_pretrained(tmp_path / "checkpoint").eval()
    count = 4 if architecture in FIRST_FOUR else 1
    for place in range(count):
        if task is QUESTION_ANSWERING:
            given = dict(zip(("question", "context"), fixture_texts.QUESTIONS[QUESTIONS[place]]))
        else:
            given = {"text": fixture_texts.TEXTS[TEXTS[place]]}
        encoded = reference.encode(tokenizer, given)
        width = 2 if task is QUESTION_ANSWERING else manifest["num_labels"]
        token = 0 if task is SEQUENCE_CLASSIFICATION else encoded["input_ids"].shape[1] // 2
        choice = place % width
        target = choice if task is SEQUENCE_CLASSIFICATION else (token, choice)
        expected = reference.explain(model, task, encoded, target)
        attributions, delta = integrate(
            module,
            [encoded[name] for name in manifest["inputs"]],
            reference.baseline_ids(encoded, manifest["pad_token_id"]),
            token * width + choice,
        )
        assert expected.attributions.norm() > 0
        assert relative_difference(attributions, expected.attributions) < 1e-3
        assert relative_difference(attributions.sum(dim=-1), expected.sums) < 1e-3
        assert delta == pytest.approx(expected.delta, abs=1e-3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model folder for token classification with BERT; not to be changed."""
    return made("bert", TOKEN_CLASSIFICATION, tmp_path_factory.mktemp("explained"))


def arguments(folder: Path, rows: int, length: int) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Embeddings, index and inputs of random rows, the last of them half padding."""
    generator = torch.Generator().manual_seed(rows * 100 + length)
    ids = torch.randint(5, 500, (rows, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[-1, length // 2 :] = 0
    tensors = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    inputs = [tensors[name] for name in manifest_of(folder)["inputs"]]
    return load(folder).embed(*inputs), torch.arange(rows), inputs


def test_gradients_are_those_of_finite_differences(folder):
    """In float64 but for the logits, so that a small step tells."""
    module = load(folder)
    change(module, lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)
    embeddings, index, inputs = arguments(folder, 3, 8)
    embeddings = embeddings.double()
    _, gradients = module.gradients(embeddings, index, *inputs)
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(embeddings.shape, dtype=torch.float64, generator=generator)
    step = 1e-3
    after, _ = module.gradients(embeddings + step * direction, index, *inputs)
    before, _ = module.gradients(embeddings - step * direction, index, *inputs)
    expected = (after.double() - before.double()) / (2 * step)
    assert expected.abs().min() > 0.1
    given = (gradients * direction).sum(dim=(1, 2))
    torch.testing.assert_close(given, expected, rtol=2e-3, atol=2e-3)


def test_methods_agree_with_forward_and_leave_the_mode_alone(folder):
    module = load(folder)
    embeddings, index, inputs = arguments(folder, 3, 8)
    with torch.no_grad():
        for _ in range(3):  # libtorch compiles anew for the first calls
            values, _ = module.gradients(embeddings, index, *inputs)
        assert not torch.is_grad_enabled()
    logits = module(*inputs).flatten(1)
    torch.testing.assert_close(values, logits[torch.arange(3), index], rtol=1e-5, atol=1e-6)
    assert not values.requires_grad
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_what_is_embedded_in_inference_mode_can_be_differentiated(folder):
    """As under DJL."""
    module = load(folder)
    embeddings, index, inputs = arguments(folder, 2, 6)
    with torch.inference_mode():
        inferred = module.embed(*inputs)
    assert inferred.is_inference()
    _, gradients = module.gradients(inferred, index, *inputs)
    expected = module.gradients(embeddings, index, *inputs)[1]
    torch.testing.assert_close(gradients, expected, rtol=1e-5, atol=1e-6)


def test_several_threads_at_once_give_what_one_gives(folder):
    module = load(folder)
    work = [arguments(folder, 1 + case % 3, 4 + case) for case in range(12)]
    alone = [module.gradients(*case[:2], *case[2])[1] for case in work]
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(module.gradients, *case[:2], *case[2]) for case in work * 4]
        for run, expected in zip(runs, alone * 4):
            torch.testing.assert_close(run.result()[1], expected, rtol=1e-5, atol=1e-6)


def test_methods_follow_their_inputs_to_another_device(folder):
    """The meta device computes shapes only, and like a GPU refuses a tensor of the CPU."""
    module = load(folder)
    check_devices(module)
    change(module, lambda tensor: tensor.to("meta"))
    _, index, inputs = arguments(folder, 2, 5)
    inputs = [tensor.to("meta") for tensor in inputs]
    embeddings = module.embed(*inputs)
    values, gradients = module.gradients(embeddings, index.to("meta"), *inputs)
    assert {embeddings.device.type, values.device.type, gradients.device.type} == {"meta"}
    assert gradients.shape == embeddings.shape == (2, 5, 16)


def test_weights_are_written_once(folder):
    without = made("bert", TOKEN_CLASSIFICATION, folder.parent / "other", explanations=False)
    counts = []
    for file in (folder / "model.pt", without / "model.pt"):
        reader = torch._C.PyTorchFileReader(str(file))
        records = [name for name in reader.get_all_records() if name.startswith("data/")]
        counts.append((len(records), sum(len(reader.get_record(name)) for name in records)))
    assert counts[0] == counts[1]
    assert (folder / "model.pt").stat().st_size < (without / "model.pt").stat().st_size + 40_000


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_reduced_precision_has_a_twin_in_fp32(folder, precision, tmp_path):
    reduced = made("bert", TOKEN_CLASSIFICATION, tmp_path, precision=precision)
    manifest = manifest_of(reduced)
    assert manifest["methods"] == ["forward"]
    assert manifest["explain"] == "explain.pt"
    assert manifest["sha256"]["explain.pt"] == sha256(reduced / "explain.pt")
    assert "`explain.pt`, in fp32" in (reduced / "README.md").read_text("utf-8")
    embeddings, index, inputs = arguments(folder, 3, 8)
    exact, twin = load(folder), load(reduced)
    assert torch.equal(twin.embed(*inputs), embeddings)
    assert torch.equal(twin(*inputs), exact(*inputs))
    expected = exact.gradients(embeddings, index, *inputs)[1]
    torch.testing.assert_close(twin.gradients(embeddings, index, *inputs)[1], expected)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_explanations_can_be_left_out(checkpoints, tmp_path, precision):
    output = tmp_path / "model"
    options = ["--task", "text-classification", "--output", str(output), "--precision", precision]
    assert main([str(checkpoints["electra"]), *options, "--no-explanations"]) == 0
    manifest = manifest_of(output)
    assert manifest["methods"] == ["forward"]
    assert "explain" not in manifest
    assert "explanations" not in manifest["checked"]
    assert not (output / "explain.pt").exists()
    assert not hasattr(torch.jit.load(str(output / "model.pt")), "gradients")
    assert "xplanation" not in (output / "README.md").read_text("utf-8")


def test_generators_have_no_explanations(tmp_path):
    folder = made("gpt2", TEXT_GENERATION, tmp_path)
    assert manifest_of(folder)["methods"] == ["forward"]
    assert not {"explain", "note"} & set(manifest_of(folder))


def without_explanations(folder: Path, capsys, reason: str) -> None:
    manifest = manifest_of(folder)
    assert manifest["methods"] == ["forward"]
    assert "explain" not in manifest
    assert reason in manifest["note"]
    lines = capsys.readouterr().err.splitlines()
    assert sum("written without explanations" in line for line in lines) == 1
    assert not (folder / "explain.pt").exists()
    assert not hasattr(torch.jit.load(str(folder / "model.pt")), "gradients")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_wrong_gradients_are_found_and_the_labels_still_exported(
    precision, tmp_path, monkeypatch, capsys
):
    wrong = explanations.GRADIENTS.replace("gradients\n", "gradients * 1.001\n")
    assert wrong != explanations.GRADIENTS
    monkeypatch.setattr(explanations, "GRADIENTS", wrong)
    folder = made("distilbert", SEQUENCE_CLASSIFICATION, tmp_path, precision=precision)
    without_explanations(folder, capsys, "does not agree with the checkpoint (gradients, rows of")


def test_model_that_reads_its_ids_twice_is_exported_without(tmp_path, monkeypatch, capsys):
    original = transformers.DistilBertForSequenceClassification.forward

    def forward(self, input_ids=None, attention_mask=None, **options):
        outputs = original(self, input_ids, attention_mask, **options)
        words = self.distilbert.embeddings(input_ids)
        return (outputs[0] + words[:, 0].sum(dim=1, keepdim=True),)

    monkeypatch.setattr(transformers.DistilBertForSequenceClassification, "forward", forward)
    folder = made("distilbert", SEQUENCE_CLASSIFICATION, tmp_path)
    without_explanations(folder, capsys, "embeddings module is run 2 times")


def test_embeddings_of_another_shape_are_exported_without(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        labelstream_export.module, "embeddings_path", lambda model: "pre_classifier"
    )
    folder = made("distilbert", SEQUENCE_CLASSIFICATION, tmp_path)
    without_explanations(folder, capsys, "does not give one vector for each token")
