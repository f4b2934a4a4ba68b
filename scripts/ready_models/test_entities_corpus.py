"""Tests of the training texts of the entities model. They need nothing but Python and pytest."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from pathlib import Path

from entities_corpus import TYPES, EntitiesCorpus, Entity, parse_annotated

DEVELOPMENT = Path(__file__).parent / "entities_dev.txt"


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def _development() -> list[str]:
    lines = DEVELOPMENT.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and line[0] != "#"]


def test_an_annotated_text_gives_the_text_and_its_spans():
    example = parse_annotated("[Ada](PER)'s dog (old) likes [St. Ives](LOC).")
    assert example.text == "Ada's dog (old) likes St. Ives."
    assert example.entities == (Entity(0, 3, "PER"), Entity(22, 30, "LOC"))
    assert [example.text[e.start : e.end] for e in example.entities] == ["Ada", "St. Ives"]


def test_the_same_seed_gives_the_same_texts():
    assert list(EntitiesCorpus(3).examples(500)) == list(EntitiesCorpus(3).examples(500))
    assert list(EntitiesCorpus(3).examples(500)) != list(EntitiesCorpus(4).examples(500))


def test_examples_can_be_drawn_piece_by_piece():
    whole = list(EntitiesCorpus(5).examples(10))
    assert list(islice(EntitiesCorpus(5).examples(10), 4)) == whole[:4]


def test_no_slot_or_choice_is_left_open():
    for example in EntitiesCorpus(1).examples(5000):
        assert example.text.strip()
        assert not re.search(r"[{}<>|]|\]\(", example.text), example.text


def test_spans_lie_on_whole_words_and_do_not_overlap():
    for example in EntitiesCorpus(2).examples(5000):
        end = 0
        for entity in example.entities:
            assert end <= entity.start < entity.end <= len(example.text)
            name = example.text[entity.start : entity.end]
            assert name == name.strip() and name, example
            around = example.text[max(0, entity.start - 1) : entity.start]
            around += example.text[entity.end : entity.end + 1]
            assert not re.search(r"\w", around), (name, example.text)
            end = entity.end


def test_the_types_come_about_equally_often_and_some_texts_have_no_name():
    examples = list(EntitiesCorpus(1).examples(5000))
    counts = Counter(entity.type for example in examples for entity in example.entities)
    assert min(counts[kind] for kind in TYPES) > 0.7 * max(counts[kind] for kind in TYPES)
    assert 0.1 < sum(not example.entities for example in examples) / len(examples) < 0.3


def test_a_good_part_of_the_names_is_on_no_list():
    listed = {_plain(name) for name, _ in EntitiesCorpus(1).material()}
    firsts = {_plain(name) for name in EntitiesCorpus(1).single_names()}
    made_up = Counter()
    for example in EntitiesCorpus(7).examples(5000):
        for entity in example.entities:
            name = _plain(example.text[entity.start : entity.end])
            known = name in listed or all(word in firsts for word in name.split())
            made_up[entity.type] += not known
            made_up["all " + entity.type] += 1
    for kind in TYPES:
        assert 0.2 < made_up[kind] / made_up["all " + kind] < 0.7, made_up


def test_the_material_is_as_wide_as_the_card_says():
    names = Counter(kind for _, kind in set(EntitiesCorpus(1).material()))
    assert all(names[kind] > 1000 for kind in TYPES), names
    assert len(EntitiesCorpus(1).frames()) > 450


def test_the_development_sentences_are_well_formed_and_not_in_the_material():
    sentences = _development()
    assert len(sentences) >= 120
    frames = {_plain(frame) for frame in EntitiesCorpus(1).frames()}
    seen = {_plain(example.text) for example in EntitiesCorpus(1).examples(20_000)}
    for sentence in sentences:
        example = parse_annotated(sentence)
        assert not re.search(r"[\[\]]", example.text), sentence
        assert _plain(example.text) not in frames | seen, sentence
