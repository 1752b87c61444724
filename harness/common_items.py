"""Several Runs on the items that all of them scored, claim by claim, ready for tests between any two.

Every item counts for all Runs or for none, so that differences add up and ranks are of one set. Not here:
whether the Runs were made alike (comparability.py), tests and ranks (statistics/).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .gate_units import unit_pairs
from .pairing import Claim, PairedClaim, pair
from .statistics.clusters import one_score_per_cluster
from .statistics.paired import Pairs

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CommonClaim:
    """One claim of several Runs; every array is over the same items in the same order."""

    claim: Claim
    sides: Mapping[str, PairedClaim]
    """By Run; its `candidate` holds the Run's scores in [0, 1], turned so that higher is better."""

    @property
    def first(self) -> PairedClaim:
        """Any side, for what all have in common."""
        return next(iter(self.sides.values()))

    @property
    def n(self) -> int:
        """Items."""
        return self.first.n

    def scores(self, name: str) -> Floats:
        """A Run's item scores, higher is better."""
        return self.sides[name].candidate

    def unit_scores(self, name: str) -> Floats:
        """The same by independent unit: an item, or a cluster of items, each counting once."""
        side = self.sides[name]
        if not side.clustered:
            return side.candidate
        return one_score_per_cluster(side.candidate, list(side.unit))

    def unit_shares(self, name: str) -> Floats:
        """A value for each unit whose plain mean is the mean over items: a large cluster weighs more."""
        import numpy as np

        side = self.sides[name]
        if not side.clustered:
            return side.candidate
        units, index = np.unique(side.unit.astype(str), return_inverse=True)
        sums = np.bincount(index, weights=side.candidate)
        return np.asarray(sums * len(units) / side.n, dtype=np.float64)

    def pairs(self, before: str, after: str) -> Pairs:
        """One Run against another: differences are after minus before."""
        both = replace(self.sides[after], baseline=self.scores(before), samples=None)
        return unit_pairs(both)


def common_items(
    tables: Mapping[str, pd.DataFrame], wanted: Sequence[Claim]
) -> dict[str, CommonClaim]:
    """The claims by name; a claim of which no two items were scored by all is left out.

    Args:
        tables: scores.parquet by Run.

    Raises:
        DataError: a row occurs twice, or a score lies outside [0, 1].
    """
    reference = next(iter(tables.values()))
    found = {name: pair(wanted, reference, table) for name, table in tables.items()}
    common = (_common(c, {name: sides[c.id] for name, sides in found.items()}) for c in wanted)
    return {each.claim.id: each for each in common if each.n > 1}


def _common(claim: Claim, sides: Mapping[str, PairedClaim]) -> CommonClaim:
    import numpy as np

    keys = {name: list(zip(p.task, p.sample_id, strict=True)) for name, p in sides.items()}
    everywhere = set.intersection(*(set(own) for own in keys.values()))
    kept: dict[str, PairedClaim] = {}
    for name, side in sides.items():
        here = np.array([key in everywhere for key in keys[name]], dtype=bool)
        arrays = {
            part: getattr(side, part)[here]
            for part in ("task", "sample_id", "baseline", "candidate", "unit")
        }
        kept[name] = replace(side, **arrays)
    return CommonClaim(claim, kept)
