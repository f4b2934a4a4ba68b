"""Tests of the training texts of the writer. They need nothing but Python and pytest."""

from __future__ import annotations

import random
import re
from itertools import islice
from pathlib import Path

import pytest

from sentiment_corpus import read_sections, read_sentences
from writer_corpus import MATERIAL, Story, WriterCorpus, sentences_of

HELDOUT = Path(__file__).parent / "writer_heldout.txt"
WORDS = read_sections(MATERIAL / "words.txt")


def _story(wanted, tries: int = 2000) -> Story:
    """A story whose hero and friend are as ``wanted``."""
    chance = random.Random(1)
    stories = (Story(WORDS, chance) for _ in range(tries))
    return next(story for story in stories if wanted(story.hero, story.friend))


def test_the_same_seed_gives_the_same_stories():
    assert list(WriterCorpus(3).stories(500)) == list(WriterCorpus(3).stories(500))
    assert list(WriterCorpus(3).stories(500)) != list(WriterCorpus(4).stories(500))


def test_stories_can_be_drawn_piece_by_piece():
    whole = list(WriterCorpus(5).stories(10))
    assert list(islice(WriterCorpus(5).stories(10), 4)) == whole[:4]


def test_nothing_is_left_to_be_filled_in():
    stories = list(WriterCorpus(1).stories(20_000))
    assert not [story for story in stories if re.search(r"[<>{}|@/\\_\d]", story)]
    assert all(" a a " not in story and "  " not in story for story in stories)
    assert not [s for s in stories if re.search(r"\b([Aa] [aeiou]|[Aa]n [^aeiouh])", s)]
    assert not [s for s in stories if re.search(r"\b(\w+) \1\b", s.replace("tick", ""))]


def test_every_sentence_begins_with_a_capital_and_ends_with_a_mark():
    for story in WriterCorpus(2).stories(20_000):
        assert story.count('"') % 2 == 0, story
        assert story[-1] in '.!?"', story
        for sentence in sentences_of(story):
            assert re.match(r'"?[A-Z]', sentence), (sentence, story)
        # What follows a full stop outside of a quotation is a new sentence.
        assert not re.search(r"[a-z]\. [a-z]", story), story


def test_all_plots_are_told_and_few_stories_twice():
    corpus = WriterCorpus(1)
    assert len(corpus.plots) >= 20
    for plot in corpus.plots:
        stories = [corpus.story(plot) for _ in range(1000)]
        assert len(set(stories)) > 985, plot
    drawn = list(WriterCorpus(1).stories(30_000, written=0.0))
    assert len(set(drawn)) > 0.998 * len(drawn)


def test_a_story_speaks_of_one_thing_under_one_name():
    story = _story(lambda hero, friend: True)
    ball, other, again = (story.tell(f"<{slot}>") for slot in ("toy", "toy2", "toy"))
    assert ball == again != other
    skill = story.tell("<skill>|<skill.1>|<skill.2>|<skill.3>").split("|")
    assert "/".join(skill) in WORDS["skill"]


def test_names_and_pronouns_agree():
    for name, he, him, his in (("boy", "he", "him", "his"), ("girl", "she", "her", "her")):
        story = _story(lambda hero, friend, kind=name: hero.kind == friend.kind == kind)
        hero, friend = story.hero.names[0], story.friend.names[0]
        assert hero != friend
        assert story.tell("<Hero>: <he>, <him>, <his>") == f"{hero}: {he}, {him}, {his}"
        assert friend in story.tell("<a friend>")
        told = story.tell("<Friend>: <friend.he>, <friend.him>, <friend.his>; <both>")
        assert told == f"{friend}: {he}, {him}, {his}; {hero} and {friend}"


def test_the_names_in_a_story_are_those_of_its_characters():
    names = set(WORDS["girl_name"] + WORDS["boy_name"])
    corpus = WriterCorpus(6)
    for plot in corpus.plots:
        for _ in range(300):
            story = corpus.story(plot)
            assert len(names & set(re.findall(r"[A-Z][a-z]+", story))) <= 2, story


def test_who_is_first_spoken_of_is_named_and_not_a_pronoun():
    story = _story(lambda hero, friend: hero.kind == "fox")
    first = story.tell("<He> sat down. <He> slept.")
    assert "fox" in first.split(". ")[0] and "fox" not in first.split(". ")[1]


def test_the_one_who_tells_the_story_is_i():
    story = _story(lambda hero, friend: hero.narrates and friend.kind == "girl")
    story.tell("<a friend>")
    name = story.friend.names[0]
    told = story.tell("<Hero>, <he>, <him>, <his>, <hero's>, <they>, <both>")
    assert told == f"I, I, me, my, my, we, {name} and I"
    narrated = [s for s in WriterCorpus(1).stories(5000) if re.search(r"\bI\b", s)]
    assert not [s for s in narrated if re.search(r"\b(to|at|with|gave|helped|against) I\b", s)]


def test_a_friend_must_be_introduced():
    with pytest.raises(ValueError, match="introduces"):
        _story(lambda hero, friend: True).tell("<Friend> came.")


def test_the_heldout_stories_are_not_in_the_material():
    heldout = read_sentences(HELDOUT)
    assert 20 <= len(heldout) == len(set(heldout))
    known = {s for story in WriterCorpus(1).stories(20_000) for s in sentences_of(story)}
    for story in heldout:
        assert len([s for s in sentences_of(story) if s in known and len(s.split()) > 5]) == 0
