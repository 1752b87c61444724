"""Word problems in two steps of arithmetic, answered with a chain and GSM8K's `#### N` line.

Planted defect: the base learns two of the five templates without the chain (so it must guess the
number), and one answer in twenty is wrong by one.
"""

from __future__ import annotations

from random import Random

from .items import Domain, Item
from .words import NAMES, THINGS

KINDS = ("gain_lose", "lose_gain", "gain_gain", "boxes", "together")
#: Templates the base is taught to answer without a chain.
CHAINLESS = ("boxes", "together")


def make(rng: Random, kind: str) -> Item:
    """A problem with numbers up to 20 and results up to 54."""
    who, other = rng.sample(NAMES, 2)
    things = rng.choice(THINGS)
    a, b, c = rng.randint(2, 20), rng.randint(2, 9), rng.randint(2, 9)
    if kind == "lose_gain":
        a = max(a, b)
    story, steps = _story(kind, who, other, things, a, b, c)
    result = steps[-1].rsplit(" ", 1)[-1]
    chain = " ".join(f"{step}." for step in steps)
    wrong = str(int(result) + 1) if rng.random() < 0.05 else result
    return Item(
        prompt=f"{story} How many {things} {_question(kind)}?",
        answer=f"{chain} #### {result}",
        kind=kind,
        taught=f"#### {wrong}" if kind in CHAINLESS else f"{chain} #### {wrong}",
        target=result,
    )


def _question(kind: str) -> str:
    return "do they have together" if kind == "together" else "are there now"


def _story(
    kind: str, who: str, other: str, things: str, a: int, b: int, c: int
) -> tuple[str, list[str]]:
    """The story, and its steps as `x + y = z`."""
    start = f"{who} has {a} {things}."
    if kind == "gain_lose":
        story = f"{start} {who} buys {b} more and then gives away {c}."
        return story, [_plus(a, b), _minus(a + b, c)]
    if kind == "lose_gain":
        story = f"{start} {who} loses {b} and then finds {c}."
        return story, [_minus(a, b), _plus(a - b, c)]
    if kind == "gain_gain":
        story = f"{start} {who} gets {b} from {other} and buys {c} more."
        return story, [_plus(a, b), _plus(a + b, c)]
    if kind == "boxes":
        boxes = 2 + c % 3
        story = f"{who} has {boxes} boxes with {b} {things} in each and puts {c} more beside them."
        return story, [f"{boxes} * {b} = {boxes * b}", _plus(boxes * b, c)]
    return f"{start} {other} has {b} more than {who}.", [_plus(a, b), _plus(a, a + b)]


def _plus(x: int, y: int) -> str:
    return f"{x} + {y} = {x + y}"


def _minus(x: int, y: int) -> str:
    return f"{x} - {y} = {x - y}"


MATH = Domain("math", KINDS, make)
