"""What each accepted stage of a loop changed in every domain, step by step and against the anchor.

Read from the complete Runs of what was accepted, on the items that all of them scored, so that the
steps add up to the whole change. The cells are looked at together (Benjamini-Hochberg), beside the
gates, which keep their own error rates. Not here: the formulas (statistics/matrix.py), what was
rejected, pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .common_items import common_items
from .lineage import Lineage
from .pairing import Claim, claims
from .run import Run
from .statistics.matrix import Attribution, StageMatrix, attribute, forgetting_split, stage_matrix

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LineageMatrix:
    """The matrix of the accepted stages; proportions."""

    matrix: StageMatrix
    claims: tuple[Claim, ...]
    means: Mapping[tuple[str, str], float]
    """(stage, claim) -> mean score as its metric counts, over items, or clusters of items."""
    lost: Mapping[str, Attribution]
    """Claims with a suspected loss: the first stage that lost them."""
    forgotten: Mapping[str, float]
    """Best earlier score minus the last, without the bias of choosing the best; where there are two
    stages after the anchor and two units or more."""


def lineage_matrix(lineage: Lineage) -> LineageMatrix | str:
    """The matrix, or the sentence why there is none."""
    if len(lineage.trunk) < 2:
        return "No stage was accepted yet, so there is no step to compare."
    folders = {name: lineage.run(name) for name in lineage.trunk}
    absent = [name for name, path in folders.items() if path is None]
    if absent:
        return f"The Run of {absent[0]} is not in the folder, so the steps cannot be added up."
    runs = {name: Run.open(path) for name, path in folders.items() if path}
    partial = [name for name, run in runs.items() if run.status != "complete"]
    if partial:
        return f"The Run of {partial[0]} is {runs[partial[0]].status}, so the steps cannot be added up."
    margins = {
        domain.id: domain.margin
        for attempt in lineage.attempts
        if attempt.accepted and attempt.verdict
        for domain in attempt.verdict.domain_list
    }
    return _matrix(runs, margins)


def _matrix(runs: Mapping[str, Run], margins: Mapping[str, float]) -> LineageMatrix | str:
    anchor = next(iter(runs.values()))
    wanted = [c for c in claims(anchor.manifest["tasks"]) if c.id in margins]
    common = common_items({name: run.scores() for name, run in runs.items()}, wanted)
    if not common:
        return "No item was scored in all of these Runs, so the steps cannot be added up."
    scores = {
        name: {own: claim.unit_scores(name) for own, claim in common.items()} for name in runs
    }
    present = [claim.claim for claim in common.values()]
    return _judged(scores, present, {c.id: margins[c.id] for c in present})


def _judged(
    scores: Mapping[str, Mapping[str, Floats]],
    present: Sequence[Claim],
    margins: Mapping[str, float],
) -> LineageMatrix:
    import numpy as np

    matrix = stage_matrix(scores, margins)
    means = {
        (stage, c.id): abs(float(own[c.id].mean()) - float(c.lower_is_better))
        for stage, own in scores.items()
        for c in present
    }
    found = {c.id: attribute(matrix, c.id) for c in present}
    items = {c.id: np.stack([own[c.id] for own in scores.values()]) for c in present}
    return LineageMatrix(
        matrix=matrix,
        claims=tuple(present),
        means=means,
        lost={name: lost for name, lost in found.items() if lost},
        forgotten={
            # Two stages hold no best earlier one to choose, one cluster no two halves.
            name: forgetting_split(own)
            for name, own in items.items()
            if own.shape[0] > 2 and own.shape[1] > 1
        },
    )
