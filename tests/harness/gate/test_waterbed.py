"""The waterbed is named where a declared target gained and another domain lost, and not otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from waterbed.harness.gate import gate_runs
from waterbed.harness.policy import Policy
from waterbed.harness.verdict import Verdict
from waterbed.reports.ci import step_summary
from waterbed.reports.gate_page import write_gate_page

Runs = Callable[..., Any]
GAIN, LOSS, STILL = (1000, 500, 20, 100), (1000, 600, 110, 20), (1000, 500, 30, 30)


def test_a_gain_paid_for_elsewhere_is_named_with_its_price(runs: Runs, tmp_path: Path) -> None:
    verdict = gate_runs(*runs(math=GAIN, code=STILL, chat=LOSS), Policy(), target="math")
    found = verdict.waterbed
    assert found is not None
    assert (found.named, found.gainers, found.losers) == (True, ("math",), ("chat",))
    assert found.p == max(found.p_gain, found.p_loss) < 0.001
    assert found.rate == pytest.approx(90 / 80)
    assert found.rate_low is not None
    assert found.rate_high is not None
    assert found.rate_low < found.rate < found.rate_high
    assert found.sentence.startswith("WATERBED: math +8.0 [")
    assert "paid by chat -9.0 [" in found.sentence
    verdict.save(tmp_path / "verdict.json")
    assert Verdict.load(tmp_path / "verdict.json") == verdict
    assert "WATERBED: math +8.0" in step_summary(verdict)
    page = write_gate_page(verdict, tmp_path / "gate.html")
    assert "WATERBED: math +8.0" in page.read_text(encoding="utf-8")


def test_a_loss_without_a_gain_is_listed_and_not_named(runs: Runs) -> None:
    found = gate_runs(*runs(math=STILL, chat=LOSS), Policy(), target="math").waterbed
    assert found is not None
    assert (found.named, found.gainers, found.losers, found.rate) == (False, (), ("chat",), None)


def test_a_gain_without_a_loss_says_what_is_excluded_and_never_that_there_is_none(
    runs: Runs,
) -> None:
    found = gate_runs(*runs(math=GAIN, chat=STILL), Policy(), target="math").waterbed
    assert found is not None
    assert (found.named, found.losers) == (False, ())
    assert found.sentence.startswith("no waterbed shown; off-target losses above ")


def test_without_a_declared_target_nothing_is_named_afterwards(runs: Runs) -> None:
    assert gate_runs(*runs(math=GAIN, chat=LOSS), Policy()).waterbed is None


def test_a_target_that_could_not_be_tested_names_nothing(runs: Runs) -> None:
    old, new = runs(math=GAIN, chat=LOSS)
    broken = new.unscored("math", [str(i) for i in range(500)])
    assert gate_runs(old, broken, Policy(), target="math").waterbed is None


def test_one_of_two_metrics_may_be_the_target_and_the_other_pay(run: Runs, paired: Runs) -> None:
    better, worse = paired(1000, 500, 20, 100), paired(1000, 900, 110, 5)
    sides = [
        run(
            label,
            safety={"unsafe": [1 - v for v in better[i]], "overrefusal": [1 - v for v in worse[i]]},
        )
        for i, label in enumerate(("old", "new"))
    ]
    found = gate_runs(*sides, Policy(), target="safety/unsafe").waterbed
    assert found is not None
    assert (found.named, found.losers) == (True, ("safety/overrefusal",))
