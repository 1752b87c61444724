"""Language identification equals langdetect's with seed 0, n-gram for n-gram."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langdetect import LangDetectException, detector_factory

from waterbed.suites import ifeval_language
from waterbed.suites.ifeval_language import language

VECTORS = Path(os.environ.get("WATERBED_VECTORS") or "nowhere") / "ifeval.jsonl"

CASES = [
    "The quick brown fox jumps over the lazy dog",
    "Ein kurzer deutscher Satz, mehr nicht.",
    "Это русский текст",
    "это русский текст with some Latin words",
    "ALL CAPITALS HAVE FEW FEATURES",
    "中文和日本語のテキスト",
    "a",
    "12 34 !?",
    "  \u3000  ",
    "see http://example.org/a?b=c or write to someone@example.org",
    "a" * 9_995 + " https://" + "x" * 4_000 + " bonjour tout le monde",
    "ti\u1ec3u thuy\u1ebft Vie\u0323\u0302t",
    "\ud800\0\x1c",
]


def reference(text: str) -> tuple[str | None, list[str]]:
    detector_factory.init_factory()
    detector = detector_factory._factory.create()
    detector.seed = 0
    detector.append(text)
    try:
        found = detector.detect()
    except LangDetectException:
        found = None
    return found, detector._extract_ngrams()


def same(text: str) -> bool:
    grams = ifeval_language._grams(ifeval_language._read(text))
    return (language(text), grams) == reference(text)


@pytest.mark.parametrize("text", CASES)
def test_a_text_is_read_as_langdetect_reads_it(text: str) -> None:
    assert same(text)


@given(st.text(alphabet=" aeiouztABÉéñßşșțяюиىیअआ中ngườiあア한@.:/hp\u0301", max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_mixture_of_scripts_is_read_as_langdetect_reads_it(text: str) -> None:
    assert same(text)


@pytest.mark.skipif(not VECTORS.is_file(), reason="WATERBED_VECTORS has no ifeval.jsonl")
def test_recorded_answers_are_read_as_langdetect_reads_them() -> None:
    lines = VECTORS.read_text("utf-8").splitlines()
    texts = [row["response"] for row in map(json.loads, lines) if "response" in row]
    assert all(map(same, texts[::10]))


def test_the_verdict_is_the_same_every_time() -> None:
    assert {language("Bonjour hello hola") for _ in range(5)} == {language("Bonjour hello hola")}


def test_a_text_without_letters_has_no_language() -> None:
    assert language("1234 !!") is None
