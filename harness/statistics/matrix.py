"""Stages in rows, domains in columns: what each stage changed, and what was forgotten on the way.

Every cell is compared on the same items as its row before (the step) and as the anchor (the
cumulative change), so that steps add up to the cumulative change. Verdicts over all cells are
exploration: the false ones are held to a share (Benjamini-Hochberg), not ruled out.

Does not: gate a stage (each row has its own gate), or fit trends.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .decision import Decision, decide
from .families import benjamini_hochberg
from .normal import checked_alpha
from .paired import pair_scores

DISCOVERY = 0.10
Floats = NDArray[np.float64]
Cell = tuple[str, str]


@dataclass(frozen=True, slots=True)
class StageMatrix:
    """Cells are keyed by (stage, domain); the anchor is the first stage and has no cell."""

    stages: tuple[str, ...]
    domains: tuple[str, ...]
    step: dict[Cell, Decision]
    """against the stage before"""
    cumulative: dict[Cell, Decision]
    """against the anchor"""
    adjusted: dict[Cell, float]
    """Benjamini-Hochberg adjusted p of each step's loss, over all cells"""
    suspected: tuple[Cell, ...]
    """steps whose adjusted p is at most the discovery rate: exploratory"""


def stage_matrix(
    scores: Mapping[str, Mapping[str, ArrayLike]],
    margins: Mapping[str, float],
    discovery: float = DISCOVERY,
) -> StageMatrix:
    """Compare every stage with the one before and with the first.

    Args:
        scores: by stage in order, by domain: item scores of shape (n,) in [0, 1], the same items in
            the same order in every stage.
        margins: largest tolerated loss by domain.
        discovery: share of false ones among the suspected steps.

    Raises:
        ValueError: fewer than two stages, other domains in some stage, or other items.
        UsageError: a margin or rate out of range.
    """
    stages, domains = tuple(scores), tuple(margins)
    checked_alpha(discovery)
    if len(stages) < 2 or not domains:
        raise ValueError(f"need two stages and a domain or more, got {stages} and {domains}")
    for stage in stages:
        if scores[stage].keys() != set(domains):
            raise ValueError(
                f"every stage needs scores of {sorted(domains)}, {stage} has {sorted(scores[stage])}"
            )
    step = _compared(scores, margins, list(pairwise(stages)))
    cumulative = _compared(scores, margins, [(stages[0], stage) for stage in stages[1:]])
    p = benjamini_hochberg([cell.p_loss for cell in step.values()])
    adjusted = dict(zip(step, p, strict=True))
    suspected = tuple(cell for cell, value in adjusted.items() if value <= discovery)
    return StageMatrix(stages, domains, step, cumulative, adjusted, suspected)


def _compared(
    scores: Mapping[str, Mapping[str, ArrayLike]],
    margins: Mapping[str, float],
    steps: Sequence[tuple[str, str]],
) -> dict[Cell, Decision]:
    found: dict[Cell, Decision] = {}
    for before, stage in steps:
        for domain, margin in margins.items():
            old = np.asarray(scores[before][domain], dtype=np.float64)
            new = np.asarray(scores[stage][domain], dtype=np.float64)
            found[stage, domain] = decide(pair_scores(old, new), margin)
    return found


@dataclass(frozen=True, slots=True)
class Attribution:
    """Which stage lost a domain first, and how much of the loss is its own."""

    stage: str
    step: float
    """that stage's difference"""
    share: float | None
    """of the cumulative loss; None where the domain did not lose on the whole"""


def attribute(matrix: StageMatrix, domain: str) -> Attribution | None:
    """The first stage with a suspected step loss in `domain`, or None."""
    stages = [stage for stage, name in matrix.suspected if name == domain]
    if not stages:
        return None
    step = matrix.step[stages[0], domain].delta
    whole = matrix.cumulative[matrix.stages[-1], domain].delta
    return Attribution(stages[0], step, step / whole if whole < 0 else None)


def final_mean(r: ArrayLike) -> float:
    """Mean over domains after the last stage; `r` has shape (stages, domains)."""
    return float(_means(r)[-1].mean())


def backward_transfer(r: ArrayLike) -> float:
    """BWT = mean over j of R[S, j] - R[j, j], where row j is the stage that trained domain j.

    Negative: later stages took from what earlier ones had taught. The domain of the last stage has
    nothing after it and is left out (Lopez-Paz and Ranzato, arXiv 1706.08840, section 2).

    Raises:
        ValueError: not as many stages as domains, or fewer than two.
    """
    means = _means(r)
    if means.shape[0] != means.shape[1]:
        raise ValueError(
            f"backward transfer needs a stage for each domain, got shape {means.shape}; "
            "use forgetting instead"
        )
    return float((means[-1] - np.diag(means))[:-1].mean())


def forgetting(r: ArrayLike, domains: Sequence[int] | None = None) -> float:
    """Mean over domains of the best earlier score minus the last (Chaudhry et al. 2018).

    Biased up by the maximum: print `forgetting_split` beside it.

    Args:
        r: mean scores of shape (stages, domains).
        domains: columns to average; all but the last where None, whose training came last.
    """
    means = _means(r)
    columns = list(range(means.shape[1] - 1)) if domains is None else list(domains)
    if not columns:
        raise ValueError("forgetting needs a domain that is not the last, got none")
    lost = means[:-1].max(axis=0) - means[-1]
    return float(lost[columns].mean())


def forgetting_split(items: ArrayLike) -> float:
    """Forgetting of one domain without the bias of its maximum.

    The best earlier stage is chosen on every other item and measured on the rest, then the halves
    are exchanged and both results averaged.

    Args:
        items: scores of shape (stages, n), the items in their seeded order.

    Raises:
        ValueError: fewer than two stages or two items.
    """
    x = np.asarray(items, dtype=np.float64)
    if x.ndim != 2 or min(x.shape) < 2:
        raise ValueError(f"need two stages and two items or more, got shape {x.shape}")
    halves = (x[:, ::2].mean(axis=1), x[:, 1::2].mean(axis=1))
    found = []
    for chosen_on, measured_on in (halves, halves[::-1]):
        best = int(chosen_on[:-1].argmax())
        found.append(float(measured_on[best] - measured_on[-1]))
    return math.fsum(found) / 2


def _means(r: ArrayLike) -> Floats:
    means = np.asarray(r, dtype=np.float64)
    if means.ndim != 2 or means.shape[0] < 2 or not np.all(np.isfinite(means)):
        raise ValueError(f"need finite means of two stages or more, got shape {means.shape}")
    return means
