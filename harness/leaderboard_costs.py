"""What the Runs of a leaderboard are made of and took, and which of them stand on the front.

A cost that not every Run knows, or that is 0, is no axis: a point without it could dominate nothing and be
dominated by nothing. Speed was measured once in each Run, on whatever machine it had. Not here: the formulas
(statistics/pareto.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .common_items import CommonClaim
from .comparability import RunLike
from .cost import seconds_per_token
from .leaderboard_record import Front, Spent
from .statistics.families import Pooled
from .statistics.paired import Pairs, swapped
from .statistics.pareto import confidently_dominates, front_frequency, pareto_front

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Cost axes, and whether less is better.
AXES = {"bytes": True, "tokens_per_s": False, "money": True}


@dataclass(frozen=True, slots=True)
class Fronts:
    """The axes that every Run knows, and each Run's place."""

    axes: tuple[str, ...]
    places: Mapping[str, Front]


def spent_by(run: RunLike) -> Spent:
    """What a Run says of itself."""
    size, cost = run.manifest.get("size") or {}, run.manifest.get("cost") or {}
    counts = [cost.get(key) for key in ("prompt_tokens", "completion_tokens")]
    pace = seconds_per_token(run)
    return Spent(
        parameters=size.get("parameters"),
        bytes=size.get("bytes"),
        tokens_per_s=1 / pace if pace else None,
        tokens=sum(c for c in counts if c) or None,
        wall_s=cost.get("wall_s"),
        money=(cost.get("money") or {}).get("total"),
    )


def fronts(
    spent: Mapping[str, Spent],
    common: Mapping[str, CommonClaim],
    pooled: Mapping[tuple[str, str], Pooled],
) -> Fronts:
    """Places on the front of quality (mean over domains) against every cost that all Runs know.

    Args:
        pooled: by (first, second): first minus second.
    """
    axes = tuple(a for a in AXES if all((getattr(s, a) or 0) > 0 for s in spent.values()))
    if not axes:
        return Fronts((), {})
    smaller = [axis for axis in axes if AXES[axis]]
    costs = {name: {axis: float(getattr(s, axis)) for axis in axes} for name, s in spent.items()}
    scores = {name: weighted(common, name) for name in spent}
    points = {name: {"quality": float(scores[name].mean()), **own} for name, own in costs.items()}
    on = set(pareto_front(points, smaller))
    often = front_frequency(scores, costs, smaller)
    pairs = {key: as_pairs(found, common, *key) for key, found in pooled.items()}
    pairs |= {(b, a): swapped(found) for (a, b), found in pairs.items()}
    places = {
        name: Front(
            on=name in on,
            frequency=often[name],
            dominated_by=tuple(
                other
                for other in spent
                if other != name
                and confidently_dominates(pairs[other, name], costs[other], costs[name], smaller)
            ),
        )
        for name in spent
    }
    return Fronts(axes, places)


def weighted(common: Mapping[str, CommonClaim], name: str) -> NDArray[np.float64]:
    """A value for each unit whose plain mean is the mean over domains: small domains weigh more."""
    import numpy as np

    domains = [claim.claim.domain for claim in common.values()]
    parts = {own: claim.unit_shares(name) for own, claim in common.items()}
    total = sum(len(part) for part in parts.values())
    share = {d: total / (len(set(domains)) * domains.count(d)) for d in domains}
    return np.concatenate(
        [part * share[common[own].claim.domain] / len(part) for own, part in parts.items()]
    )


def as_pairs(found: Pooled, common: Mapping[str, CommonClaim], first: str, second: str) -> Pairs:
    """A mean over domains as if it were one domain of graded items: the same mean and error."""
    n = sum(claim.first.units for claim in common.values())
    changes = [claim.scores(first) - claim.scores(second) for claim in common.values()]
    spread = found.se * math.sqrt(n)
    return Pairs(
        n=n,
        b=min(n, sum(int((d > 0).sum()) for d in changes)),
        c=min(n, sum(int((d < 0).sum()) for d in changes)),
        total=n * found.delta,
        squares=min(float(n), (n - 1) * spread**2 + n * found.delta**2),
        sd=spread,
        binary=False,
        baseline=None,
        candidate=None,
    )
