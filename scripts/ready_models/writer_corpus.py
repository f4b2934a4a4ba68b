"""Makes the training texts of the writer out of plots, words and stories of this project.

The material lies in ``writer/``: ``plots.txt`` holds the plots with several ways to tell each of
their beats, ``words.txt`` who and what may occur in them, and ``stories.txt`` whole stories written
one by one. All of it was written for Labelstream; nothing comes from another data set.

A text is told with a memory of who and what it is about. Its slots are:

``<hero>``, ``<he>``, ``<him>``, ``<his>``, ``<himself>``, ``<hero's>``: the main character, who
may be "I"; ``<friend>``, ``<friend.he>``, ``<friend.him>``, ``<friend.his>``: who else comes along;
``<both>``, ``<they>``, ``<them>``, ``<their>``: the two of them; ``<a hero>`` and ``<a friend>``
introduce them.

Any other slot is a section of the words: what is drawn for ``<toy>`` stays the same throughout the
story, ``<toy2>`` is another one, and ``<skill.1>`` is the second form of an entry. A capital in the
slot makes one in the text. The same seed gives the same texts.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sentiment_corpus import read_sections, read_sentences

MATERIAL = Path(__file__).parent / "writer"

_CHOICE = re.compile(r"\{([^{}]*)\}")
_SLOT = re.compile(r"<([^<>]+)>")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")
_SENTENCE_END = re.compile(r'(?<=[.!?]) (?=[A-Z"])')
HE = ("he", "him", "his", "himself")
SHE = ("she", "her", "her", "herself")
I_ = ("I", "me", "my", "myself")
THEY = ("they", "them", "their")
WE = ("we", "us", "our")
# What an invented name is made of: the names of the lists are few, and users have others.
SYLLABLES = "ba bo da do fa fi ka ko la li lo lu ma mi mo na ni no pa pi ra ri ro sa ta ti to va vi"


def read_plots(path: Path) -> dict[str, list[list[str]]]:
    """Reads ``[name]`` sections of beats, which empty lines separate: one way to tell it a line."""
    plots: dict[str, list[list[str]]] = {}
    for section in re.split(r"^\[", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        name, _, body = section.partition("]")
        plots[name] = [beat.split("\n") for beat in body.strip().split("\n\n")]
    return plots


def sentences_of(text: str) -> list[str]:
    """Splits a text into its sentences."""
    return _SENTENCE_END.split(text)


@dataclass(frozen=True)
class Character:
    """Somebody in a story: how they are introduced, called afterwards, and referred to."""

    introduction: str
    first: str
    names: tuple[str, ...]
    pronouns: tuple[str, str, str, str]
    kind: str

    @property
    def narrates(self) -> bool:
        """Whether this is the one who tells the story."""
        return self.pronouns is I_


class Story:
    """One story while it is told: it remembers who and what has occurred."""

    def __init__(self, words: dict[str, list[str]], chance: random.Random) -> None:
        self._words = words
        self._random = chance
        self._drawn: dict[str, str] = {}
        self.hero = self._new_hero()
        self.friend = self._new_friend()
        self._met: set[str] = set()

    def tell(self, text: str) -> str:
        """Settles the choices of ``text`` and fills its slots."""
        while "{" in text:
            text = _CHOICE.sub(lambda m: self._random.choice(m.group(1).split("|")), text)
        while "<" in text:
            text = _SLOT.sub(self._fill, text)
        return _ARTICLE.sub(r"\1n ", text)

    def _fill(self, match: re.Match[str]) -> str:
        slot = match.group(1)
        value = self.tell(self._value(slot[0].lower() + slot[1:]))
        return value[0].upper() + value[1:] if slot[0].isupper() else value

    def _value(self, slot: str) -> str:
        hero, friend = self.hero, self.friend
        if slot in ("hero", "a hero"):
            return self._mention(hero, "hero", slot == "a hero")
        if slot == "hero's":
            return "my" if hero.narrates else self._mention(hero, "hero", False) + "'s"
        if slot in HE:
            if "hero" in self._met or hero.narrates:
                return hero.pronouns[HE.index(slot)]
            # Nobody knows yet who is meant: the first mention is by name.
            return self._mention(hero, "hero", False) + ("'s" if slot == "his" else "")
        if slot in ("friend", "a friend"):
            if slot == "friend" and "friend" not in self._met:
                raise ValueError("a plot speaks of <friend> before it introduces <a friend>")
            return self._mention(friend, "friend", slot == "a friend")
        if slot.startswith("friend."):
            return friend.pronouns[HE.index(slot.partition(".")[2])]
        if slot == "both":
            names = hero.names[0], friend.names[0]
            return f"{names[1]} and I" if hero.narrates else " and ".join(names)
        if slot in THEY:
            return (WE if hero.narrates else THEY)[THEY.index(slot)]
        name, _, form = slot.partition(".")
        return self._draw(name).split("/")[int(form or 0)]

    def _mention(self, character: Character, role: str, introduce: bool) -> str:
        if introduce and role not in self._met:
            self._met.add(role)
            return character.introduction
        if role not in self._met:
            self._met.add(role)
            return character.first
        return character.names[0] if self._random.random() < 0.92 else character.names[-1]

    def _draw(self, name: str) -> str:
        """What stands for a slot: drawn when it first occurs, unlike what others of its section."""
        if name not in self._drawn:
            section = name.rstrip("0123456789")
            taken = {v for k, v in self._drawn.items() if k.rstrip("0123456789") == section}
            left = [entry for entry in self._words[section] if entry not in taken]
            self._drawn[name] = self._settle(self._random.choice(left))
        return self._drawn[name]

    def _settle(self, text: str) -> str:
        return _CHOICE.sub(lambda m: self._random.choice(m.group(1).split("|")), text)

    # -- characters ------------------------------------------------------------------------------

    def _new_name(self, pronouns: tuple[str, ...]) -> str:
        if self._random.random() < 0.1:
            syllables = self._random.sample(SYLLABLES.split(), self._random.choice((2, 2, 3)))
            return "".join(syllables).capitalize()
        return self._random.choice(self._words["girl_name" if pronouns is SHE else "boy_name"])

    def _new_hero(self) -> Character:
        draw = self._random.random()
        if draw < 0.05:
            return Character("I", "I", ("I",), I_, "I")
        trait = self._random.choice(self._words["trait"])
        if draw < 0.35:
            return self._child(trait)
        return self._creature(trait, named=0.65)

    def _new_friend(self) -> Character:
        while True:
            trait = self._random.choice(self._words["friend_trait"])
            if self._random.random() < 0.3:
                friend = self._child(trait if self._random.random() < 0.3 else "")
            else:
                friend = self._creature(trait, named=0.5)
            # Two foxes, or two girls of one name, could not be told apart.
            if friend.kind != self.hero.kind or (
                friend.kind in ("girl", "boy") and friend.names[0] != self.hero.names[0]
            ):
                return friend

    def _child(self, trait: str) -> Character:
        pronouns = self._random.choice((HE, SHE))
        kind = "boy" if pronouns is HE else "girl"
        name = self._new_name(pronouns)
        if trait:
            introduction = f"a {trait} {kind} {self._named(name)}"
        else:
            introduction = f"<his> {self._random.choice(self._words['sibling'])} {name}"
        return Character(introduction, name, (name,), pronouns, kind)

    def _creature(self, trait: str, *, named: float) -> Character:
        pronouns = self._random.choice((HE, SHE))
        if self._random.random() < 0.2:
            kind, _, pronoun = self._random.choice(self._words["folk"]).partition("/")
            pronouns = HE if pronoun == "he" else SHE
        else:
            kind = self._random.choice(self._words["animal"])
        if kind.startswith("old ") and trait in ("old", "young", "little"):
            trait = "kind"
        the_full, the = f"the {trait} {kind}", f"the {kind}"
        if self._random.random() < named:
            name = self._new_name(pronouns)
            introduction = f"a {trait} {kind} {self._named(name)}"
            return Character(introduction, f"{name} the {kind}", (name, the), pronouns, kind)
        # Always called the same: a small model has enough to do to remember who it is about.
        called = the_full if trait == "little" and self._random.random() < 0.5 else the
        return Character(f"a {trait} {kind}", the_full, (called,), pronouns, kind)

    def _named(self, name: str) -> str:
        return f"{self._random.choice(('named', 'named', 'called'))} {name}"


class WriterCorpus:
    """An endless source of short stories."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._words = read_sections(MATERIAL / "words.txt")
        sections = read_plots(MATERIAL / "plots.txt")
        self._shared = {name: beats[0] for name, beats in sections.items() if name[0] == "@"}
        self._plots = {name: beats for name, beats in sections.items() if name[0] != "@"}
        self._written = read_sentences(MATERIAL / "stories.txt")

    @property
    def plots(self) -> list[str]:
        """The names of the plots."""
        return list(self._plots)

    @property
    def names(self) -> set[str]:
        """The names that people and animals may have, without the invented ones."""
        return {*self._words["girl_name"], *self._words["boy_name"]}

    @property
    def creatures(self) -> set[str]:
        """The kinds of animals."""
        return set(self._words["animal"])

    @property
    def written(self) -> list[str]:
        """The stories that were written one by one, with their slots."""
        return list(self._written)

    def stories(self, count: int, *, written: float = 0.1) -> Iterator[str]:
        """Yields ``count`` stories; ``written`` is the share of those written one by one."""
        for _ in range(count):
            if self._random.random() < written:
                yield self._new_story().tell(self._random.choice(self._written))
            else:
                yield self.story(self._random.choice(self.plots))

    def story(self, plot: str) -> str:
        """A story with this plot."""
        story = self._new_story()
        parts = []
        if self._random.random() < self._opened(story, plot):
            parts += self._beat(story, self._shared["@opening"])
            if self._random.random() < 0.45:
                parts += self._beat(story, self._shared["@trait"])
        for beat in self._plots[plot]:
            parts += self._beat(story, beat)
        return " ".join(parts)

    def _opened(self, story: Story, plot: str) -> float:
        """How often a story begins by saying who it is about."""
        about_hero = any("<hero>" in way.lower() for beat in self._plots[plot] for way in beat)
        return 0.72 if about_hero and not story.hero.narrates else 0.0

    def _new_story(self) -> Story:
        return Story(self._words, self._random)

    def _beat(self, story: Story, ways: list[str]) -> list[str]:
        optional = ways[0].startswith("?")
        if optional and self._random.random() < 0.5:
            return []
        way = self._random.choice(ways).lstrip("?")
        if way.startswith("@"):
            return self._beat(story, self._shared[way])
        return [story.tell(way)]
