"""The policies' error rates in small, and that what simulates them is the gate itself.

The full size is in tests/study/test_policy_rates.py. Suites of seven domains, see simulated_suites.py.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from gate_rules import StoredGate, finals
from memory_runs import MemoryRun, make_run
from simulated_suites import (
    SUITE,
    TRUTHS,
    VOTES,
    Ends,
    Paths,
    draw_suite,
    finish,
    finish_mean,
    holm_failed,
    live_exits,
)

from waterbed.harness.gate import gate_runs
from waterbed.harness.gate_looks import LABEL, Looks, plan_gate_looks

ROUNDS = 1000


@pytest.fixture(scope="module")
def gate() -> StoredGate:
    return StoredGate(SUITE)


@lru_cache
def drawn(name: str) -> dict[str, Paths]:
    truth, discordance = TRUTHS[name]
    return draw_suite(truth, discordance, ROUNDS, suite=VOTES)


def share(name: str, policy: str, code: int) -> float:
    return float((live_exits(drawn(name), frozenset(SUITE))[policy] == code).mean())


def test_no_change_is_green_in_95_of_100_and_two_points_everywhere_red_in_nearly_90() -> None:
    assert share("no change, D .08", "harm", 0) >= 0.95
    assert share("-2 everywhere", "harm", 1) >= 0.87


def test_strict_and_release_keep_losses_of_two_points_everywhere_from_green() -> None:
    assert share("-2 everywhere", "release", 0) <= 0.05
    assert share("-2 everywhere", "strict", 0) <= 0.005


def red_share(ends: dict[str, Ends]) -> float:
    return float(np.any(list(holm_failed(ends).values()), axis=0).mean())


def test_without_the_mean_two_points_everywhere_are_mostly_missed() -> None:
    suite = drawn("-2 everywhere")
    ends = {name: finish(paths) for name, paths in suite.items()}
    assert red_share({**ends, "": finish_mean(suite)}) > 0.87
    assert red_share(ends) < 0.7


def drawn_scores(gate: StoredGate, truth: dict[str, float]) -> dict[str, np.ndarray]:
    """One candidate's scores, item by item; a judge's rise or fall by halves."""
    rng, scores = np.random.default_rng(5), {}
    for name, old in gate.old.items():
        step = 0.5 if gate.suite[name].judge else 1.0
        move = rng.random(len(old))
        chance = 0.08 + abs(truth.get(name, 0.0))
        down = (old > 0) & (move < chance)
        up = (old < 1) & (move > 1 - (0.08 if step == 1 else 0.2))
        scores[name] = old - step * down + step * (up & ~down)
    return scores


def read_at_looks(
    gate: StoredGate, looks: Looks, scores: dict[str, np.ndarray]
) -> dict[str, Paths]:
    """The same candidate as sums up to each look of the gate's own order."""
    paths = {}
    for name, claim in looks.claims.items():
        d = scores[name] - gate.old[name]
        tenth = np.array([looks.tenth[(name, str(i))] for i in range(len(d))])
        sums = [d[tenth <= k] for k in claim.tenths]
        total = np.array([[s.sum() for s in sums]])
        squares = np.array([[(s * s).sum() for s in sums]])
        paths[name] = Paths(claim.plan, total, squares, gate.suite[name].judge)
    return paths


@pytest.mark.parametrize(
    ("truth", "policy", "code"),
    [({}, "harm", 0), ({}, "strict", 3), (dict.fromkeys(SUITE, -0.03), "harm", 1)],
    ids=["none-harm", "none-strict", "all-harm"],
)
def test_a_live_gate_decides_as_it_is_simulated(
    gate: StoredGate, truth: dict[str, float], policy: str, code: int
) -> None:
    rules = gate.cases[policy].policy
    looks = plan_gate_looks(gate.plans[policy], gate.baseline, rules, None, 0)
    assert looks is not None
    scores = drawn_scores(gate, truth)
    candidate = make_run("new", **{name: s.tolist() for name, s in scores.items()})
    labelled: MemoryRun = candidate.changed(f"labels/{LABEL}", looks.id)
    verdict = gate_runs(gate.baseline, labelled, rules)
    assert verdict.early is not None
    simulated = live_exits(read_at_looks(gate, looks, scores), gate.gating)
    assert verdict.exit_code == simulated[policy][0] == code


def test_a_stored_gate_decides_as_it_is_simulated(gate: StoredGate) -> None:
    found = finals(draw_suite({}, 0.15, 1))
    gate.check(found, 0)
    math = found["math"]
    worse = replace(math, total=math.total - 130, squares=math.squares + 130)
    codes = gate.exits({**found, "math": worse})
    assert {name: code[0] for name, code in codes.items()} == dict.fromkeys(codes, 1)
