"""Tests of the training texts of the sentiment model. They need nothing but Python and pytest."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

from sentiment_corpus import MATERIAL, NEGATIVE, POSITIVE, SentimentCorpus, all_choices

DEVELOPMENT = Path(__file__).parent / "sentiment_dev.tsv"


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def test_the_same_seed_gives_the_same_texts():
    assert list(SentimentCorpus(3).examples(500)) == list(SentimentCorpus(3).examples(500))
    assert list(SentimentCorpus(3).examples(500)) != list(SentimentCorpus(4).examples(500))


def test_both_labels_come_equally_often_and_no_choice_is_left_open():
    examples = list(SentimentCorpus(1).examples(5000))
    assert sum(example.label == POSITIVE for example in examples) == 2500
    assert all(example.text.strip() for example in examples)
    # A bar may be the mouth of an emoticon.
    assert not [e.text for e in examples if re.search(r"[{}]|\w\|", e.text)]


def test_small_words_and_punctuation_do_not_give_the_label_away():
    examples = list(SentimentCorpus(1).examples(40_000))
    for mark in (" but ", "!", "?", "although", "not ", "never ", "the ", "pizza", "hotel"):
        counts = {label: 0 for label in (NEGATIVE, POSITIVE)}
        for example in examples:
            counts[example.label] += mark in example.text.lower()
        assert 0.25 < counts[POSITIVE] / sum(counts.values()) < 0.75, (mark, counts)


def test_the_material_is_as_wide_as_the_card_says():
    material = list(SentimentCorpus(1).material())
    for label in (NEGATIVE, POSITIVE):
        assert len({example.text for example in material if example.label == label}) > 2000
    for name in ("positive", "negative"):
        sentences = (MATERIAL / f"{name}_sentences.txt").read_text(encoding="utf-8")
        assert sum(not line.startswith("#") for line in sentences.splitlines()) > 300


def test_the_development_sentences_are_not_in_the_material():
    lines = DEVELOPMENT.read_text(encoding="utf-8").splitlines()
    development = {_plain(line.partition("\t")[2]) for line in lines if line[0] != "#"}
    material = {_plain(example.text) for example in SentimentCorpus(1).material()}
    assert len(development) >= 60
    assert not development & material


def test_choices_are_spelled_out_the_nested_ones_too():
    assert all_choices("a {b|c}") == ["a b", "a c"]
    assert set(all_choices("{a|b {c|d}}")) == {"a", "b c", "b d"}


def test_examples_can_be_drawn_piece_by_piece():
    whole = list(SentimentCorpus(5).examples(10))
    assert list(islice(SentimentCorpus(5).examples(10), 4)) == whole[:4]
