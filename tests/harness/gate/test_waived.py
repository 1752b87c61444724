"""A waived loss does not make a gate red, and never disappears from what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from waterbed.harness.gate import gate_runs
from waterbed.harness.policy import Policy
from waterbed.reports import wording

Runs = Callable[..., Any]
WAIVER = {
    "claim": "code",
    "owner": "ada",
    "reason": "known, mended next week",
    "expires": "2999-01-01",
}
LOST_IN_CODE = {"math": (600, 400, 9, 9), "code": (600, 400, 60, 4), "safety": (600, 500, 9, 9)}


def waiving(**claims: Any) -> Policy:
    return Policy.model_validate({"waivers": [{**WAIVER, **claims}]})


def test_a_waived_loss_is_green_red_in_its_own_row_and_named(runs: Runs) -> None:
    assert gate_runs(*runs(**LOST_IN_CODE), Policy()).exit_code == 1
    verdict = gate_runs(*runs(**LOST_IN_CODE), waiving())
    assert (verdict.exit_code, verdict.headline) == (0, "NO NEW HARM SHOWN")
    assert verdict.domains["code"].badge == "fail"
    assert "ada" in verdict.sentence
    assert any("ada" in warning for warning in verdict.warnings)
    assert wording.tone(verdict) == "pass"


def test_a_waiver_covers_no_other_claim(runs: Runs) -> None:
    both = {**LOST_IN_CODE, "math": (600, 400, 60, 4)}
    verdict = gate_runs(*runs(**both), waiving())
    assert verdict.exit_code == 1
    assert verdict.sentence.startswith("math lost")
    assert gate_runs(*runs(**LOST_IN_CODE), waiving(claim="math")).exit_code == 1


def test_a_waiver_does_not_excuse_missing_data(runs: Runs) -> None:
    old, new = runs(**LOST_IN_CODE)
    lost = new.unscored("code", [str(n) for n in range(80)])
    assert gate_runs(old, lost, waiving()).exit_code == 4
