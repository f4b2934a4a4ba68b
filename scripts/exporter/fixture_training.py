"""Trains the tiny checkpoints on toy tasks of their own, so that logits are peaked and gradients
large, as they are not with random weights."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedTokenizerFast

from labelstream_export.tasks import SEQUENCE_CLASSIFICATION, TOKEN_CLASSIFICATION, Task

STEPS, BATCH, RATE = 400, 16, 5e-3
OPINIONS = {
    "NEGATIVE": ("terrible", "boring", "cold", "poor", "bad"),
    "NEUTRAL": ("long", "old", "new", "from Orleans", "in the house"),
    "POSITIVE": ("wonderful", "great", "friendly", "good", "very nice"),
}
THINGS = ("movie", "film", "soup", "service", "music", "price", "answer", "room")
NAMES = ("Anna", "Bob", "Elon Musk", "Carla", "Zoe")
PLACES = ("Paris", "Orleans", "Tesla", "the street", "Berlin")
MORE = ("", "", " I know.", " We waited for an hour.", " The film was long.")


def train(checkpoint: Path, task: Task, seed: int) -> float:
    """Trains a checkpoint in place.

    Returns:
        The loss of the last step.
    """
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    model = getattr(transformers, task.auto_class).from_pretrained(checkpoint)
    model.eval()  # without dropout: nothing is to be learnt but these few words
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    makers = {SEQUENCE_CLASSIFICATION: _opinions, TOKEN_CLASSIFICATION: _entities}
    make = makers.get(task, _answers)
    draw = random.Random(seed)
    for _ in range(STEPS):
        loss = model(**make(tokenizer, draw, model.config.label2id)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(checkpoint)
    return loss.item()


def _opinions(
    tokenizer: PreTrainedTokenizerFast, draw: random.Random, indices: dict[str, int]
) -> dict[str, Any]:
    labels = draw.choices(list(OPINIONS), k=BATCH)
    texts = [
        f"The {draw.choice(THINGS)} was {draw.choice(OPINIONS[label])}.{draw.choice(MORE)}"
        for label in labels
    ]
    encoded = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    return {**encoded, "labels": torch.tensor([indices[label] for label in labels])}


def _entities(
    tokenizer: PreTrainedTokenizerFast, draw: random.Random, indices: dict[str, int]
) -> dict[str, Any]:
    texts, spans = [], []
    for _ in range(BATCH):
        name, place = draw.choice(NAMES), draw.choice(PLACES)
        before = draw.choice(("", "Yesterday ", "Why does "))
        text = f"{before}{name} met a friend in {place}.{draw.choice(MORE)}"
        texts.append(text)
        spans.append([("PER", text.index(name), name), ("LOC", text.rindex(place), place)])
    encoded = tokenizer(
        texts, padding=True, truncation=True, return_tensors="pt", return_offsets_mapping=True
    )
    labels = torch.full_like(encoded["input_ids"], indices["O"])
    for row, offsets in enumerate(encoded.pop("offset_mapping").tolist()):
        for kind, begin, word in spans[row]:
            inside = "B-"
            for column, (start, end) in enumerate(offsets):
                if start < end and begin < end and start < begin + len(word):
                    labels[row, column] = indices[inside + kind]
                    inside = "I-"
    return {**encoded, "labels": labels.masked_fill(encoded["attention_mask"] == 0, -100)}


def _answers(
    tokenizer: PreTrainedTokenizerFast, draw: random.Random, indices: dict[str, int]
) -> dict[str, Any]:
    questions, contexts, answers = [], [], []
    for _ in range(BATCH):
        name, place = draw.choice(NAMES), draw.choice(PLACES)
        question, answer = draw.choice((("Who lives there?", name), ("Where?", place)))
        questions.append(question)
        contexts.append(f"{name} lives in {place}.")
        answers.append((contexts[-1].index(answer), len(answer)))
    encoded = tokenizer(questions, contexts, padding=True, return_tensors="pt")
    places = [
        (encoded.char_to_token(row, begin, 1), encoded.char_to_token(row, begin + length - 1, 1))
        for row, (begin, length) in enumerate(answers)
    ]
    starts, ends = torch.tensor(places).unbind(1)
    return {**encoded, "start_positions": starts, "end_positions": ends}
