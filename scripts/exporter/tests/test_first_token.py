"""Of the last layer's tokens, only the first is computed where only the first is read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor, nn

from labelstream_export.first_token import first_token_only
from labelstream_export.module import SequenceClassifier, trace
from labelstream_export.packed import pack

# How many calls of its last layer give less: all but those of keys and values. ModernBERT computes
# queries together with these; ALBERT's activation is four calls.
CALLS = {
    "albert": 21,
    "bert": 13,
    "deberta-v2": 18,
    "distilbert": 13,
    "electra": 18,
    "modernbert": 5,
    "mpnet": 13,
    "roberta": 13,
    "xlm-roberta": 13,
}
INPUTS = ["input_ids", "attention_mask"]


def batch(lengths: list[int]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(len(lengths))
    ids = torch.randint(5, 50, (len(lengths), max(lengths)), generator=generator)
    mask = torch.tensor([[1] * length + [0] * (max(lengths) - length) for length in lengths])
    return ids, mask


EXAMPLES = batch([9, 6])
CHECKS = [EXAMPLES, batch([1]), batch([17, 2, 5])]
OTHERS = [batch([24, 3]), batch([2, 2, 2, 2]), batch([1, 30])]


def classifier(folder: Path, **settings: str) -> SequenceClassifier:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, **settings)
    return SequenceClassifier(model.eval(), INPUTS)


@pytest.mark.parametrize("architecture", sorted(CALLS))
def test_numbers_stay_the_same(checkpoints: dict[str, Path], architecture: str):
    encoder = classifier(checkpoints[architecture])
    with torch.inference_mode():
        expected = [encoder(*given) for given in OTHERS]
    pack(encoder, EXAMPLES)

    assert first_token_only(encoder, EXAMPLES, CHECKS, trace) == CALLS[architecture]

    traced = trace(encoder, {"forward": EXAMPLES})
    with torch.inference_mode():
        for given, logits in zip(OTHERS, expected):
            torch.testing.assert_close(traced(*given), logits, rtol=1e-5, atol=1e-5)


def test_last_layer_multiplies_less(checkpoints: dict[str, Path]):
    encoder = classifier(checkpoints["bert"])

    def rows_of_products() -> list[int]:
        rows = []
        traced = trace(encoder, {"forward": EXAMPLES})
        with torch.profiler.profile(record_shapes=True) as profile, torch.inference_mode():
            traced(*EXAMPLES)
        for event in profile.events():
            if event.name == "aten::linear":
                rows.append(event.input_shapes[0][:-1])
        return rows

    before = rows_of_products()
    first_token_only(encoder, EXAMPLES, CHECKS, trace)
    after = rows_of_products()

    assert len(before) == len(after)
    less = [(old, new) for old, new in zip(before, after) if old != new]
    # Queries, the layer's output, and both products behind it.
    assert less == [([2, 9], [2, 1])] * 4


def test_model_that_reads_all_tokens_is_left_as_it_is(checkpoints: dict[str, Path]):
    encoder = classifier(checkpoints["modernbert"], classifier_pooling="mean")

    assert first_token_only(encoder, EXAMPLES, CHECKS, trace) == 0

    assert "forward" not in vars(encoder)


class Secretive(nn.Module):
    """Gives the sum of all tokens, past what Python sees."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(60, 8)
        self.norm = nn.LayerNorm(8)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.embeddings(input_ids)
        with torch._C.DisableTorchFunction():
            total = hidden.sum(dim=1, keepdim=True)
        return self.norm(hidden + total)[:, 0]


class Wrapped(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.model(*tensors)


def test_model_that_hides_what_it_reads_keeps_its_numbers():
    torch.manual_seed(1)
    encoder = Wrapped(Secretive().eval())
    with torch.inference_mode():
        expected = encoder(*EXAMPLES)

    first_token_only(encoder, EXAMPLES, CHECKS, trace)

    with torch.inference_mode():
        torch.testing.assert_close(trace(encoder, {"forward": EXAMPLES})(*EXAMPLES), expected)
