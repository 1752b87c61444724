"""sympy decides in a process of its own that can neither hang nor harm the caller."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from waterbed.harness.errors import InstrumentError
from waterbed.suites import math_compare
from waterbed.suites.math_compare import close, compare


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Helpers of this test have a third of a processor second."""
    close()
    compare.cache_clear()
    monkeypatch.setattr(math_compare, "CPU_SECONDS", 0.3)
    yield
    close()
    compare.cache_clear()


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ("x+1", "1+x", "equal"),
        ("2x", "x*2", "equal"),
        ("sqrt(8)", "2sqrt(2)", "equal"),
        ("x", "y", "different"),
        ("3/2", "1.5", "equal"),
        ("x+", "x+", "different"),
        ("x", "\ud800", "different"),
        ("6+9i", "6+9i.0", "different"),
    ],
)
def test_differences_are_simplified(a: str, b: str, verdict: str) -> None:
    assert compare(((a, b),)) == verdict


def test_all_pairs_must_be_equal() -> None:
    assert compare((("x", "x+0"), ("y", "y*1"))) == "equal"
    assert compare((("x", "x+0"), ("y", "z"))) == "different"


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("bomb", ["10**10**10", "x+(10**9)!", "(x+y)**90000/x"])
def test_a_bomb_times_out_and_the_next_question_is_answered(bomb: str) -> None:
    began = time.monotonic()
    assert compare((("x", bomb),)) == "timeout"
    assert compare((("x+x", "2x"),)) == "equal"
    assert time.monotonic() - began < 30


def test_a_formula_that_needs_much_memory_is_over_the_limit() -> None:
    assert compare((("x", "1*[x]*9**12"),)) == "limit"
    assert compare((("x", "x" * 5000),)) == "limit"


@pytest.mark.parametrize(
    "code",
    [
        "().__class__",
        "x.a()",
        "1..real",
        "1.5.real",
        "x1.a",
        "x .\na",
        "'a'",
        '"a"',
        "a\\n",
        "\u2170\u2171",
    ],
)
def test_python_that_is_no_formula_never_reaches_sympy(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(math_compare, "_borrow", lambda: pytest.fail("a helper was asked"))
    assert compare(((code, code),)) == "different"


def test_decimals_are_no_attributes() -> None:
    assert compare((("2.x+.5", "x*2.0+0.5"),)) == "equal"


def test_a_helper_that_cannot_start_is_the_instruments_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    close()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(InstrumentError, match="did not start"):
        compare((("x+3", "3+x"),))


def test_nothing_is_left_behind_after_time_outs_and_at_the_end() -> None:
    program = """
import os, threading
from waterbed.suites import math_compare
math_compare.CPU_SECONDS = 0.3
assert math_compare.compare((("x", "10**10**10"),)) == "timeout"
assert math_compare.compare((("x+x", "2x"),)) == "equal"
assert threading.active_count() == 1
math_compare.close()
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no children")
assert math_compare.compare((("x+y", "y+x"),)) == "equal"
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("no children\n", "", 0)
