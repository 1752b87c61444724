"""Where the error of a mean comes from: the items asked, or the samples drawn of each.

`Var(delta) = (omega^2 + sigma_c^2/k_c + sigma_b^2/k_b) / n`: omega^2 is the variance of the true
item differences, sigma^2 the variance of one sample of an item. More samples shrink the second part
only, more items both.

Does not: test anything (`paired` tests the item means), or price items against samples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .paired import Pairs, pair_scores

Scores = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class TwoLevel:
    """Variance parts of the mean over n items. Proportions squared."""

    n: int
    mean: float
    """mean over items of the item mean (or of the paired difference of item means)"""
    omega2: float
    """variance between items beyond sampling, clipped at 0"""
    sigma2_candidate: float
    sigma2_baseline: float
    """0 where only one side was given"""
    inverse_k_candidate: float
    """mean over items of 1/k"""
    inverse_k_baseline: float

    @property
    def noise(self) -> float:
        """Variance of an item's value that comes from sampling at the present k."""
        return (
            self.sigma2_candidate * self.inverse_k_candidate
            + self.sigma2_baseline * self.inverse_k_baseline
        )

    @property
    def se(self) -> float:
        """Standard error of the mean now."""
        return math.sqrt((self.omega2 + self.noise) / self.n)

    @property
    def se_one_sample(self) -> float:
        """The same at one sample an item on each side."""
        return math.sqrt((self.omega2 + self.sigma2_candidate + self.sigma2_baseline) / self.n)

    @property
    def se_endless_samples(self) -> float:
        """The same with the sampling noise gone: what no number of samples can beat."""
        return math.sqrt(self.omega2 / self.n)

    @property
    def se_twice_items(self) -> float:
        """The same with twice the items at the present k."""
        return self.se / math.sqrt(2)

    @property
    def helps_more(self) -> Literal["items", "samples"]:
        """Samples where, in the limit, they would beat twice the items; else items."""
        return "samples" if self.se_endless_samples < self.se_twice_items else "items"


def item_variance(scores: Scores) -> TwoLevel:
    """The parts of one model's mean score; `scores[i]` holds the samples of item i.

    The sampling variance is the mean of the items' sample variances (items with two samples or
    more), each item's noise uses its own k (Miller, arXiv 2411.00640, section 3).

    Raises:
        ValueError: no item with two samples (the parts cannot be told apart), an item without a
            sample, fewer than two items, or a score outside [0, 1].
    """
    means, inverse_k = _item_means(scores)
    pairs = pair_scores([0.0] * len(means), means)
    return _split(pairs, (_within(scores, "candidate"), inverse_k), (0.0, 0.0))


def paired_variance(baseline: Scores, candidate: Scores) -> TwoLevel:
    """The parts of the paired difference; item i of one list is item i of the other.

    A side with one sample an item throughout (greedy decoding) has no noise of its own to show: its
    sigma^2 is 0 and what it has stays in omega^2.

    Raises:
        ValueError: as `item_variance`, or lists of different lengths.
    """
    old, inverse_old = _item_means(baseline)
    new, inverse_new = _item_means(candidate)
    pairs = pair_scores(old, new)
    if all(len(s) == 1 for s in baseline) and all(len(s) == 1 for s in candidate):
        raise ValueError("one sample an item on both sides; draw two or more on one of them")
    sides = [
        (0.0 if all(len(s) == 1 for s in side) else _within(side, name), inverse)
        for side, name, inverse in (
            (candidate, "candidate", inverse_new),
            (baseline, "baseline", inverse_old),
        )
    ]
    return _split(pairs, *sides)


def _split(pairs: Pairs, candidate: tuple[float, float], baseline: tuple[float, float]) -> TwoLevel:
    if pairs.n < 2:
        raise ValueError(f"a variance between items needs two items or more, got {pairs.n}")
    noise = math.prod(candidate) + math.prod(baseline)
    return TwoLevel(
        n=pairs.n,
        mean=pairs.delta,
        omega2=max(0.0, pairs.sd**2 - noise),
        sigma2_candidate=candidate[0],
        sigma2_baseline=baseline[0],
        inverse_k_candidate=candidate[1],
        inverse_k_baseline=baseline[1],
    )


def _item_means(scores: Scores) -> tuple[list[float], float]:
    empty = [i for i, samples in enumerate(scores) if not len(samples)]
    if empty or not len(scores):
        where = f"item {empty[0]} has none" if empty else "no item was given"
        raise ValueError(f"every item needs a sample; {where}")
    bad = [x for samples in scores for x in samples if not 0 <= x <= 1]
    if bad:
        raise ValueError(f"scores must lie in [0, 1], got {bad[0]}; drop unscored samples first")
    means = [math.fsum(samples) / len(samples) for samples in scores]
    return means, math.fsum(1 / len(samples) for samples in scores) / len(scores)


def _within(scores: Scores, side: str) -> float:
    """Mean sample variance of the items that have two samples or more."""
    variances = []
    for samples in scores:
        if len(samples) > 1:
            mean = math.fsum(samples) / len(samples)
            variances.append(math.fsum((x - mean) ** 2 for x in samples) / (len(samples) - 1))
    if not variances:
        raise ValueError(f"no item of the {side} has two samples; draw two or more an item")
    return math.fsum(variances) / len(variances)
