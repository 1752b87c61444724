"""NexusBench's matching of calls: bound to Python signatures, never run.

A call is right where its function, its parameters with their defaults, and the type and the text of every
value are those of the wanted one (`FunctionCall` and `run_function_calls` of nexusflowai/NexusBench @
40928dbf, benchmarks.py). As there, a text is cut at every semicolon, also inside of quotes, every part
must be a call, and the call that ends first is compared: of `f(g(x))` that is `g(x)`.

The reference runs `eval` on the parts; here arguments are literals and calls of the listed functions, so
arithmetic and built-in functions are no call. Not here: the benchmarks and their data (nexusbench.py).
"""

from __future__ import annotations

import ast
import inspect
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..harness.records import ToolCall
from .python_source import UNREAD

Signatures: TypeAlias = Mapping[str, inspect.Signature]

#: Longest text that is read as calls, in characters.
LONGEST = 1_000_000


class NoCall(Exception):
    """The answer holds no call that can be bound."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A call with every parameter of its function."""

    name: str
    arguments: Mapping[str, Any]

    def same(self, other: Bound) -> bool:
        """Whether both are one call: equal types and equal texts of all values."""
        return (self.name, _shown(self.arguments)) == (other.name, _shown(other.arguments))


def _shown(arguments: Mapping[str, Any]) -> dict[str, tuple[type, str]]:
    try:
        return {name: (type(value), repr(value)) for name, value in arguments.items()}
    except (RecursionError, ValueError) as error:  # too deep, or a number of too many digits
        raise NoCall(f"a value that cannot be shown ({error})") from None


def signature(function: ast.FunctionDef) -> inspect.Signature:
    """The parameters of a function in another project's source.

    Raises:
        Exception: one of UNREAD; a default is no literal.
    """
    given, unset = function.args.args, inspect.Parameter.empty
    defaults = [ast.literal_eval(default) for default in function.args.defaults]
    filled = [unset] * (len(given) - len(defaults)) + defaults
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature(
        [
            inspect.Parameter(parameter.arg, kind, default=default)
            for parameter, default in zip(given, filled, strict=True)
        ]
    )


def native_call(made: ToolCall, signatures: Signatures) -> Bound:
    """A call that the backend read.

    Raises:
        NoCall: it is none of the functions, or its arguments are not theirs.
    """
    return _bound(made.name, (), native_arguments(made), signatures)


def native_arguments(made: ToolCall) -> dict[str, Any]:
    """The arguments of a call that the backend read.

    Raises:
        NoCall: they are no JSON object.
    """
    try:
        found = json.loads(made.arguments)
    except (ValueError, RecursionError):
        raise NoCall("the arguments are not JSON") from None
    if not isinstance(found, dict):
        raise NoCall("the arguments are no JSON object")
    return found


def written_call(text: str, signatures: Signatures) -> Bound:
    """The first call of a text in Python, inner calls before outer ones.

    Raises:
        NoCall: a part of the text is no call of the functions.
    """
    _check_length(text)
    done: list[Bound] = []
    for part in text.split(";"):
        if part.strip():
            _evaluated(expression(part), signatures, done)
    if not done:
        raise NoCall("no call")
    return done[0]


def _check_length(text: str) -> None:
    if len(text) > LONGEST:
        raise NoCall(f"{len(text)} characters, at most {LONGEST} are read")


def expression(text: str) -> ast.expr:
    """A text as one Python expression.

    Raises:
        NoCall: it is none, or too long.
    """
    _check_length(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a stray backslash in a model's text is no news
            return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NoCall(f"no Python ({type(error).__name__})") from None


def _evaluated(node: ast.expr, signatures: Signatures, done: list[Bound]) -> Any:
    if not isinstance(node, ast.Call):
        try:
            return ast.literal_eval(node)
        except UNREAD:
            raise NoCall(f"an argument of the kind {type(node).__name__}") from None
    if not isinstance(node.func, ast.Name):
        raise NoCall("a call of something else than a function")
    try:
        given = [_evaluated(argument, signatures, done) for argument in node.args]
        named = {k.arg: _evaluated(k.value, signatures, done) for k in node.keywords}
    except RecursionError:
        raise NoCall("calls too deep in each other") from None
    if None in named or len(named) < len(node.keywords):
        raise NoCall("an argument without a name, or two of one name")
    done.append(_bound(node.func.id, given, {str(k): v for k, v in named.items()}, signatures))
    return done[-1]


def _bound(name: str, given: Any, named: Mapping[str, Any], signatures: Signatures) -> Bound:
    if name not in signatures:
        raise NoCall(f"no function {name[:80]}")
    try:
        bound = signatures[name].bind(*given, **named)
    except TypeError as error:
        raise NoCall(str(error)[:200]) from None
    bound.apply_defaults()
    return Bound(name, dict(bound.arguments))


def named_arguments(node: ast.expr) -> set[Any] | None:
    """The arguments that a written call names; None for positional ones, or where it is no call.

    A single argument that is a dict stands for its keys: so function-calling APIs write `f(**{..})`.
    """
    if not isinstance(node, ast.Call) or node.args:
        return None
    if len(node.keywords) == 1 and isinstance(only := node.keywords[0].value, ast.Dict):
        return {key.value for key in only.keys if isinstance(key, ast.Constant)}
    return {keyword.arg for keyword in node.keywords}
