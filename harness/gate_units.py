"""What one independent observation is: an item, or a cluster of items that share something.

Where items share a fact, a passage or a template, they fall together, and counting them one by one
raises false alarms. The unit is then the cluster: the mean stays that of the items, its error is the
cluster-robust CR1 with clusters - 1 degrees of freedom. Not here: the formulas (statistics/), verdicts.
"""

from __future__ import annotations

import math

from .pairing import PairedClaim
from .statistics.clusters import clustered, one_score_per_cluster
from .statistics.paired import Pairs, pair_scores
from .statistics.two_level import TwoLevel, paired_variance

_NOTHING = 1e-12


def unit_pairs(paired: PairedClaim) -> Pairs:
    """The pairs that tests read: one for each unit.

    For clusters they are scaled so that their mean is the items' mean difference and their standard
    error CR1; the t test on them is then the cluster-robust one, and Tango's guards count clusters.

    Raises:
        ValueError: there is no pair.
    """
    if not paired.clustered:
        return pair_scores(paired.baseline, paired.candidate)
    units = list(paired.unit)
    if paired.units == 1:
        means = (one_score_per_cluster(s, units) for s in (paired.baseline, paired.candidate))
        return pair_scores(*means)
    found = clustered(paired.candidate - paired.baseline, units)
    changes = one_score_per_cluster((paired.candidate - paired.baseline + 1) / 2, units) - 0.5
    g, spread = found.clusters, found.se * math.sqrt(found.clusters)
    squares = (g - 1) * spread**2 + g * found.delta**2
    return Pairs(
        n=g,
        b=int((changes > _NOTHING).sum()),
        c=int((changes < -_NOTHING).sum()),
        total=g * found.delta,
        squares=min(float(g), squares),  # a cluster far larger than the others weighs more than one
        sd=spread,
        binary=False,
        baseline=float(paired.baseline.mean()),
        candidate=float(paired.candidate.mean()),
    )


def sampling(paired: PairedClaim) -> TwoLevel | None:
    """Where the error comes from, items or samples; None where nothing was drawn twice."""
    if paired.samples is None or paired.clustered or paired.n < 2:
        return None
    if not any(len(s) > 1 for side in paired.samples for s in side):
        return None
    return paired_variance(*paired.samples)
