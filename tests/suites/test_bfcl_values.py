"""Java and JavaScript values become what BFCL makes of them; any other text stays a text."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterbed.suites.bfcl_values import (
    JAVA_TYPES,
    JAVASCRIPT_TYPES,
    LONGEST,
    java_value,
    javascript_value,
)


@pytest.mark.parametrize(
    ("text", "kind", "items", "value"),
    [
        ("-12", "integer", None, -12),
        ("12L", "integer", None, "12L"),
        ("12L", "long", None, 12),
        ("12", "long", None, "12"),
        ("2.5f", "float", None, 2.5),
        ("2.5", "float", None, "2.5"),
        ("3e2", "double", None, 300.0),
        ("true", "boolean", None, True),
        ("True", "boolean", None, "True"),
        ("'c'", "char", None, "'c'"),
        ("new int[]{1, 2}", "Array", "integer", [1, 2]),
        ('new String[]{"a"}', "Array", "String", ['"a"']),
        ('new ArrayList<String>(Arrays.asList("a", "b"))', "ArrayList", "String", ["a", "b"]),
        ("new ArrayList<Long>() {{ add(1L); add(2); }}", "ArrayList", "long", [1, "2"]),
        ("new ArrayList<>()", "ArrayList", "any", []),
        (
            'new HashMap<String, Object>() {{ put("k", 1); put("b", true); put("s", "x"); }}',
            "HashMap",
            None,
            {"k": 1, "b": True, "s": "x"},
        ),
        ("new HashMap<>()", "HashMap", None, {}),
        ("nothing", "HashMap", None, "nothing"),
        ("9" * 5000, "integer", None, "9" * 5000),
        ("new HashSet<>()", "Set", None, "new HashSet<>()"),
    ],
)
def test_java(text: str, kind: str, items: str | None, value: object) -> None:
    assert repr(java_value(text, kind, items)) == repr(value)


@pytest.mark.parametrize(
    ("text", "kind", "items", "value"),
    [
        ("'a'", "String", None, "a"),
        ("a", "String", None, "a"),
        ("7", "integer", None, 7),
        ("7n", "Bigint", None, 7),
        ("7", "float", None, 7.0),
        ("false", "Boolean", None, False),
        ("[1, 2]", "array", "integer", [1, 2]),
        ("['a', 'b']", "array", "String", ["a", "b"]),
        ("new Array(1, 2)", "array", "integer", [1, 2]),
        ("[[1, 2], [3]]", "array", None, [[1, 2], [3]]),
        ("new Array([1], ['b'])", "array", None, [[1], ["b"]]),
        ("[]", "array", "String", []),
        ("{k: 1, 'b': true}", "dict", None, {"k": 1, "b": True}),
        ("{k: [1, 2], s: 'x'}", "dict", None, {"k": [1, 2], "s": "x"}),
        ("{}", "dict", None, {}),
        ("() => 1", "any", None, "() => 1"),
    ],
)
def test_javascript(text: str, kind: str, items: str | None, value: object) -> None:
    assert repr(javascript_value(text, kind, items)) == repr(value)


HOSTILE = (
    "new HashMap<",
    "new HashMap<>() {{ " + " " * 9000,
    'put("a",',
    "new ArrayList<>() {{" + " " * 9000,
    "add(",
    "new x[]{",
    "[[a],",
    "{a:",
    "a,b:",
    "9",
    "new ",
)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("items", ["any", None])
def test_hostile_values_are_read_in_bounded_time(text: str, items: str | None) -> None:
    repeated = (text * LONGEST)[:LONGEST]
    began = time.monotonic()
    for kind in JAVA_TYPES:
        java_value(repeated, kind, items)
    for kind in JAVASCRIPT_TYPES:
        javascript_value(repeated, kind, items)
    assert time.monotonic() - began < 3


CODE = st.text(alphabet="newArryListHshMp<>()[]{},:;'\"1.fLn \n")


@given(CODE, st.sampled_from([*JAVA_TYPES, *JAVASCRIPT_TYPES]), st.sampled_from([None, "any", "x"]))
def test_any_text_has_a_value(text: str, kind: str, items: Any) -> None:
    java_value(text, kind, items)
    javascript_value(text, kind, items)
    for opened in ("new ArrayList<>() {{", "new HashMap<>() {{", "[[", "{"):
        java_value(opened + text + "}}", "ArrayList", items)
        java_value(opened + text + "}}", "HashMap", items)
        javascript_value(opened + text + "]]", "array", items)
        javascript_value(opened + text + "}", "dict", items)
