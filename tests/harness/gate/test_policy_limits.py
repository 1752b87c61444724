"""What a policy forbids beyond losses: invalid data, claims that nobody makes; and what plans count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from memory_runs import MemoryRun

from waterbed.harness.errors import ConfigError
from waterbed.harness.gate import gate_runs
from waterbed.harness.gate_plan import plan
from waterbed.harness.gate_words import plan_sentence
from waterbed.harness.policy import Policy

Runs = Callable[..., Any]
WAIVER = {"claim": "code", "owner": "ada", "reason": "known", "expires": "2999-01-01"}


def noted(run: MemoryRun, reason: str, items: int) -> MemoryRun:
    """The same Run with the model's fault noted on some lost items."""
    table = run.table.copy()
    wrong = table.index[table["value"] == 0.0][:items]
    table.loc[wrong, "reason"] = reason
    return replace(run, table=table)


@pytest.mark.parametrize("reason", ["truncated", "empty", "unparsed"])
@pytest.mark.parametrize("side", [0, 1])
def test_more_faults_than_the_policy_believes_are_trouble_with_the_data(
    runs: Runs, reason: Any, side: int
) -> None:
    sides = list(runs(math=(1000, 700, 5, 5)))
    sides[side] = noted(sides[side], reason, 60)
    assert gate_runs(*sides, Policy()).exit_code == 0
    assert gate_runs(*sides, Policy(validity={reason: 0.06})).exit_code == 0
    verdict = gate_runs(*sides, Policy(validity={reason: 0.05}))
    assert (verdict.exit_code, verdict.headline) == (4, "INVALID")
    who = ("baseline", "candidate")[side]
    assert f"60 of 1000 answers of the {who} are {reason}, more than the 5%" in verdict.sentence


def test_unscored_answers_have_a_limit_of_their_own(runs: Runs) -> None:
    old, new = runs(math=(1000, 700, 5, 5))
    ids = [str(k) for k in range(6)]
    both = old.unscored("math", ids), new.unscored("math", ids)
    assert gate_runs(*both, Policy()).exit_code == 0
    assert gate_runs(*both, Policy(validity={"unscored": 0.005})).exit_code == 4


def test_a_waiver_of_a_claim_that_nobody_makes_is_refused(runs: Runs) -> None:
    policy = Policy.model_validate({"waivers": [{**WAIVER, "claim": "code/correct"}]})
    with pytest.raises(
        ConfigError, match=r"no claim of this gate is called 'code/correct'.*'code'"
    ):
        gate_runs(*runs(math=(600, 400, 9, 9), code=(600, 400, 60, 4)), policy)


def test_a_waived_claim_does_not_help_the_mean_to_see(runs: Runs) -> None:
    old, _ = runs(math=(400, 300, 0, 0), code=(2000, 900, 0, 0))
    both = plan(old, Policy(), ["math", "code"]).pooled_blind_spot or 0.0
    waived = Policy.model_validate({"waivers": [WAIVER]})
    alone = plan(old, waived, ["math", "code"])
    assert alone.pooled_blind_spot is not None and alone.pooled_blind_spot > both
    assert alone.family_size == 3


def test_a_baseline_of_several_answers_plans_with_its_own_noise(runs: Runs) -> None:
    old, _ = runs(math=(400, 200, 0, 0))
    steady = several(old, lambda k, repeat: float(k < 200))
    noisy = several(old, lambda k, repeat: float((k + repeat) % 2))
    calm, loud = (plan(run, Policy(), ["math"]).claims[0] for run in (steady, noisy))
    assert calm.discordance_from == loud.discordance_from == "samples"
    assert calm.discordance < 0.01 < 0.1 < loud.discordance
    assert "4 answers an item on both sides" in plan_sentence(loud)
    assert "more samples help more" in plan_sentence(loud)
    assert "more items help more" in plan_sentence(calm)


def several(run: MemoryRun, score: Callable[[int, int], float]) -> MemoryRun:
    """The Run with four answers an item."""
    table = run.table.loc[run.table.index.repeat(4)].reset_index(drop=True)
    table["repeat"] = table.index % 4
    ids = table["sample_id"].astype(int)
    table["value"] = [score(k, r) for k, r in zip(ids, table["repeat"], strict=True)]
    return replace(run, table=table).changed("tasks/math/repeats", 4)
