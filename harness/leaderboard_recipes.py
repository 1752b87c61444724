"""Recipes on a leaderboard: the mean of several runs that differ in their seed, and what it may claim.

Seeds and items both vary; from three runs on the interval holds both (statistics/ranking.py). With fewer
it holds the items alone, and then nothing is said of the recipe. Not here: which Runs belong to a recipe
(the user says so), ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .common_items import CommonClaim
from .errors import UsageError
from .leaderboard_costs import weighted
from .leaderboard_record import Estimate, RecipePlace
from .statistics.ranking import FEWEST_SEEDS, recipe_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def recipe_places(
    groups: Mapping[str, Sequence[str]],
    common: Mapping[str, CommonClaim],
    baseline: str | None,
    confidence: float,
) -> tuple[RecipePlace, ...]:
    """Every recipe, the best first.

    Args:
        groups: names of Runs by recipe.

    Raises:
        UsageError: a recipe has no Run, or one twice.
    """
    for recipe, names in groups.items():
        if not names or len(set(names)) != len(names):
            raise UsageError(
                f"The recipe '{recipe}' names {', '.join(names) or 'no Run'}; give each of its Runs once."
            )
    found = [_place(r, names, common, baseline, confidence) for r, names in groups.items()]
    return tuple(sorted(found, key=lambda place: (-place.overall.value, place.name)))


def as_counted(claim: CommonClaim, found: Estimate) -> Estimate:
    """A score, higher is better, as its metric counts."""
    if not claim.claim.lower_is_better:
        return found
    return Estimate(1 - found.value, 1 - found.high, 1 - found.low)


def _place(
    recipe: str,
    names: Sequence[str],
    common: Mapping[str, CommonClaim],
    baseline: str | None,
    confidence: float,
) -> RecipePlace:
    whole = [weighted(common, name) for name in names]
    before = weighted(common, baseline) if baseline else None
    scores, changes = {}, {}
    for own, claim in common.items():
        parts = [claim.unit_shares(name) for name in names]
        scores[own] = as_counted(claim, _score(_mean(parts, confidence)))
        if baseline:
            shares = claim.unit_shares(baseline)
            changes[own] = _mean([part - shares for part in parts], confidence)
    return RecipePlace(
        name=recipe,
        runs=tuple(names),
        items_only=len(names) < FEWEST_SEEDS,
        overall=_score(_mean(whole, confidence)),
        change=_mean([part - before for part in whole], confidence) if before is not None else None,
        scores=scores,
        changes=changes,
    )


def _mean(runs: Sequence[Floats], confidence: float) -> Estimate:
    """The mean over runs and units; values of any size, which the formula wants within 1."""
    import numpy as np

    values = np.stack(runs)
    if values.shape[1] < 2:
        # One cluster says nothing of its own error.
        return Estimate(float(values.mean()), -1.0, 1.0)
    scale = max(1.0, float(np.abs(values).max()))
    found = recipe_mean(values / scale, confidence)
    low, high = (max(-1.0, min(1.0, end * scale)) for end in (found.low, found.high))
    return Estimate(found.mean * scale, low, high)


def _score(found: Estimate) -> Estimate:
    return Estimate(found.value, max(0.0, found.low), found.high)
