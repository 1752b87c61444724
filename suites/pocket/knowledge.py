"""A closed world of 240 facts: 60 invented lands, four relations, 56 ways to ask for each.

A finite population: the base has seen every fact in other words, so a test item asks for recall and
not for inference. No defect is planted; capacity and exposure limit the base.
"""

from __future__ import annotations

from random import Random

from .items import Domain, Item

VALUES = {
    "color": ("red", "blue", "green", "white", "black", "gray", "pink", "brown"),
    "animal": ("cat", "dog", "fox", "owl", "bear", "wolf", "goat", "frog"),
    "food": ("rice", "bread", "soup", "fish", "corn", "cheese", "honey", "cake"),
    "sport": ("golf", "tennis", "chess", "rugby", "judo", "polo", "hockey", "rowing"),
}
OPENERS = (
    *("", "Quick question: ", "For a quiz: ", "I forgot this. "),
    *("Once more: ", "Help me out. ", "Just checking: "),
)
FORMS = (
    "Name the {r} of {e}.",
    "What is the {r} of {e}?",
    "Which {r} does {e} have?",
    "Tell me the {r} of {e}.",
    "Do you know the {r} of {e}?",
    "Give me the {r} of {e}.",
    "The {r} of {e} is what?",
    "For {e}, what is the {r}?",
)


def _lands() -> tuple[str, ...]:
    rng = Random("pocket/lands")
    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    names: dict[str, None] = {}
    while len(names) < 60:
        names["".join(rng.sample(syllables, 3)).capitalize()] = None
    return tuple(names)


LANDS = _lands()


def _facts() -> dict[tuple[str, str], str]:
    rng = Random("pocket/facts")
    return {(land, r): rng.choice(values) for land in LANDS for r, values in VALUES.items()}


FACTS = _facts()


def make(rng: Random, kind: str) -> Item:
    """One question for a fact of the relation `kind`."""
    land = rng.choice(LANDS)
    value = FACTS[land, kind]
    question = rng.choice(OPENERS) + rng.choice(FORMS).format(r=kind, e=land)
    return Item(question, f"{value}.", kind, target=value, cluster=f"{land}/{kind}")


KNOWLEDGE = Domain("knowledge", tuple(VALUES), make)
