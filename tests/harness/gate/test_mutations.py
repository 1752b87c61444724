"""Each safeguard of the gate, taken out of the real code: a limit of its error rates must then break.

Every test first sees the limit kept. Prefixes of what came back first, and gamma, are in
tests/harness/statistics/test_expected_looks.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from gate_rules import StoredGate, finals
from memory_runs import make_run
from simulated_suites import VOTES, draw_suite

from waterbed.harness import gate as gate_module
from waterbed.harness.gate_units import unit_pairs
from waterbed.harness.pairing import claims, pair
from waterbed.harness.statistics import paired, sequential
from waterbed.harness.statistics.decision import decide
from waterbed.harness.statistics.expected_looks import expected_looks
from waterbed.harness.statistics.normal import critical_value
from waterbed.harness.statistics.paired import pair_counts
from waterbed.harness.statistics.sequential import plan_looks


def passes_at_the_margin(n: int, margin: float) -> float:
    """Exact share of PASS where every flip is a loss of the margin in all (D = m)."""
    from scipy.stats import binom

    verdicts = [decide(pair_counts(0, c, n), margin).verdict for c in range(n // 2)]
    return float(sum(binom.pmf(c, n, margin) for c, v in enumerate(verdicts) if v == "pass"))


def test_wald_in_place_of_tango_passes_losses_of_the_margin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert passes_at_the_margin(100, 0.05) <= 0.061

    def wald(b: float, c: float, n: float, d0: float) -> float:
        delta = (b - c) / n
        spread = max((b + c) / n - delta**2, 1e-12)
        return float((delta - d0) / np.sqrt(spread / n))

    monkeypatch.setattr(paired, "tango_z", wald)
    assert passes_at_the_margin(100, 0.05) > 0.1


def test_without_holm_unchanged_suites_are_red_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, found = StoredGate(VOTES), finals(draw_suite({}, 0.15, 120, suite=VOTES))
    assert (gate.exits(found)["harm"] == 1).mean() <= 0.08
    monkeypatch.setattr(gate_module, "holm", list)
    assert (gate.exits(found)["harm"] == 1).mean() > 0.12


def test_ten_looks_at_the_line_of_one_pass_and_fail_too_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rates() -> tuple[float, float]:
        plan = plan_looks(1319, 0.03, gamma=None)
        lost, still = expected_looks(plan, 0.1, -0.03), expected_looks(plan, 0.1, 0.0)
        return lost.p_pass, still.p_fail

    assert max(rates()) <= 0.065

    def peeking(alpha: float, times: Sequence[float], spending: str = "") -> tuple[float, ...]:
        return (critical_value(alpha),) * len(times)

    monkeypatch.setattr(sequential, "boundary", peeking)
    assert rates()[0] > 0.12


def passes_with_samples(tables: Sequence[tuple[pd.DataFrame, pd.DataFrame]]) -> float:
    (claim,) = claims(make_run("any", math=[1.0]).manifest["tasks"])
    pairs = [unit_pairs(pair([claim], old, new)[claim.id]) for old, new in tables]
    return float(np.mean([decide(p, 0.05).verdict == "pass" for p in pairs]))


def sampled_tables(rounds: int, n: int, k: int) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """Both sides answer each item k times, always alike; the candidate loses 5 points."""
    rng, found = np.random.default_rng(20261120), []
    plain = make_run("any", math=[0.5] * (n * k)).table
    ids, repeats = np.repeat(np.arange(n), k).astype(str), np.tile(np.arange(k), n)
    for _ in range(rounds):
        d = np.repeat(rng.choice([0.5, -0.5, 0.0], n, p=[0.15, 0.25, 0.6]), k)
        old = plain.assign(sample_id=ids, repeat=repeats, value=0.5 - d / 2)
        found.append((old, old.assign(value=0.5 + d / 2)))
    return found


def as_items(table: pd.DataFrame) -> pd.DataFrame:
    """Every sample an item of its own."""
    ids = table["sample_id"] + "/" + table["repeat"].astype(str)
    return table.assign(sample_id=ids, repeat=0)


def test_samples_pooled_as_items_pass_losses_of_the_margin() -> None:
    tables = sampled_tables(rounds=50, n=100, k=4)
    assert passes_with_samples(tables) <= 0.11
    assert passes_with_samples([(as_items(a), as_items(b)) for a, b in tables]) > 0.15
