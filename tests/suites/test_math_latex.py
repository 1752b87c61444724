"""LaTeX becomes the text that pylatexenc 2.10 makes of it; expected texts were taken from it."""

from __future__ import annotations

import time

import pytest

from waterbed.suites.math_latex import latex_to_text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("\\frac{\\pi}{2}", "π/2"),
        ("\\frac12", "1/2"),
        ("\\frac{1}2x", "1/2x"),
        ("\\sqrt[3]{2}", "√(2)"),
        ("\\sqrt2", "√(2)"),
        ("\\sqrt\\frac12", "√(%s/%s)12"),
        ("\\frac{1}", "%s/%s1"),
        ("a \\cdot b", "a ·b"),
        ("\\text{ab} c", "ab c"),
        ("\\mbox{9}", ""),
        ("\\unknown{9}", "9"),
        ("\\left( x \\right]", "( x ]"),
        ("\\{1\\}", "{1}"),
        ("{1} {2}", "1 2"),
        ("\\({1} {2}\\)", "12"),
        ("\\(\\pi 2\\)", "π 2"),
        ("}1{2", "12"),
        ("\\mathbb{R}x", "ℝx"),
        ("\\mathbf{v}", "𝐯"),
        ("\\overline{AB}", "AB"),
        ("\\bar x", "x̅"),
        ("--1~2", "–1\u00a02"),
        ("1,\\!000\\;m", "1,000 m"),
        ("\\begin{pmatrix} 1 & -20 \\\\[2pt] 3 & 4 \\end{pmatrix}", "[   1 -20;   3   4 ]"),
        ("\\begin{cases}1 & 2\\end{cases}", "1     2"),
        ("\\begin{align*}x\\\\y\\end{align*}", "\n    x\n    y\n"),
        ("\\begin{array}{cc}1&2\\end{array}", "[ 1 2 ]"),
        ("\\textcolor{red}{5}", "5"),
        ("x\\", "x"),
        ("\\end{x}1", "1"),
        ("\\begin 1", "\\begin 1"),
    ],
)
def test_latex_reads_as_in_the_reference(source: str, text: str) -> None:
    assert latex_to_text(source) == text


@pytest.mark.parametrize("source", ["\\sqrt", "\\frac\\sqrt2", "\\begin{pmatrix}\\end{pmatrix}"])
def test_what_the_reference_cannot_read_is_an_error(source: str) -> None:
    with pytest.raises(ValueError, match=r"lacks|no cells"):
        latex_to_text(source)


@pytest.mark.parametrize("opening", ["{", "\\frac{", "\\(", "\\begin{x}", "\\sqrt[", "\\\\["])
def test_nesting_is_bounded(opening: str) -> None:
    with pytest.raises(ValueError, match="100 deep"):
        latex_to_text(opening * 5000)


@pytest.mark.parametrize(
    "source",
    ["\\frac" * 20_000, "}" * 100_000, "\\" * 100_001, "- " * 50_000, "\\alpha \n\n" * 9999],
)
def test_long_sources_take_linear_time(source: str) -> None:
    began = time.process_time()
    latex_to_text(source)
    assert time.process_time() - began < 2
