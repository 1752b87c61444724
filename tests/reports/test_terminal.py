"""The terminal says what the page says, in eighty columns, and starts fast."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from types import ModuleType

import pytest
from rich.console import Console

from waterbed.harness.verdict import Verdict
from waterbed.reports.figures import count, interval, points, size
from waterbed.reports.terminal import print_verdict
from waterbed.reports.wording import first_line

KINDS = ("verdict", "inconclusive", "green", "invalid")


def shown(verdict: Verdict, width: int = 80) -> str:
    out = io.StringIO()
    print_verdict(verdict, Console(file=out, width=width, color_system=None))
    return out.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_line_is_the_shape_and_the_sentence(examples: ModuleType, kind: str) -> None:
    verdict = getattr(examples, kind)()
    first = shown(verdict).splitlines()[0]
    assert first[2:].startswith(first_line(verdict))
    assert first[0] in "▼□●✕"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [80, 140])
def test_every_claim_has_its_figures_on_one_line(
    examples: ModuleType, kind: str, width: int
) -> None:
    verdict = getattr(examples, kind)()
    lines = shown(verdict, width).splitlines()
    for domain in verdict.domain_list:
        c = domain.comparison
        figures = [points(c.delta), interval(c.low, c.high), count(c.n), size(domain.blind_spot)]
        assert any(
            line.strip().startswith(domain.id) and all(f in line for f in figures) for line in lines
        )


def test_a_regression_is_followed_by_its_rule_and_the_command(examples: ModuleType) -> None:
    text = shown(examples.verdict())
    assert "code must not lose 5.0 points" in text
    assert "Again: waterbed gate" in text


def test_a_required_claim_that_is_missing_is_named(examples: ModuleType) -> None:
    assert "safety/unsafe is required and missing." in shown(examples.inconclusive())


def test_a_toy_model_is_called_one(examples: ModuleType) -> None:
    assert shown(examples.inconclusive()).splitlines()[0].endswith("(toy model)")
    assert "toy" not in shown(examples.green())


def test_markup_and_control_characters_are_shown_not_obeyed(examples: ModuleType) -> None:
    hostile = "[bold]\x1b[31mred\u202e"
    text = shown(examples.verdict(sentence=hostile, problems=(hostile,), command=hostile))
    assert "\x1b" not in text and "\u202e" not in text
    assert text.count("[bold]␛[31mred⟨U+202E⟩") == 3


def test_without_color_the_words_still_carry_the_verdict(examples: ModuleType) -> None:
    text = shown(examples.verdict())
    assert re.search(r"^ ?code .*▼ regressed", text, re.MULTILINE)


def test_importing_it_loads_neither_rich_nor_anything_heavy() -> None:
    heavy = ("rich", "jinja2", "pandas", "torch", "scipy")
    check = (
        f"import waterbed.reports.terminal, sys; print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
