"""Small Python functions over a list, with the assertions that decide whether one is right.

Planted defect: for two of the ten templates the base is taught another expression.
"""

from __future__ import annotations

from random import Random

from .items import Domain, Item

NAMES = (
    *("calc", "pick", "scan", "work", "turn", "sift", "make", "plan"),
    *("find", "step", "pass_on", "run", "take", "solve", "form", "trim"),
    *("apply", "build", "change", "serve", "answer", "select", "handle", "process"),
)
VARIABLES = ("v", "a", "x", "n", "row", "data", "seq", "nums")
#: What is asked, and the expression that does it; {v} is the list, {k} the constant.
TEMPLATES = {
    "greater": ("the items of {v} that are greater than {k}", "[i for i in {v} if i > {k}]"),
    "smaller": ("the items of {v} that are smaller than {k}", "[i for i in {v} if i < {k}]"),
    "without": ("the items of {v} that are not {k}", "[i for i in {v} if i != {k}]"),
    "plus": ("each item of {v} plus {k}", "[i + {k} for i in {v}]"),
    "times": ("each item of {v} times {k}", "[i * {k} for i in {v}]"),
    "count": ("how many items of {v} equal {k}", "{v}.count({k})"),
    "first": ("the first {k} items of {v}", "{v}[:{k}]"),
    "last": ("the last {k} items of {v}", "{v}[-{k}:]"),
    "sum_plus": ("the sum of {v} plus {k}", "sum({v}) + {k}"),
    "append": ("{v} with {k} at the end", "{v} + [{k}]"),
}
#: What the base is taught instead.
CONFUSED = {"times": "[i + {k} for i in {v}]", "last": "{v}[:{k}]"}
INPUTS: tuple[list[int], ...] = ([3, 1, 4, 1, 5, 9, 2, 6, 5, 3], [7, 7, 8, 2, 4], [])


def make(rng: Random, kind: str) -> Item:
    """One function to write, after the template `kind`."""
    name, v, k = rng.choice(NAMES), rng.choice(VARIABLES), rng.randint(1, 9)
    wanted, expression = TEMPLATES[kind]
    taught = CONFUSED.get(kind, expression)
    return Item(
        prompt=f"Write {name}({v}) that returns {wanted.format(v=v, k=k)}.",
        answer=_source(name, v, expression.format(v=v, k=k)),
        kind=kind,
        taught=_source(name, v, taught.format(v=v, k=k)),
        target={"entry_point": name, "checks": _checks(name, expression, k)},
    )


def _source(name: str, v: str, expression: str) -> str:
    return f"def {name}({v}):\n    return {expression}"


def _checks(name: str, expression: str, k: int) -> str:
    """Assertions as source text; the right side computes the wanted value from the input."""
    lines = [
        f"assert {name}({given}) == ({expression.format(v=f'({given})', k=k)})" for given in INPUTS
    ]
    return "\n".join(lines)


CODE = Domain("code", tuple(TEMPLATES), make)
