"""Real answers without a change: two models' recorded GSM8K verdicts, exchanged item by item.

Exchanging the two answers of an item by a coin makes two sides that differ in nothing but chance,
while the items and how often they flip stay real. Two seeds of one model would be the better
reference; no such recording is at hand.
"""

from itertools import combinations

import numpy as np
import pytest
from bench_gate import MODELS, SOLUTIONS, verdicts

from waterbed.harness.statistics.expected_looks import replay
from waterbed.harness.statistics.sequential import plan_looks

SPLITS = 500

pytestmark = [
    pytest.mark.study,
    pytest.mark.skipif(not SOLUTIONS.is_file(), reason="WATERBED_DATA has no GSM8K solutions"),
]


@pytest.mark.parametrize("pair", list(combinations(MODELS, 2)), ids="-".join)
def test_exchanged_answers_seldom_fail(pair: tuple[str, str]) -> None:
    scores = verdicts()
    difference = scores[pair[1]] - scores[pair[0]]
    rng = np.random.default_rng(20261120)
    d = rng.permuted(np.tile(difference, (SPLITS, 1)), axis=1)
    d = d * rng.choice([-1.0, 1.0], d.shape)
    plan = plan_looks(d.shape[1], 0.03)
    at = np.array(plan.looks) - 1
    end = replay(plan, (d > 0).cumsum(axis=1)[:, at], (d < 0).cumsum(axis=1)[:, at])
    print(
        f"{pair}: {np.mean(difference != 0):.3f} flip; FAIL {end.failed.mean():.3f}, "
        f"PASS {end.passed.mean():.3f}, use {end.items.mean() / plan.items:.2f}"
    )
    assert end.failed.mean() <= 0.07
