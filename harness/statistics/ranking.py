"""Which ranks a model may have, given all paired tests, and the mean of a recipe over its seeds.

A rank is an interval: a model may stand anywhere between the models shown better than it and those
shown worse. Models that no test separates share ranks; a bare ordinal would claim more.

Does not: rank arenas (`bradley_terry`), average domains, or compare models on other items.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from .families import holm
from .mcnemar import midp_two_sided
from .normal import checked_alpha, checked_confidence, critical_value
from .paired import Pairs, gain_p, loss_p, pair_scores

FEWEST_SEEDS = 3


@dataclass(frozen=True, slots=True)
class Versus:
    """One paired comparison: first minus second."""

    first: str
    second: str
    delta: float
    p: float
    """two-sided"""


@dataclass(frozen=True, slots=True)
class Rank:
    """The ranks a model may have, 1 the best."""

    best: int
    """1 + models shown better"""
    worst: int
    """models - models shown worse"""

    @property
    def label(self) -> str:
        """ "2", or "2-4" where tests leave it open."""
        return str(self.best) if self.best == self.worst else f"{self.best}-{self.worst}"


def compare_all(scores: Mapping[str, ArrayLike]) -> list[Versus]:
    """Every pair of models on their common items: scores of shape (n,) each, the same items.

    Raises:
        ValueError: fewer than two models, other numbers of items, or scores outside [0, 1].
    """
    if len(scores) < 2:
        raise ValueError(f"a ranking needs two models or more, got {len(scores)}")
    found = []
    for first, second in combinations(scores, 2):
        pairs = pair_scores(
            np.asarray(scores[second], dtype=np.float64),
            np.asarray(scores[first], dtype=np.float64),
        )
        found.append(Versus(first, second, pairs.delta, two_sided_p(pairs)))
    return found


def two_sided_p(pairs: Pairs) -> float:
    """Two-sided p of H0: no difference: mid-p McNemar, or twice the smaller t tail when graded."""
    if pairs.binary:
        return midp_two_sided(pairs.b, pairs.c)
    return min(1.0, 2 * min(loss_p(pairs), gain_p(pairs)))


def rank_intervals(comparisons: Sequence[Versus], alpha: float = 0.05) -> dict[str, Rank]:
    """Ranks that hold for all models at once with confidence 1 - alpha: Holm over all pairs.

    Source: Mogstad, Romano, Shaikh and Wilhelm, Review of Economic Studies 91 (2024) 476-518.

    Raises:
        ValueError: a pair that is missing or given twice.
    """
    checked_alpha(alpha)
    models = list(dict.fromkeys(name for v in comparisons for name in (v.first, v.second)))
    pairs = {frozenset((v.first, v.second)) for v in comparisons}
    wanted = len(models) * (len(models) - 1) // 2
    if len(pairs) != wanted or len(comparisons) != wanted:
        raise ValueError(
            f"{len(models)} models make {wanted} pairs, got {len(comparisons)}; give each once"
        )
    better, worse = dict.fromkeys(models, 0), dict.fromkeys(models, 0)
    for v, p in zip(comparisons, holm([v.p for v in comparisons]), strict=True):
        if p <= alpha and v.delta != 0:
            winner, loser = (v.first, v.second) if v.delta > 0 else (v.second, v.first)
            better[loser] += 1
            worse[winner] += 1
    return {name: Rank(1 + better[name], len(models) - worse[name]) for name in models}


@dataclass(frozen=True, slots=True)
class RecipeMean:
    """The mean score of one recipe over its seeds and items."""

    seeds: int
    mean: float
    low: float
    high: float
    items_only: bool
    """fewer than three seeds: the interval is that of these runs, and nothing is said of the recipe"""


def recipe_mean(scores: ArrayLike, confidence: float = 0.95) -> RecipeMean:
    """Mean and interval of `scores`, shape (seeds, items), in [0, 1] or differences in [-1, 1].

    Seeds and items are both random and crossed: the variance of the mean is that of the seed means
    plus that of the item means, less the residual that both contain, never below the seeds' alone;
    t with seeds - 1 degrees of freedom.

    Raises:
        ValueError: another shape, fewer than two items, or values that are not numbers.
    """
    x = np.asarray(scores, dtype=np.float64)
    if x.ndim != 2 or x.shape[0] < 1 or x.shape[1] < 2 or not np.all(np.abs(x) <= 1):
        raise ValueError(f"need scores of shape (seeds, two items or more), got {x.shape}")
    seeds, items = x.shape
    mean = float(x.mean())
    by_item = x.mean(axis=0)
    item_part = float(by_item.var(ddof=1)) / items
    tail = (1 - checked_confidence(confidence)) / 2
    if seeds < FEWEST_SEEDS:
        half = critical_value(tail) * math.sqrt(item_part)
        return RecipeMean(seeds, mean, mean - half, mean + half, items_only=True)
    from scipy.special import stdtrit

    by_seed = x.mean(axis=1)
    residual = x - by_seed[:, None] - by_item[None, :] + mean
    shared = float((residual**2).sum()) / ((seeds - 1) * (items - 1)) / (seeds * items)
    seed_part = float(by_seed.var(ddof=1)) / seeds
    variance = max(seed_part, seed_part + item_part - shared)
    half = float(stdtrit(seeds - 1, 1 - tail)) * math.sqrt(variance)
    return RecipeMean(seeds, mean, mean - half, mean + half, items_only=False)
