"""What counts as the right result of an EvalPlus problem (Liu et al., 2023, arXiv:2305.01210; rules of v0.3.1).

This file's text is the head of every test that suites/evalplus.py sends to the sandbox: it runs there, beside
the reference solution and away from the program under test. Standard library only. Differences from the
authors' comparison: numpy's allclose is done by hand and without broadcasting, and arrays are not
known, for none can cross from a program to its test.
"""

from __future__ import annotations

import cmath
import copy
import json
import math
from collections.abc import Callable
from typing import Any

#: Relative tolerance of every inexact comparison, numpy's default in assert_allclose.
RTOL = 1e-7
#: Absolute tolerance where the problem names none and the expected result is made of floats.
FLOAT_ATOL = 1e-6
#: MBPP+ problems whose result is compared as a set, and those where only None or not None matters.
AS_SETS = frozenset(
    [
        *("similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly"),
        *("larg_nnum", "intersection_array", "find_dissimilar", "Diff"),
    ]
)
NOT_NONE = frozenset(["check_str", "text_match_three", "text_starta_endb"])


def judge(problem: dict[str, Any], candidate: Callable[..., Any]) -> None:
    """Compare the candidate's results with the reference solution's, input by input.

    Raises AssertionError at the first difference. Where the reference solution itself fails, returns without a
    call, which the sandbox takes as a broken test and not as the program's fault.
    """
    try:
        inputs = restored(problem["task_id"], problem["inputs"])
        expected = _reference_results(problem, inputs)
    except Exception:  # any failure of the reference is the data's
        return
    for number, (args, wanted) in enumerate(zip(inputs, expected, strict=True)):
        got = candidate(*copy.deepcopy(args))
        assert right(problem, args, got, wanted), f"input {number}: wrong result"


def _reference_results(problem: dict[str, Any], inputs: list[Any]) -> list[Any]:
    names: dict[str, Any] = {"__name__": "reference"}
    exec(problem["solution"], names)
    reference = names[problem["entry_point"]]
    results = [reference(*copy.deepcopy(args)) for args in inputs]
    if problem["entry_point"] in NOT_NONE and problem["task_id"].startswith("Mbpp/"):
        return [result is not None for result in results]
    return results


def right(problem: dict[str, Any], args: Any, got: Any, wanted: Any) -> bool:
    """Whether a result counts, by the problem's own rule where it has one."""
    entry, atol = problem["entry_point"], problem["atol"]
    if problem["task_id"].startswith("HumanEval/") and entry == "find_zero":
        return bool(abs(_polynomial(args[0], got)) <= atol)
    same = bool(got == wanted)
    if problem["task_id"].startswith("Mbpp/"):
        same = _mbpp_right(entry, args, got, wanted, same, atol)
    if atol == 0 and _floats(wanted):
        atol = FLOAT_ATOL
    if same or atol == 0:
        return same
    return type(got) is type(wanted) and close(got, wanted, atol)


def _mbpp_right(entry: str, args: Any, got: Any, wanted: Any, same: bool, atol: float) -> bool:
    if entry == "are_equivalent":
        return True
    if entry == "sum_div":
        return same or bool(got == 0)
    if entry == "surface_Area":
        return same or abs(got - _pyramid_surface(*args)) <= atol
    if entry == "digit_distance_nums":
        return same or bool(got == _digit_distance(*args))
    if entry in AS_SETS:
        return set(got) == set(wanted)
    if entry in NOT_NONE:
        return bool(wanted == (got if isinstance(got, bool) else got is not None))
    return same


def _polynomial(coefficients: list[float], x: float) -> float:
    return sum(c * math.pow(x, power) for power, c in enumerate(coefficients))


def _pyramid_surface(base: float, height: float) -> int:
    """Surface of a square pyramid whose height is that of its tip, where the reference means a side's."""
    return round(base**2 + 2 * base * math.sqrt((base / 2) ** 2 + height**2))


def _digit_distance(left: int, right: int) -> int:
    """Sum of the differences digit by digit, the shorter number filled with zeros."""
    texts = (str(left), str(right))
    width = max(map(len, texts))
    pairs = zip(*(text.zfill(width) for text in texts), strict=True)
    return sum(abs(int(a) - int(b)) for a, b in pairs)


def _floats(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def close(got: Any, wanted: Any, atol: float) -> bool:
    """|got - wanted| <= atol + RTOL |wanted|, through lists and tuples; infinities must be equal.

    Raises:
        TypeError: something in it is no number.
    """
    if isinstance(wanted, (list, tuple)):
        if not isinstance(got, (list, tuple)) or len(got) != len(wanted):
            return False
        return all(close(g, w, atol) for g, w in zip(got, wanted, strict=True))
    if not (cmath.isfinite(got) and cmath.isfinite(wanted)):
        return bool(got == wanted)
    return bool(abs(got - wanted) <= atol + RTOL * abs(wanted))


# --- argument types that JSON cannot hold ---------------------------------------------------------


def _tuples(values: Any) -> Any:
    return [tuple(value) for value in values]


def _all_tuples(value: Any) -> Any:
    return tuple(map(_all_tuples, value)) if isinstance(value, list) else value


def _pairs_or_items(values: Any) -> Any:
    return tuple(tuple(v) if isinstance(v, list) else v for v in values)


def _sets(values: Any) -> Any:
    return [set(value) if isinstance(value, list) and value else {} for value in values]


#: How the arguments of MBPP+ problems are restored, by problem number (evalplus/data/mbpp.py).
_SHAPES: list[tuple[Callable[[Any], Any], str]] = [
    (
        _tuples,
        "2 116 132 143 222 261 273 394 399 421 424 429 470 560 579 596 616 630 726 740 744 809",
    ),
    (
        lambda args: [_tuples(arg) for arg in args],
        "63 64 70 94 120 237 272 299 400 409 417 438 473 614 780",
    ),
    (lambda args: [_tuples(args[0]), args[1]], "75 413 444 753"),
    (lambda args: [args[0], tuple(args[1])], "106 750"),
    (lambda args: [_sets(args[0])], "115"),
    (lambda args: [float(args[0]), complex(args[1])], "124"),
    (lambda args: [tuple(args[0]), args[1]], "250 405 446 617 720 763 808"),
    (lambda args: [complex(args[0])], "252"),
    (lambda args: [tuple(_tuples(arg)) for arg in args], "259 401 445"),
    (lambda args: [_pairs_or_items(args[0])], "278"),
    (lambda args: [tuple(args[0]), args[1], args[2]], "307"),
    (_all_tuples, "580 615 791"),
    (lambda args: [{k: tuple(v) for k, v in args[0].items()}, *args[1:]], "722"),
]


def restored(task_id: str, inputs: list[Any]) -> list[Any]:
    """The inputs of a problem with their Python types; those of HumanEval+ are as they are.

    Raises:
        ValueError, TypeError, IndexError: an input is not what the problem takes.
    """
    suite, _, number = task_id.partition("/")
    if suite != "Mbpp":
        return inputs
    shape = next((shape for shape, numbers in _SHAPES if number in numbers.split()), None)
    return [shape(args) for args in inputs] if shape else inputs


def parsed(problem: str) -> dict[str, Any]:
    """A problem from its JSON text."""
    return json.loads(problem)  # type: ignore[no-any-return]
