"""How often the default policy lets a candidate through: the table the policy was chosen by.

Suite of seven domains (IFEval 541 m=3, GSM8K 1319 m=3, HumanEval 164 m=5, BFCL 1000 m=3, judge 160
m=5 with a spread of .35, safety 450 m=2, MMLU-Pro 1000 m=2), discordance .08 unless said. Exit 0
means that neither a domain nor their mean FAILs after Holm over eight claims.
"""

import math

import numpy as np
import pytest

from waterbed.harness.statistics.decision import decide
from waterbed.harness.statistics.families import loss_family, pool_domains
from waterbed.harness.statistics.paired import Pairs, pair_counts, pair_scores

pytestmark = pytest.mark.study

SUITE = {
    "ifeval": (541, 0.03),
    "gsm8k": (1319, 0.03),
    "humaneval": (164, 0.05),
    "bfcl": (1000, 0.03),
    "judge": (160, 0.05),
    "safety": (450, 0.02),
    "mmlu": (1000, 0.02),
}
JUDGE_SD = 0.35
ROUNDS = 1000


def draw(rng: np.random.Generator, name: str, discordance: float, delta: float) -> Pairs:
    n, _ = SUITE[name]
    if name == "judge":
        return judge_scores(rng, n, delta)
    spread = max(discordance, abs(delta) + 0.02)
    b, c, _ = rng.multinomial(n, [(spread + delta) / 2, (spread - delta) / 2, 1 - spread])
    return pair_counts(int(b), int(c), n)


def judge_scores(rng: np.random.Generator, n: int, delta: float) -> Pairs:
    """Differences of -1/2, 0 and 1/2 with the judge's spread, as two orders and ties give."""
    changed = JUDGE_SD**2 / 0.25
    p = [changed / 2 - delta, 1 - changed, changed / 2 + delta]
    d = rng.choice([-0.5, 0.0, 0.5], n, p=p)
    return pair_scores(0.5 - d / 2, 0.5 + d / 2)


def exit_zero(truth: dict[str, float], discordance: float = 0.08) -> float:
    rng = np.random.default_rng(20261120)
    known: dict[tuple[str, int, int], object] = {}
    quiet = 0
    for _ in range(ROUNDS):
        decisions = {}
        for name, (_, margin) in SUITE.items():
            pairs = draw(rng, name, discordance, truth.get(name, 0.0))
            key = (name, pairs.b, pairs.c)
            decisions[name] = known.get(key) or decide(pairs, margin)
            known[key] = decisions[name]
        pooled = pool_domains(
            [d.delta for d in decisions.values()], [d.se for d in decisions.values()]
        )
        quiet += not loss_family(decisions, pooled).failed
    return quiet / ROUNDS


EVERYWHERE = dict.fromkeys(SUITE, -0.02)


@pytest.mark.parametrize(
    ("truth", "discordance", "published"),
    [
        ({}, 0.04, 0.987),
        ({}, 0.08, 0.975),
        ({}, 0.15, 0.961),
        ({"gsm8k": -0.02}, 0.08, 0.83),
        ({"ifeval": -0.02}, 0.08, 0.82),
        (EVERYWHERE, 0.08, 0.08),
        ({"gsm8k": -0.05}, 0.08, 0.002),
        ({"bfcl": -0.05}, 0.08, 0.007),
        ({"ifeval": -0.05}, 0.08, 0.05),
        ({"safety": -0.05}, 0.08, 0.10),
        ({"humaneval": -0.05}, 0.08, 0.66),
        ({"judge": -0.05}, 0.08, 0.66),
        ({"humaneval": -0.10}, 0.08, 0.08),
    ],
)
def test_exit_zero_is_as_frequent_as_published(
    truth: dict[str, float], discordance: float, published: float
) -> None:
    share = exit_zero(truth, discordance)
    error = 3 * math.sqrt(max(published * (1 - published), 0.01) / ROUNDS)
    print(f"{truth or 'no change'} D={discordance}: {share:.3f} (published {published})")
    assert share == pytest.approx(published, abs=error + 0.02)
