"""Drift in a gate: gated only beside a measured noise floor, and never lost on the way to people."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from memory_runs import MemoryRun, make_run
from rich.console import Console

from waterbed.harness.gate import gate_runs
from waterbed.harness.noise import keep_noise
from waterbed.harness.policy import Policy
from waterbed.harness.verdict import Verdict
from waterbed.reports.drift_view import drift_lines
from waterbed.reports.gate_page import write_gate_page
from waterbed.reports.terminal import print_verdict

WORDS = [f"word{n}" for n in range(400)]
LOOP = "and so it goes " * 12
N = 400


@dataclass(frozen=True, kw_only=True)
class TalkingRun(MemoryRun):
    """A Run in memory with answers, in a folder of its own."""

    texts: tuple[str, ...]
    stops: tuple[str, ...]

    def generations(self) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "task": "math",
                "sample_id": [str(i) for i in range(N)],
                "repeat": np.int32(0),
                "ordinal": np.int32(0),
                "role": "candidate",
                "text": list(self.texts),
                "stop_reason": list(self.stops),
                "completion_tokens": [len(text.split()) for text in self.texts],
                "prompt": "What is it?",
            }
        )


Talking = Callable[..., TalkingRun]


@pytest.fixture
def talking(tmp_path: Path) -> Talking:
    """`talking(label, seed, words, lost)`: prose answers, of which some items are lost."""

    def make(label: str, seed: int = 0, words: int = 20, lost: int = 0) -> TalkingRun:
        draw = np.random.default_rng(seed)
        texts = tuple(" ".join(draw.choice(WORDS, words)) for _ in range(N))
        scores = [1.0] * (300 - lost) + [0.0] * (100 + lost)
        path = tmp_path / label
        path.mkdir(exist_ok=True)
        known = {**vars(make_run(label, math=scores)), "folder": path}
        return TalkingRun(**known, texts=texts, stops=("stop",) * N)

    return make


@pytest.fixture
def old(talking: Talking) -> TalkingRun:
    """A baseline whose noise is measured: four of 400 items change."""
    run = talking("old")
    again = talking("again", seed=1, lost=4)
    keep_noise(run, again, ["math"], kind="greedy")
    return run


def looping(run: TalkingRun, every: int) -> TalkingRun:
    texts = tuple(LOOP if k % every == 0 else text for k, text in enumerate(run.texts))
    return replace(run, texts=texts)


def saved(verdict: Verdict, tmp_path: Path) -> Verdict:
    verdict.save(tmp_path / "verdict.json")
    return Verdict.load(tmp_path / "verdict.json")


def test_loops_fail_a_gate_whose_scores_are_unchanged(
    old: TalkingRun, talking: Talking, tmp_path: Path
) -> None:
    new = talking("new", seed=2)
    assert gate_runs(old, new, Policy()).exit_code == 0
    verdict = gate_runs(old, looping(new, 20), Policy())
    assert (verdict.exit_code, verdict.headline) == (1, "REGRESSION")
    assert verdict.sentence.startswith("Drift: answers that repeat four words eight times: +5.0")
    row = verdict.drift.row("loop")
    assert row.failed and row.p_adjusted is not None and row.p_adjusted <= 0.05
    assert verdict.domains["math"].badge != "fail"
    assert saved(verdict, tmp_path) == verdict


def test_hard_drift_counts_in_the_family_and_soft_drift_only_warns(
    old: TalkingRun, talking: Talking
) -> None:
    longer = talking("new", seed=2, words=24)
    verdict = gate_runs(old, longer, Policy())
    assert verdict.exit_code == 0
    assert any(w.startswith("Drift: length of the answers") for w in verdict.warnings)
    gated = [row.metric for row in verdict.drift.rows if row.kind == "hard" and row.counts]
    assert "loop" in gated
    assert verdict.family_size == 2 + len(gated)
    strict = gate_runs(old, longer, Policy(strict_drift=True))
    assert strict.exit_code == 1 and "length of the answers" in strict.sentence


def test_what_the_policy_leaves_out_is_shown_and_not_gated(
    old: TalkingRun, talking: Talking
) -> None:
    new = looping(talking("new", seed=2), 20)
    verdict = gate_runs(old, new, Policy(drift=("truncated",)))
    assert (verdict.exit_code, verdict.family_size) == (0, 3)
    assert verdict.drift.row("loop").why == "not among what this policy gates"


def test_without_a_noise_floor_drift_is_shown_and_never_gated(talking: Talking) -> None:
    policy = Policy(discordance={"math": 0.03})
    verdict = gate_runs(talking("old"), looping(talking("new", seed=2), 20), policy)
    assert (verdict.exit_code, verdict.family_size) == (0, 2)
    assert "no A/A run" in verdict.drift.row("loop").why
    figures = verdict.drift.row("loop").figures
    assert figures is not None and figures.change == pytest.approx(0.05)


def test_runs_without_answers_have_no_drift_and_say_so_in_a_line(
    runs: Callable[..., Any],
) -> None:
    verdict = gate_runs(*runs(math=(400, 300, 2, 2)), Policy())
    assert verdict.drift.rows == ()
    assert verdict.drift.notes == ("Drift was not measured: 'old' holds no answers, only scores",)


def test_losing_the_answers_cannot_turn_a_red_gate_green(old: TalkingRun, talking: Talking) -> None:
    new = looping(talking("new", seed=2), 20)
    verdict = gate_runs(old, MemoryRun(new.label, new.manifest, new.table), Policy())
    assert verdict.exit_code == 3
    assert "drift/loop" in verdict.sentence and "holds no answers" in verdict.sentence


@pytest.mark.parametrize("name", ["release", "strict"])
def test_the_stricter_policies_want_the_absence_of_gated_drift_shown(
    old: TalkingRun, talking: Talking, name: Any
) -> None:
    new = looping(talking("new", seed=2), 100)
    policy = Policy(name=name, drift=("loop",), discordance={"math": 0.03})
    assert gate_runs(old, talking("new", seed=2), policy).exit_code == 0
    verdict = gate_runs(old, new, policy)
    assert verdict.exit_code == 3
    assert "drift/loop did not PASS" in verdict.sentence


def test_the_measured_discordance_is_planned_with_and_the_policys_comes_first(
    old: TalkingRun, talking: Talking
) -> None:
    new = talking("new", seed=2)
    measured = gate_runs(old, new, Policy()).domains["math"]
    assert measured.discordance_from == "A/A"
    assert measured.planned_discordance == 0.03  # 1% and its error are less than the margin
    named = gate_runs(old, new, Policy(discordance={"math": 0.2})).domains["math"]
    assert (named.discordance_from, named.planned_discordance) == ("policy", 0.2)
    table = gate_runs(talking("plain"), new, Policy()).domains["math"]
    assert (table.discordance_from, table.planned_discordance) == ("table", 0.1)
    assert (measured.blind_spot or 1) < (table.blind_spot or 0)


def test_far_more_change_than_was_planned_with_is_said(old: TalkingRun, talking: Talking) -> None:
    new = talking("new", seed=2)
    scores = [0.0] * 40 + [1.0] * 300 + [0.0] * 60  # as many gained as lost
    churning = replace(new, table=make_run("new", math=scores).table)
    verdict = gate_runs(old, churning, Policy())
    assert any(
        "20.0% of the items changed, more than the 3.0% planned" in w for w in verdict.warnings
    )


def test_page_and_terminal_show_the_rows_beside_the_baselines_own_noise(
    old: TalkingRun, talking: Talking, tmp_path: Path
) -> None:
    verdict = gate_runs(old, looping(talking("new", seed=2), 20), Policy())
    page = write_gate_page(verdict, tmp_path / "gate.html").read_text()
    out = io.StringIO()
    print_verdict(verdict, Console(file=out, width=200))
    loop = next(line for line in drift_lines(verdict) if line.tone == "fail")
    assert loop.change == "+5.0" and loop.noise == "[\u22120.4, +0.4]"
    for shown in (page, out.getvalue()):
        for text in (loop.words, loop.interval, loop.noise, "DRIFT"):
            assert text in shown
    assert "greedy, batch sizes 8 and 8" in page


def test_page_and_terminal_say_why_there_is_no_drift(
    runs: Callable[..., Any], tmp_path: Path
) -> None:
    verdict = gate_runs(*runs(math=(400, 300, 2, 2)), Policy())
    page = write_gate_page(verdict, tmp_path / "gate.html").read_text()
    out = io.StringIO()
    print_verdict(verdict, Console(file=out, width=200))
    assert "holds no answers" in page and "holds no answers" in out.getvalue()
