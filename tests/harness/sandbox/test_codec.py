"""Values cross exactly or not at all, and nothing hostile survives the decoder."""

from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict, deque, namedtuple
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterbed.harness.sandbox.codec import BadValue, Decoder, Encoder, Opaque


def _cross(value: Any, depth: int = 100) -> Any:
    exports: list[Any] = []

    def export(function: Any) -> int:
        exports.append(function)
        return len(exports) - 1

    encoder = Encoder(export, depth)
    decoder = Decoder(lambda number: exports[number], depth)
    return decoder.value(decoder.parse(encoder.text(encoder.node(value))))


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.fractions()
    | st.decimals(allow_nan=False)
    | st.dates()
    | st.times()
    | st.datetimes()
    | st.timedeltas()
)
KEYS = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.fractions()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(KEYS | st.tuples(KEYS, KEYS), inner)
        | st.sets(KEYS)
        | st.frozensets(KEYS)
        | st.lists(inner).map(deque)
    ),
    max_leaves=20,
)


def _same(left: Any, right: Any) -> bool:
    """Equal, of equal type, all the way down."""
    if type(left) is not type(right) or left != right:
        return False
    if isinstance(left, dict):
        return all(map(_same, left.items(), right.items()))
    return not isinstance(left, (list, tuple, deque)) or all(map(_same, left, right))


@given(VALUES)
def test_builtin_values_cross_with_their_exact_types(value: Any) -> None:
    assert _same(value, _cross(value))


@pytest.mark.parametrize(
    "value",
    [range(3, 9, 2), ..., int, dict, 1 << 100_000, [1 << 100_000, 2], "\ud800", bytearray(b"\xff")],
    ids=["range", "ellipsis", "int", "dict", "long", "longs", "surrogate", "bytearray"],
)
def test_odd_builtins_cross_too(value: Any) -> None:
    assert _same(value, _cross(value))


def test_nan_and_signed_zero_keep_their_nature() -> None:
    assert math.isnan(_cross([float("nan")])[0])
    assert math.copysign(1, _cross(-0.0)) == -1


def test_subclasses_are_reduced_to_their_base() -> None:
    point = namedtuple("point", "x y")
    color = IntEnum("color", "RED")
    crossed = _cross([Counter("aab"), OrderedDict(z=1), point(1, 2), color.RED])
    assert crossed == [{"a": 2, "b": 1}, {"z": 1}, (1, 2), 1]
    assert [type(value) for value in crossed] == [dict, dict, tuple, int]


def test_what_cannot_cross_equals_nothing() -> None:
    class Liar:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    crossed = _cross(Liar())
    assert isinstance(crossed, Opaque)
    assert crossed != 1
    assert crossed != crossed
    with pytest.raises(TypeError):
        hash(crossed)


def test_functions_and_iterators_cross_as_callbacks() -> None:
    assert _cross(len)([1, 2]) == 2
    assert list(_cross(iter([1, (2,)]))) == [1, (2,)]


def test_too_deep_a_value_is_refused_on_both_sides() -> None:
    value: list[Any] = []
    for _ in range(200):
        value = [value]
    with pytest.raises(BadValue, match="deeper than 100"):
        _cross(value)
    decoder = Decoder(lambda _: print, 100)
    with pytest.raises(BadValue):
        decoder.value(decoder.parse(json.dumps(value).encode()))
    with pytest.raises(BadValue):
        decoder.parse(b"[" * 2_000_000)


@pytest.mark.parametrize(
    "node",
    [
        {"type": "eval"},
        {"type": "__import__"},
        {"type": "no_such"},
        {"unknown": 1},
        {},
        {"tuple": [1], "set": [2]},
        {"tuple": 5},
        {"dict": [1]},
        {"set": [[1]]},
        {"int": "zz"},
        {"bytes": "\u1234"},
        {"complex": ["x"]},
        {"range": ["a"]},
        {"fraction": [1, 0]},
        {"decimal": "x"},
        {"date": "2020-99-99"},
        {"datetime": 5},
        {"timedelta": [10**30]},
        {"deque": [-1]},
    ],
)
def test_malformed_nodes_are_refused(node: Any) -> None:
    with pytest.raises(BadValue):
        Decoder(lambda _: print, 100).value(node)


@given(
    st.recursive(
        SCALARS.filter(lambda v: isinstance(v, (int, str, float, bool, type(None)))),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_a_value_or_refused(node: Any) -> None:
    decoder = Decoder(lambda _: print, 100)
    try:
        decoder.value(json.loads(json.dumps(node)))
    except BadValue:
        return


def test_moments_keep_their_time_zone() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=2)))
    assert _cross(moment).isoformat() == moment.isoformat()
    values = [date(2026, 1, 2), time(1, 2), Decimal("1.10"), Fraction(1, 3)]
    assert _cross(values) == values
