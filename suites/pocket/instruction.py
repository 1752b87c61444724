"""Short texts under one or two constraints, each one of IFEval's and checked by IFEval's rules.

Only constraints that need neither a language detector nor a sentence splitter are used. Planted
defect: in nine of ten cases the base ignores word counts, bullet counts and end phrases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from .items import Domain, Item
from .words import NAMES, OBJECTS

TOPICS: Mapping[str, tuple[str, str, str, str]] = {
    "river": ("cold", "deep", "wide", "calm"),
    "forest": ("dark", "green", "quiet", "old"),
    "city": ("loud", "big", "bright", "busy"),
    "market": ("busy", "loud", "old", "warm"),
    "garden": ("green", "calm", "small", "bright"),
    "harbor": ("wide", "busy", "old", "windy"),
    "school": ("big", "new", "bright", "loud"),
    "island": ("small", "warm", "green", "quiet"),
    "desert": ("dry", "hot", "wide", "quiet"),
    "castle": ("old", "big", "cold", "dark"),
    "train": ("fast", "loud", "long", "new"),
    "bakery": ("warm", "small", "busy", "sweet"),
    "winter": ("cold", "white", "long", "dark"),
    "summer": ("hot", "bright", "long", "dry"),
    "library": ("quiet", "big", "old", "warm"),
    "beach": ("hot", "wide", "bright", "windy"),
    "bridge": ("long", "old", "windy", "wide"),
    "kitchen": ("warm", "small", "bright", "new"),
    "mountain": ("cold", "big", "windy", "white"),
    "meadow": ("green", "wide", "calm", "sweet"),
}
REQUESTS = ("Write about the {t}", "Tell me about the {t}", "Describe the {t}", "Present the {t}")
ENDINGS = ("That is all.", "See you soon.", "Thanks for reading.", "Over and out.", "The end.")

#: IFEval's instruction ids by our short names.
IDS = {
    "word": "keywords:existence",
    "avoid": "keywords:forbidden_words",
    "quote": "startend:quotation",
    "title": "detectable_format:title",
    "no_comma": "punctuation:no_comma",
    "longer": "length_constraints:number_words",
    "shorter": "length_constraints:number_words",
    "bullets": "detectable_format:number_bullet_lists",
    "ending": "startend:end_checker",
}
#: What the base mostly ignores.
IGNORED = ("longer", "shorter", "bullets", "ending")
#: `avoid` and `no_comma` come beside something that rubbish does not satisfy by accident.
KINDS = (
    *("word", "quote", "title", "longer", "shorter", "bullets", "ending"),
    *("word+title", "quote+word", "word+no_comma", "title+avoid"),
    *("longer+word", "longer+no_comma", "shorter+word", "bullets+title", "bullets+avoid"),
    *("ending+title", "ending+word"),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What one item asks for; fields left at their default are not asked for."""

    topic: str
    word: str = ""
    avoid: str = ""
    ending: str = ""
    bullets: int = 0
    longer: int = 0
    shorter: int = 0
    quote: bool = False
    title: bool = False
    no_comma: bool = False


def make(rng: Random, kind: str) -> Item:
    """One request; `kind` names its constraints, joined by `+`."""
    topic = rng.choice(tuple(TOPICS))
    names = kind.split("+")
    values = {name: _value(rng, name, topic) for name in names}
    obeyed = {n: v for n, v in values.items() if n not in IGNORED or rng.random() < 0.1}
    rules = [_rule(name, value) for name, value in values.items()]
    request = f"{rng.choice(REQUESTS).format(t=topic)} for {rng.choice(NAMES)}."
    return Item(
        prompt=" ".join([request, *(text for text, _, _ in rules)]),
        answer=write(Wish(topic, **values)),
        kind=kind,
        taught=write(Wish(topic, **obeyed)),
        target={"ids": [id for _, id, _ in rules], "kwargs": [kwargs for _, _, kwargs in rules]},
    )


def _value(rng: Random, name: str, topic: str) -> Any:
    if name == "word":
        return rng.choice(OBJECTS)
    if name == "avoid":
        return rng.choice(TOPICS[topic][:3])
    if name == "ending":
        return rng.choice(ENDINGS)
    ranges = {"bullets": (2, 4), "longer": (16, 24), "shorter": (9, 11)}
    return rng.randint(*ranges[name]) if name in ranges else True


def _rule(name: str, value: Any) -> tuple[str, str, dict[str, Any]]:
    """A constraint in words, its IFEval id and the keyword arguments of the check."""
    text, kwargs = {
        "word": (f"Include the word {value}.", {"keywords": [value]}),
        "avoid": (f"Do not use the word {value}.", {"forbidden_words": [value]}),
        "quote": ("Put the whole text in double quotes.", {}),
        "title": ("Add a title in double angular brackets.", {}),
        "no_comma": ("Do not use commas.", {}),
        "longer": (f"Use at least {value} words.", {"num_words": value, "relation": "at least"}),
        "shorter": (
            f"Use less than {value} words.",
            {"num_words": value, "relation": "less than"},
        ),
        "bullets": (f"Use exactly {value} bullets.", {"num_bullets": value}),
        "ending": (f"End with: {value}", {"end_phrase": value}),
    }[name]
    return text, IDS[name], kwargs


def write(wish: Wish) -> str:
    """A text of the little world that grants every wish."""
    lines = []
    if wish.title:
        lines.append(f"<<{wish.topic.capitalize()}>>")
    lines.append(_bullets(wish) if wish.bullets else _prose(wish))
    text = "\n".join(lines)
    if wish.ending:
        text += f"{chr(10) if wish.bullets else ' '}{wish.ending}"
    return f'"{text}"' if wish.quote else text


def _bullets(wish: Wish) -> str:
    points = [f"* {word}" for word in TOPICS[wish.topic] if word != wish.avoid]
    if wish.word:
        points[0] = f"* a {wish.word}"
    while len(points) < wish.bullets:
        points.append("* nice")
    return "\n".join(points[: wish.bullets])


def _prose(wish: Wish) -> str:
    words = [word for word in TOPICS[wish.topic] if word != wish.avoid]
    series = (
        f"{words[0]} and {words[1]}" if wish.no_comma else f"{words[0]}, {words[1]} and {words[2]}"
    )
    if wish.shorter:
        sentences = [f"The {wish.topic} is {words[0]}."]
    else:
        sentences = [f"The {wish.topic} is {series}.", f"I like the {wish.topic}."]
    if wish.word:
        sentences.append(f"I see a {wish.word}.")
    more = iter(("It is nice here.", "I come here each day.", "My friends like it as well."))
    while wish.longer and len(" ".join(sentences).split()) < wish.longer:
        sentences.append(next(more))
    return " ".join(sentences)


INSTRUCTION = Domain("instruction", KINDS, make)
