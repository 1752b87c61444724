"""The anchor catches what many small steps add up to, each of which passed its own gate."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memory_runs import MemoryRun, make_run

from waterbed.harness.errors import IncomparableRuns
from waterbed.harness.gate import gate_runs
from waterbed.harness.policy import Policy
from waterbed.harness.verdict import Verdict
from waterbed.reports.gate_page import write_gate_page
from waterbed.reports.terminal import print_verdict

N, STEPS = 2000, 10


@pytest.fixture(scope="module")
def chain() -> list[MemoryRun]:
    """Eleven checkpoints, each 0.8 points below the last: 24 of 2000 items change, 20 of 24 down."""
    draw = np.random.default_rng(20261120)
    scores = np.array([1.0] * 1400 + [0.0] * 600)
    runs = [make_run("step0", math=list(scores))]
    for step in range(1, STEPS + 1):
        scores = scores.copy()
        down = draw.choice(np.flatnonzero(scores == 1), 20, replace=False)
        up = draw.choice(np.flatnonzero(scores == 0), 4, replace=False)
        scores[down], scores[up] = 0.0, 1.0
        runs.append(make_run(f"step{step}", math=list(scores)))
    return runs


def test_ten_steps_of_less_than_a_point_each_pass_and_the_anchor_stops_them(
    chain: list[MemoryRun],
) -> None:
    alone = [gate_runs(old, new, Policy()) for old, new in pairwise(chain)]
    assert [verdict.exit_code for verdict in alone] == [0] * STEPS
    assert {verdict.domains["math"].delta for verdict in alone} == {-0.008}
    kept = [gate_runs(old, new, Policy(), anchor=chain[0]) for old, new in pairwise(chain)]
    codes = [verdict.exit_code for verdict in kept]
    # 1.5 margins are 4.5 points: 5 steps lose 4.0, 6 lose 4.8.
    assert codes == [0] * 5 + [1] * 5
    assert kept[5].sentence.startswith("Against the anchor: math lost 4.8 points")
    assert kept[5].domains["math"].badge == "pass"


def test_the_anchors_claims_count_in_the_family_and_are_kept_in_the_file(
    chain: list[MemoryRun], tmp_path: Path
) -> None:
    plain = gate_runs(chain[5], chain[6], Policy())
    verdict = gate_runs(chain[5], chain[6], Policy(), anchor=chain[0])
    assert verdict.family_size == plain.family_size + 1
    assert verdict.anchor is not None and verdict.anchor.side.label == "step0"
    (row,) = verdict.anchor.domain_list
    assert (row.badge, row.margin) == ("fail", pytest.approx(0.045))
    assert "--anchor runs/step0" in verdict.command
    verdict.save(tmp_path / "verdict.json")
    assert Verdict.load(tmp_path / "verdict.json") == verdict


def test_page_and_terminal_show_the_anchor(
    chain: list[MemoryRun], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = gate_runs(chain[5], chain[6], Policy(), anchor=chain[0])
    page = write_gate_page(verdict, tmp_path / "gate.html").read_text()
    print_verdict(verdict)
    for shown in (page, capsys.readouterr().out):
        assert "gainst the anchor" in shown and "step0" in shown
    assert 'id="anchor"' in page


def test_an_anchor_that_lacks_a_claim_makes_nothing_green(runs: Callable[..., Any]) -> None:
    old, new = runs(math=(800, 600, 4, 4), code=(800, 600, 4, 4))
    verdict = gate_runs(old, new, Policy(), anchor=old.without_task("code"))
    assert verdict.exit_code == 3
    assert "anchor" in verdict.sentence and "code" in verdict.sentence


def test_an_anchor_that_was_made_otherwise_is_refused(runs: Callable[..., Any]) -> None:
    old, new = runs(math=(800, 600, 4, 4))
    other = old.changed("tasks/math/settings", {"max_tokens": 9, "temperature": 0.0})
    with pytest.raises(IncomparableRuns, match="max_tokens"):
        gate_runs(old, new, Policy(), anchor=other)


def test_strict_wants_the_loss_against_the_anchor_excluded_as_well(
    chain: list[MemoryRun],
) -> None:
    policy = Policy(name="strict", mean_harm=3)
    assert gate_runs(chain[0], chain[1], policy, anchor=chain[0]).exit_code == 0
    verdict = gate_runs(chain[4], chain[5], policy, anchor=chain[0])
    assert verdict.exit_code == 3
    assert "against the anchor" in verdict.sentence
