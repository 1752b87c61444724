"""How often each policy lets a candidate through: the table that the policies were chosen by.

The published shares are of a gate with ten looks per domain that reads the mean at the last item, on
a suite whose chat domain is 160 pass/fail items; so drawn, all thirteen rows of `harm` come out
within .01. Two things of the table are not this gate: under `strict` it demoted domains that were
unlikely to PASS even where they are safety, and with losses of five points it let more through under
`release` than under `harm`, which no rule of "harm and more" can.
"""

from __future__ import annotations

import math

import pytest
from gate_rules import StoredGate, finals
from simulated_suites import SUITE, TRUTHS, VOTES, Domain, draw_suite, live_exits

pytestmark = pytest.mark.study

ROUNDS = 20_000
STORED_ROUNDS = 2000
PUBLISHED_ROUNDS = 4000
#: Exit 0 under harm, release, strict as published; None where `release` exceeds `harm` there.
PUBLISHED: dict[str, tuple[float, float | None, float]] = {
    "no change, D .04": (0.987, 0.99, 0.34),
    "no change, D .08": (0.975, 0.955, 0.17),
    "no change, D .15": (0.961, 0.81, 0.15),
    "-2 math": (0.83, 0.79, 0.06),
    "-2 instruction": (0.82, 0.79, 0.04),
    "-2 everywhere": (0.08, 0.03, 0.001),
    "-5 math": (0.002, None, 0.0),
    "-5 tools": (0.007, None, 0.0),
    "-5 instruction": (0.05, None, 0.0),
    "-5 safety": (0.10, None, 0.02),
    "-5 code": (0.66, 0.59, 0.01),
    "-5 chat": (0.66, 0.59, 0.01),
    "-10 code": (0.08, 0.07, 0.001),
}
#: Domains planned to PASS in less than half of the cases at each discordance, chat with a judge.
DEMOTED = {0.04: set[str](), 0.08: {"safety"}, 0.15: {"safety", "code", "knowledge"}}


def near(share: float, published: float) -> bool:
    """Within three errors of both simulations, and a printed digit."""
    spread = max(published * (1 - published), 2e-3)
    error = math.sqrt(spread * (1 / PUBLISHED_ROUNDS + 1 / ROUNDS))
    return abs(share - published) <= 3 * error + 0.005


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_table_is_reproduced_on_its_own_assumptions(name: str) -> None:
    truth, discordance = TRUTHS[name]
    drawn = draw_suite(truth, discordance, ROUNDS, suite=VOTES)
    gating = frozenset(set(SUITE) - DEMOTED[discordance])
    found = live_exits(drawn, gating, at_end=True)
    shares = {policy: float((codes == 0).mean()) for policy, codes in found.items()}
    print(f"{name}: {shares}, published {PUBLISHED[name]}")
    for policy, published in zip(shares, PUBLISHED[name], strict=True):
        assert published is None or near(shares[policy], published), policy


def stored(
    suite: dict[str, Domain], truth: dict[str, float], discordance: float
) -> dict[str, tuple[float, float]]:
    """Shares of exit 0 and 1 by policy, through the whole decision of the gate."""
    gate = StoredGate(suite)
    found = finals(draw_suite(truth, discordance, STORED_ROUNDS, suite=suite))
    gate.check(found, 0)
    return {
        name: (float((c == 0).mean()), float((c == 1).mean()))
        for name, c in gate.exits(found).items()
    }


@pytest.mark.parametrize("suite", [SUITE, VOTES], ids=["judge", "pass/fail"])
@pytest.mark.parametrize("name", list(TRUTHS)[:3])
def test_no_change_is_let_through_by_harm(name: str, suite: dict[str, Domain]) -> None:
    shares = stored(suite, *TRUTHS[name])
    print(f"{name}: {shares}")
    assert shares["harm"][0] >= 0.95


def test_two_points_lost_everywhere_are_caught() -> None:
    truth, discordance = TRUTHS["-2 everywhere"]
    shares = stored(VOTES, truth, discordance)
    drawn = draw_suite(truth, discordance, ROUNDS, suite=VOTES)
    live = float((live_exits(drawn, frozenset(SUITE))["harm"] == 1).mean())
    judged = stored(SUITE, truth, discordance)["harm"][1]
    print(f"-2 everywhere: stored {shares}, live red {live:.4f}; with a judge, stored {judged:.4f}")
    assert shares["harm"][1] >= 0.90
    assert live >= 0.90 - 3 * math.sqrt(0.09 / ROUNDS)
    # A judge's spread of .35 is more than D = .08 gives; the mean then sees a little less.
    assert judged >= 0.87


@pytest.mark.parametrize("name", ["no change, D .08", "-2 math", "-5 safety", "-5 code"])
def test_what_stricter_policies_let_through_is_less(name: str) -> None:
    shares = stored(SUITE, *TRUTHS[name])
    print(f"{name}: {shares}")
    assert shares["strict"][0] < shares["release"][0] <= shares["harm"][0]
    assert len({red for _, red in shares.values()}) == 1


def test_safety_that_is_never_demoted_makes_strict_stricter_than_its_table() -> None:
    gate = StoredGate(SUITE)
    assert "safety" in gate.gating
    truth, discordance = TRUTHS["no change, D .08"]
    drawn = draw_suite(truth, discordance, ROUNDS, suite=VOTES)
    with_safety = (live_exits(drawn, gate.gating, at_end=True)["strict"] == 0).mean()
    without = (live_exits(drawn, gate.gating - {"safety"}, at_end=True)["strict"] == 0).mean()
    print(f"strict, no change, D .08: {with_safety:.3f} with safety, {without:.3f} without")
    assert near(float(without), PUBLISHED["no change, D .08"][2])
    assert with_safety < without / 2
