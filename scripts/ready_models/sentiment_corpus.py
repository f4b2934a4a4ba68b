"""Makes the training texts of the sentiment model out of word lists and sentences of this project.

The material lies in ``sentiment/``: ``positive.txt`` and ``negative.txt`` hold words and phrases
that carry a verdict, ``neutral.txt`` what surrounds them, and ``*_sentences.txt`` whole texts
written one by one. All of it was written for Labelstream; nothing comes from another data set.

The sections of a word list, which may occur more than once: ``adjective`` and ``person_adjective``
follow "is"; ``noun``, ``tone`` are things that are a verdict; ``good_thing`` and ``bad_thing`` are
what one is glad to have or to be spared; ``act.*`` follow a subject of that group, ``experience``
follows "I"; ``clause`` stands alone; ``verb`` is what the writer feels (now/past/-ing), ``deed``
what somebody or something does (base/now/past/-ing); ``feeling`` follows "I am", ``effect`` has
the writer as its object, ``manner`` and ``adverb`` say how.

Every text is composed around a verdict of a known polarity. The rules that matter most are the
ones that stop single words from deciding: a negated word counts for the other side, "but" and its
kin appear in both classes, and punctuation, openers and neutral sentences are drawn without
looking at the label. The same seed gives the same texts.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

NEGATIVE, POSITIVE = 0, 1
MATERIAL = Path(__file__).parent / "sentiment"
# What stands between two opposed statements, and between two that agree; often ones come twice.
BUTS = (", but ", ", but ", " but ", ", yet ", ". but ", ". still, ", ". however, ", ", however ")
BUTS += ("; still ", ". nevertheless ", ", though ", ". then again, ", " - but ")
JOINTS = (". ", ". ", ". ", "! ", ", ", ", and ", " and ", "; ", " - ", "... ", "\n")

_CHOICE = re.compile(r"\{([^{}]*)\}")
_CONTRACTION = re.compile(r"n't\b")
_PLURAL = re.compile(r"(?<![suiy'])s$|^these |staff$|crew$|fries$|dumplings$|people$")


def read_sections(path: Path) -> dict[str, list[str]]:
    """Reads a word list: ``[section]`` lines, entries separated by ``;`` or a new line."""
    sections: dict[str, list[str]] = {}
    entries: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            entries = sections.setdefault(line.strip()[1:-1], [])
        elif line.strip() and not line.startswith("# "):
            # An emoticon such as ";)" starts with the separator, hence the space after it.
            entries.extend(entry.strip() for entry in line.split("; ") if entry.strip())
    return sections


def read_sentences(path: Path) -> list[str]:
    """Reads a file of whole texts, one per line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def all_choices(text: str) -> list[str]:
    """Spells out every reading of the choices ``{a|b}`` in ``text``."""
    match = _CHOICE.search(text)
    if not match:
        return [text]
    head, tail = text[: match.start()], text[match.end() :]
    return [r for option in match.group(1).split("|") for r in all_choices(head + option + tail)]


@dataclass(frozen=True)
class Example:
    """One training text with its label."""

    text: str
    label: int


class SentimentCorpus:
    """An endless source of labelled texts."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._verdicts = {
            POSITIVE: read_sections(MATERIAL / "positive.txt"),
            NEGATIVE: read_sections(MATERIAL / "negative.txt"),
        }
        self._neutral = read_sections(MATERIAL / "neutral.txt")
        self._sentences = {
            POSITIVE: read_sentences(MATERIAL / "positive_sentences.txt"),
            NEGATIVE: read_sentences(MATERIAL / "negative_sentences.txt"),
        }
        self._attributive = {
            label: [word for word in sections["adjective"] if " " not in word]
            for label, sections in self._verdicts.items()
        }
        self._act_groups = [s[4:] for s in self._verdicts[POSITIVE] if s.startswith("act.")]
        self._statements: list[tuple[Callable[[int], str], int]] = [
            (self._written_sentence, 34),
            (self._act, 16),
            (self._experience, 12),
            (self._clause, 9),
            (self._adjective, 9),
            (self._attributive_phrase, 5),
            (self._noun, 4),
            (self._adverb, 3),
            (self._verb, 4),
            (self._thing, 3),
            (self._feeling, 5),
            (self._effect, 5),
            (self._superlative, 4),
            (self._deed, 9),
            (self._tone, 5),
            (self._manner, 3),
            (self._negated, 18),
            (self._same_side, 6),
        ]
        self._statement_makers = [maker for maker, _ in self._statements]
        self._statement_weights = [weight for _, weight in self._statements]

    def examples(self, count: int, *, bare: bool = False) -> Iterator[Example]:
        """Yields ``count`` texts, the two labels in turn; ``bare`` ones are single statements."""
        for index in range(count):
            label = index % 2
            yield Example(self._bare(label) if bare else self._text(label), label)

    def material(self) -> Iterator[Example]:
        """Yields every phrase and sentence of the material once, without any composition."""
        for label in (NEGATIVE, POSITIVE):
            for section, entries in self._verdicts[label].items():
                if section in ("good_thing", "bad_thing"):
                    continue  # "no problems", "full of problems": they say nothing by themselves
                for entry in entries:
                    for form in entry.split("/") if section in ("verb", "deed") else [entry]:
                        yield from (Example(text, label) for text in all_choices(form))
            for sentence in self._sentences[label]:
                yield from (Example(text, label) for text in all_choices(sentence))

    # -- picking ---------------------------------------------------------------------------------

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _pick(self, entries: list[str] | tuple[str, ...]) -> str:
        """Draws an entry and settles its choices, the innermost first."""
        text = self._random.choice(entries)
        while "{" in text:
            text = _CHOICE.sub(lambda m: self._random.choice(m.group(1).split("|")), text)
        return text

    def _verdict(self, label: int, section: str) -> str:
        return self._pick(self._verdicts[label][section])

    def _any(self, section: str) -> str:
        return self._pick(self._neutral[section])

    def _subject(self) -> str:
        """Something that an opinion can be about: a thing, a place, an aspect, sometimes "it"."""
        draw = self._random.random()
        if draw < 0.2:
            return self._random.choice(("it", "this", "that", "it all", "everything"))
        if draw < 0.4:
            return self._any("aspect")
        if draw < 0.55:
            return self._any("subject.life")
        group = self._random.choice([g for g in self._act_groups if g != "person"])
        return self._any(f"subject.{group}")

    def _be(self, subject: str) -> str:
        if _PLURAL.search(subject):
            return self._random.choice(("are", "were", "were", "seem", "look", "have been"))
        return self._random.choice(
            ("is", "is", "is", "was", "was", "was", "seems", "looks", "felt", "has been")
        )

    def _degree(self) -> str:
        return self._any("intensifier") + " " if self._chance(0.4) else ""

    def _article(self, words: str) -> str:
        return f"an {words}" if words[0] in "aeiou" else f"a {words}"

    def _context(self) -> str:
        """A sentence without a verdict, of everyday words that belong to neither side."""
        if self._chance(0.35):
            return self._any("context")
        nouns = [self._any("everyday.noun") for _ in range(3)]
        act = f"{self._any('everyday.who')} {self._any('everyday.act')}"
        return self._random.choice(
            (
                act,
                f"{act} {self._any('everyday.when')}",
                f"{act} {self._any('everyday.when')}",
                f"{act} and {self._any('everyday.act')}",
                f"{self._any('everyday.when')} {act}",
                f"it is about {self._article(nouns[0])} and {self._article(nouns[1])}",
                f"there is {self._article(nouns[0])} next to the {nouns[1]}",
                f"we talked about the {nouns[0]}, the {nouns[1]} and the {nouns[2]}",
                f"the {nouns[0]} is by the {nouns[1]}",
                f"my {nouns[0]} and my {nouns[1]}",
                f"{nouns[0]}, {nouns[1]} and {nouns[2]}",
                f"about the {nouns[0]} in the {nouns[1]}",
            )
        )

    # -- statements of one polarity --------------------------------------------------------------

    def _statement(self, label: int) -> str:
        makers = self._random.choices(self._statement_makers, self._statement_weights)
        return makers[0](label)

    def _short_statement(self, label: int) -> str:
        """A statement that can follow a comma; whole written texts are too long for that."""
        makers = self._random.choices(self._statement_makers[1:], self._statement_weights[1:])
        return makers[0](label)

    def _written_sentence(self, label: int) -> str:
        return self._pick(self._sentences[label])

    def _act(self, label: int) -> str:
        group = self._random.choice(self._act_groups)
        # People do most of what is worth telling, and there are most words for it.
        if self._chance(0.2):
            group = "person"
        subject = self._any(f"subject.{group}")
        draw = self._random.random()
        if draw < 0.12:
            subject = {"person": self._random.choice(("he", "she", "they"))}.get(group, "it")
        elif draw < 0.2:
            subject = "which" if group != "person" else "who"
        return f"{subject} {self._verdict(label, 'act.' + group)}"

    def _experience(self, label: int) -> str:
        phrase = self._verdict(label, "experience")
        draw = self._random.random()
        if draw < 0.1:
            return phrase
        if draw < 0.75:
            return f"I {phrase}"
        phrase = re.sub(r"^am ", "are ", re.sub(r"^was ", "were ", phrase))
        subject = self._random.choice(
            ("we", "we", "we all", "we both", "they", "my kids", "my parents", "you", "most of us")
        )
        return f"{subject} {phrase}"

    def _clause(self, label: int) -> str:
        return self._verdict(label, "clause")

    def _adjective(self, label: int) -> str:
        if self._chance(0.3):
            subject, section = self._any("subject.person"), "person_adjective"
        else:
            subject, section = self._subject(), "adjective"
        adjective = self._degree() + self._verdict(label, section)
        if self._chance(0.25):
            joint = self._random.choice((" and ", ", ", " and "))
            adjective += joint + self._degree() + self._verdict(label, section)
        draw = self._random.random()
        if draw < 0.12:
            return adjective
        if draw < 0.2:
            return f"{subject}: {adjective}"
        if draw < 0.27:
            thing = subject.removeprefix("the ").removeprefix("this ").removeprefix("my ")
            return f"{adjective} {thing}"
        if draw < 0.34:
            return f"{subject} turned out to be {adjective}"
        return f"{subject} {self._be(subject)} {adjective}"

    def _attributive_phrase(self, label: int) -> str:
        adjective, second, third = (self._pick(self._attributive[label]) for _ in range(3))
        noun = self._any("noun")
        both = f"{adjective} {noun}"
        return self._random.choice(
            (
                f"what {self._article(both)}",
                f"what {self._article(both)}",
                self._article(both),
                both,
                f"{both}, {second} {self._any('noun')}",
                f"such {self._article(both)}",
                f"one of the most {adjective} {noun}s I have ever seen",
                f"the most {adjective} {noun} this year",
                f"this is {self._article(both)}",
                f"it was {self._article(both)}",
                f"how {adjective}",
                f"{adjective}, {second}",
                f"{adjective}, {second} and {third}",
                f"{self._article(adjective)} and {second} {noun}",
                f"we had {self._article(both)}",
                f"they have {self._article(both)}",
            )
        )

    def _noun(self, label: int) -> str:
        noun = self._verdict(label, "noun")
        draw = self._random.random()
        if draw < 0.2:
            return f"what {noun}"
        if draw < 0.35:
            return noun
        subject = self._subject()
        return f"{subject} {self._be(subject)} {self._degree() if draw < 0.5 else ''}{noun}"

    def _adverb(self, label: int) -> str:
        subject = self._subject()
        adverb, participle = self._verdict(label, "adverb"), self._any("participle")
        if " " not in adverb and self._chance(0.6):
            if self._chance(0.3):
                return f"{adverb} {participle}"
            return f"{subject} {self._be(subject)} {adverb} {participle}"
        return f"{subject} {self._be(subject)} {participle} {adverb}"

    def _verb_form(self, label: int, form: int) -> str:
        return self._verdict(label, "verb").split("/")[form]

    def _verb(self, label: int) -> str:
        thing = self._any("object")
        degree = self._random.choice(("", "", "really ", "absolutely ", "simply ", "just "))
        who = self._random.choice(("I", "I", "I", "we", "you will", "my wife and I", "we all"))
        now, past = self._verb_form(label, 0), self._verb_form(label, 1)
        return self._random.choice(
            (
                f"{who} {degree}{now} {thing}",
                f"{who} {degree}{past} {thing}".replace("will ", ""),
                f"{degree}{past} {thing}",
                f"everyone {past} {thing}",
                f"I am {self._verb_form(label, 2)} {thing}",
                f"I {now} how {self._pick(self._attributive[label])} {thing} is",
            )
        )

    def _things(self, label: int) -> str:
        return self._verdict(label, "good_thing" if label == POSITIVE else "bad_thing")

    def _thing(self, label: int) -> str:
        thing, subject = self._things(label), self._subject()
        verb = self._random.choice(("is full of", "has so much", "offers", "comes with", "means"))
        return self._random.choice(
            (
                f"{subject} {verb} {thing}",
                f"so much {thing}",
                f"full of {thing} and {self._things(label)}",
                f"lots of {thing}",
                f"nothing but {thing}",
                f"{thing} everywhere",
                f"there was {thing} and {self._things(label)}",
            )
        )

    def _feeling(self, label: int) -> str:
        feeling = self._degree() + self._verdict(label, "feeling")
        return self._random.choice(
            (
                f"I am {feeling}",
                f"I'm {feeling}",
                f"I feel {feeling}",
                f"we were {feeling}",
                f"I was {feeling}",
                f"{self._subject()} left me {feeling}",
                f"{self._subject()} made us feel {feeling}",
                f"{self._any('everyday.who')} went home {feeling}",
                f"{self._any('everyday.who')} looked {feeling}",
                f"{self._subject()} makes me {feeling}",
                feeling,
            )
        )

    def _effect(self, label: int) -> str:
        whom = self._random.choice(("me", "me", "us", "everyone", "my kids", "the whole audience"))
        subject = self._subject() if self._chance(0.7) else self._any("subject.person")
        itself = " itself" if self._chance(0.08) else ""
        return f"{subject}{itself} {self._verdict(label, 'effect')} {whom}"

    def _deed(self, label: int) -> str:
        """A verb that tells by itself, or the denial of one of the other side."""
        who = self._subject() if self._chance(0.6) else self._any("subject.person")
        whom = self._random.choice(
            ("", "", "me", "us", "it", "everyone", f"my {self._any('everyday.noun')}")
        )
        when = self._random.choice(("", "", "", "again", "once more", "every time", "all the time"))
        if self._chance(0.55):
            _, now, past, doing = self._verdict(label, "deed").split("/")
            told = self._random.choice(
                (
                    f"{who} {now} {whom} {when}",
                    f"{who} {past} {whom} {when}",
                    f"{who} {past} {whom} {when}",
                    f"{who} {past} {whom} and {self._verdict(label, 'deed').split('/')[2]} {whom}",
                    f"{who} keeps {doing} {whom}",
                    f"{who} is always {doing} {whom}",
                    f"{who} just {past} {whom}",
                    f"{who} has {past} {whom} {when}",
                    f"{past} {whom} {when}",
                )
            )
        else:
            do, _, past, doing = self._verdict(1 - label, "deed").split("/")
            told = self._random.choice(
                (
                    f"{who} never {past} {whom}",
                    f"{who} has never {past} {whom}",
                    f"{who} doesn't {do} {whom}",
                    f"{who} does not {do} {whom}",
                    f"{who} didn't {do} {whom} {when}",
                    f"{who} won't {do} {whom}",
                    f"{who} no longer {past} {whom}",
                    f"without {doing} {whom}",
                    f"{who} stopped {doing} {whom}",
                    f"{self._any('noun')} that doesn't {do} {whom}",
                    f"{who} hasn't {past} {whom} once",
                    f"nobody {past} {whom}",
                    f"nothing {past}",
                )
            )
        return " ".join(told.split())

    def _tone(self, label: int) -> str:
        """A noun with a mood of its own."""
        tone, second = self._verdict(label, "tone"), self._verdict(label, "tone")
        subject = self._subject()
        whose = self._any("subject.person")
        return self._random.choice(
            (
                f"{subject} is pure {tone}",
                f"{subject} brought us {tone}",
                f"{subject} brings {tone} and {second}",
                f"{self._any('everyday.noun')}s of {tone}",
                f"it is all {tone} and {second}",
                f"{tone}, {second}",
                f"what {self._article(tone)}",
                f"this {tone}",
                f"thanks to {whose} there was {tone}",
                f"a {self._any('noun')} full of {tone}",
                f"a {self._any('everyday.noun')} of {tone} in every {self._any('everyday.noun')}",
                f"{subject} ended in {tone}",
                f"there was {tone} in the {self._any('everyday.noun')}",
                f"{whose} gave us {tone}",
                f"it meant {tone}",
            )
        )

    def _manner(self, label: int) -> str:
        manner = self._verdict(label, "manner")
        return self._random.choice(
            (
                f"we were treated {manner}",
                f"I was served {manner}",
                f"I've never been treated so {manner}",
                f"they {self._random.choice(('answered', 'greeted', 'treated'))} us {manner}",
                f"{self._any('subject.person')} spoke to us {manner}",
                f"{self._any('subject.person')} handled it {manner}",
                f"{self._any('subject.person')} treated me {manner}",
                f"{self._any('subject.person')} answered {manner}",
            )
        )

    def _superlative(self, label: int) -> str:
        best = f"{self._verdict(label, 'superlative')} {self._any('noun')}"
        scope = self._random.choice(
            ("ever", "in town", "so far", "of the year", "we've ever had", "I have ever seen")
            + ("by far", "in years", "of them all", "of my life", "around", "I know", "here")
        )
        lead = self._random.choice(
            ("the ", "the ", "", "this is the ", "it was the ", "simply the ")
        )
        return f"{lead}{best} {scope}"

    def _negated(self, label: int) -> str:
        """Says ``label`` with the words of the other side: "not bad", "lacks charm"."""
        other = 1 - label
        person = self._chance(0.25)
        subject = self._any("subject.person") if person else self._subject()
        word = self._verdict(other, "person_adjective" if person else "adjective")
        plain = self._pick(self._attributive[other])
        noun, thing, thing2 = self._any("noun"), self._things(other), self._things(other)
        verb, thing_seen = self._verb_form(other, 0), self._any("object")
        isnt = self._random.choice(("isn't", "is not", "wasn't", "was not", "is never", "aren't"))
        shared = [
            f"not {word}",
            f"not {word} at all",
            f"not {self._degree()}{word}",
            f"{subject} {isnt} {word}",
            f"{subject} {isnt} {self._degree()}{word}",
            f"{subject} {isnt} {word} at all",
            f"{subject} {isnt} {self._article(f'{plain} {noun}')}",
            f"not {self._article(f'{plain} {noun}')}",
            f"{subject} {self._be(subject)} far from {word}",
            f"{subject} {self._be(subject)} anything but {word}",
            f"{subject} {self._be(subject)} hardly {word}",
            f"I wouldn't call it {word}",
            f"nothing {plain} about it",
            f"there is nothing {plain} about {thing_seen}",
            f"no {thing}",
            f"no {thing}, no {thing2}",
            f"no {thing} and no {thing2}",
            f"without any {thing}",
            f"{subject} {self._be(subject)} {self._any('participle')} without {thing}",
            f"zero {thing}",
            f"not a bit of {thing}",
            f"there was no {thing}",
            f"I had no {thing}",
            f"never any {thing}",
            f"I don't {verb} {thing_seen}",
            f"I didn't {verb} it",
            f"it is not {self._verdict(other, 'noun')}",
            f"{subject} is no longer {word}",
            f"I am not {self._verdict(other, 'feeling')}",
            f"{subject} {self._random.choice(('never', 'did not', 'has not'))} "
            + f"{self._verdict(other, 'effect')} me",
            f"neither {plain} nor {self._pick(self._attributive[other])}",
            f"{subject} {self._be(subject)} less {plain} than I "
            + self._random.choice(("thought", "expected", "remembered")),
        ]
        if label == POSITIVE:
            shared += [
                f"{subject} {self._be(subject)} not as {plain} as I feared",
                f"{subject} {self._be(subject)} never {word}",
                f"I was worried it would be {word}, and it wasn't",
                f"never had any {thing}",
                f"they got rid of the {thing}",
                f"no more {thing}",
                f"{subject} {isnt} {plain} or {self._pick(self._attributive[other])}",
                f"I can't say anything {plain} about {thing_seen}",
                f"free of {thing}",
            ]
        else:
            shared += [
                f"{subject} {self._be(subject)} not as {plain} as "
                + self._random.choice(("advertised", "I hoped", "the first one", "it used to be")),
                f"{subject} could be more {plain}",
                f"{subject} should be {word}",
                f"{subject} was supposed to be {word}",
                f"{subject} used to be {word}",
                f"I expected {subject} to be {word}",
                f"I wish {subject} was more {plain}",
                f"it would be {word} if it worked",
                f"it would have been {word} without the {self._things(label)}",
                f"they call this {word}?",
                f"{plain}? not really",
                f"what is {plain} about {thing_seen}?",
                f"{subject} lacks {thing}",
                f"{subject} has no {thing} and no {thing2}",
                f"not enough {thing}",
                f"I can't {verb} {thing_seen}",
                f"I couldn't {verb} {thing_seen}",
                f"I cannot {verb} this",
                f"{subject} promised {thing}, and delivered none",
                f"where is the {thing}?",
            ]
        return self._random.choice(shared)

    def _same_side(self, label: int) -> str:
        """Negations that change nothing: "I've never seen such a …", "couldn't be more …"."""
        plain, other_plain = (self._pick(self._attributive[label]) for _ in range(2))
        noun, subject = self._any("noun"), self._subject()
        person = self._verdict(label, "person_adjective")
        return self._random.choice(
            (
                f"I have never seen such {self._article(f'{plain} {noun}')}",
                f"never have I had such {self._article(f'{plain} {noun}')}",
                f"I've never met anyone so {person}",
                f"{subject} couldn't be more {plain}",
                f"{subject} {self._be(subject)} not only {plain} but also {other_plain}",
                f"not only {plain} but {other_plain}",
                f"it's not just {plain}, it's {other_plain}",
                f"I can't believe how {plain} {subject} is",
                f"I don't know anything more {plain}",
                f"nothing is more {plain} than {self._any('object')}",
                f"no {noun} has ever been so {plain}",
                f"I didn't know {self._article(noun)} could be so {plain}",
                f"you won't find {self._article(f'more {plain} {noun}')}",
                f"why is {subject} so {plain}?",
                f"how can {subject} be so {plain}?",
                f"it could not have been more {plain}",
                f"never a more {plain} {noun}",
                f"not gonna lie, it's {plain}",
                f"no doubt about it, {subject} is {plain}",
                f"{plain} isn't a strong enough word",
            )
        )

    # -- composition -----------------------------------------------------------------------------

    def _contrast(self, label: int) -> str:
        """Two opposed statements; the label is that of the one that the writer comes down on."""
        weaker, winner = self._short_statement(1 - label), self._short_statement(label)
        subject = self._subject()
        before = self._pick(self._attributive[1 - label])
        after = self._pick(self._attributive[label])
        but = self._random.choice(BUTS)
        be = self._be(subject)
        aspect, aspect2 = self._any("aspect"), self._any("aspect")
        although = self._random.choice(("although", "even though", "though", "while"))
        thing = self._things(1 - label)
        noun = self._any("noun")
        expected, found = self._article(f"{before} {noun}"), self._article(f"{after} {noun}")
        return self._random.choice(
            (
                f"{weaker}{but}{winner}",
                f"{weaker}{but}{winner}",
                f"{weaker}{but}{winner}",
                f"{before}{but}{after}",
                f"{before}{but}{winner}",
                f"{aspect} {be} {before}{but}{aspect2} {be} {after}",
                f"{aspect} {be} {before}{but}{winner}",
                f"{before} {noun}{but}{after} {self._any('noun')}",
                f"{before} {noun}, {after} {self._any('noun')}, {winner}",
                f"{although} {weaker}, {winner}",
                f"{although} {aspect} was {before}, {winner}",
                f"{winner}, {although} {aspect} was {before}",
                f"despite the {thing}, {winner}",
                f"{winner} despite the {thing}",
                f"{winner} in spite of the {before} {noun}",
                f"despite the {before} {noun}, {winner}",
                f"a bit {before}{but}{winner}",
                f"it may be {before}{but}{winner}",
                f"sure, {aspect} is {before}{but}{winner}",
                f"yes, {weaker}{but}{winner}",
                f"I expected it to be {before}{but}{winner}",
                f"I expected {expected} and got {found}",
                f"I thought it would be {before}{but}it was {after}",
                f"everyone told me it was {before}{but}{winner}",
                f"{subject} used to be {before}, now it's {after}",
                f"it was {before} at first{but}{winner}",
                f"the old one was {before}, this one is {after}",
                f"unlike the last one, which was {before}, {winner}",
                f"after {self._article(f'{before} start')}, {winner}",
                f"{before} day{but}{winner}",
                f"{self._context()}{but}{winner}",
                f"{self._context()}{but}{winner}",
                f"I {self._verb_form(1 - label, 0)} most {noun}s{but}{winner}",
            )
        )

    def _bare(self, label: int) -> str:
        """A statement with nothing around it: where negation and contrast are easiest to learn."""
        draw = self._random.random()
        if draw < 0.3:
            return self._negated(label)
        return self._contrast(label) if draw < 0.42 else self._statement(label)

    def _text(self, label: int) -> str:
        """A whole text: one to three statements, what surrounds them, and the noise of typing."""
        draw = self._random.random()
        if draw < 0.2:
            parts = [self._contrast(label)]
        elif draw < 0.62:
            parts = [self._statement(label)]
        elif draw < 0.88:
            parts = [self._statement(label), self._statement(label)]
        else:
            parts = [self._short_statement(label) for _ in range(3)]
        if self._chance(0.28):
            parts.insert(0, self._context())
        if self._chance(0.16):
            parts.append(self._context())
        if self._chance(0.14):
            link = self._random.choice((" when ", " while ", " after ", " as ", " and ", ", "))
            parts[-1] = f"{parts[-1].rstrip('.!?')}{link}{self._context()}"
        if self._chance(0.16):
            opener = self._any("opener")
            parts[0] = f"{opener} {parts[0]}" if self._chance(0.6) else f"{opener}, {parts[0]}"
        if self._chance(0.05):
            parts.insert(0, self._verdict(label, "interjection"))
        elif self._chance(0.05):
            parts[0] = f"{self._verdict(label, 'verdict_opener')} {parts[0]}"
        if self._chance(0.1):
            parts[-1] = f"{parts[-1].rstrip('.!?')} {self._any('tail')}"
        return self._typed(self._emoji(self._joined(parts), label))

    def _joined(self, parts: list[str]) -> str:
        text = ""
        for index, part in enumerate(parts):
            if index:
                joint = self._random.choice(JOINTS)
                # A part that ends a sentence by itself only needs a space.
                text += " " if text[-1] in ".!?" else joint
            text += part
        if text[-1] not in ".!?:" or self._chance(0.15):
            text = text.rstrip(".") + self._random.choice(
                (".", ".", ".", ".", "", "", "!", "!", "!!", "...", "!!!", "?!")
            )
        return text

    def _emoji(self, text: str, label: int) -> str:
        draw = self._random.random()
        if draw > 0.16:
            return text
        emoji = self._verdict(label, "emoji") if draw < 0.13 else self._any("emoji")
        if self._chance(0.25):
            emoji *= self._random.randint(2, 3)
        elif self._chance(0.15):
            emoji = f"{emoji} {self._verdict(label, 'emoji')}"
        if self._chance(0.1):
            return f"{emoji} {text}"
        # People put emoji in place of the full stop, with or without a space.
        text = text.rstrip(".") if self._chance(0.5) else text
        return f"{text} {emoji}" if self._chance(0.8) else f"{text}{emoji}"

    def _typed(self, text: str) -> str:
        """The way people type: contractions in all their forms, and the odd slip."""
        if self._chance(0.12):
            text = text.replace("can't", "cannot").replace("won't", "will not")
            text = _CONTRACTION.sub(" not", text)
        elif self._chance(0.12):
            text = text.replace("'", "")
        elif self._chance(0.08):
            text = text.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")
        if self._chance(0.03):
            text = re.sub(r"\bso\b", "s" + "o" * self._random.randint(2, 6), text)
        if self._chance(0.04):
            text = text.replace(" you ", " u ").replace(" are ", " r ").replace(" and ", " & ")
        if self._chance(0.12):
            text = self._slip(text)
        return text

    def _slip(self, text: str) -> str:
        """Drops, doubles or swaps a letter inside one of the longer words."""
        words = text.split(" ")
        candidates = [i for i, word in enumerate(words) if len(word) > 4 and word.isalpha()]
        if not candidates:
            return text
        index = self._random.choice(candidates)
        word, at = words[index], self._random.randrange(1, len(words[index]) - 1)
        words[index] = self._random.choice(
            (
                word[:at] + word[at + 1 :],
                word[:at] + word[at] + word[at:],
                word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            )
        )
        return " ".join(words)
