"""No evidence is never a pass: leaving items or suites out cannot turn a non-pass into a pass.

What is removed from one side is noticed whatever it is. Items removed from both sides alike are
noticed because each task declares its full size, unless the policy said beforehand that fewer are
enough. Suites removed from both sides are noticed where the policy names them or requires their domain;
a gate cannot miss what nobody ever mentioned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waterbed.harness.errors import UnknownName
from waterbed.harness.gate import gate_runs
from waterbed.harness.policy import Policy

Runs = Callable[..., Any]

SIZES = {"math": 400, "code": 310, "safety": 600}
#: Non-passes of either kind, and a pass: (items, right, lost, gained).
REGRESSION = {"math": (400, 300, 60, 5), "code": (310, 200, 9, 9), "safety": (600, 500, 9, 9)}
UNDERPOWERED = {"math": (400, 300, 9, 9), "code": (310, 200, 9, 9), "safety": (100, 90, 2, 2)}
HARMLESS = {"math": (400, 300, 9, 9), "code": (310, 200, 9, 9), "safety": (600, 500, 9, 9)}

items = st.dictionaries(
    st.sampled_from(sorted(SIZES)),
    st.sets(st.integers(0, 99), min_size=1, max_size=40),
    max_size=3,
)
suites = st.sets(st.sampled_from(sorted(SIZES)), max_size=2)
some_suites = st.sets(st.sampled_from(sorted(SIZES)), min_size=1, max_size=2)
modest = settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def removed(run: Any, gone: dict[str, set[int]], tasks: set[str], *, honest: bool) -> Any:
    """A Run without some items and suites, whose manifest knows (honest) or does not."""
    for task, numbers in gone.items():
        ids = [str(n) for n in sorted(numbers)]
        if honest:
            run = run.without_items(task, ids)
        else:
            run = run.without(lambda t, k=task, i=ids: (t["task"] == k) & t["sample_id"].isin(i))
    for task in tasks:
        run = run.without_task(task)
    return run


@pytest.mark.parametrize("case", [REGRESSION, UNDERPOWERED, HARMLESS])
@modest
@given(gone=items, tasks=suites, side=st.integers(0, 1), honest=st.booleans())
def test_nothing_can_be_left_out_on_one_side(
    runs: Runs,
    case: dict[str, Any],
    gone: dict[str, set[int]],
    tasks: set[str],
    side: int,
    honest: bool,
) -> None:
    sides = list(runs(**case))
    whole = gate_runs(*sides, Policy()).exit_code
    sides[side] = removed(sides[side], gone, tasks, honest=honest)
    code = gate_runs(*sides, Policy()).exit_code
    if gone or tasks:
        assert code != 0
    else:
        assert code == whole


@modest
@given(gone=st.tuples(items, items), tasks=st.tuples(suites, suites), honest=st.booleans())
def test_what_is_left_out_differently_on_both_sides_is_noticed(
    runs: Runs, gone: Any, tasks: Any, honest: bool
) -> None:
    sides = [
        removed(run, gone[i], tasks[i], honest=honest) for i, run in enumerate(runs(**REGRESSION))
    ]
    if gone[0] != gone[1] or tasks[0] != tasks[1]:
        left = [set(side.table[["task", "sample_id"]].itertuples(index=False)) for side in sides]
        if left[0] != left[1]:
            assert gate_runs(*sides, Policy()).exit_code != 0


@modest
@given(gone=items.filter(bool), tasks=suites)
def test_rows_deleted_from_both_tables_are_missed_by_their_manifests(
    runs: Runs, gone: dict[str, set[int]], tasks: set[str]
) -> None:
    sides = [removed(r, gone, set(), honest=False) for r in runs(**HARMLESS)]
    sides = [removed(r, {}, tasks - set(gone), honest=True) for r in sides]
    assert gate_runs(*sides, Policy()).exit_code == 4


@modest
@given(tasks=some_suites)
def test_a_required_domain_cannot_be_left_out_of_both_sides(runs: Runs, tasks: set[str]) -> None:
    policy = Policy(require=tuple(sorted(SIZES)))
    sides = runs(**HARMLESS)
    assert gate_runs(*sides, policy).exit_code == 0
    assert gate_runs(*(removed(r, {}, tasks, honest=True) for r in sides), policy).exit_code != 0


@modest
@given(tasks=some_suites)
def test_suites_that_are_named_cannot_be_left_out_of_both_sides(
    runs: Runs, tasks: set[str]
) -> None:
    sides = [removed(r, {}, tasks, honest=True) for r in runs(**HARMLESS)]
    with pytest.raises(UnknownName):
        gate_runs(*sides, Policy(), suites=sorted(SIZES))


@pytest.mark.parametrize("case", [REGRESSION, UNDERPOWERED, HARMLESS])
@modest
@given(gone=items.filter(bool))
def test_items_left_out_of_both_sides_alike_are_never_green(
    runs: Runs, case: dict[str, Any], gone: dict[str, set[int]]
) -> None:
    sides = [removed(r, gone, set(), honest=True) for r in runs(**case)]
    assert gate_runs(*sides, Policy()).exit_code != 0


def test_a_policy_may_be_content_with_fewer_items_and_says_so_beforehand(runs: Runs) -> None:
    """300 of 600 safety items are enough where the policy says so, and 299 are not."""
    cuts = {300: {"safety": set(range(300))}, 299: {"safety": set(range(301))}}
    codes = {}
    for left, gone in cuts.items():
        sides = [removed(r, gone, set(), honest=True) for r in runs(**HARMLESS)]
        policy = Policy(limit=300, margins={"safety": 9}, max_mde=9)
        codes[left] = gate_runs(*sides, policy).exit_code
    assert codes == {300: 0, 299: 3}


@modest
@given(st.integers(1, 400))
def test_too_few_items_on_both_sides_are_inconclusive_and_never_green(
    runs: Runs, left: int
) -> None:
    """From the size on at which the mean could hide more than `max_mde`, whatever the answers."""
    sides = runs(math=(left, left // 2, 0, 0))
    verdict = gate_runs(*sides, Policy())
    blind = verdict.pooled.blind_spot if verdict.pooled else None
    assert verdict.exit_code == (0 if blind is not None and blind <= 0.03 else 3)
    assert verdict.exit_code == 3 or left > 300


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("honest", [True, False])
def test_the_lost_items_of_a_regression_cannot_be_hidden(
    runs: Runs, side: int, honest: bool
) -> None:
    sides = list(runs(**REGRESSION))
    assert gate_runs(*sides, Policy()).exit_code == 1
    sides[side] = removed(sides[side], {"math": set(range(60))}, set(), honest=honest)
    assert gate_runs(*sides, Policy()).exit_code == 4


def test_one_missing_row_is_enough(runs: Runs) -> None:
    old, new = runs(**HARMLESS)
    for honest in (True, False):
        assert (
            gate_runs(old, removed(new, {"code": {7}}, set(), honest=honest), Policy()).exit_code
            == 4
        )
