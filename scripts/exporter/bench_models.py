"""The texts and models of the benches, made from a seed: the same each time."""

from __future__ import annotations

import copy
import hashlib
import itertools
import math
import random
import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import transformers
from transformers import (
    BertConfig,
    BertTokenizerFast,
    DistilBertConfig,
    DistilBertTokenizerFast,
    PretrainedConfig,
)

import bench_common
from bench_common import HERE, say
from fixture_tokenizers import WORDPIECE_SPECIALS
from labelstream_export.export import export
from labelstream_export.tasks import SEQUENCE_CLASSIFICATION

# BERT's head is smooth. DistilBERT's has a ReLU, whose many small jumps adaptive steps have to get
# over one by one.
SHAPES: dict[str, PretrainedConfig] = {
    "bert": BertConfig(num_hidden_layers=6),
    "distilbert": DistilBertConfig(),
    "tiny": DistilBertConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=32, initializer_range=0.5),
}
VOCABULARY = 30_000
MAX_LENGTH = 512
SEED = 1
# Tokens of a text are lognormal, with a mean of 42 and 193 for the 99th percentile.
LENGTHS = statistics.NormalDist(mu=3.426, sigma=0.79)
CALIBRATION_TEXTS = 128  # by which int8 finds the ranges of activations
SCALED_BY = 24  # texts, by whose logits the head is scaled


def words() -> list[str]:
    """Made-up words, each a token of the bench model."""
    syllables = ["".join(pair) for pair in itertools.product("bdfgklmnprstvz", "aeiou")]
    made = itertools.product(syllables, repeat=3)
    return ["".join(word) for word in itertools.islice(made, VOCABULARY - len(WORDPIECE_SPECIALS))]


def make_texts(count: int) -> list[str]:
    """Texts of mixed lengths in a random order, which are the same each time."""
    quantiles = [LENGTHS.inv_cdf((place + 0.5) / count) for place in range(count)]
    lengths = [max(1, round(math.exp(quantile)) - 2) for quantile in quantiles]  # 2 are special
    generator = random.Random(SEED)
    generator.shuffle(lengths)
    vocabulary = words()
    return [" ".join(generator.choices(vocabulary, k=length)) for length in lengths]


def read_texts(file: Path | None, count: int) -> list[str]:
    """The lines of a file that are not blank, or ``count`` made-up texts."""
    lines = file.read_text("utf-8").split("\n") if file else make_texts(count)
    return [line for line in lines if line.strip()]


def made_once(folder: Path, sources: Sequence[Path], make: Callable[[Path], None]) -> Path:
    """A folder that ``make`` has filled, made again once one of its sources has changed."""
    stamp = folder.with_name(f"{folder.name}.made-by")
    made_by = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(sources))).hexdigest()
    if folder.exists() and stamp.exists() and stamp.read_text() == made_by:
        return folder
    say(f"making {folder.name}, which takes minutes the first time")
    folder.parent.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    make(folder)
    stamp.write_text(made_by)
    return folder


def bench_checkpoint(shape: str) -> Path:
    """The Hugging Face folder of a model with random weights."""
    return made_once(
        bench_common.STATE / f"{shape}-checkpoint",
        [Path(__file__), HERE / "requirements.txt"],
        lambda folder: _make_checkpoint(SHAPES[shape], folder),
    )


def bench_model(shape: str, precision: str = "fp32", explanations: bool = False) -> Path:
    """The model folder of that checkpoint, as the exporter makes it."""
    checkpoint = bench_checkpoint(shape)

    def make(folder: Path) -> None:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as texts:
            texts.write("\n".join(make_texts(CALIBRATION_TEXTS)))
            texts.flush()
            export(
                checkpoint=str(checkpoint),
                task=SEQUENCE_CLASSIFICATION,
                output=folder,
                precision=precision,
                calibration=Path(texts.name) if precision == "int8" else None,
                explanations=explanations,
            )

    return made_once(
        bench_common.STATE / f"{shape}-{precision}{'-explanations' * explanations}",
        [Path(__file__), HERE / "requirements.txt", *HERE.glob("labelstream_export/*.py")],
        make,
    )


def _make_checkpoint(config: PretrainedConfig, folder: Path) -> None:
    folder.mkdir()
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join([*WORDPIECE_SPECIALS, *words()]) + "\n", "utf-8")
    kind = BertTokenizerFast if config.model_type == "bert" else DistilBertTokenizerFast
    tokenizer = kind(str(vocabulary), model_max_length=MAX_LENGTH)
    torch.manual_seed(SEED)
    config = copy.deepcopy(config)
    config.vocab_size, config.max_position_embeddings = VOCABULARY, MAX_LENGTH
    model = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    # Fresh logits hardly differ, and an absolute tolerance would be met at once; nor do labels.
    with torch.no_grad():
        texts = make_texts(SCALED_BY)
        logits = [model(**tokenizer(text, return_tensors="pt")).logits[0] for text in texts]
        scale = 1 / torch.stack(logits).std(dim=0)
        model.classifier.weight.mul_(scale.unsqueeze(1))
        model.classifier.bias.copy_(-scale * torch.stack(logits).mean(dim=0))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
