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

    def text(self, value: Any) -> bytes:
        """`value`, made of lists, strings and `node` results, as JSON bytes."""
        return json.dumps(value, separators=(",", ":")).encode()

    def node(self, value: Any, room: int | None = None) -> Any:
        """The JSON form of one value. Raises BadValue when it is nested too deeply."""
        kind = type(value)
        if kind in PLAIN:
            if kind is int and value.bit_length() > _LONG_INT_BITS:
                return {"i": hex(value)}
            return value
        room = self.depth if room is None else room
        if room == 0:
            raise BadValue(f"a value nested deeper than {self.depth} levels")
        if kind is list:
            return self._items(value, room)
        writer = _WRITERS.get(kind)
        return writer(self, value, room) if writer else self._other(value, room)

    def _items(self, values: Any, room: int) -> list[Any]:
        values = list(values)
        if PLAIN.issuperset(map(type, values)) and not _long_ints(values):
            return values
        return [self.node(value, room - 1) for value in values]

    def _pairs(self, value: Any, room: int) -> Any:
        return {"d": self._items([x for pair in value.items() for x in pair], room)}

    def _other(self, value: Any, room: int) -> Any:
        for base, reduce in _BASES:
            if isinstance(value, base):
                return self.node(reduce(value), room)
        if isinstance(value, type):
            builtin = getattr(builtins, value.__name__, None) is value
            return {"k": value.__name__} if builtin else self._opaque(value)
        if _is_numpy_scalar(type(value)):
            return self.node(value.item(), room - 1)
        if isinstance(value, Iterator):
            return {"I": self.export(value.__next__)}
        return {"F": self.export(value)} if callable(value) else self._opaque(value)

    def _opaque(self, value: Any) -> Any:
        return {"o": type(value).__name__[:80]}


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
        except BadValue:
            raise
        except (ValueError, TypeError, KeyError, ArithmeticError, AttributeError) as error:
            raise BadValue(f"not a value: {type(error).__name__}") from None

    def _value(self, node: Any, room: int) -> Any:
        if type(node) is list:
            return self._items(node, room)
        if type(node) is not dict:
            return node
        ((tag, body),) = node.items()
        return _READERS[tag](self, body, room)

    def _items(self, nodes: Any, room: int) -> list[Any]:
        if type(nodes) is not list:
            raise BadValue("not a value: no list")
        if room == 0:
            raise BadValue(f"a value nested deeper than {self.depth} levels")
        if PLAIN.issuperset(map(type, nodes)):
            return nodes.copy()
        return [self._value(node, room - 1) for node in nodes]

    def _iterate(self, handle: int) -> Iterator[Any]:
        following = self.remote(handle)
        while True:
            try:
                item = following()
            except StopIteration:
                return
            yield item


def _long_ints(values: list[Any]) -> bool:
    return any(type(v) is int and v.bit_length() > _LONG_INT_BITS for v in values)


def _is_numpy_scalar(kind: type) -> bool:
    return any(base.__module__ == "numpy" and base.__name__ == "generic" for base in kind.__mro__)


def _pairs(flat: list[Any]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


_MOMENTS: dict[str, Any] = {"datetime": datetime, "date": date, "time": time}

_WRITERS: dict[type, Callable[[Encoder, Any, int], Any]] = {
    tuple: lambda e, v, room: {"t": e._items(v, room)},
    set: lambda e, v, room: {"s": e._items(v, room)},
    frozenset: lambda e, v, room: {"f": e._items(v, room)},
    deque: lambda e, v, room: {"Q": [e._items(v, room), v.maxlen]},
    dict: Encoder._pairs,
    bytes: lambda e, v, room: {"b": v.decode("latin-1")},
    bytearray: lambda e, v, room: {"B": v.decode("latin-1")},
    complex: lambda e, v, room: {"c": [v.real, v.imag]},
    range: lambda e, v, room: {"r": [e.node(x) for x in (v.start, v.stop, v.step)]},
    Fraction: lambda e, v, room: {"q": [e.node(v.numerator), e.node(v.denominator)]},
    Decimal: lambda e, v, room: {"D": str(v)},
    timedelta: lambda e, v, room: {"S": [v.days, v.seconds, v.microseconds]},
    type(...): lambda e, v, room: {"k": "Ellipsis"},
    **{kind: lambda e, v, room: {"T": [type(v).__name__, v.isoformat()]} for kind in (date, time)},
    datetime: lambda e, v, room: {"T": ["datetime", v.isoformat()]},
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

_READERS: dict[str, Callable[[Decoder, Any, int], Any]] = {
    "t": lambda d, b, room: tuple(d._items(b, room)),
    "s": lambda d, b, room: set(d._items(b, room)),
    "f": lambda d, b, room: frozenset(d._items(b, room)),
    "Q": lambda d, b, room: deque(d._items(b[0], room), b[1]),
    "d": lambda d, b, room: _pairs(d._items(b, room)),
    "b": lambda d, b, room: b.encode("latin-1"),
    "B": lambda d, b, room: bytearray(b.encode("latin-1")),
    "c": lambda d, b, room: complex(float(b[0]), float(b[1])),
    "r": lambda d, b, room: range(*d._items(b, room)),
    "q": lambda d, b, room: Fraction(*d._items(b, room)),
    "D": lambda d, b, room: Decimal(b),
    "S": lambda d, b, room: timedelta(*b),
    "T": lambda d, b, room: _MOMENTS[b[0]].fromisoformat(b[1]),
    "i": lambda d, b, room: int(b, 16),
    "k": lambda d, b, room: _builtin(b),
    "F": lambda d, b, room: d.remote(b),
    "I": lambda d, b, room: d._iterate(b),
    "o": lambda d, b, room: Opaque(str(b)[:80]),
}


def _builtin(name: str) -> Any:
    value = getattr(builtins, name)
    if value is not ... and not isinstance(value, type):
        raise BadValue(f"not a value: builtin {name[:80]!r}")
    return value
