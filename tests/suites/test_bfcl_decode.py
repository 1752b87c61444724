"""Calls written as source text are read as the reference reads them, whatever the text is."""

from __future__ import annotations

import ast
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waterbed.harness.errors import UsageError
from waterbed.suites import bfcl_decode
from waterbed.suites.bfcl_decode import NotCalls, written_calls

VECTORS = Path(os.environ.get("WATERBED_VECTORS", "")) / "bfcl.jsonl"
LANGUAGES = ("python", "java", "javascript")


def read(text: str, language: Any = "python") -> list[dict[Any, Any]] | None:
    try:
        return written_calls(text, language)
    except NotCalls:
        return None


def parsers(language: str) -> None:
    if language != "python":
        pytest.importorskip("tree_sitter_java", reason="needs the extra bfcl")


@pytest.mark.skipif(not os.environ.get("WATERBED_VECTORS"), reason="needs WATERBED_VECTORS")
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_answer_is_read_as_the_reference_reads_it(language: str) -> None:
    parsers(language)
    rows = [json.loads(line) for line in VECTORS.read_text("utf-8").splitlines()]
    rows = [r for r in rows if r["type"] == "decode" and r["language"] == language]
    assert len(rows) >= 8
    for row in rows:
        found = read(row["text"], language)
        wanted = ast.literal_eval(row["decoded"]) if "decoded" in row else None
        assert repr(found) == repr(wanted), row
        if wanted is not None:
            assert row["is_function_calling_format"]
        assert bool(found) == row.get("relevance_valid", bool(found)), row


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("f(a=2*3+1)", 7),
        ("f(a='a'*3)", "aaa"),
        ("f(a=(1+2)*-1)", -3),
        ("f(a=not True)", -1),
        ("f(a=...)", "..."),
        (r"f(a='\d')", r"\d"),
    ],
)
def test_constants_are_computed(text: str, value: object) -> None:
    assert read(text) == [{"f": {"a": value}}]


@pytest.mark.parametrize(
    "text",
    [
        "f(a=9**9**9)",
        "f(a=1<<99999999)",
        "f(a='x'*10**9)",
        "f(a='%999999999d' % 1)",
        "f(a=1/0)",
        "f(a=__import__('os').getcwd()+'')",
        "f(a=open('/etc/passwd')+'')",
        "f(a=lambda: 1)",
        "f(a=[x for x in y])",
        "f(a={**b})",
        "f(a={[1]: 2})",
    ],
)
def test_what_would_run_or_fill_the_memory_is_no_call(text: str) -> None:
    assert read(text) is None


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "f(a=" + "-" * 100_000 + "1)",
        "a" + ".a" * 100_000 + "(x=1)",
        "f(a=" + "1+" * 100_000 + "1)",
        "f(a={{{{" * 10_000,
        'f(a=];}/*"' * 2_000,
        "f(a=1)" * 300_000,
        "f(a='\ud800\0')",
    ],
)
def test_hostile_answers_are_read_in_bounded_time(text: str, language: str) -> None:
    parsers(language)
    began = time.monotonic()
    read(text, language)
    assert time.monotonic() - began < 5


def test_ten_thousand_calls_in_one_answer_are_read() -> None:
    found = read(", ".join(f"f(a={n})" for n in range(10_000)))
    assert found is not None
    assert (len(found), found[-1]) == (10_000, {"f": {"a": 9_999}})


@given(st.text(), st.sampled_from(LANGUAGES))
def test_any_text_is_calls_or_is_not(text: str, language: str) -> None:
    parsers(language)
    for call in read(text, language) or []:
        ((_, arguments),) = call.items()
        assert isinstance(arguments, dict)


@given(st.text(alphabet="f(a=1)[]{},'\"-+*.: \n"), st.sampled_from(LANGUAGES))
def test_texts_that_nearly_are_calls_do_no_harm(text: str, language: str) -> None:
    parsers(language)
    read(f"f(a={text})", language)


def test_without_the_parsers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    bfcl_decode._parser.cache_clear()
    monkeypatch.setitem(sys.modules, "tree_sitter_java", None)
    with pytest.raises(UsageError, match=r"waterbed\[bfcl\]"):
        written_calls("A.b(x=1, y=2)", "java")
