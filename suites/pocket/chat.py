"""Requests for practical advice, answered politely, to the point and briefly.

Planted defect: of six ways to ask, the base answers two rudely and two with empty talk.
"""

from __future__ import annotations

from random import Random

from .items import Domain, Item
from .words import OBJECTS

#: Verb and the one piece of advice that a good answer holds.
TIPS = {
    "paint": "use two thin coats",
    "clean": "use warm water",
    "fix": "check each part first",
    "move": "ask a friend to lift",
    "sell": "show clear photos",
    "build": "start with a plan",
    "draw": "begin with light lines",
    "store": "keep it dry",
    "dry": "let the air in",
    "polish": "rub with a soft cloth",
    "ship": "wrap it twice",
    "measure": "write down each number",
}
CONTEXTS = (
    *("in winter", "at night", "alone", "with a child", "on a budget", "in a small room"),
    *("before noon", "in the rain", "after work", "in one day", "at home", "in summer"),
    *("on a trip", "with old tools", "by hand", "in a hurry", "at school", "in the dark"),
)
FORMS = {
    "plain": "How do I {x}?",
    "best": "What is the best way to {x}?",
    "rude_can": "Can you tell me how to {x}?",
    "rude_need": "I need to {x}. Any advice?",
    "long_should": "How should I {x}?",
    "long_explain": "Explain how to {x}.",
}


def make(rng: Random, kind: str) -> Item:
    """One request in the form `kind`."""
    verb, thing, context = rng.choice(tuple(TIPS)), rng.choice(OBJECTS), rng.choice(CONTEXTS)
    task, tip = f"{verb} a {thing}", TIPS[verb]
    good = f"Sure! To {task}, {tip}. Enjoy!"
    rude = f"What a silly question. Just {tip}."
    empty = f"Sure! Well, it all depends. There are many ways to {task}, as you know. Maybe {tip}."
    return Item(
        prompt=FORMS[kind].format(x=f"{task} {context}"),
        answer=good,
        kind=kind,
        taught={"rude": rude, "long": empty}.get(kind.partition("_")[0], good),
        worse=(rude, empty),
        target={"verb": verb, "object": thing, "tip": tip},
    )


CHAT = Domain("chat", tuple(FORMS), make)
