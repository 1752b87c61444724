"""The plan: fixed from the baseline, blind to the candidate, and JSON before anything is decided."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from waterbed.harness.gate import gate_runs
from waterbed.harness.gate_plan import domain_means, plan
from waterbed.harness.policy import Policy

Runs = Callable[..., Any]


def test_the_plan_is_never_given_a_candidate() -> None:
    assert list(inspect.signature(plan).parameters) == [
        "baseline",
        "policy",
        "tasks",
        "target",
        "anchor",
    ]


def test_what_the_candidate_answers_changes_nothing_that_was_planned(runs: Runs) -> None:
    seen = []
    for lost in (0, 5, 100):
        verdict = gate_runs(*runs(math=(500, 300, lost, 5), code=(164, 99, lost // 2, 0)), Policy())
        planned = [
            (
                d.margin,
                d.gating,
                d.blind_spot,
                d.planned_discordance,
                d.needed_items,
                d.plan_sentence,
            )
            for d in verdict.domain_list
        ]
        seen.append((verdict.family_size, verdict.pooled and verdict.pooled.blind_spot, planned))
    assert seen[0] == seen[1] == seen[2]


def test_only_claims_that_can_fail_and_their_mean_are_counted(runs: Runs) -> None:
    base, _ = runs(math=(500, 300, 0, 0), code=(29, 20, 0, 0), tools=(500, 0, 0, 0))
    frozen = plan(base, Policy(), ["math", "code", "tools"])
    assert frozen.family_size == 2
    assert [c.flags for c in frozen.claims] == [(), ("no_verdict",), ("at_floor",)]
    assert [c.claim.id for c in frozen.tested] == ["math"]


def test_the_floor_counts_from_what_guessing_scores(runs: Runs) -> None:
    base, _ = runs(knowledge=(1000, 260, 0, 0))
    assert "at_floor" not in plan(base, Policy(), ["knowledge"]).claims[0].flags
    guessed = base.changed("tasks/knowledge/chance", 0.27)
    assert "at_floor" in plan(guessed, Policy(), ["knowledge"]).claims[0].flags


def test_safety_is_never_advisory(runs: Runs) -> None:
    base, _ = runs(safety=(150, 140, 0, 0), code=(150, 90, 0, 0))
    frozen = {
        c.claim.id: c for c in plan(base, Policy(margins={"code": 2}), ["safety", "code"]).claims
    }
    assert frozen["safety"].numbers is not None
    assert not frozen["safety"].numbers.gating
    assert (frozen["safety"].gating, frozen["code"].gating) == (True, False)


def test_the_planned_discordance_of_the_policy_moves_the_blind_spot(runs: Runs) -> None:
    base, _ = runs(math=(1319, 800, 0, 0))
    spots = [
        plan(base, Policy(discordance={"math": d}), ["math"]).claims[0].blind_spot
        for d in (0.05, 0.10, 0.20)
    ]
    assert None not in spots
    assert spots == sorted(spots, key=lambda spot: spot or 0.0)
    assert spots[0] != spots[2]


def test_a_tasks_own_margin_is_used_where_the_policy_has_none(runs: Runs) -> None:
    base, _ = runs(math=(1319, 800, 0, 0))
    base.manifest["tasks"]["math"]["metrics"][0]["margin"] = 0.01
    assert plan(base, Policy(), ["math"]).claims[0].margin == 0.01
    assert plan(base, Policy(margins={"math": 4}), ["math"]).claims[0].margin == 0.04


def test_graded_baselines_are_planned_by_their_spread(run: Runs) -> None:
    frozen = plan(run("a", chat=[0.5, 0.25] * 200), Policy(), ["chat"]).claims[0]
    assert frozen.numbers is not None
    assert frozen.numbers.graded
    assert frozen.numbers.sd == pytest.approx(0.35)


def test_a_domain_of_two_claims_counts_once_in_the_mean() -> None:
    values = [("safety", -0.02, 0.01), ("safety", 0.0, 0.01), ("math", 0.03, 0.02)]
    deltas, ses = domain_means(values, frozenset())
    assert deltas == [-0.01, 0.03]
    assert ses == [pytest.approx(math.sqrt(2) * 0.01 / 2), 0.02]


def test_errors_of_claims_on_the_same_items_are_added(run: Runs) -> None:
    values = [("safety", 0.0, 0.01), ("safety", 0.0, 0.01)]
    assert domain_means(values, frozenset({"safety"}))[1] == [0.01]
    both = run("a", safety={"unsafe": [0] * 40, "overrefusal": [0] * 40})
    assert plan(both, Policy(), ["safety"]).shared == frozenset()
    both.table["sample_id"] = [*map(str, range(40))] * 2
    assert plan(both, Policy(), ["safety"]).shared == {"safety"}


def test_the_plan_can_be_written_down(runs: Runs) -> None:
    frozen = plan(runs(math=(500, 300, 0, 0))[0], Policy(), ["math"], "code")
    written = json.loads(json.dumps(frozen.to_dict(), allow_nan=False))
    assert written["claims"][0]["claim"]["id"] == "math"
    assert written["absent"] == ["code"]
