"""Several answers a sample: avg@n, pass@k and maj@k, each a mean over samples.

Unscored answers count nowhere, as in every mean. Standard errors are the business of the gate, which
resamples whole samples. Not here: pass@k itself (harness/statistics/samples.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from statistics import fmean

from ..harness.records import Score
from ..harness.statistics.samples import pass_at_k

KS = (1, 2, 4, 8, 16, 32, 64)


def avg_at(scores: Mapping[str, Sequence[Score]]) -> dict[str, float]:
    """`avg@n`: the mean over samples of each sample's mean; n is the fewest answers of a sample."""
    values = _values(scores)
    least = min(map(len, values), default=0)
    return {f"avg@{least}": fmean(map(fmean, values))} if least > 1 else {}


def pass_at(
    scores: Mapping[str, Sequence[Score]], ks: Sequence[int] = (1, 5, 10, 100)
) -> dict[str, float]:
    """Mean pass@k over samples, for each k that every sample has enough answers for."""
    values = _values(scores)
    least = min(map(len, values), default=0)
    return {
        f"pass@{k}": fmean(pass_at_k(len(own), own.count(1.0), k) for own in values)
        for k in ks
        if k <= least and least > 1
    }


def maj_at(
    scores: Mapping[str, Sequence[Score]],
    ks: Sequence[int] = KS,
    vote: Callable[[Score], Hashable | None] = lambda score: score.extracted,
) -> dict[str, float]:
    """`maj@k`: the share of samples whose most frequent answer among the first k is right.

    Of equally frequent answers the one seen first is taken. An answer that could not be read has no
    vote; a sample without any vote is wrong.

    Args:
        scores: of each sample id, in the order of the answers.
        ks: how many answers vote.
        vote: what an answer says; None for nothing.
    """
    answered = [[s for s in own if s.scored] for own in scores.values()]
    answered = [own for own in answered if own]
    least = min(map(len, answered), default=0)
    return {
        f"maj@{k}": fmean(_elected(own[:k], vote) for own in answered) for k in ks if 1 < k <= least
    }


def _elected(scores: Sequence[Score], vote: Callable[[Score], Hashable | None]) -> float:
    ballots = [(said, score.value) for score in scores if (said := vote(score)) is not None]
    if not ballots:
        return 0.0
    winner, _ = Counter(said for said, _ in ballots).most_common(1)[0]
    return next(value or 0.0 for said, value in ballots if said == winner)


def _values(scores: Mapping[str, Sequence[Score]]) -> list[list[float]]:
    values = [[s.value for s in own if s.value is not None] for own in scores.values()]
    return [own for own in values if own]
