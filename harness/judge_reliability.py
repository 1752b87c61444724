"""How far a judge can be trusted, measured on the very games that it judged.

Swap consistency (same winner in both orders), how often the answer shown first wins, whether the judge
repeats itself, and agreement with labels where there are any. A judge beyond the limits makes its figures
invalid (exit 4), whatever they say. Limits: gate statistics d (Zheng et al. 2023, arXiv:2306.05685, for
swap consistency; Thakur et al. 2024, arXiv:2406.12624, for kappa rather than raw agreement).
Not here: asking (judging.py), answers that play to a judge (judge_guard.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .statistics.agreement import cohen_kappa
from .statistics.proportions import wilson_interval

SWAP, FIRST, SELF, KAPPA = 0.60, (0.40, 0.60), 0.80, 0.40
#: Labels, and repeated prompts, below which a figure is shown and not held against the judge.
LABELS, REPEATS = 50, 10
#: Grades from 1 to 10 that differ by at most so much are the same grade.
SAME_GRADE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """What a judge did; None is not measured."""

    pairs: int
    """Pairs judged in both orders."""
    swap_consistency: float | None
    """Share of pairs with the same winner, or a tie, in both orders."""
    decided: int
    """Games that were no tie."""
    first_wins: float | None
    """Share of decided games that the answer shown first won."""
    first_interval: tuple[float, float] | None
    """Wilson's 90% interval of it."""
    repeats: int
    self_consistency: float | None
    self_how: str
    labels: int
    accuracy: float | None
    """Share of labelled pairs where the judge says what the label says."""
    kappa: float | None
    graded: int = 0
    """Answers judged one by one, which have no order."""

    @property
    def problems(self) -> tuple[str, ...]:
        """Limits that are not kept, a phrase each."""
        found = []
        if self.swap_consistency is not None and self.swap_consistency < SWAP:
            found.append(f"swap consistency {self.swap_consistency:.2f} is below {SWAP:.2f}")
        if self.first_interval and not (
            FIRST[0] <= self.first_interval[0] and self.first_interval[1] <= FIRST[1]
        ):
            low, high = self.first_interval
            found.append(
                f"the answer shown first wins {self.first_wins:.2f} of {self.decided} games (90% CI "
                f"{low:.2f} to {high:.2f}, not within {FIRST[0]:.2f} to {FIRST[1]:.2f})"
            )
        found += self._repetition()
        if self.labels >= LABELS and (self.kappa is None or self.kappa < KAPPA):
            told = "undefined" if self.kappa is None else f"{self.kappa:.2f}"
            found.append(f"kappa with {self.labels} labels is {told}, below {KAPPA:.2f}")
        return tuple(found)

    def _repetition(self) -> list[str]:
        if self.self_consistency is None or (0 < self.repeats < REPEATS):
            judged = self.pairs or self.graded
            return [f"self-consistency was measured on {self.repeats} prompts"] if judged else []
        if self.self_consistency < SELF:
            seen = f"{self.self_consistency:.2f} on {self.repeats} repeated prompts"
            return [f"self-consistency {seen} is below {SELF:.2f}"]
        return []

    def as_dict(self) -> dict[str, Any]:
        """For results.json."""
        return {**asdict(self), "problems": list(self.problems)}


def measure(details: Iterable[Mapping[str, Any]], *, written: bool) -> Reliability:
    """Read the `judge` entries of scores' details.

    Args:
        details: each with `games` (see judging.Duel), or `grades`; `again` where asked once more, `label` (the
            candidate's share in {0, 1/2, 1} by somebody else) where there is one, `later` (games about further
            turns).
        written: whether verdicts were written; log-probabilities repeat themselves by construction.

    Raises:
        KeyError, TypeError, ValueError: the entries are damaged.
    """
    own = list(details)
    later = [{"games": games} for d in own for games in d.get("later", ())]
    duels = [d for d in (*own, *later) if d.get("games")]
    pairs = [tuple(_side(share) for share, _ in d["games"]) for d in duels]
    firsts = [side for pair in pairs for side in pair if side != 0]
    wins = firsts.count(1)
    repeats = [_repeats(d) for d in own if "again" in d]
    labelled = [(_vote(d), _side(d["label"])) for d in duels if d.get("label") is not None]
    accuracy, kappa = _agreement(labelled)
    return Reliability(
        pairs=len(pairs),
        swap_consistency=_mean([a == -b for a, b in pairs]),
        decided=len(firsts),
        first_wins=_mean([s == 1 for s in firsts]),
        first_interval=wilson_interval(wins, len(firsts), 0.90) if firsts else None,
        repeats=len(repeats),
        self_consistency=_mean(repeats) if written else 1.0,
        self_how="prompts asked twice" if written else "by construction: log-probabilities",
        labels=len(labelled),
        accuracy=accuracy,
        kappa=kappa,
        graded=sum("grades" in d for d in own),
    )


def _side(share: float) -> int:
    """1 the first, -1 the second, 0 a tie."""
    return (share > 0.5) - (share < 0.5)


def _vote(detail: Mapping[str, Any]) -> int:
    (first, heavy), (second, light) = detail["games"]
    return _side((heavy * first + light * (1 - second)) / (heavy + light))


def _repeats(detail: Mapping[str, Any]) -> bool:
    if "grades" in detail:
        return bool(abs(detail["again"] - detail["grades"][0]) <= SAME_GRADE)
    return _side(detail["again"]) == _side(detail["games"][0][0])


def _agreement(pairs: Sequence[tuple[int, int]]) -> tuple[float | None, float | None]:
    if not pairs:
        return None, None
    table = [[sum(p == (i, j) for p in pairs) for j in (-1, 0, 1)] for i in (-1, 0, 1)]
    found = cohen_kappa(table)
    return found.observed, found.kappa


def _mean(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None
