"""Tests of the training pairs of the answers model. They need nothing but Python and pytest."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from answers_corpus import MATERIAL, AnswersCorpus, Pair, read_frames, read_verbs, read_words

DEVELOPMENT = Path(__file__).parent / "answers_dev.jsonl"


@pytest.fixture(scope="module", name="pairs")
def _pairs() -> list[Pair]:
    return list(AnswersCorpus(1).pairs(20_000))


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def test_the_same_seed_gives_the_same_pairs():
    assert list(AnswersCorpus(3).pairs(300)) == list(AnswersCorpus(3).pairs(300))
    assert list(AnswersCorpus(3).pairs(300)) != list(AnswersCorpus(4).pairs(300))


def test_pairs_can_be_drawn_piece_by_piece():
    whole = list(AnswersCorpus(5).pairs(10))
    assert list(islice(AnswersCorpus(5).pairs(10), 4)) == whole[:4]


def test_every_answer_is_whole_words_of_its_context(pairs):
    for pair in pairs:
        assert pair.answer.strip() == pair.answer != ""
        around = pair.context[max(0, pair.start - 1) : pair.start], pair.context[pair.end :][:1]
        assert not any(character.isalnum() for character in around), pair


def test_no_choice_and_no_slot_is_left_open(pairs):
    for pair in pairs:
        assert not re.search(r"[{}|<>\[\]~\x00\x01]|  ", pair.question + pair.context), pair


def test_the_question_does_not_hold_the_answer(pairs):
    told = [pair for pair in pairs if f" {_plain(pair.answer)} " in f" {_plain(pair.question)} "]
    # A number may come twice by chance.
    assert len(told) < 0.02 * len(pairs), told[:5]


def test_most_contexts_hold_other_answers_of_the_kind(pairs):
    """Else the first name would be the answer to every "who", and nothing were compared."""
    who = [pair for pair in pairs if pair.question.startswith("Who ")]
    first = sum(pair.start < 5 for pair in who)
    assert len(who) > 2000
    assert first < 0.5 * len(who)


def test_one_context_is_asked_different_questions(pairs):
    answers: dict[str, set[str]] = {}
    for pair in pairs:
        answers.setdefault(pair.context, set()).add(pair.answer)
    assert sum(len(found) > 1 for found in answers.values()) > 0.4 * len(answers)


def test_all_kinds_of_questions_come_up(pairs):
    kinds = Counter(pair.question.split()[0].lower() for pair in pairs)
    for kind in ("who", "what", "where", "when", "how", "why", "which", "whose"):
        assert kinds[kind] > 0.003 * len(pairs), kinds


def test_short_contexts_are_drawn_on_request():
    short = [len(pair.context) for pair in AnswersCorpus(2).pairs(500, longest=1)]
    long = [len(pair.context) for pair in AnswersCorpus(2).pairs(500)]
    assert sum(short) < 0.5 * sum(long)


def test_the_material_is_as_wide_as_the_card_says():
    frames, verbs = read_frames(MATERIAL / "frames.txt"), read_verbs(MATERIAL / "verbs.txt")
    assert len(frames) >= 60
    assert sum(len(frame.questions) for frame in frames) >= 450
    assert len(verbs) >= 130
    assert sum(len(entries) for entries in read_words(MATERIAL / "words.txt").values()) >= 2000


def test_verbs_are_conjugated():
    forms = {form[0]: form for verb in read_verbs(MATERIAL / "verbs.txt") for form in verb.forms}
    assert forms["carry"] == ("carry", "carried", "carried")
    assert forms["walk"] == ("walk", "walked", "walked")
    assert forms["drop"][1] == "dropped"
    assert forms["buy"] == ("buy", "bought", "bought")
    assert forms["move"][1] == "moved"


def test_nothing_of_the_acceptance_pair_is_in_the_material():
    """What the model is shown first must not have been learnt by heart."""
    for path in MATERIAL.iterdir():
        assert not re.search(r"\b(elon|musk|tesla)\b", path.read_text("utf-8").lower()), path


def test_the_development_pairs_are_sound_and_not_in_the_material():
    lines = DEVELOPMENT.read_text(encoding="utf-8").splitlines()
    development = [json.loads(line) for line in lines]
    assert len(development) >= 80
    for pair in development:
        assert any(answer in pair["context"] for answer in pair["answers"]), pair
    contexts = {_plain(pair["context"]) for pair in development}
    assert not contexts & {_plain(pair.context) for pair in AnswersCorpus(1).pairs(5000)}
