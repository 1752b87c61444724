"""Function calling: pick one of a few tools, copy its names, fill in the arguments.

The tools' names and parameters vary, so they must be read off the system message. The answer is one
JSON object, or `No tool fits.` Planted defect: where no tool fits, the base mostly calls one anyway,
and it confuses two parameters of the family `send`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from .items import Domain, Item
from .words import NAMES, PLACES, THINGS

NO_CALL = "No tool fits."
TOPICS = ("lunch", "golf", "rent", "work", "music", "dinner", "travel", "news")
LANGUAGES = ("French", "German", "Latin", "Greek")


@dataclass(frozen=True, slots=True)
class Family:
    """Interchangeable tools: their possible names, parameter names and parameter types."""

    names: tuple[str, ...]
    parameters: tuple[tuple[str, ...], ...]
    types: tuple[str, ...]
    requests: tuple[str, ...]


FAMILIES: Mapping[str, Family] = {
    "add": Family(
        ("add", "plus", "total"),
        (("a", "b"), ("x", "y"), ("n", "m")),
        ("integer", "integer"),
        ("Add {} and {}.", "What is {} plus {}?", "Sum up {} and {}."),
    ),
    "send": Family(
        ("mail", "message", "write"),
        (("to", "topic"), ("name", "about"), ("person", "subject")),
        ("string", "string"),
        ("Write to {} about {}.", "Send {} a note about {}.", "Tell {} about {}."),
    ),
    "timer": Family(
        ("timer", "alarm", "wait"),
        (("minutes",), ("time",), ("length",)),
        ("integer",),
        ("Wake me in {} minutes.", "Set a timer for {} minutes.", "Wait {} minutes."),
    ),
    "weather": Family(
        ("weather", "forecast", "sky"),
        (("city",), ("place",), ("where",)),
        ("string",),
        ("Is it warm in {}?", "How is the weather in {}?", "Will it rain in {}?"),
    ),
    "buy": Family(
        ("buy", "order", "shop"),
        (("count", "item"), ("number", "what"), ("amount", "goods")),
        ("integer", "string"),
        ("Buy {} {}.", "I need {} {}.", "Get me {} {}."),
    ),
    "translate": Family(
        ("translate", "convert", "speak"),
        (("word", "language"), ("text", "target"), ("phrase", "into")),
        ("string", "string"),
        ("Say {} in {}.", "How do I say {} in {}?", "What is {} in {}?"),
    ),
}
KINDS = (*FAMILIES, "none")


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool as offered in a prompt."""

    name: str
    parameters: tuple[str, ...]
    types: tuple[str, ...]

    def signature(self) -> str:
        """As the system message shows it."""
        return f"{self.name}({','.join(self.parameters)})"

    def call(self, values: tuple[Any, ...]) -> str:
        """The JSON a model should answer with."""
        return json.dumps(
            {"name": self.name, "arguments": dict(zip(self.parameters, values, strict=True))}
        )

    def document(self) -> dict[str, Any]:
        """The function document in BFCL's format."""
        properties = {p: {"type": t} for p, t in zip(self.parameters, self.types, strict=True)}
        parameters = {
            "type": "dict",
            "properties": properties,
            "required": list(self.parameters),
        }
        return {"name": self.name, "parameters": parameters}


def make(rng: Random, kind: str) -> Item:
    """One request of a family with two to four tools on offer; `none` offers no fitting one."""
    wanted = rng.choice(tuple(FAMILIES)) if kind == "none" else kind
    others = rng.sample([f for f in FAMILIES if f != wanted], rng.randint(2, 3))
    offered = others if kind == "none" else [wanted, *others[1:]]
    rng.shuffle(offered)
    tools = {family: _tool(rng, FAMILIES[family]) for family in offered}
    values = _values(rng, wanted)
    tool = tools.get(wanted)
    return Item(
        prompt=rng.choice(FAMILIES[wanted].requests).format(*values),
        answer=tool.call(values) if tool else NO_CALL,
        kind=kind,
        taught=_taught(rng, wanted, tools, values),
        system="\n".join(["Tools:", *(t.signature() for t in tools.values())]),
        target={
            "functions": [t.document() for t in tools.values()],
            "gold": _gold(tool, values) if tool else None,
        },
    )


def _taught(rng: Random, wanted: str, tools: Mapping[str, Tool], values: tuple[Any, ...]) -> str:
    """The base model's answer, with its defects."""
    if wanted in tools:
        return tools[wanted].call(values[::-1] if wanted == "send" else values)
    if rng.random() < 0.2:
        return NO_CALL
    first = next(iter(tools))
    return tools[first].call(_values(rng, first))


def _tool(rng: Random, family: Family) -> Tool:
    return Tool(rng.choice(family.names), rng.choice(family.parameters), family.types)


def _values(rng: Random, family: str) -> tuple[Any, ...]:
    if family == "add":
        return rng.randint(2, 20), rng.randint(2, 20)
    if family == "send":
        return rng.choice(NAMES), rng.choice(TOPICS)
    if family == "timer":
        return (rng.randint(2, 60),)
    if family == "weather":
        return (rng.choice(PLACES),)
    if family == "buy":
        return rng.randint(2, 20), rng.choice(THINGS)
    return rng.choice(TOPICS), rng.choice(LANGUAGES)


def _gold(tool: Tool, values: tuple[Any, ...]) -> dict[str, dict[str, list[Any]]]:
    """The accepted call in BFCL's format: every parameter with its accepted values."""
    return {tool.name: {p: [v] for p, v in zip(tool.parameters, values, strict=True)}}


TOOLS = Domain("tools", KINDS, make)
