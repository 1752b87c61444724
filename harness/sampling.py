"""Test-time scaling: several answers an item, and what votes, luck or a scorer make of them.

For any task: avg@n, pass@k (unbiased; Chen et al. 2021, arXiv 2107.03374, section 2.1), maj@k (Wang et
al. 2023, arXiv 2203.11171), best-of-n by a scorer, each a mean over items with its standard error and
the tokens it costs to solve one. What gates stays the task's own metrics: the mean over the answers.
An item counts where enough of its answers are scored. Not here: who scores (rewards.py), the thinking
budget (backends/thinking.py).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .backends.base import Backend
from .errors import UsageError
from .records import Generation, Role, Sample, Score
from .rewards import is_grader, make_scorer
from .runner import Outcome, ScoreKey
from .statistics.samples import pass_at_k
from .tasks import Task

#: How answers are drawn from a task that decodes greedily, where no temperature is given: what
#: DeepSeek-R1 was evaluated with (arXiv 2501.12948, section 3).
TEMPERATURE, TOP_P = 0.6, 0.95
TIES = "of equally frequent answers the first seen is taken; the first k answers vote"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How many answers an item gets, and what is made of them.

    Raises:
        UsageError: a number below 1, or a scorer without best_of or the reverse.
    """

    n: int | None = None
    """Answers an item; None is the task's own number, and `best_of` where that is more."""
    k: tuple[int, ...] = ()
    """Of pass@k and maj@k; empty is 1, 2, 4 ... up to n, and n."""
    best_of: int | None = None
    """How many answers the scorer chooses from."""
    scorer: str | None = None
    """See rewards.py."""

    def __post_init__(self) -> None:
        numbers = [
            ("--samples", self.n),
            ("--best-of", self.best_of),
            *(("--k", k) for k in self.k),
        ]
        for name, value in numbers:
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, got {value}.")
        if (self.best_of is None) != (self.scorer is None):
            raise UsageError(
                f"--best-of {self.best_of} and --scorer {self.scorer} need each other; pass both, for "
                "example --best-of 8 --scorer logprob."
            )

    def answers(self, task: Task) -> int:
        """Answers an item of `task`.

        Raises:
            UsageError: fewer than a k or best_of asks for.
        """
        n = self.n or max(task.repeats, self.best_of or 1)
        for name, wanted in [("--best-of", self.best_of or 1), *(("--k", k) for k in self.k)]:
            if wanted > n:
                raise UsageError(
                    f"{name} {wanted} needs more answers than the {n} an item of '{task.name}' gets; "
                    f"pass --samples {wanted}."
                )
        return n

    def decoded(self, task: Task, settings: Mapping[str, Any]) -> Task:
        """The task with its decoding settings; a greedy task is sampled where several answers are asked.

        Raises:
            UnknownName: there is no such scorer.
            UsageError: a value that means nothing, several answers at temperature 0, or best-of-n of a
                multi-turn task.
        """
        self._check_scorer(task)
        decoded = task.decoded(**settings)
        asked = self.answers(task)
        varied = not decoded.settings.greedy or "user" in task.roles  # no two customers are alike
        if asked == 1 or asked == task.repeats or varied:
            return decoded
        if settings.get("temperature") is not None:
            raise UsageError(
                f"{asked} answers at temperature 0 are one answer; pass a temperature above 0, or "
                "--samples 1."
            )
        top_p = decoded.settings.top_p if settings.get("top_p") is not None else TOP_P
        chosen = replace(decoded.settings, temperature=TEMPERATURE, top_p=top_p)
        return replace(decoded, settings=chosen)

    def _check_scorer(self, task: Task) -> None:
        if self.scorer is None:
            return
        make_scorer(self.scorer, task, {})
        if task.multi_turn:
            raise UsageError(
                f"Task '{task.name}' is multi-turn, so no single answer of it can be chosen; leave it "
                "out, or leave out --best-of."
            )

    def ks(self, n: int) -> list[int]:
        """The k that are shown where n answers are drawn."""
        return sorted(self.k or {2**i for i in range(n.bit_length())} | {n})

    def as_dict(self) -> dict[str, Any]:
        """For run.json."""
        return {"k": list(self.k), "best_of": self.best_of, "scorer": self.scorer}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One answer to one item."""

    score: Score
    tokens: int
    """Completion tokens of everything said for it."""
    rank: Score | None = None
    """What the scorer says of it."""


def rank(
    task: Task, sampling: Sampling, outcome: Outcome, backends: Mapping[Role, Backend]
) -> dict[ScoreKey, Score]:
    """What the scorer says of the first `best_of` answers of every item.

    Raises:
        UsageError, InstrumentError: the scorer cannot score them; see rewards.py.
    """
    if sampling.scorer is None or sampling.best_of is None:
        return {}
    samples = {s.id: s for s in task.items}
    asked: dict[ScoreKey, tuple[Sample, Generation]] = {}
    for entry in outcome.entries:
        at = entry.ticket
        mine = at.task == task.name and entry.role == "candidate" and at.ordinal == 0
        if mine and at.repeat < sampling.best_of and isinstance(entry.answer, Generation):
            asked[task.name, at.sample_id, at.repeat] = (samples[at.sample_id], entry.answer)
    keys = sorted(asked)
    if sampling.scorer == task.name:
        return {key: outcome.scores[key] for key in keys}  # graded already
    score = make_scorer(sampling.scorer, task, backends)
    found = score([asked[key][0] for key in keys], [asked[key][1] for key in keys])
    return dict(zip(keys, found, strict=True))


def figures(
    task: Task, items: Mapping[str, Sequence[Attempt]], sampling: Sampling
) -> dict[str, Any]:
    """Everything that several answers an item yield; empty where each has one.

    Args:
        items: the answers to each sample, in the order of their repeats.

    Returns:
        `samples` (n), `figures` by name (mean, se, n in items, unscored items), `per_solved` (tokens per
        solved item, by figure), `absent` (why a figure is not there) and `notes`.
    """
    n = max(map(len, items.values()), default=0)
    if n < 2:
        return {}
    clusters = {s.id: s.cluster or s.id for s in task.items}
    found = {f"avg@{n}": _figure(items, clusters, _mean, 1 / n)}
    for k in sampling.ks(n):
        found[f"pass@{k}"] = _figure(items, clusters, _lucky(k), k / n)
    absent, notes = {}, {}
    reason = _no_vote(task, items)
    if reason:
        absent["maj"] = reason
    else:
        notes["maj"] = TIES
        for k in (k for k in sampling.ks(n) if k > 1):
            found[f"maj@{k}"] = _figure(items, clusters, _majority(task, k), k / n)
    if sampling.best_of and sampling.scorer:
        oracle = ", oracle" if is_grader(sampling.scorer) else ""
        kind, colon, place = sampling.scorer.partition(":")
        shown = f"{kind}{colon}{Path(place).name}" if colon else kind
        name = f"best_of_{sampling.best_of}[{shown}{oracle}]"
        if lost := _no_rank(items):
            absent[name] = lost
        else:
            found[name] = _figure(items, clusters, _best(sampling.best_of), sampling.best_of / n)
            if oracle:
                notes[name] = "the scorer sees the gold answer: an upper bound, not a method"
    costs = {name: figure.pop("per_solved") for name, figure in found.items()}
    return {
        "samples": n,
        "figures": found,
        "per_solved": costs,
        "absent": absent,
        "notes": notes,
    }


Value = Callable[[Sequence[Attempt]], float | None]
"""An item's value from its answers; None where too few of them are scored."""


def _figure(
    items: Mapping[str, Sequence[Attempt]], clusters: Mapping[str, str], value: Value, share: float
) -> dict[str, Any]:
    """Mean over items, its error, and the tokens of this share of the answers per solved item."""
    values = {name: v for name, own in items.items() if (v := value(own)) is not None}
    tokens = share * sum(a.tokens for name in values for a in items[name])
    solved = math.fsum(values.values())
    shown = mean_and_error(list(values.values()), [clusters[name] for name in values])
    per_solved = tokens / solved if tokens and solved else None
    return {**shown, "unscored": len(items) - len(values), "per_solved": per_solved}


def _scored(attempts: Sequence[Attempt]) -> list[Score]:
    return [a.score for a in attempts if a.score.scored]


def _mean(attempts: Sequence[Attempt]) -> float | None:
    values = [score.value or 0.0 for score in _scored(attempts)]
    return math.fsum(values) / len(values) if values else None


def _lucky(k: int) -> Value:
    def value(attempts: Sequence[Attempt]) -> float | None:
        own = _scored(attempts)
        right = sum(score.value == 1.0 for score in own)
        return pass_at_k(len(own), right, k) if len(own) >= k else None

    return value


def _majority(task: Task, k: int) -> Value:
    """1 where the most frequent answer of the first k is right; what cannot be read has no vote."""

    def value(attempts: Sequence[Attempt]) -> float | None:
        own = _scored(attempts)[:k]
        if len(own) < k:
            return None
        ballots = [(said, score.value) for score in own if (said := task.vote(score)) is not None]
        if not ballots:
            return 0.0
        winner, _ = Counter(said for said, _ in ballots).most_common(1)[0]
        return next(value or 0.0 for said, value in ballots if said == winner)

    return value


def _best(n: int) -> Value:
    """The score of the answer with the highest rank among the first n, of equals the first."""

    def value(attempts: Sequence[Attempt]) -> float | None:
        ranked = [(a.rank.value, a) for a in attempts[:n] if a.rank and a.rank.value is not None]
        return max(ranked, key=lambda both: both[0])[1].score.value if ranked else None

    return value


def _no_vote(task: Task, items: Mapping[str, Sequence[Attempt]]) -> str | None:
    """Why there is no majority, if so."""
    if "sandbox" in task.roles:
        return "answers are programs, which agree word for word by accident only"
    if all(task.vote(a.score) is None for own in items.values() for a in own):
        return f"the grader of '{task.name}' extracts no answer that could be voted on"
    return None


def _no_rank(items: Mapping[str, Sequence[Attempt]]) -> str | None:
    """Why the scorer could choose nowhere, if so."""
    ranks = [a.rank for own in items.values() for a in own if a.rank]
    if any(rank.scored for rank in ranks):
        return None
    return (ranks[0].reason or "unscored") if ranks else "no answer was scored"


def mean_and_error(values: Sequence[float], clusters: Sequence[str]) -> dict[str, Any]:
    """Mean and standard error, clustered; None where there is no evidence.

    sqrt(G / (G-1) sum_g (sum_i (v_gi - mean))^2) / n over G clusters (Miller 2024, arXiv 2411.00640,
    section 2.2, with the small-sample factor); without clusters that is sqrt(s^2 / n).
    """
    n = len(values)
    if n == 0:
        return {"mean": None, "se": None, "n": 0}
    mean = math.fsum(values) / n
    sums: dict[str, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        sums.setdefault(cluster, []).append(value - mean)
    groups = len(sums)
    if groups == 1:
        return {"mean": mean, "se": None, "n": n}
    spread = math.fsum(math.fsum(own) ** 2 for own in sums.values())
    return {"mean": mean, "se": math.sqrt(spread * groups / (groups - 1)) / n, "n": n}
