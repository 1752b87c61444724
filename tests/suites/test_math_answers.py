"""Answers are found as documented, and compared exactly as prm800k's grader compares them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waterbed.suites import math_compare
from waterbed.suites.math_answers import (
    LONGEST,
    Equality,
    boxed,
    equality,
    final_answer,
    full_form,
    plain_form,
)

VECTORS = Path(os.environ.get("WATERBED_VECTORS", "/nonexistent")) / "math.jsonl"
needs_vectors = pytest.mark.skipif(not VECTORS.is_file(), reason="WATERBED_VECTORS is not set")

#: Pieces that formulas, LaTeX and trouble are made of.
_PIECES = r"""\frac \sqrt \text{ \left( \right) \begin{pmatrix} \end{pmatrix} \\ \boxed{ \mathbb \( \) \[ $ { } ( ) [ ]
    , . = + - * / ^ _ ! ** // 1 2 30 0.5 .5 1,000 x y pi sqrt e inf % & ~ ' " ` ; : # @ | < > ° ½ π lambda
    __class__ .real million degrees Answer:"""
PIECES = st.sampled_from([*_PIECES.split(), " ", "\n", "\x00", "\ud800", "\\", "\u2160"])


@needs_vectors
def test_every_recorded_grade_of_the_reference_is_reproduced() -> None:
    rows = [json.loads(line) for line in VECTORS.read_text("utf-8").splitlines()]
    grades = [row for row in rows if row["type"] == "grade"]
    assert len(grades) >= 1330
    wrong = [r for r in grades if equality(r["given"], r["gold"]).equal != r["correct"]]
    assert wrong == []


@pytest.mark.parametrize(
    ("given", "gold"),
    [
        ("\\dfrac12", "\\frac{1}{2}"),
        ("0.5", "\\frac{1}{2}"),
        (".5", "0.5"),
        ("x=5", "5"),
        ("5\\text{ cm}", "5"),
        ("5 cm^2", "5"),
        ("90^\\circ", "90"),
        ("1{,}000".replace("{,}", ",\\!"), "1000"),
        ("3 million", "3*10^6"),
        ("7 3/4", "31/4+0"),
        ("\\sqrt2", "\\sqrt{2}"),
        ("2x+2", "2(x+1)"),
        ("(1, 2)", "\\left(1,2\\right)"),
        ("\\text{Evelyn}", "evelyn"),
        ("1 or 2", "1,2"),
        ("12.0", "12"),
    ],
)
def test_other_forms_of_the_gold_answer_are_right(given: str, gold: str) -> None:
    assert equality(given, gold).equal


@pytest.mark.parametrize(
    ("given", "gold"),
    [
        ("\\frac{6}{112}", "\\frac{3}{56}"),
        ("284+0", "284"),
        ("[3,4]", "(3,4]"),
        ("(3,4)", "(3,4,5)"),
        ("2,1", "1,2"),
        ("\\mbox{9}", "9"),
        ("xyz=5", "5"),
        ("", "5"),
        ("a+b+c", "c+b+a"),
        ("x^{2}+1", "1+x^12"),
        ("0.333333", "\\frac{1}{3}"),
    ],
)
def test_what_the_reference_refuses_is_wrong(given: str, gold: str) -> None:
    assert not equality(given, gold).equal


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("\\boxed{1} then \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("\\boxed{\\{1,2\\}}", "\\{1,2\\}"),
        ("\\boxed {7}", "7"),
        ("$\\boxed 5$ is it", "5"),
        ("\\fbox{3}", "3"),
        ("\\boxed{}", ""),
        ("\\boxed{1} and \\boxed{2", None),
        ("\\boxedup{1}", None),
        ("no box", None),
    ],
)
def test_the_last_box_counts_and_must_close(text: str, inside: str | None) -> None:
    assert boxed(text) == inside


def test_an_answer_line_counts_where_nothing_is_boxed() -> None:
    assert final_answer("So.\nANSWER :  42 \nAnswer: 43") == "42"
    assert final_answer("Answer: 1. \\boxed{2}") == "2"
    assert final_answer("The answer is 42") is None


def test_the_two_forms_differ_as_in_the_reference() -> None:
    assert plain_form("  k=\\tfrac3{4}\\%") == "\\frac{3}{4}"
    assert full_form("x \\in \\left[-2, \\dfrac{7}{2}\\right]") == "x∈[-2,7/2]"
    assert full_form("\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}") == "[1+2;3+4]"


def test_an_answer_that_is_too_long_is_not_shown_to_be_equal() -> None:
    assert equality("5" + " " * LONGEST, "5") == Equality(False, "limit")
    assert equality("x+" * 2500 + "x", "2501*x") == Equality(False, "limit")


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{" * 300_000,
        "{" * 2_000_000,
        "\\boxed{" + "{" * 1_000_000,
        "\\boxed{" + "\\frac{" * 1_500 + "}" * 1_501,
        "\\boxed{" + "1," * 4_000 + "}",
        "\\boxed{" + "1,111," * 1_600 + "}",
        "\\boxed{" + "- " * 4_000 + "}",
        "\\boxed{" + "(" * 4_000 + ")" * 4_000 + "}",
        "Answer" + " " * 5_000_000,
        "answer: " * 600_000,
    ],
)
def test_hostile_texts_are_read_and_compared_in_bounded_time(text: str) -> None:
    began = time.process_time()
    equality(final_answer(text) or "", "\\frac{x}{2}")
    assert time.process_time() - began < 1


@pytest.fixture(scope="module")
def hasty() -> Iterator[None]:
    """From here on helpers have half a processor second, so that bombs cost no more."""
    with pytest.MonkeyPatch.context() as patch:
        math_compare.close()
        patch.setattr(math_compare, "CPU_SECONDS", 0.5)
        yield
    math_compare.close()


@pytest.mark.usefixtures("hasty")
@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join), st.sampled_from(["5", "\\frac{x}{2}", "(1,2]"]))
def test_no_text_makes_the_comparison_fail_or_last(text: str, gold: str) -> None:
    began = time.process_time()
    found = equality(text, gold)
    assert found == equality(text, gold)
    assert found.by in ("text", "form", "sympy", "timeout", "limit")
    final_answer(text)
    assert time.process_time() - began < 1
