"""Values as tagged plain JSON, between a candidate and its test.

Scalars and lists are themselves; anything else is an object of one key, its tag. Exact builtin
types survive exactly; subclasses are reduced to their base, so no `__eq__` of the candidate's ever
reaches the test. Functions and iterators become handles that the other side calls back; whatever
is left becomes an `Opaque` token, equal to nothing.

The decoder is fed by the candidate and trusts nothing: unknown tags, wrong shapes and deep nesting
raise `BadValue`. Never pickle, never eval. Runs inside the sandbox: standard library only.
"""

from __future__ import annotations

import builtins
import json
from collections import deque
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

PLAIN = frozenset({type(None), bool, int, float, str})
MUTABLE = (list, dict, set, bytearray, deque)
#: Beyond this many bits an int travels in hexadecimal: Python refuses long decimal ones.
_LONG_INT_BITS = 8192


class BadValue(Exception):
    """Bytes that are no value, or a value that is too deep."""


class Opaque:
    """Stands for an object that cannot cross. Equal to nothing, not even itself."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<a {self.name}, which cannot be compared>"


class Encoder:
    """Python values to JSON. `export` gives a callable a number that the other side may call."""

    def __init__(self, export: Callable[[Callable[..., Any]], int], depth: int) -> None:
        self.export = export
        self.depth = depth

    def text(self, message: Any) -> bytes:
        """A message, made of lists, strings and results of `node`, as JSON bytes."""
        return json.dumps(message, separators=(",", ":")).encode()

    def node(self, value: Any, room: int | None = None) -> Any:
        """The JSON form of one value. Raises BadValue when it is nested too deeply."""
        kind = type(value)
        if kind in PLAIN:
            long = kind is int and value.bit_length() > _LONG_INT_BITS
            return {"int": hex(value)} if long else value
        if kind in _SCALARS:
            tag, write = _SCALARS[kind]
            return {tag: write(value)}
        room = self.depth if room is None else room
        if room == 0:
            raise BadValue(f"a value nested deeper than {self.depth} levels")
        if kind is list:
            return self._items(value, room)
        if kind in _CONTAINERS:
            tag, unpack = _CONTAINERS[kind]
            return {tag: self._items(unpack(value), room)}
        return self._other(value, room)

    def _items(self, values: list[Any], room: int) -> list[Any]:
        if PLAIN.issuperset(map(type, values)) and not any(map(_is_long_int, values)):
            return values
        return [self.node(value, room - 1) for value in values]

    def _other(self, value: Any, room: int) -> Any:
        for base, reduce in _BASES:
            if isinstance(value, base):
                return self.node(reduce(value), room)
        if isinstance(value, type):
            builtin = getattr(builtins, value.__name__, None) is value
            return {"type" if builtin else "opaque": value.__name__[:80]}
        if _is_numpy_scalar(type(value)):
            return self.node(value.item(), room - 1)
        if isinstance(value, Iterator):
            return {"iterator": self.export(value.__next__)}
        if callable(value):
            return {"function": self.export(value)}
        return {"opaque": type(value).__name__[:80]}


class Decoder:
    """JSON to Python values. `remote` makes a callable of the other side's number."""

    def __init__(self, remote: Callable[[int], Callable[..., Any]], depth: int) -> None:
        self.remote = remote
        self.depth = depth

    def parse(self, data: bytes) -> Any:
        """JSON bytes to the nodes they hold; nothing but JSON types come out."""
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise BadValue(f"not a frame: {type(error).__name__}") from None

    def value(self, node: Any) -> Any:
        """The value of one node; raises BadValue on anything malformed."""
        try:
            return self._value(node, self.depth + 1)
        except (ValueError, TypeError, KeyError, ArithmeticError, AttributeError) as error:
            raise BadValue(f"not a value: {type(error).__name__}") from None

    def _value(self, node: Any, room: int) -> Any:
        if type(node) is list:
            return self._items(node, room)
        if type(node) is not dict:
            return node
        ((tag, body),) = node.items()
        if tag in _READ_SCALAR:
            return _READ_SCALAR[tag](body)
        if tag == "function":
            return self.remote(body)
        if tag == "iterator":
            return self._iterate(self.remote(body))
        return _READ_CONTAINER[tag](self._items(body, room))

    def _items(self, nodes: Any, room: int) -> list[Any]:
        if type(nodes) is not list or room == 0:
            raise BadValue(f"no list, or one nested deeper than {self.depth} levels")
        if PLAIN.issuperset(map(type, nodes)):
            return nodes.copy()
        return [self._value(node, room - 1) for node in nodes]

    def _iterate(self, following: Callable[[], Any]) -> Iterator[Any]:
        while True:
            try:
                item = following()
            except StopIteration:
                return
            yield item


def _is_long_int(value: Any) -> bool:
    return type(value) is int and value.bit_length() > _LONG_INT_BITS


def _is_numpy_scalar(kind: type) -> bool:
    return any(base.__module__ == "numpy" and base.__name__ == "generic" for base in kind.__mro__)


def _flat(value: dict[Any, Any]) -> list[Any]:
    return [part for pair in value.items() for part in pair]


def _pairs(flat: list[Any]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _builtin_type(name: Any) -> type:
    found = getattr(builtins, name)
    if not isinstance(found, type):
        raise BadValue("a builtin that is no type")
    return found


#: kind -> (tag, value to JSON), for kinds that hold no other values.
_SCALARS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    bytes: ("bytes", lambda v: v.decode("latin-1")),
    bytearray: ("bytearray", lambda v: v.decode("latin-1")),
    complex: ("complex", lambda v: [v.real, v.imag]),
    Decimal: ("decimal", str),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    datetime: ("datetime", datetime.isoformat),
    timedelta: ("timedelta", lambda v: [v.days, v.seconds, v.microseconds]),
    type(...): ("ellipsis", lambda _: None),
}
_READ_SCALAR: dict[str, Callable[[Any], Any]] = {
    "int": lambda body: int(body, 16),
    "bytes": lambda body: body.encode("latin-1"),
    "bytearray": lambda body: bytearray(body.encode("latin-1")),
    "complex": lambda body: complex(*map(float, body)),
    "decimal": Decimal,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "datetime": datetime.fromisoformat,
    "timedelta": lambda body: timedelta(*body),
    "ellipsis": lambda _: ...,
    "type": _builtin_type,
    "opaque": lambda body: Opaque(str(body)[:80]),
}

#: kind -> (tag, value to the list of values it is made of); and back.
_CONTAINERS: dict[type, tuple[str, Callable[[Any], list[Any]]]] = {
    tuple: ("tuple", list),
    set: ("set", list),
    frozenset: ("frozenset", list),
    dict: ("dict", _flat),
    deque: ("deque", lambda v: [v.maxlen, *v]),
    range: ("range", lambda v: [v.start, v.stop, v.step]),
    Fraction: ("fraction", lambda v: [v.numerator, v.denominator]),
}
_READ_CONTAINER: dict[str, Callable[[list[Any]], Any]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "dict": _pairs,
    "deque": lambda items: deque(items[1:], items[0]),
    "range": lambda items: range(*items),
    "fraction": lambda items: Fraction(*items),
}

#: Subclasses of these are honest uses (Counter, namedtuple, IntEnum); they cross as their base.
_BASES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__index__),
    (float, float.__float__),
    (list, list),
    (tuple, tuple),
    (dict, lambda v: dict(v.items())),
    (set, set),
    (frozenset, frozenset),
    (bytes, bytes),
    (type({}.keys()), set),
    (type({}.items()), set),
    (type({}.values()), iter),
)
