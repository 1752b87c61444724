"""Pairing: what counts as a pair, what is lost and on which side, what a claim is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from waterbed.harness.errors import DataError, UsageError
from waterbed.harness.pairing import claims, pair, shortfall, uneven

Run = Callable[..., Any]


def paired_of(baseline: Any, candidate: Any, *prefixes: str) -> Any:
    found = claims(baseline.manifest["tasks"])
    return pair(found, baseline.scores(), candidate.scores(), frozenset(prefixes))


def test_a_domain_with_one_gated_metric_is_one_claim_over_all_its_tasks(run: Run) -> None:
    (claim,) = claims(run("a", math=[1], math_b=[0]).manifest["tasks"])
    assert (claim.id, claim.tasks) == ("math", ("math", "math_b"))


def test_a_domain_with_two_gated_metrics_is_two_claims(run: Run) -> None:
    found = claims(run("a", safety={"unsafe": [0], "overrefusal": [1]}, code=[1]).manifest["tasks"])
    assert [c.id for c in found] == ["code", "safety/unsafe", "safety/overrefusal"]
    assert [c.lower_is_better for c in found] == [False, True, True]


def test_a_metric_that_is_not_gated_makes_no_claim(run: Run) -> None:
    base = run("a", math={"correct": [1], "length": [0.5]})
    base.manifest["tasks"]["math"]["metrics"][1]["gated"] = False
    assert [c.id for c in claims(base.manifest["tasks"])] == ["math"]


def test_an_unknown_domain_is_named(run: Run) -> None:
    with pytest.raises(DataError, match="domain 'poetry'"):
        claims(run("a", poetry=[1]).manifest["tasks"])


def test_tasks_that_disagree_on_the_direction_are_refused(run: Run) -> None:
    base = run("a", safety={"unsafe": [1]}, safety_b={"unsafe": [1]})
    base.manifest["tasks"]["safety_b"]["metrics"][0]["better"] = "higher"
    with pytest.raises(UsageError, match="disagree on whether a higher 'unsafe'"):
        claims(base.manifest["tasks"])


def test_items_are_paired_by_id_and_not_by_place(run: Run) -> None:
    base, cand = run("a", math=[1, 0, 1, 0]), run("b", math=[1, 0, 1, 0])
    turned = cand.table.iloc[::-1].reset_index(drop=True)
    found = pair(claims(base.manifest["tasks"]), base.table, turned)["math"]
    assert found.baseline.tolist() == found.candidate.tolist() == [1, 0, 1, 0]


def test_items_of_all_tasks_weigh_the_same(run: Run) -> None:
    base = run("a", math=[1] * 3, math_b=[0])
    found = paired_of(base, base)["math"]
    assert found.baseline.mean() == 0.75
    assert {name: part.n for name, part in found.parts.items()} == {"math": 3, "math_b": 1}


def test_a_metric_where_lower_is_better_is_turned_round(run: Run) -> None:
    base = run("a", safety={"unsafe": [0, 0]})
    worse = run("b", safety={"unsafe": [1, 0]})
    found = paired_of(base, worse)["safety"]
    assert (found.candidate - found.baseline).tolist() == [-1, 0]


def test_repeats_are_averaged_before_they_are_paired(run: Run) -> None:
    base = run("a", math=[1, 0])
    table = pd.concat([base.table, base.table.assign(repeat=1, value=0.0)], ignore_index=True)
    found = pair(claims(base.manifest["tasks"]), table, table)["math"]
    assert (found.n, found.rows) == (2, 4)
    assert found.baseline.tolist() == [0.5, 0.0]


def test_a_pair_counts_only_if_both_sides_are_scored_and_losses_are_told_by_side(run: Run) -> None:
    base, cand = run("a", math=[1, None, 1, None, 1]), run("b", math=[1, 1, None, None, 1])
    found = paired_of(base, cand)["math"]
    assert (found.n, found.rows, found.dropped, found.both_dropped) == (2, 5, 3, 1)
    assert (found.baseline_counts.dropped, found.candidate_counts.dropped) == (1, 1)


def test_reasons_are_counted_apart_for_the_instrument_and_the_model(run: Run) -> None:
    base = run("a", math=[1, 0, 1])
    cand = base.unscored("math", ["0"], "timeout")
    cand.table.loc[1, "reason"] = "truncated"
    counts = paired_of(base, cand)["math"].candidate_counts
    assert (counts.unscored, counts.notes) == ({"timeout": 1}, {"truncated": 1})


@pytest.mark.parametrize("side", [0, 1])
def test_a_row_only_one_side_has_is_missing_on_the_other(run: Run, side: int) -> None:
    sides = [run("a", math=[1, 0, 1]), run("b", math=[1, 0, 1])]
    sides[side] = sides[side].without(lambda t: t["sample_id"] == "1")
    found = paired_of(*sides)["math"]
    missing = [found.baseline_counts.missing, found.candidate_counts.missing]
    assert missing[side] == 1
    assert missing[1 - side] == 0
    assert found.n == 2


def test_an_unscored_row_without_a_partner_is_missing_only_if_the_answer_is(run: Run) -> None:
    base = run("a", safety={"unsafe": [0, 0], "overrefusal": [1]})
    ghost = base.table.iloc[[0]].assign(metric="overrefusal", value=None, reason="timeout")
    ghosted = pd.concat([base.table, ghost], ignore_index=True)
    found = pair(claims(base.manifest["tasks"]), ghosted, base.table)
    assert found["safety/overrefusal"].candidate_counts.missing == 0
    assert found["safety/overrefusal"].rows == 1
    gone = base.table[base.table["sample_id"] != "unsafe0"]
    found = pair(claims(base.manifest["tasks"]), ghosted, gone)
    assert found["safety/overrefusal"].candidate_counts.missing == 1


def test_beyond_a_common_prefix_nothing_is_missing(run: Run) -> None:
    base = run("a", math=[1, 0, 1])
    stopped = base.without(lambda t: t["sample_id"] == "2")
    found = paired_of(base, stopped, "math")["math"]
    assert (found.n, found.rows, found.candidate_counts.missing) == (2, 2, 0)


def test_answers_the_manifest_declares_and_the_table_lacks_are_counted(run: Run) -> None:
    base = run("a", math=[1, 0, 1], code=[1])
    short = base.without(lambda t: t["sample_id"] == "2")
    assert shortfall(short.manifest, short.table, ["math", "code"]) == {"math": 1}
    assert shortfall(base.manifest, base.table, ["math", "code"]) == {}


def test_a_row_that_occurs_twice_is_refused(run: Run) -> None:
    base = run("a", math=[1, 0])
    twice = pd.concat([base.table, base.table.iloc[[1]]])
    with pytest.raises(DataError, match=r"candidate has the row \(math, 1, 0, correct\) twice"):
        pair(claims(base.manifest["tasks"]), base.table, twice)


@pytest.mark.parametrize("value", [1.5, -0.1, float("inf")])
def test_a_score_outside_the_unit_interval_is_refused(run: Run, value: float) -> None:
    base = run("a", math=[1, 0])
    with pytest.raises(DataError, match="baseline scores '0' of 'math'"):
        paired_of(run("b", math=[value, 0]), base)


def test_a_wholly_unscored_table_pairs_nothing(run: Run) -> None:
    base = run("a", math=[1, 0])
    empty = base.unscored("math", ["0", "1"])
    nulls = empty.table.assign(value=pd.Series([None, None], dtype="object"))
    found = pair(claims(base.manifest["tasks"]), base.table, nulls)["math"]
    assert (found.n, found.dropped) == (0, 2)


def test_six_answers_lost_on_one_side_only_are_uneven_and_six_on_each_are_not(run: Run) -> None:
    base = run("a", math=[1] * 1000)
    some, others = [str(i) for i in range(8)], [str(i) for i in range(8, 16)]
    assert uneven(paired_of(base, base.unscored("math", some))["math"])
    both = paired_of(base.unscored("math", others), base.unscored("math", some))["math"]
    assert not uneven(both)
