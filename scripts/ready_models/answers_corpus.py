"""Makes the training pairs of the answers model out of facts, verbs and words of this project.

The material lies in ``answers/``: ``frames.txt`` holds kinds of facts with the statements and the
questions that go with them, ``verbs.txt`` what people do, ``words.txt`` the values that fill both.
All of it was written for Labelstream; nothing comes from another data set.

A context is one to five facts. Names and values are drawn anew each time, many names are made up
of syllables, and most contexts hold several facts of one kind or about one person: an answer
cannot be known, only found by comparing the question with the context. A question is only taken
if what it mentions tells its fact from the others. The same seed gives the same pairs.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sentiment_corpus import read_sentences

MATERIAL = Path(__file__).parent / "answers"
SHE, HE = ("she", "her"), ("he", "his")

_INNERMOST = re.compile(r"\{([^{}\[\]]*)\}|\[([^{}\[\]]*)\]")
_SLOT = re.compile(r"<((?:\w:)?(\w+))>")
# What an answer leaves out: "in the drawer" is in the drawer, but "under the bed" is under it.
_LIGHT_PREPOSITIONS = ("in", "on", "at")
_WHEN = ("on <day>", "in <month>", "in <year>", "at <clock>", "on <date>", "<relative_time>")
_WHEN_QUESTIONS = {
    "day": ("on which day", "what day", "on what day"),
    "month": ("in which month", "in what month"),
    "year": ("in which year", "in what year", "what year"),
    "clock": ("at what time", "what time"),
    "date": ("on what date", "on which day"),
}
_SAME_FRAME, _SAME_PERSON, _MIXED = range(3)


@dataclass(frozen=True)
class Pair:
    """A question about a context, and where in it the answer and its fact lie (in characters)."""

    question: str
    context: str
    start: int
    end: int
    fact_start: int
    fact_end: int

    @property
    def answer(self) -> str:
        """The words of the answer."""
        return self.context[self.start : self.end]


@dataclass(frozen=True)
class Frame:
    """A kind of fact: ``questions`` are (slots of the answer, template)."""

    name: str
    statements: list[str]
    questions: list[tuple[str, str]]


@dataclass(frozen=True)
class Value:
    """What fills a slot; the context says the first of its ``forms``."""

    forms: tuple[str, ...]
    pronouns: tuple[str, str] = ("it", "its")
    # What stands before it in the context and is no part of an answer: "my sister " Anna.
    lead: str = ""


@dataclass
class Fact:
    """A frame with its values: the statement, and where each slot lies in it."""

    frame: Frame
    values: dict[str, Value]
    text: str = ""
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    linked: dict[int, int] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()

    def drop(self, length: int) -> None:
        """Drops so many characters at the beginning of the statement."""
        self.text = self.text[length:]
        self.spans = {key: (a - length, b - length) for key, (a, b) in self.spans.items()}


def _lines(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.strip()


def read_words(path: Path) -> dict[str, list[tuple[str, ...]]]:
    """Reads ``[section]`` lines and entries parted by ``;``; ``=`` parts the forms of an entry."""
    sections: dict[str, list[tuple[str, ...]]] = {}
    for line in _lines(path):
        if line.startswith("["):
            entries = sections.setdefault(line[1:-1], [])
        else:
            parts = [entry.strip() for entry in line.split(";")]
            entries.extend(tuple(entry.split("=")) for entry in parts if entry)
    return sections


def read_frames(path: Path) -> list[Frame]:
    """Reads frames: statements, and questions after the line that names the slots they ask for."""
    frames: list[Frame] = []
    asked = ""
    for line in _lines(path):
        if re.fullmatch(r"\[\w+\]", line):
            frames.append(Frame(line[1:-1], [], []))
            asked = ""
        elif line.startswith("?"):
            asked = line[1:].strip()
        elif asked:
            frames[-1].questions.append((asked, line))
        else:
            frames[-1].statements.append(line)
    return frames


@dataclass(frozen=True)
class Verb:
    """The ways to say what is done, as (base, past, participle), and what may go with it."""

    forms: list[tuple[str, str, str]]
    objects: list[str]
    adjuncts: str


def _regular_past(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ied"
    # "stop" doubles its last letter; of the longer verbs here none does.
    if re.fullmatch(r"[^aeiou]*[aeiou][bdgmnpt]", verb):
        return verb + verb[-1] + "ed"
    return verb + "ed"


def read_verbs(path: Path) -> list[Verb]:
    """Reads ``forms | objects | adjuncts`` lines; the file explains the letters."""
    verbs = []
    for line in _lines(path):
        forms, objects, adjuncts = (part.strip() for part in line.split("|"))
        conjugated = []
        for form in forms.split(" = "):
            parts = form.split("/")
            if len(parts) == 1:
                head, _, rest = form.partition(" ")
                parts += [f"{_regular_past(head)} {rest}".strip()] * 2
            conjugated.append(tuple(parts))
        names = [name.strip() for name in objects.split(";")]
        verbs.append(Verb(conjugated, names, adjuncts.replace(" ", "")))
    return verbs


def _third_person(verb: str) -> str:
    head, space, rest = verb.partition(" ")
    if re.search(r"[^aeiou]y$", head):
        head = head[:-1] + "ies"
    elif head == "have":
        head = "has"
    else:
        head += "es" if re.search(r"(s|sh|ch|x|o)$", head) else "s"
    return head + space + rest


def _plural_of(noun: str) -> str:
    irregular = {"mouse": "mice", "wolf": "wolves", "goldfish": "goldfish", "deer": "deer"}
    irregular |= {"sheep": "sheep", "fox": "foxes", "canary": "canaries", "puppy": "puppies"}
    return irregular.get(noun) or (noun[:-1] + "ies" if noun.endswith("ny") else noun + "s")


class AnswersCorpus:
    """An endless source of questions with their contexts and answers."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._words = read_words(MATERIAL / "words.txt")
        self._frames = read_frames(MATERIAL / "frames.txt")
        self._verbs = read_verbs(MATERIAL / "verbs.txt")
        # Sentences that tell nothing that is asked for, from the other ready model.
        self._asides = [
            sentence if sentence[-1] in ".!?" else sentence + "."
            for name in ("positive_sentences.txt", "negative_sentences.txt")
            for sentence in read_sentences(MATERIAL.parent / "sentiment" / name)
            if not re.search(r"[\[\]<>]", sentence)
        ]
        # Four syllables in sixteen are open ones.
        self._codas = [""] * 4 + [forms[0] for forms in self._words["coda"]]
        self._numbers = [forms[0] for forms in self._words["number"]]
        self._common = {forms[0] for forms in self._words["too_common_to_tell_values_apart"]}
        self._used: set[str] = set()

    def pairs(self, count: int, *, longest: int = 5) -> Iterator[Pair]:
        """Yields ``count`` pairs whose contexts hold up to ``longest`` facts."""
        made = 0
        while made < count:
            for pair in self._context(longest):
                yield pair
                made += 1
                if made == count:
                    return

    # -- values ----------------------------------------------------------------------------------

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _made_up(self, syllables: int = 0) -> str:
        parts = []
        for _ in range(syllables or self._random.choice((2, 2, 3))):
            onset, vowel = self._word("onset"), self._word("vowel")
            parts.append(onset + vowel + self._random.choice(self._codas))
        return "".join(parts).capitalize()

    def _word(self, section: str) -> str:
        return self._random.choice(self._words[section])[0]

    def _person(self) -> Value:
        she = self._chance(0.5)
        pronouns = SHE if she else HE
        draw = self._random.random()
        if draw < 0.1:
            return Value(self._random.choice(self._words["role_person"]), pronouns)
        first = self._word("she" if she else "he") if self._chance(0.7) else self._made_up(2)
        last = self._word("surname") if self._chance(0.55) else self._made_up()
        if draw < 0.18:
            title = self._random.choice(("Dr.", "Mr.", "Professor", "Mrs." if she else "Mr."))
            return Value((f"{title} {last}", last, f"{title} {last}"), pronouns)
        if draw < 0.22:
            second = self._word("he" if she else "she")
            return Value((f"{first} and {second}",), ("they", "their"))
        if draw < 0.3:
            who = self._random.choice(("my", "my", "his", "her", "our", "the", "the"))
            noun = self._word("job" if who == "the" else "relative")
            return Value((first,), pronouns, f"{who} {noun} ")
        if draw < 0.58:
            return Value((first,), pronouns)
        if draw < 0.62:
            first = f"{first} {self._random.choice('ABCDEFGHJKLMNPRSTVW')}."
        full = f"{first} {last}"
        return Value((full, full, full, first, last), pronouns)

    def _organisation(self) -> str:
        base = self._random.choice(
            (
                self._made_up(),
                self._made_up(),
                self._word("surname"),
                self._word("city"),
                self._word("title_word"),
                f"{self._word('title_word')} {self._word('title_word')}",
            )
        )
        if self._chance(0.25):
            return self._made_up()
        kind = "company_tail" if self._chance(0.55) else "organisation_tail"
        return f"{base} {self._word(kind)}"

    def _number(self, low: int = 2, high: int = 99) -> str:
        if low == 2 and self._chance(0.45):
            return self._random.choice(self._numbers)
        number = self._random.randint(low, self._random.choice((12, high, high)))
        return str(number)

    def _amount(self) -> str:
        draw = self._random.random()
        if draw < 0.3:
            return str(self._random.randint(2, 99))
        if draw < 0.5:
            return f"{self._random.randint(1, 99)}.{self._random.randint(1, 99)}"
        if draw < 0.7:
            return str(self._random.randint(1, 40) * 50)
        if draw < 0.85:
            return self._big_number()
        return self._number()

    def _big_number(self) -> str:
        draw = self._random.random()
        if draw < 0.4:
            return f"{self._random.randint(1, 999)},{self._random.randint(0, 9)}00"
        if draw < 0.6:
            return f"{self._random.randint(2, 90)} {self._random.choice(('million', 'thousand'))}"
        if draw < 0.7:
            return f"{self._random.randint(1, 9)}.{self._random.randint(1, 9)} million"
        return str(self._random.randint(10, 400) * self._random.choice((5, 10)))

    def _money(self) -> str:
        amount = self._amount()
        if self._chance(0.35) and amount[0].isdigit():
            return self._random.choice("$€£$") + amount
        return f"{amount} {self._word('currency')}"

    def _clock(self) -> str:
        hour, minute = self._random.randint(1, 12), self._random.choice((15, 30, 45, 5, 10, 20))
        word = self._random.choice(self._numbers[:11])
        return self._random.choice(
            (
                f"{hour} {self._random.choice(('am', 'pm', 'a.m.', 'p.m.'))}",
                f"{hour}:{minute:02} {self._random.choice(('am', 'pm', 'a.m.', 'p.m.'))}",
                f"{self._random.randint(6, 23)}:{minute:02}",
                f"{hour} o'clock",
                f"{word} o'clock",
                f"half past {word}",
                f"a quarter {self._random.choice(('past', 'to'))} {word}",
                word,
                self._random.choice(("noon", "midnight", f"{word} in the morning", "dawn")),
                f"{hour}",
            )
        )

    def _year(self) -> str:
        return str(self._random.randint(*self._random.choice(((1950, 2026), (1400, 2030)))))

    def _date(self) -> str:
        months = [entry[0] for entry in self._words["month"][:12]]
        month, day = self._random.choice(months), self._random.randint(1, 30)
        return self._random.choice(
            (
                f"{day} {month}",
                f"{month} {day}",
                f"{day} {month} {self._year()}",
                f"{month} {day}, {self._year()}",
                f"{month} {day}th",
                f"the {day}th of {month}",
            )
        )

    def _thing(self) -> Value:
        nouns = self._random.choice(self._words["object"])
        adjective = f"{self._word('adjective')} " if self._chance(0.6) else ""
        article = self._random.choice(("a", "a", "a", "the", "his", "her", "my"))
        if article == "a" and (adjective or nouns[0])[0] in "aeiou":
            article = "an"
        noun = self._random.choice(nouns)
        whole = f"{article} {adjective}{noun}"
        definite = whole if article in ("his", "her", "my") else f"the {adjective}{noun}"
        return Value((whole, definite, definite, f"the {self._random.choice(nouns)}"))

    def _attribute(self, name: str) -> str:
        if name in ("password", "nickname", "code name", "brand", "surname", "model"):
            return self._made_up()
        if name in ("price", "value", "rent", "salary"):
            return self._money()
        if name in ("owner", "author", "winner", "architect", "captain"):
            return self._person().forms[0]
        if name in ("length", "height", "width", "depth"):
            return f"{self._amount()} {self._word('unit_length')}"
        if name == "phone number":
            return f"{self._random.randint(10, 9999)} {self._random.randint(100, 99999)}"
        return self._amount()

    def _forms(self, kind: str) -> tuple[str, ...]:
        """The forms of a new value that needs no other one."""
        pick = self._random
        if kind == "city":
            return (self._word("city") if self._chance(0.7) else self._made_up(),)
        if kind in ("org", "company", "organisation"):
            return (self._organisation(),)
        if kind == "the_org":
            return (f"the {self._made_up()} {self._word('organisation_tail')}",)
        if kind in ("made", "place"):
            return (self._made_up(),)
        if kind == "street":
            return (self._made_up() if self._chance(0.5) else self._word("surname"),)
        if kind == "title":
            words = [self._word("title_word") for _ in range(pick.choice((1, 2, 2, 3)))]
            title = pick.choice(("The ", "The ", "", "My ")) + " ".join(words)
            return (f'"{title}"' if self._chance(0.2) else title,)
        if kind in ("number", "bignumber", "money", "clock", "year", "date"):
            maker = {"bignumber": self._big_number}.get(kind) or getattr(self, f"_{kind}")
            return (maker(),)
        if kind == "age":
            return (self._number(5, 99) if self._chance(0.8) else pick.choice(self._numbers),)
        if kind in ("distance", "measure"):
            return (f"{self._amount()} {self._word('unit_length')}",)
        if kind == "weight":
            return (f"{self._amount()} {self._word('unit_weight')}",)
        if kind == "duration":
            number = self._number(2, 60)
            more = pick.choice(("", "", "", "an hour", "half an hour", "one day", "a whole year"))
            return (more or f"{number} {self._word('unit_time')}",)
        if kind == "percent":
            return (f"{pick.randint(1, 99)}{pick.choice(('%', ' percent', ' per cent'))}",)
        if kind == "score":
            return (f"{pick.randint(0, 9)}{pick.choice(('-', ':', ' to '))}{pick.randint(0, 9)}",)
        if kind == "animals":
            return (_plural_of(self._word("animal")),)
        if kind == "goals":
            return (f"{self._number(2, 9)} goals",)
        if kind == "picture_of":
            noun = self._word(pick.choice(("animal", "object")))
            return (f"{pick.choice(('a picture of', 'a portrait of', ''))} the {noun}".strip(),)
        if kind == "colour_one":
            return (self._word("colour"),)
        if kind in ("attribute_name", "kind"):
            names = {
                "attribute_name": "password;price;value;owner;author;winner;captain;length;height"
                ";width;depth;phone number;room number;size;nickname;code name;brand;surname;rent"
                ";model;speed;number;age;salary;telephone extension;temperature;target;result",
                "kind": "colour;food;animal;drink;language;hobby;city;day;month;sport;instrument"
                ";subject;book;season;country",
            }
            return (pick.choice(names[kind].split(";")),)
        return pick.choice(self._words[kind])

    def _marks(self, form: str) -> list[str]:
        """The words that tell a value from others."""
        words = re.findall(r"[\w$€£]+", form.lower())
        return [word for word in words if word not in self._common] or [form.lower()]

    def _value(self, kind: str, values: dict[str, Value]) -> Value:
        """A value that the context does not hold yet."""
        for _ in range(20):
            if kind == "person":
                value = self._person()
            elif kind == "thing":
                value = self._thing()
            elif kind == "attribute_value":
                value = Value((self._attribute(values["attribute_name"].forms[0]),))
            elif kind == "kind_value":
                name = values["kind"].forms[0]
                section = {"subject": "subject_taught", "book": "title", "season": "month"}
                value = Value(self._forms(section.get(name, name)))
            else:
                forms = list(self._forms(kind))
                self._random.shuffle(forms)
                value = Value(tuple(forms))
            words = {word for form in value.forms for word in self._marks(form)}
            words |= {value.lead} - {""}
            if not words & self._used:
                break
        self._used |= words
        return value

    # -- templates -------------------------------------------------------------------------------

    def _settle(self, template: str, linked: dict[int, int], *, new: bool) -> str | None:
        """Settles the choices; ``None`` if a linked one of a question has no counterpart."""

        def settle(match: re.Match[str]) -> str:
            if match.group(1) is not None:
                return self._random.choice(match.group(1).split("|"))
            options = match.group(2).split("|")
            if new:
                linked.setdefault(len(options), self._random.randrange(len(options)))
            return options[linked[len(options)]] if len(options) in linked else "\0"

        while _INNERMOST.search(template):
            template = _INNERMOST.sub(settle, template)
        if "\0" in template:
            return None
        return re.sub(r" +([?.,]|$)", r"\1", re.sub(r" {2,}", " ", template)).strip()

    def _state(self, fact: Fact, template: str, person: str | None) -> None:
        """Fills the statement of ``fact``; ``person`` is the pronoun of who was spoken of."""
        parts: list[str] = []
        length = at = 0
        for match in _SLOT.finditer(template):
            before = template[at : match.start()]
            key, kind = match.groups()
            if kind in ("he", "his"):
                who = fact.values.get("person")
                form = (who.pronouns if who else HE)[kind == "his"]
            else:
                if key not in fact.values:
                    fact.values[key] = self._value(kind, fact.values)
                form = fact.values[key].forms[0]
                if key == "person" and person and not length:
                    form = person if template[match.end() :][:2] != "'s" else "\1"
                elif re.search(r"(^|\s)[Aa]n? $", before):
                    before = before.rstrip("n ") + ("n " if form[0].lower() in "aeio" else " ")
            parts.append(before)
            length += len(before)
            if form == "\1":
                # "his" for "he's": the possessive takes the place of the name and of the 's.
                form, at = fact.values[key].pronouns[1], match.end() + 2
            else:
                at = match.end()
                if kind not in ("he", "his") and not (key == "person" and form == person):
                    lead = fact.values[key].lead
                    fact.spans.setdefault(key, (length + len(lead), length + len(lead) + len(form)))
                    form = lead + form
            parts.append(form)
            length += len(form)
        text = "".join(parts) + template[at:]
        fact.text = text[0].upper() + text[1:]

    def _ask(self, fact: Fact, template: str, repeated: bool) -> str | None:
        """Fills a question, or ``None`` if it says more than the fact, or not which fact."""
        settled = self._settle(template, fact.linked, new=False)
        if settled is None:
            return None
        keys = {key for key, kind in _SLOT.findall(settled) if kind not in ("he", "his")}
        if not keys <= set(fact.values) or (repeated and not keys - fact.shared):
            return None

        def mention(match: re.Match[str]) -> str:
            key, kind = match.groups()
            if kind in ("he", "his"):
                who = fact.values.get("person")
                return (who.pronouns if who else HE)[kind == "his"]
            forms = fact.values[key].forms
            form = forms[0] if self._chance(0.6) else self._random.choice(forms)
            if form.startswith(("a ", "an ")) and self._chance(0.4):
                form = "the " + form.partition(" ")[2]
            return form

        question = _SLOT.sub(mention, settled)
        question = re.sub(r"\b(the|a) (the|a|an|his|her|my) ", r"\2 ", question)
        question = re.sub(r"\b([Aa]) (?=[aeio])", r"\1n ", question)
        if self._chance(0.95):
            question = question[0].upper() + question[1:]
        return question + ("?" if self._chance(0.95) else "")

    # -- deeds -----------------------------------------------------------------------------------

    def _deed(self) -> Frame:
        """A frame about what somebody does, composed of a verb and what may go with it."""
        pick = self._random
        verb = pick.choice(self._verbs)
        forms = pick.choice(verb.forms)
        other = forms if self._chance(0.65) else pick.choice(verb.forms)
        kind = pick.choice(verb.objects)
        thing, asked, words = {
            "none": ("", "", ""),
            "counted": ("<number> <plural>", "number+plural", "what"),
            "counted_fish": ("<number> fish", "number", "how many fish"),
            "fruit_count": ("<number> <plural>", "number+plural", "what"),
            "person": ("<b:person>", "b:person", pick.choice(("who", "whom", "who"))),
            "pet": ("<pet_name>", "pet_name", "who"),
            "pet_dog": ("<his> dog", "", ""),
            "animal": ("a <animal>", "animal", "what animal"),
            "work": ("a <work>", "work", "what"),
            "work_a": ("a <adjective> <work>", "adjective+work", "what"),
        }.get(kind, (f"<{kind}>", kind, "what"))
        if kind in ("thing", "food", "drink", "season_plant") and self._chance(0.15):
            thing, asked = f"<{kind}> and <b:{kind}>", f"{kind}+b:{kind}"
        elif f"category.{kind}" in self._words and self._chance(0.4):
            words = f"{pick.choice(('what', 'which'))} {self._word(f'category.{kind}')}"

        # What is told besides: (template, slots of the answer, question words), by its letter.
        adjuncts: dict[str, tuple[str, str, str]] = {}
        letters = [c for c in verb.adjuncts if c not in "SD" or kind != "none" or c == "D"]
        number = min(len(letters), pick.choice((0, 1, 1, 2, 2, 3) if thing else (1, 1, 2, 2, 3)))
        for letter in pick.sample(letters, number):
            adjuncts[letter] = self._adjunct(letter)
        to_whom = adjuncts.pop("O", None)
        direct = to_whom is not None and bool(thing) and self._chance(0.5)
        order = sorted(adjuncts, key=lambda c: (c == "Y", pick.random()))
        tail = [adjuncts[c][0] for c in order]
        if to_whom and not direct:
            tail.insert(0, to_whom[0])
        inner = "<o:person> " if direct else ""

        tense = pick.choices(("past", "future", "present"), (8, 1, 1))[0]
        if verb.forms[0][0] in ("hate", "love", "owe", "need", "want", "speak", "live", "work"):
            tense = pick.choice(("past", "present"))
        said = {
            "past": forms[1],
            "future": pick.choice(("will ", "is going to ")) + forms[0],
            "present": _third_person(forms[0]),
        }[tense]
        passive = bool(thing) and tense == "past" and not inner and self._chance(0.2)
        statement = (
            [f"{thing} was {forms[2]}", "by <person>"]
            if passive
            else ["<person>", said, inner + thing]
        )
        if "T" in adjuncts and self._chance(0.25):
            tail.remove(adjuncts["T"][0])
            statement.insert(0, adjuncts["T"][0] + ",")
        text = " ".join(part for part in [*statement, *tail] if part) + "."

        helper = {"past": "did", "future": "will", "present": "does"}[tense]
        asked_past = {"past": other[1], "future": f"will {other[0]}"}.get(
            tense, _third_person(other[0])
        )
        done = f"{helper} <person> {other[0]}"
        # Each adjunct may be repeated in a question for something else.
        known = [adjuncts[c][0] for c in order if c != "Y"] + ([to_whom[0]] if to_whom else [])
        some = pick.choice(known) if known else ""
        hint = f"{{|{some}|}}" if some else ""
        questions = [("person", f"who {asked_past} {thing} {hint or some}")]
        if not thing:
            if some:
                questions = [("person", f"who {asked_past} {some}")] * 2
        else:
            if self._chance(0.25):
                questions.append(("person", f"by whom was {thing} {other[2]} {hint}"))
            if asked:
                questions += [(asked, f"{words} {done} {hint}")] * 3
                if not words.startswith("how"):
                    questions.append((asked, f"{words} was {other[2]} by <person> {hint}"))
            if "<number> <plural>" in thing:
                questions += [("number", f"how many <plural> {done} {hint}")] * 3
        for letter, (_, slots, ask) in {**adjuncts, **({"O": to_whom} if to_whom else {})}.items():
            rest = [adjuncts[c][0] for c in order if c not in (letter, "Y")]
            extra = f" {{|{pick.choice(rest)}|}}" if rest else ""
            end = ""
            if "~" in ask:
                ask, end = ask.split("~")
            questions += [(slots, f"{ask} {done} {thing}{extra} {end}")] * 2
            if thing and helper == "did":
                questions.append((slots, f"{ask} was {thing} {other[2]}{extra} {end}"))
        # The <his> of the dog is filled like the other pronouns.
        return Frame(f"deed {verb.forms[0][0]}", [text], questions)

    def _adjunct(self, letter: str) -> tuple[str, str, str]:
        pick = self._random
        if letter == "T":
            template = pick.choice(_WHEN)
            slot = _SLOT.search(template).group(1)
            asks = ("when",) * 3 + _WHEN_QUESTIONS.get(slot, ())
            return template, slot, pick.choice(asks)
        if letter == "S":
            return "<preposition> <spot>", "preposition+spot", "where"
        if letter == "P":
            return pick.choice(
                (
                    ("in <city>", "city", pick.choice(("where", "where", "in which city"))),
                    ("at <venue>", "venue", "where"),
                    ("in <venue>", "venue", pick.choice(("where", "where", "in what place"))),
                    ("<preposition> <venue>", "preposition+venue", "where"),
                )
            )
        if letter == "A":
            return pick.choice(
                (
                    ("from <a:person>", "a:person", pick.choice(("who~from", "from whom"))),
                    ("from <a:venue>", "a:venue", "where~{|from}"),
                )
            )
        if letter == "D":
            return pick.choice(
                (
                    ("to <d:city>", "d:city", "where~{|to}"),
                    ("to <d:venue>", "d:venue", "where~{|to}"),
                    ("from <e:city> to <d:city>", "d:city", "where~{|to}"),
                    ("from <e:city>", "e:city", "where~from"),
                )
            )
        if letter == "Y":
            return pick.choice(
                (
                    ("because <because>", "because", "why"),
                    ("because <because>", "because", pick.choice(("why", "for what reason"))),
                    ("because of <because_of>", "because_of", "why"),
                    ("<purpose>", "purpose", "why"),
                )
            )
        return {
            "C": (
                "with <c:person>",
                "c:person",
                pick.choice(("with whom", "who~with", "who~with")),
            ),
            "F": ("for <f:person>", "f:person", pick.choice(("for whom", "who~for", "who~for"))),
            "O": ("to <o:person>", "o:person", pick.choice(("to whom", "who~to", "who~to"))),
            "M": ("for <money>", "money", pick.choice(("for how much", "how much~for"))),
            "V": ("<manner>", "manner", "how"),
            "I": ("with <tool_with>", "tool_with", pick.choice(("how", "what~with", "with what"))),
            "U": ("for <duration>", "duration", pick.choice(("how long", "for how long"))),
        }[letter]

    # -- contexts --------------------------------------------------------------------------------

    def _frame(self, *, about_person: bool = False) -> Frame:
        while True:
            frame = self._deed() if self._chance(0.42) else self._random.choice(self._frames)
            if not about_person or any("<person>" in line for line in frame.statements):
                return frame

    def _fact(
        self, frame: Frame, given: dict[str, Value], *, pronoun: bool = False, needed: str = ""
    ) -> Fact:
        lines = [line for line in frame.statements if needed in line]
        fact = Fact(frame, {})
        template = self._settle(self._random.choice(lines), fact.linked, new=True)
        keys = [key for key, _ in _SLOT.findall(template)]
        fact.values.update({key: value for key, value in given.items() if key in keys})
        fact.shared = frozenset(fact.values)
        # Those that others depend on come first.
        for key in ("kind", "attribute_name"):
            if key in keys and key not in fact.values:
                fact.values[key] = self._value(key, fact.values)
        who = fact.values.get("person")
        self._state(fact, template, who.pronouns[0] if pronoun and who else None)
        return fact

    def _facts(self, count: int, mode: int) -> list[Fact]:
        if mode == _SAME_FRAME:
            frame = self._frame()
            facts = [self._fact(frame, {})]
            while len(facts) < count:
                if self._chance(0.25):
                    facts.append(self._fact(self._frame(), {}))
                    continue
                # Something in common, so that one clue is not always enough.
                given = {}
                if self._chance(0.4):
                    others = [k for k in facts[0].values if k not in ("kind", "attribute_name")]
                    if len(others) > 1:
                        key = self._random.choice(others)
                        given = {key: facts[0].values[key]}
                facts.append(self._fact(frame, given))
                facts[0].shared |= frozenset(given)
            self._random.shuffle(facts)
            return facts
        if mode == _SAME_PERSON:
            given = {"person": self._value("person", {})}
            facts = []
            while len(facts) < count:
                if facts and self._chance(0.2):
                    facts.append(self._fact(self._frame(), {}))
                    continue
                frame = self._frame(about_person=True)
                if any(fact.frame.name == frame.name for fact in facts):
                    continue
                spoken_of = bool(facts) and facts[-1].values.get("person") is given["person"]
                fact = self._fact(
                    frame, given, pronoun=spoken_of and self._chance(0.6), needed="<person>"
                )
                if "person" in fact.values:
                    facts.append(fact)
            return facts
        return [self._fact(self._frame(), {}) for _ in range(count)]

    def _context(self, longest: int) -> list[Pair]:
        self._used = set()
        count = self._random.randint(1, longest)
        mode = self._random.choices((_SAME_FRAME, _SAME_PERSON, _MIXED), (5, 3, 2))[0]
        facts = self._facts(count, mode)
        text, starts = "", []
        aside = self._random.randrange(count) if self._chance(0.15) else None
        for number, fact in enumerate(facts):
            if number == aside:
                sentence = self._settle(self._random.choice(self._asides), {}, new=True)
                text = f"{text} {sentence}" if text else sentence
            joint = " "
            pronoun = fact.text.partition(" ")[0]
            if text and pronoun in ("He", "She", "They") and "person" not in fact.spans:
                # One sentence about one person: "Anna was born in Oslo and works as a nurse."
                if number != aside and self._chance(0.4):
                    fact.drop(len(pronoun) + 1)
                    text = text[:-1]
                    joint = self._random.choice((" and ", " and ", ", ", " but ", ", and then "))
            elif text and number != aside and len(fact.text) < 80 and self._chance(0.15):
                # Two facts in one sentence; only a lower-cased first letter would tell.
                text = text[:-1]
                joint = self._random.choice((", and ", ", while ", "; ", ", but ", " and "))
            text += joint if text else ""
            starts.append(len(text))
            text += fact.text
        if self._chance(0.05):
            text = text[:-1]
        pairs = []
        names = [fact.frame.name for fact in facts]
        for index in self._random.sample(range(count), min(count, 3)):
            fact = facts[index]
            repeated = names.count(fact.frame.name) > 1
            pair = self._pair(fact, text, starts, facts, index, repeated)
            if pair:
                pairs.append(pair)
        return pairs

    def _pair(
        self,
        fact: Fact,
        context: str,
        starts: list[int],
        facts: list[Fact],
        index: int,
        repeated: bool,
    ) -> Pair | None:
        slots = sorted({slots for slots, _ in fact.frame.questions})
        for _ in range(8):
            asked = self._random.choice(slots)
            keys = asked.split("+")
            if not set(keys) <= set(fact.values):
                continue
            templates = [line for slot, line in fact.frame.questions if slot == asked]
            question = self._ask(fact, self._random.choice(templates), repeated)
            if question is None:
                continue
            first, last = keys[0], keys[-1]
            if keys[0].endswith("preposition") and fact.values[first].forms[0] in (
                _LIGHT_PREPOSITIONS
            ):
                first = last
            offset = starts[index]
            spans = fact.spans
            if first not in spans:
                # Told with a pronoun: the answer is the name that it stands for.
                earlier = [
                    i
                    for i in range(index)
                    if first in facts[i].spans and facts[i].values[first] is fact.values[first]
                ]
                if not earlier:
                    continue
                offset, spans = starts[earlier[-1]], facts[earlier[-1]].spans
            start, end = offset + spans[first][0], offset + spans[last][1]
            if end <= len(context):
                fact_end = min(starts[index] + len(fact.text), len(context))
                return Pair(question, context, start, end, starts[index], fact_end)
        return None
