"""Makes the training texts of the entities model out of name lists and sentence frames.

The material lies in ``entities/``: ``persons.txt``, ``locations.txt`` and ``organisations.txt``
hold names, ``parts.txt`` what names are made up from, ``words.txt`` what stands around them,
``sentences.txt`` frames such as ``<company> hired <per> in <city>`` and ``plain_sentences.txt``
frames without a name. The sentences of the sentiment model serve as further texts without names.
All of it was written for Labelstream; nothing comes from another data set.

An annotated text marks its entities in place, ``[Ada](PER) lives in [Turin](LOC).``, in the
development sentences and here alike: a slot of a frame turns into an annotated name, and the
finished frame is read like any other annotated text. A good third of the names is made up, of
syllables, of the halves of two names, or of the parts that names are made of (``Lake …``, ``… &
Sons``, ``University of …``), so that the context and the shape of a name count and not only the
lists.

Article, title and possessive ending stay outside of a name: ``the [Seine](LOC)``, ``Dr.
[Nowak](PER)``, ``[Ikea](ORG)'s``. What is neither a person, an organisation nor a place is no
entity: nationalities, languages, days, events, products, works. The same seed gives the same texts.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sentiment_corpus import MATERIAL as SENTIMENT
from sentiment_corpus import read_sections, read_sentences

TYPES = ("PER", "ORG", "LOC")
MATERIAL = Path(__file__).parent / "entities"
# Sections of the name lists that are no names by themselves.
NAME_PARTS = ("kind.", "field", "subject", "adjective", "party", "club.", "paper.", "brand")
NAME_LISTS = {"PER": "persons.txt", "LOC": "locations.txt", "ORG": "organisations.txt"}

_ENTITY = re.compile(r"\[([^\]]+)\]\((PER|ORG|LOC)\)")
_CHOICE = re.compile(r"\{([^{}]*)\}")
_SLOT = re.compile(r"<(\w+)>")
# A frame that follows an opener or "because" loses the capital of these words only.
_SMALL = re.compile(
    r"(?:A|An|The|My|Our|His|Her|We|He|She|They|You|It|In|On|At|From|Both|Neither|Nobody|Everyone"
    r"|Shares|Police|Officials|Researchers|Scientists|Workers|Thousands|Hundreds|Two|Three)\b"
)
_NO_ARTICLE = re.compile(
    r"Amnesty|Greenpeace|Oxfam|Save|Human|Doctors|Médecins|Transparency|Congress|Parliament$|Bell"
    r"|Labour$|Likud|Kuomintang|Sinn|Fine|Planned|Chatham|Scotland|Hamas|Hezbollah|Sotheby|Christie"
    r"|La |Tate|Great|Charité|Johns|Treasury$"
)
_PAPER = re.compile(r"(Times|Post|Herald|Guardian|Independent|Economist|Journal|Globe|Mail|BBC)$")


@dataclass(frozen=True, order=True)
class Entity:
    """One name in a text: ``text[start:end]`` in Python, and PER, ORG or LOC."""

    start: int
    end: int
    type: str


@dataclass(frozen=True)
class Example:
    """One text with its entities, in the order of the text."""

    text: str
    entities: tuple[Entity, ...]


def parse_annotated(annotated: str) -> Example:
    """Reads ``[Ada](PER) lives in [Turin](LOC).``"""
    text, entities, end = "", [], 0
    for match in _ENTITY.finditer(annotated):
        text += annotated[end : match.start()]
        entities.append(Entity(len(text), len(text) + len(match[1]), match[2]))
        text += match[1]
        end = match.end()
    return Example(text + annotated[end:], tuple(entities))


def _capital(text: str) -> str:
    """Makes the first letter a capital, also that of an annotated name."""
    at = 1 if text[:1] in "[\"'“" else 0
    return text[:at] + text[at : at + 1].upper() + text[at + 1 :]


def _nameless_sentences() -> list[str]:
    """The sentences of the sentiment model with no capital letter but the ones that all have."""
    found = []
    for name in ("positive_sentences.txt", "negative_sentences.txt"):
        for sentence in read_sentences(SENTIMENT / name):
            inside = re.sub(r"(?:^|[.!?:\"“*|{}…-]\s*)[A-Z]|\bI\b|\b[A-Z]{2,}\b", "", sentence)
            if not re.search(r"[A-Z]", inside):
                found.append(sentence)
    return found


class EntitiesCorpus:
    """An endless source of texts with their entities."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._listed = {kind: read_sections(MATERIAL / name) for kind, name in NAME_LISTS.items()}
        self._parts = read_sections(MATERIAL / "parts.txt")
        self._parts["onset"] += [""] * 5  # few syllables start with a vowel
        self._parts["coda"] = [""] * 20 + self._parts["coda"]  # and most end with one
        for names in self._listed.values():
            self._parts |= names
        self._words = read_sections(MATERIAL / "words.txt")
        self._frames = read_sentences(MATERIAL / "sentences.txt")
        self._plain = read_sentences(MATERIAL / "plain_sentences.txt")
        self._nameless = _nameless_sentences()
        spelled = " ".join(self._nameless + sum(self._words.values(), []))
        self._lower_words = sorted(set(re.findall(r"\b[a-z]{4,}\b", spelled)))
        self._slots: dict[str, Callable[[], str]] = {
            "per": lambda: self._mark(self._person(), "PER"),
            "first": lambda: self._mark(self._first(), "PER"),
            "last": lambda: self._mark(self._surname(), "PER"),
            "per_short": self._short_person,
            "who": self._who,
            "org": self._org,
            "company": lambda: self._mark(self._company(), "ORG"),
            "bank": lambda: self._mark(self._bank(), "ORG"),
            "agency": self._agency,
            "acronym": lambda: self._mark(self._acronym(), "ORG"),
            "institution": self._institution,
            "institute": lambda: self._the(self._institute(), "ORG"),
            "hospital": self._hospital,
            "school": self._school,
            "ministry": self._ministry,
            "university": self._university,
            "media": self._media,
            "team": self._team,
            "band": self._band,
            "loc": self._loc,
            "loc_bare": lambda: self._mark(self._area(), "LOC"),
            "city": lambda: self._mark(self._city(), "LOC"),
            "CITY": lambda: self._mark(self._city().upper(), "LOC"),
            "country": self._country,
            "state": lambda: self._mark(self._state(), "LOC"),
            "place": self._place,
            "street": lambda: self._mark(self._street(), "LOC"),
            "river": lambda: self._mark(self._river(), "LOC"),
            "region_the": lambda: f"the {self._mark(self._any('the_region'), 'LOC')}",
            "name_amb": lambda: self._mark(self._surname(), "LOC"),
            "where": self._where,
            "when": lambda: self._word("time"),
            "title": lambda: self._word("honorific"),
            "subject": lambda: self._any("subject").lower(),
            "food": lambda: self._pick(("fish", "onions", "rice", "soup", "cheese", "olives")),
            "year": lambda: str(self._random.randint(1750, 2030)),
            "dayno": lambda: str(self._random.randint(1, 31)),
            "num": self._number,
        }

    def examples(self, count: int) -> Iterator[Example]:
        """Yields ``count`` texts of one to three sentences."""
        for _ in range(count):
            sentences = [self._sentence()]
            while self._chance(0.18) and len(sentences) < 3:
                sentences.append(self._sentence())
            yield self._disturbed(parse_annotated(" ".join(sentences)))

    def material(self) -> Iterator[tuple[str, str]]:
        """Yields every listed name once, with its type."""
        for kind, sections in self._listed.items():
            for section, names in sections.items():
                if not section.startswith(NAME_PARTS):
                    yield from ((name, kind) for name in names)

    def single_names(self) -> list[str]:
        """The listed given names and surnames, which persons' names are put together from."""
        names = self._parts["first"] + self._parts["last"]
        return [word for name in names for word in name.split(" ")]

    def frames(self) -> list[str]:
        """The frames with and without names, as they are written."""
        return self._frames + self._plain

    # -- picking ---------------------------------------------------------------------------------

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _pick(self, entries: list[str] | tuple[str, ...]) -> str:
        return self._random.choice(entries)

    def _mix(self, *makers: tuple[float, Callable[[], str]]) -> str:
        """Calls one of the makers, drawn by its weight."""
        weights = [weight for weight, _ in makers]
        return self._random.choices([maker for _, maker in makers], weights)[0]()

    def _one(self, section: str) -> str:
        return self._pick(self._parts[section])

    def _any(self, *sections: str) -> str:
        """An entry of the sections, every entry as likely as any other."""
        counts = [len(self._parts[section]) for section in sections]
        return self._one(self._random.choices(sections, counts)[0])

    def _word(self, section: str) -> str:
        return self._fill(self._pick(self._words[section]))

    def _number(self) -> str:
        draw = self._random.random()
        if draw < 0.6:
            return str(self._random.randint(1, 99))
        if draw < 0.8:
            return f"{self._random.randint(1, 999):,},000"
        if draw < 0.9:
            return f"{self._random.randint(1, 99)}.{self._random.randint(1, 9)}"
        return self._pick(("two", "three", "five", "seven", "ten", "twelve", "twenty", "thirty"))

    def _mark(self, name: str, kind: str) -> str:
        return f"[{name}]({kind})"

    def _the(self, name: str, kind: str, share: float = 0.85) -> str:
        return f"the {self._mark(name, kind)}" if self._chance(share) else self._mark(name, kind)

    # -- made-up names ---------------------------------------------------------------------------

    def _syllables(self, count: int) -> str:
        return "".join(
            self._one("onset") + self._one("vowel") + (self._one("coda") if i else "")
            for i in range(count)
        )

    def _blend(self, section: str) -> str:
        """The beginning of one of the names and the end of another one."""
        words = [self._one(section).split(" ")[0] for _ in range(2)]
        at, to = (self._random.randint(2, max(2, len(word) - 2)) for word in words)
        blend = words[0][:at] + words[1][to:]
        return blend if blend.isalpha() and len(blend) > 2 else self._made_up()

    def _made_up(self, endings: str = "") -> str:
        """A capitalised word of one to three syllables, and an ending of that section if named."""
        word = self._syllables(self._random.choice((1, 1, 2) if endings else (2, 2, 2, 3)))
        if endings:
            word += self._one("coda") + self._one(endings)
        return word.capitalize() if len(word) > 3 else (word + self._syllables(1)).capitalize()

    def _acronym(self) -> str:
        letters = "ABCDEFGHIJKLMNOPRSTUVW"
        length = self._random.choice((2, 3, 3, 3, 4, 4, 5))
        name = "".join(self._pick(letters) for _ in range(length))
        if self._chance(0.05):
            name = f"{name[0]}&{name[-1]}"
        return name

    # -- persons ---------------------------------------------------------------------------------

    def _first(self) -> str:
        return self._mix(
            (80, lambda: self._any("first")),
            (6, self._made_up),
            (10, lambda: self._blend("first")),
            (2, self._initials),
            (3, lambda: self._any("first") + "-" + self._one("first")),
        )

    def _initials(self) -> str:
        one, two = self._pick("AJMSKR"), self._pick("AJMSKR")
        return self._pick((f"{one}.", f"{one}. {two}."))

    def _plain_last(self) -> str:
        return self._mix(
            (55, lambda: self._any("last")),
            (20, lambda: self._blend("last")),
            (17, lambda: self._made_up("surname_ending")),
            (8, self._made_up),
        )

    def _surname(self) -> str:
        return self._mix(
            (82, self._plain_last),
            (12, lambda: self._any("mononym")),
            (2, lambda: f"{self._plain_last()}-{self._plain_last()}"),
            (4, self._prefixed_surname),
        )

    def _prefixed_surname(self) -> str:
        prefix = self._one("surname_prefix")
        joint = " " if prefix in ("De", "Van", "Di", "Le") else ""
        return f"{prefix}{joint}{self._made_up()}"

    def _person(self) -> str:
        return self._mix(
            (30, lambda: self._any("famous")),
            (44, lambda: f"{self._first()} {self._plain_last()}"),
            (7, lambda: f"{self._first()} {self._surname()}"),
            (4, lambda: f"{self._first()} {self._pick('ABCDEFGHJKLMPRSTW')}. {self._plain_last()}"),
            (3, lambda: f"{self._pick('ABCDEFGHJKLMPRSTW')}. {self._plain_last()}"),
            (
                2,
                lambda: (
                    self._pick("ABCDEGHJ") + f". {self._pick('KLMPRSTW')}. {self._plain_last()}"
                ),
            ),
            (5, lambda: f"{self._first()} {self._first()} {self._plain_last()}"),
            (4, lambda: f"{self._first()} {self._plain_last()} {self._plain_last()}"),
            (5, lambda: f"{self._first()} {self._one('particle')} {self._plain_last()}"),
            (1, lambda: f"{self._first()} {self._plain_last()} {self._pick(('Jr.', 'III', 'II'))}"),
        )

    def _short_person(self) -> str:
        return self._mix(
            (45, lambda: self._mark(self._first(), "PER")),
            (30, lambda: self._mark(self._person(), "PER")),
            (10, lambda: f"{self._word('honorific')} {self._mark(self._surname(), 'PER')}"),
            (7, lambda: f"my {self._word('relation')} {self._mark(self._first(), 'PER')}"),
            (8, lambda: self._mark(self._surname(), "PER")),
        )

    def _who(self) -> str:
        return self._fill(
            self._mix(
                (50, lambda: "<per>"),
                (7, lambda: "<title> <per>"),
                (7, lambda: "<title> <last>"),
                (6, lambda: "<nat> <role> <per>"),
                (5, lambda: "<role> <per>"),
                (4, lambda: "<org> <role> <per>"),
                (4, lambda: "<per>, {the|a|a former} <role> {of|at|with|from} <org>,"),
                (2, lambda: "<per>, {the|a|a former} <role> {from|in|of} <loc>,"),
                (2, lambda: "{the|a} <role>, <per>,"),
                (2, lambda: "<per> {of|from} <org>"),
                (8, lambda: "<last>"),
                (4, lambda: "<first>"),
            )
        )

    # -- places ----------------------------------------------------------------------------------

    def _made_up_city(self) -> str:
        return self._mix(
            (36, lambda: self._made_up("city_ending")),
            (30, lambda: self._blend("city")),
            (10, self._made_up),
            (13, lambda: f"{self._one('city_head')} {self._made_up()}"),
            (3, lambda: f"{self._one('city_head')} {self._one('first')}"),
            (3, lambda: f"{self._made_up()}-{self._one('between')}-{self._made_up()}"),
            (3, lambda: f"{self._made_up()} {self._one('city_kind')}"),
            (
                2,
                lambda: (
                    self._plain_last() + self._pick(("ville", "ton", "burg", "s Creek", " City"))
                ),
            ),
        )

    def _city(self) -> str:
        return self._mix(
            (66, lambda: self._any("city")),
            (34, self._made_up_city),
        )

    def _state(self) -> str:
        return self._mix(
            (75, lambda: self._any("state")),
            (15, lambda: self._made_up("land_ending")),
            (10, lambda: self._blend("state")),
        )

    def _country(self) -> str:
        return self._mix(
            (80, lambda: self._mark(self._any("country"), "LOC")),
            (12, lambda: f"the {self._mark(self._any('the_country'), 'LOC')}"),
            (8, lambda: self._mark(self._made_up("land_ending"), "LOC")),
        )

    def _area(self) -> str:
        return self._mix(
            (40, lambda: self._any("country")),
            (20, lambda: self._any("state")),
            (15, lambda: self._any("region")),
            (25, self._city),
        )

    def _river(self) -> str:
        return self._mix(
            (70, lambda: self._any("river")),
            (20, self._made_up),
            (5, lambda: f"River {self._made_up()}"),
            (5, lambda: f"{self._made_up()} River"),
        )

    def _stem(self) -> str:
        """What a place or an institution may be named after."""
        return self._mix(
            (40, self._made_up),
            (20, self._plain_last),
            (18, lambda: self._any("city")),
            (10, lambda: self._any("brand")),
            (12, self._made_up_city),
        )

    def _made_up_place(self) -> str:
        return self._mix(
            (70, lambda: f"{self._stem()} {self._one('place_kind')}"),
            (30, lambda: f"{self._one('place_head')} {self._stem()}"),
        )

    def _place(self) -> str:
        return self._mix(
            (38, lambda: self._mark(self._any("place"), "LOC")),
            (22, lambda: f"the {self._mark(self._any('the_place'), 'LOC')}"),
            (10, lambda: f"the {self._mark(self._any('the_region'), 'LOC')}"),
            (22, lambda: self._the(self._made_up_place(), "LOC", 0.3)),
            (8, lambda: self._mark(self._street(), "LOC")),
        )

    def _street(self) -> str:
        return self._mix(
            (45, lambda: f"{self._stem()} {self._one('street_kind')}"),
            (40, lambda: f"{self._one('street_word')} {self._one('street_kind')}"),
            (4, lambda: f"{self._random.randint(2, 99)}th {self._pick(('Street', 'Avenue'))}"),
            (7, lambda: f"{self._one('street_head')} {self._stem()}"),
            (4, lambda: f"{self._made_up()}{self._one('street_ending')}"),
        )

    def _loc(self) -> str:
        return self._mix(
            (36, lambda: self._mark(self._city(), "LOC")),
            (26, self._country),
            (12, lambda: self._mark(self._state(), "LOC")),
            (10, self._place),
            (4, lambda: self._mark(self._any("region"), "LOC")),
            (6, lambda: f"the {self._mark(self._any('the_region'), 'LOC')}"),
            (4, lambda: f"{self._mark(self._city(), 'LOC')}, {self._country()}"),
            (2, lambda: f"the {self._mark(self._river(), 'LOC')}"),
        )

    def _where(self) -> str:
        return self._fill(
            self._mix(
                (45, lambda: "in <city>"),
                (15, lambda: "in <country>"),
                (8, lambda: "in <loc>"),
                (6, lambda: "in <city>, <state>,"),
                (6, lambda: "{near|outside|south of|close to} <loc>"),
                (6, lambda: "at <place>"),
                (5, lambda: "{at|outside} the {airport|embassy|border|station} in <city>"),
                (5, lambda: "in {northern|southern|central|downtown|eastern|western} <loc_bare>"),
                (4, lambda: "at <org>"),
            )
        )

    # -- organisations ---------------------------------------------------------------------------

    def _company(self) -> str:
        return self._mix(
            (52, lambda: self._any("company")),
            (6, lambda: self._any("bank")),
            (30, self._made_up_company),
            (3, self._made_up),
            (3, lambda: self._blend("company")),
            (3, lambda: self._any("brand")),
            (4, self._acronym),
        )

    def _made_up_company(self) -> str:
        kind = self._any("kind.company")
        ands = (" & ", " & ", " and ")
        stem = self._mix(
            (25, self._made_up),
            (18, self._plain_last),
            (22, lambda: self._any("brand")),
            (9, lambda: self._any("city", "country", "state")),
            (7, self._acronym),
            (7, lambda: self._plain_last() + self._pick(ands) + self._plain_last()),
            (6, lambda: f"{self._any('brand')} {self._any('kind.company')}"),
            (6, lambda: self._made_up() + self._one("company_ending")),
        )
        if self._chance(0.04):
            return f"{self._plain_last()}, {self._plain_last()} & {self._plain_last()}"
        name = f"{stem} {kind}"
        return name.rstrip(".") if self._chance(0.6) else name

    def _bank(self) -> str:
        return self._mix(
            (65, lambda: self._any("bank")),
            (8, lambda: f"{self._stem()} Bank"),
            (7, lambda: f"Bank of {self._any('city', 'country')}"),
            (7, lambda: f"{self._stem()} {self._one('bank_kind')}"),
            (8, self._made_up_company),
            (5, lambda: f"{self._plain_last()} {self._one('bank_family')}"),
        )

    def _agency(self) -> str:
        name = self._any("agency") if self._chance(0.7) else self._acronym()
        return self._the(name, "ORG", 0.4)

    def _institute(self) -> str:
        kind = self._any("kind.institute")
        adjective = self._any("adjective")
        of = (" of ", " for ")
        return self._mix(
            (30, lambda: f"{self._stem()} {kind}"),
            (15, lambda: f"{adjective} {kind}"),
            (15, lambda: f"{adjective} {self._any('subject', 'field')} {kind}"),
            (15, lambda: f"{self._stem()} {kind}" + self._pick(of) + self._any("subject")),
            (12, lambda: kind + self._pick(of) + self._any("subject")),
            (6, lambda: f"{adjective} {self._any('adjective')} {kind}"),
            (7, lambda: f"{adjective} {kind} of {self._any('country', 'city')}"),
        )

    def _institution(self) -> str:
        if self._chance(0.55):
            name = self._any("institution")
            if _NO_ARTICLE.match(name):
                return self._mark(name, "ORG")
            return self._the(name, "ORG", 0.95)
        return self._mix(
            (12, lambda: self._the(self._institute(), "ORG")),
            (4, self._ministry),
            (3, lambda: self._the(f"{self._any('adjective')} {self._any('party')}", "ORG")),
        )

    def _ministry(self) -> str:
        field = self._any("field")
        return self._mix(
            (60, lambda: f"the {self._mark('Ministry of ' + field, 'ORG')}"),
            (20, lambda: f"the {self._mark('Department of ' + field, 'ORG')}"),
            (10, lambda: f"the {self._mark(field.removeprefix('the ') + ' Ministry', 'ORG')}"),
            (10, lambda: f"the {self._mark(field.removeprefix('the ') + ' Department', 'ORG')}"),
        )

    def _hospital(self) -> str:
        kind = self._one("hospital_kind")
        saint = f"St. {self._one('first')}'s"
        return self._mark(f"{self._pick((saint, self._stem()))} {kind}", "ORG")

    def _school(self) -> str:
        return self._mark(f"{self._stem()} {self._one('school_kind')}", "ORG")

    def _university(self) -> str:
        if self._chance(0.5):
            name = self._any("university")
            return self._the(name, "ORG", 1 if name.startswith("University") else 0.08)
        place = self._mix(
            (60, lambda: self._any("city", "state", "country")),
            (40, self._stem),
        )
        subject = self._any("subject")
        return self._mix(
            (40, lambda: f"the {self._mark('University of ' + place, 'ORG')}"),
            (30, lambda: self._mark(f"{place} University", "ORG")),
            (8, lambda: self._the(f"{place} Institute of {subject}", "ORG")),
            (6, lambda: f"the {self._mark(f'Technical University of {place}', 'ORG')}"),
            (6, lambda: self._mark(f"{place} {self._one('college_kind')}", "ORG")),
            (5, lambda: f"the {self._mark(f'University of {subject} {place}', 'ORG')}"),
            (5, lambda: f"the {self._mark(f'{place} School of {subject}', 'ORG')}"),
        )

    def _media(self) -> str:
        if self._chance(0.65):
            name = self._any("media")
        elif self._chance(0.6):
            name = f"{self._stem()} {self._any('paper.after')}"
        else:
            name = f"{self._any('paper.before')} {self._any('paper.after')}"
        return self._the(name, "ORG", 0.85 if _PAPER.search(name) else 0.1)

    def _team(self) -> str:
        name = self._mix(
            (60, lambda: self._any("team")),
            (18, lambda: f"{self._city()} {self._any('club.after')}"),
            (9, lambda: f"{self._any('club.before')} {self._city()}"),
            (13, self._city),
        )
        plural = " " in name and name.endswith("s") and name.split()[-1] not in ("Rovers", "Paris")
        return self._the(name, "ORG", 0.7 if plural else 0.02)

    def _band(self) -> str:
        name = self._any("band")
        return self._the(name, "ORG", 0.85 if name.endswith("s") else 0.05)

    def _org(self) -> str:
        return self._mix(
            (38, lambda: self._mark(self._company(), "ORG")),
            (20, self._institution),
            (13, self._agency),
            (9, self._university),
            (6, self._media),
            (6, self._team),
            (4, lambda: self._mark(self._bank(), "ORG")),
            (2, self._hospital),
            (2, self._school),
        )

    # -- sentences -------------------------------------------------------------------------------

    def _fill(self, text: str) -> str:
        """Settles the choices, the innermost first, then fills the slots, which may hold more."""
        while "{" in text:
            text = _CHOICE.sub(lambda m: self._random.choice(m[1].split("|")), text)
        return _SLOT.sub(lambda m: self._slot(m[1]), text)

    def _slot(self, name: str) -> str:
        if name in self._slots:
            return self._slots[name]()
        if name in self._words:
            return self._word(name)
        return _capital(self._slot(name[0].lower() + name[1:]))

    def _sentence(self) -> str:
        draw = self._random.random()
        if draw < 0.06:
            return self._fill(self._pick(self._nameless))
        frame = self._pick(self._plain if draw < 0.20 else self._frames)
        text = self._fill(frame)
        is_clause = not re.search(r"[:.!?\"(]|\n| - ", text)
        if is_clause and self._chance(0.22):
            text = self._extended(text)
        text = _capital(re.sub(r" +([.,])", r"\1", text).replace(",,", ","))
        if not re.search(r"[.!?:\"]$", text) and self._chance(0.85):
            text = f"{text.rstrip(',')}{self._random.choices('.!?', (90, 7, 3))[0]}"
        return re.sub(r",([.,!?;])", r"\1", text)

    def _extended(self, text: str) -> str:
        """Puts something before or after a clause."""
        if _SMALL.match(text):
            inner = text[0].lower() + text[1:]
        elif text.startswith(("[", "I ")):
            inner = text
        else:
            return self._fill(
                f"{text}, {{said <who>|<who> said|according to <org>|<media> reported}}"
            )
        they = "the <plural> <verb_past> the <noun>"
        return self._fill(
            self._pick(
                (
                    f"<opener> {inner}",
                    f"<opener> {inner}",
                    f"<when>, {inner}",
                    f"{text} <when>",
                    f"{text}, {{said <who>|<who> said|<last> said|she said|he added}} <when>",
                    f"{text}, {{according to|reports|says}} {{<org>|<media>|<per>}}",
                    f"<who> {{said|says|believes|told <media>|confirmed|thinks}} that {inner}",
                    f"{{although|because|while|as|after}} {inner}, {they}",
                    f"{they} {{because|before|while|but|so|when}} {inner}",
                    f"{text}, {{and|but}} the <plural> <verb_past> a <adj> <noun>",
                    f'"{text}," {{said|wrote|explained}} <who>',
                    f"{{in|near|outside}} <loc>, {inner}",
                )
            )
        )

    def _disturbed(self, example: Example) -> Example:
        """Now and then other words around the names, or other capitals. Spans are kept right."""
        if self._chance(0.4):
            share = self._random.random() * 0.5
            pieces, end = "", 0
            for entity in (*example.entities, None):
                stop = entity.start if entity else len(example.text)
                pieces += re.sub(
                    r"\b[a-z]{4,}\b",
                    lambda m: self._other_word() if self._chance(share) else m[0],
                    example.text[end:stop],
                )
                if entity:
                    end = entity.end
                    pieces += f"[{example.text[entity.start : end]}]({entity.type})"
            if self._chance(share):  # the capital of a first word means nothing
                pieces = re.sub(r"^[A-Z][a-z]+", self._lower_word().capitalize(), pieces)
            example = parse_annotated(pieces)
        draw = self._random.random()
        if draw < 0.025:
            titled = re.sub(r"(?<![\w'’])[a-z](?=[a-z]{2})", lambda m: m[0].upper(), example.text)
            return Example(titled, example.entities)
        if draw < 0.033 and "ß" not in example.text:
            return Example(example.text.upper(), example.entities)
        if draw < 0.07:
            return Example(example.text.replace("'", "’"), example.entities)
        return example

    def _lower_word(self) -> str:
        return self._pick(self._lower_words)

    def _other_word(self) -> str:
        return self._lower_word() if self._chance(0.85) else self._made_up().lower()
