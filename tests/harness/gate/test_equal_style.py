"""A judge's taste for length turns no gate red, hides no loss, and excuses no answer that is not there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from memory_runs import MemoryRun, make_run

from waterbed.harness.gate import gate_runs
from waterbed.harness.gate_style import at_equal_style
from waterbed.harness.gate_units import unit_pairs
from waterbed.harness.pairing import Claim, pair
from waterbed.harness.policy import Policy
from waterbed.harness.statistics.decision import decide
from waterbed.harness.statistics.style_control import difference
from waterbed.harness.verdict import DomainVerdict, Verdict
from waterbed.reports.gate_page import write_gate_page

TASTE = 4.0
#: Length of the answer that both sides' answers are compared with.
OTHER = 800.0
RULES = Policy.model_validate({"require": [], "max_mde": 20})


def lengths(rng: np.random.Generator, n: int, factor: float = 1.0) -> np.ndarray:
    """Characters of n answers, so many times as long as the other one's."""
    return np.round(OTHER * factor * rng.lognormal(0.0, 0.35, n))


def shares(rng: np.random.Generator, long: np.ndarray, better: float = 0.0) -> np.ndarray:
    """Votes in both orders, whose odds are quality plus a taste for length (in logits)."""
    apart = np.array([difference([own, 0, 0, 0], [OTHER, 0, 0, 0])[0] for own in long])
    return rng.binomial(2, 1 / (1 + np.exp(-(better + TASTE * apart)))) / 2


def judged(label: str, votes: Any, long: Any, seed: int = 0) -> MemoryRun:
    """A Run whose chat answers a consistent judge voted on."""
    rng = np.random.default_rng(seed)
    run = make_run(label, chat=[float(v) for v in votes])
    details = [
        {
            "games": [] if not own else [[float(v), 1], [1 - float(v), 1]],
            "looks": {
                "sketch": [] if not own else [int(h) for h in rng.integers(0, 2**31, 16)],
                "signs": [],
                "own": [float(own), 0.0, 0.0, 0.0],
            },
        }
        for v, own in zip(votes, long, strict=True)
    ]
    table = run.table.assign(detail=[json.dumps({"judge": detail}) for detail in details])
    how = {"chat": {"reading": "log-probabilities", "prompts": {}}}
    return replace(run, table=table).changed("judging", how)


def gated(old: MemoryRun, new: MemoryRun, policy: Policy = RULES) -> tuple[Verdict, DomainVerdict]:
    verdict = gate_runs(old, new, policy)
    assert verdict.problems == ()
    return verdict, verdict.domains["chat"]


def sides(n: int, factor: float, better: float, seed: int = 3) -> tuple[MemoryRun, MemoryRun]:
    """A baseline, and a candidate so many times as long and so much better (in logits)."""
    rng = np.random.default_rng(seed)
    runs = []
    for label, times, quality in (("old", 1.0, 0.0), ("new", factor, better)):
        long = lengths(rng, n, times)
        runs.append(judged(label, shares(rng, long, quality), long, seed))
    return runs[0], runs[1]


def test_shorter_answers_that_only_the_judges_taste_dislikes_are_no_regression() -> None:
    verdict, chat = gated(*sides(600, factor=0.65, better=0.0))
    assert chat.delta is not None and chat.delta < -0.10
    style = chat.equal_style
    assert style is not None and style.low is not None and style.high is not None
    assert style.low < 0 < style.high
    assert chat.badge != "fail" and verdict.exit_code != 1
    assert "At equal length and style" in chat.sentence and "modelling assumption" in chat.sentence


def test_a_loss_that_longer_answers_hide_is_a_regression() -> None:
    verdict, chat = gated(*sides(600, factor=1.55, better=-0.9))
    assert chat.delta is not None and chat.delta > -0.05
    assert chat.equal_style is not None and (chat.equal_style.delta or 0) < -0.08
    assert (chat.badge, verdict.exit_code) == ("fail", 1)


def test_a_regression_is_told_in_the_figures_that_it_was_read_from() -> None:
    verdict, chat = gated(*sides(600, factor=1.9, better=-0.9))
    assert chat.delta is not None and chat.delta > 0.04, "more votes than before"
    assert verdict.sentence.startswith(
        "chat at equal length and style lost 20.8 points (90% CI [-26"
    )
    assert chat.sentence.startswith("FAIL: -20.8 points")
    assert "at equal length and style (a modelling assumption); as voted +7.5" in chat.sentence
    assert "observed -20.8 [-26.2, -15.2] at equal length and style" in chat.rule


def test_without_a_change_of_style_both_figures_agree() -> None:
    _, chat = gated(*sides(600, factor=1.0, better=-0.8))
    assert chat.badge == "fail" and chat.delta is not None and chat.equal_style is not None
    assert chat.equal_style.delta == pytest.approx(chat.delta, abs=0.04)
    old, _ = sides(600, factor=1.0, better=0.0)
    _, same = gated(old, old)
    assert same.badge == "pass" and same.equal_style is not None
    assert same.equal_style.delta == 0.0


def test_empty_answers_are_no_matter_of_style() -> None:
    old, _ = sides(200, factor=1.0, better=0.0)
    new = judged("new", [0.0] * 200, [0.0] * 200)
    verdict = gate_runs(old, new, RULES)
    assert verdict.domains["chat"].badge == "fail" and verdict.exit_code == 1


def test_where_no_two_answers_are_of_one_style_a_loss_counts_as_it_was_voted() -> None:
    verdict, chat = gated(*sides(300, factor=0.03, better=0.0))
    assert (chat.badge, verdict.exit_code) == ("fail", 1)
    assert chat.equal_style is not None and chat.equal_style.delta is None
    assert "hardly any two are alike" in chat.sentence
    _, chat = gated(*sides(1500, factor=30.0, better=-3.4))
    assert chat.badge == "inconclusive", "a PASS by votes alone"
    assert "nothing can PASS" in chat.sentence
    assert chat.delta is not None and chat.delta > 0 and chat.comparison is not None
    assert chat.comparison.p_gain == 1.0, "a gain by votes alone"


@pytest.mark.parametrize("own", ["lost", [1.0], [float("nan"), 0, 0, 0], [-1.0, 0, 0, 0]])
def test_a_side_that_does_not_say_its_style_passes_nothing(own: Any) -> None:
    old, new = sides(600, factor=1.0, better=0.0)
    details = [json.loads(text) for text in new.table["detail"]]
    details[5]["judge"]["looks"]["own"] = own
    damaged = replace(new, table=new.table.assign(detail=[json.dumps(d) for d in details]))
    assert gated(old, replace(old, label="new"))[1].badge == "pass"
    _, chat = gated(old, damaged)
    assert chat.badge == "inconclusive"
    assert "do not hold the style" in chat.sentence


def test_the_mean_over_domains_takes_the_figure_at_equal_style() -> None:
    old, new = sides(600, factor=0.65, better=0.0)
    verdict = gate_runs(old, new, RULES)
    chat = verdict.domains["chat"]
    assert verdict.pooled is not None and chat.equal_style is not None
    assert verdict.pooled.delta == pytest.approx(chat.equal_style.delta)


def test_the_figure_at_equal_style_is_kept_and_stands_on_the_page(tmp_path: Path) -> None:
    verdict, chat = gated(*sides(200, factor=0.8, better=0.0))
    verdict.save(tmp_path / "verdict.json")
    assert Verdict.load(tmp_path / "verdict.json").domains["chat"].equal_style == chat.equal_style
    page = write_gate_page(verdict, tmp_path / "gate.html").read_text(encoding="utf-8")
    assert "At equal length and style" in page


def test_taste_alone_raises_no_more_false_alarms_than_the_level() -> None:
    claim = Claim("chat", "chat", "correct", False, (("chat", "correct"),))
    voted = held = 0
    for seed in range(60):
        frames = [run.table.assign(cluster=None) for run in sides(160, 0.7, 0.0, seed)]
        own = pair([claim], *frames)["chat"]
        raw = decide(unit_pairs(own), margin=0.05)
        styled, _ = at_equal_style(own, raw, frozenset({"chat"}), frames, 0.05)
        voted, held = voted + (raw.verdict == "fail"), held + (styled.verdict == "fail")
    assert voted > 40
    assert held <= 7  # 5% of 60, and two Monte-Carlo errors
