"""`estimand: benchmark` speaks of the problems on the list, exactly, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from waterbed.harness.gate import gate_runs
from waterbed.harness.policy import Policy

Runs = Callable[..., Any]
BENCHMARK = Policy(estimand="benchmark")


def test_a_short_list_that_can_show_nothing_of_the_skill_is_exact_on_itself(runs: Runs) -> None:
    same = runs(math=(30, 18, 0, 0))
    assert gate_runs(*same, Policy()).exit_code == 3
    verdict = gate_runs(*same, BENCHMARK)
    assert (verdict.exit_code, verdict.domains["math"].badge) == (0, "pass")
    assert verdict.sentence == (
        "No loss of a whole margin on these 30 problems (math); nothing is said of other problems."
    )
    assert verdict.policy["estimand"] == "benchmark"
    assert verdict.pooled is None


def test_one_problem_of_thirty_is_more_than_the_margin(runs: Runs) -> None:
    verdict = gate_runs(*runs(math=(30, 18, 1, 0)), BENCHMARK)
    assert (verdict.exit_code, verdict.domains["math"].badge) == (1, "fail")
    assert verdict.sentence == "math: FAIL: -3.3 points on these 30 problems; 3.0 is allowed."
    exact = verdict.domains["math"].comparison
    assert exact.low == exact.high == exact.delta


@pytest.mark.parametrize(("lost", "code"), [(29, 0), (30, 1)])
def test_a_loss_of_exactly_the_margin_is_a_fail(runs: Runs, lost: int, code: int) -> None:
    assert gate_runs(*runs(math=(1000, 700, lost, 0)), BENCHMARK).exit_code == code


def shorter(run: Any, items: int) -> Any:
    """The same list, of which only so many problems were run."""
    every = run.table["sample_id"].unique()
    return run.without_items("math", [str(i) for i in every[items:]])


def test_a_part_of_the_list_predicts_the_whole_or_says_that_it_cannot(runs: Runs) -> None:
    few = [shorter(run, 60) for run in runs(math=(1000, 700, 0, 0))]
    early = gate_runs(*few, BENCHMARK)
    assert early.exit_code == 3
    assert "on 60 of these 1000 problems; not yet told for all of them" in early.sentence
    many = [shorter(run, 600) for run in runs(math=(1000, 700, 0, 0))]
    verdict = gate_runs(*many, BENCHMARK)
    assert verdict.exit_code == 0
    assert "predicted for all of them" in verdict.domains["math"].sentence
    lost = [shorter(run, 600) for run in runs(math=(1000, 700, 200, 0))]
    assert gate_runs(*lost, BENCHMARK).exit_code == 1


def test_a_list_of_which_nothing_can_be_lost_is_not_green(runs: Runs) -> None:
    assert gate_runs(*runs(math=(30, 0, 0, 0)), BENCHMARK).exit_code == 3
    assert gate_runs(*runs(math=(29, 20, 0, 0)), BENCHMARK).exit_code == 3


@pytest.mark.parametrize("name", ["release", "strict"])
def test_the_stricter_policies_are_satisfied_by_a_list_that_passed(runs: Runs, name: Any) -> None:
    policy = Policy(name=name, estimand="benchmark")
    assert gate_runs(*runs(math=(60, 30, 1, 0)), policy).exit_code == 0
    assert gate_runs(*runs(math=(60, 30, 2, 0)), policy).exit_code == 1
