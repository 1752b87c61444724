"""Carries out what a model calls, and says what it sees then.

A tool is a function of a database and of named arguments; what it returns is the observation, as JSON
unless it is text. A call that cannot be carried out changes nothing and gives "Error: ...", as tau-bench
has it. Nothing that a model writes is ever run: arithmetic is read as a syntax tree. Not here: the tools
over the databases (airline.py, retail.py).
"""

from __future__ import annotations

import ast
import inspect
import json
import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from .database import Database, Refused

Tool: TypeAlias = Callable[..., Any]

#: Longest arguments that are read, in characters; the longest recorded ones have 1,200.
LONGEST = 20_000
#: Deepest nesting of arguments that is read; the tools' documents have 4.
DEEPEST = 32
#: Of an expression: characters, operators, and bits of an integer power.
MAX_CHARACTERS, MAX_OPERATORS, MAX_BITS = 4_000, 400, 4_096
#: Characters of a model's text that an error message shows.
_SHOWN = 200

_ARITHMETIC: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}


def read_arguments(text: str) -> Mapping[str, Any]:
    """The named arguments of a call.

    Raises:
        Refused: they are no JSON object, too long or too deep.
    """
    if len(text) > LONGEST:
        raise Refused(f"the arguments have {len(text)} characters, at most {LONGEST} are read")
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise Refused(f"the arguments are not JSON: {text[:_SHOWN]}") from None
    if not isinstance(found, dict):
        raise Refused(f"the arguments are no JSON object: {text[:_SHOWN]}")
    if _deeper(found, DEEPEST):
        raise Refused(f"the arguments are nested deeper than {DEEPEST}")
    return found


def _deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    parts = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_deeper(part, levels - 1) for part in parts)


def carry_out(
    tools: Mapping[str, Tool], database: Database, name: str, arguments: Mapping[str, Any]
) -> str:
    """Make one call and give the observation; whatever it changed is kept only if it succeeds."""
    if name not in tools:
        return f"Unknown action {name[:_SHOWN]}"
    try:
        bound = inspect.signature(tools[name]).bind(database, **arguments)
        seen = tools[name](*bound.args, **bound.kwargs)
        told = seen if isinstance(seen, str) else json.dumps(seen)
    except Exception as error:  # arguments of any type reach the tools, as in tau-bench
        database.discard()
        return f"Error: {str(error)[:_SHOWN]}"
    database.keep()
    return told


def calculate(_: Database, /, expression: str) -> str:
    """The value of an expression of numbers, + - * / and parentheses, rounded to cents."""
    if not isinstance(expression, str) or not set(expression) <= set("0123456789+-*/(). "):
        raise Refused("invalid characters in expression")
    if len(expression) > MAX_CHARACTERS:
        raise Refused("the expression is too long")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise Refused("invalid syntax in expression") from None
    if sum(isinstance(n, ast.BinOp | ast.UnaryOp) for n in ast.walk(tree)) > MAX_OPERATORS:
        raise Refused("the expression is too long")
    return str(round(float(_value(tree.body)), 2))


def _value(node: ast.AST) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.UnaryOp) and type(node.op) in _ARITHMETIC:
        return _ARITHMETIC[type(node.op)](_value(node.operand))
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Pow):
            return _power(left, right)
        if type(node.op) in _ARITHMETIC:
            return _ARITHMETIC[type(node.op)](left, right)
    raise Refused("invalid syntax in expression")


def _power(base: Any, exponent: Any) -> Any:
    """Integers stay small; the document does not name powers, but its characters can write them."""
    whole = isinstance(base, int) and isinstance(exponent, int)
    if whole and max(base.bit_length(), 1) * abs(exponent) > MAX_BITS:
        raise Refused("the power is too large")
    found = base**exponent
    if isinstance(found, complex):
        raise Refused("the power is no real number")
    return found


def think(_: Database, /, thought: str) -> str:  # noqa: ARG001
    """Nothing: the thought stands in the conversation."""
    return ""


def transfer_to_human_agents(_: Database, /, summary: str) -> str:  # noqa: ARG001
    """Ends the conversation."""
    return "Transfer successful"


def named(*own: Tool) -> Mapping[str, Tool]:
    """A domain's own tools and those that both domains have, by name."""
    return {tool.__name__: tool for tool in (*own, calculate, think, transfer_to_human_agents)}
