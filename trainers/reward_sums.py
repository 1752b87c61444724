"""Rewards by name: weighted sums of the harness's scorers, and a stop where one of them breaks.

`task` is the grader of the row's own task (programs go through the sandbox), anything else a scorer's
name such as `reward-model:FOLDER`. An answer that one of them leaves unscored has no reward: it is masked
out, never 0. A scorer that raises or gives no number stops the stage with the sample. Not here: the answers
(rollouts.py); what a method makes of rewards; signs that they are gamed (reward_signs.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

from ..harness.errors import InstrumentError, UsageError, WaterbedError
from ..harness.records import Generation, Role, Sample, Score
from ..harness.rewards import MAX_UNSCORED, Scorer, is_grader, make_scorer
from ..harness.tasks import tasks
from .rollouts import Material

if TYPE_CHECKING:
    from ..harness.backends.base import Backend

#: The reward that is the grader of a row's own task.
OWN = "task"


@dataclass(frozen=True, slots=True)
class Rewarded:
    """What answers have earned."""

    totals: list[float | None]
    """Weighted sum of each answer's rewards; None where one of them is unscored."""
    figures: Mapping[str, float]
    """For the metrics: means of each reward, and what hacking shows in."""


@dataclass(frozen=True, slots=True)
class Rewards:
    """Scorers with their weights, ready to be asked; made by `opened`."""

    material: Material
    weights: Mapping[str, float]
    known: dict[tuple[str, str], Scorer]

    def score(self, rows: Sequence[int], generations: Sequence[Generation]) -> Rewarded:
        """Rewards of `generations[i]` as answers to row `rows[i]`, in order.

        Raises:
            InstrumentError: a scorer raised or gave no number, or more than 5% are unscored.
            UsageError: a verdict could have been forged.
        """
        parts = {name: self._by(name, rows, generations) for name in self.weights}
        totals = [
            _total([(weight, parts[name][i].value) for name, weight in self.weights.items()])
            for i in range(len(rows))
        ]
        self._refuse_lost(rows, totals, parts)
        figures = {
            f"rewards/{_shown(name)}/mean": mean_scored([s.value for s in scores])
            for name, scores in parts.items()
        }
        figures["unscored"] = sum(total is None for total in totals) / len(totals)
        figures["duplicates"] = self._copied(rows, generations)
        return Rewarded(totals, figures)

    def _copied(self, rows: Sequence[int], generations: Sequence[Generation]) -> float:
        """Share of answers that were word by word given to another prompt, too."""
        asked: dict[str, set[str]] = {}
        for row, generation in zip(rows, generations, strict=True):
            asked.setdefault(generation.text, set()).add(self.material.samples[row].id)
        return fmean(len(asked[generation.text]) > 1 for generation in generations)

    def _by(self, name: str, rows: Sequence[int], generations: Sequence[Generation]) -> list[Score]:
        """One scorer's scores; rows of one task are asked together."""
        places: dict[str, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(self.material.graders[row].name, []).append(place)
        found: dict[int, Score] = {}
        for task, own in places.items():
            samples = [self.material.samples[rows[place]] for place in own]
            scores = ask(self.known[name, task], name, samples, [generations[p] for p in own])
            found.update(zip(own, scores, strict=True))
        return [found[place] for place in range(len(rows))]

    def _refuse_lost(
        self,
        rows: Sequence[int],
        totals: Sequence[float | None],
        parts: Mapping[str, Sequence[Score]],
    ) -> None:
        lost = [i for i, total in enumerate(totals) if total is None]
        if len(lost) <= MAX_UNSCORED * len(totals):
            return
        name, score = next((n, s[lost[0]]) for n, s in parts.items() if not s[lost[0]].scored)
        raise InstrumentError(
            f"{len(lost)} of {len(totals)} answers have no reward (first: sample "
            f"'{self.material.samples[rows[lost[0]]].id}', '{name}' says {score.reason}); mend the scorer "
            "before training on it."
        )


def ask(
    scorer: Scorer, name: str, samples: Sequence[Sample], generations: Sequence[Generation]
) -> list[Score]:
    """A scorer's scores, or the sample at which it broke.

    Raises:
        InstrumentError: it raised, or gave something that is no number in [0, 1].
    """
    try:
        scores = scorer(samples, generations)
    except WaterbedError:
        raise
    except Exception as error:
        if len(samples) > 1:  # find the one it breaks on
            for sample, generation in zip(samples, generations, strict=True):
                ask(scorer, name, [sample], [generation])
        raise InstrumentError(
            f"The reward '{name}' broke on sample '{samples[0].id}' ({error!r}); mend it before training."
        ) from error
    for sample, score in zip(samples, scores, strict=True):
        if score.reason == "scorer_error":
            raise InstrumentError(
                f"The reward '{name}' broke on sample '{sample.id}' ({score.detail.get('error')}); mend it "
                "before training."
            )
    return scores


@contextmanager
def opened(material: Material, weights: Mapping[str, float]) -> Iterator[Rewards]:
    """The scorers of a stage; the sandbox is open as long as they are.

    Raises:
        UsageError: no reward, a weight that is no number, an unknown scorer, or one that asks a judge.
        NoSandbox: a program must run and no sandbox works here.
    """
    if not weights or not all(math.isfinite(w) and w != 0 for w in weights.values()):
        raise UsageError(
            f"rewards is {dict(weights)}; name at least one scorer with a weight that is not 0, for example "
            "{task: 1.0}."
        )
    asked = {task.name: task for task in material.graders}
    with ExitStack() as stack:
        backends: dict[Role, Backend] = {}
        if "sandbox" in _roles(list(weights), asked.values()):
            from ..harness.backends.sandbox import SandboxBackend

            backends["sandbox"] = SandboxBackend()
            stack.callback(backends["sandbox"].close)
        known = {
            (name, task.name): make_scorer(task.name if name == OWN else name, task, backends)
            for name in weights
            for task in asked.values()
        }
        yield Rewards(material, weights, known)


def _roles(names: Sequence[str], asked: Any) -> set[Role]:
    """Who must answer besides the model.

    Raises:
        UsageError: a judge or a simulated user.
    """
    graders = [task for task in asked if OWN in names]
    graders += [tasks.get(name) for name in names if name != OWN and is_grader(name)]
    for task in graders:
        if others := set(task.roles) - {"sandbox"}:
            raise UsageError(
                f"Task '{task.name}' asks a {', '.join(sorted(others))}, which training does not have; "
                "train a reward model on its verdicts and name that."
            )
    return {role for task in graders for role in task.roles}


def _total(parts: Sequence[tuple[float, float | None]]) -> float | None:
    if any(value is None for _, value in parts):
        return None
    return math.fsum(weight * (value or 0.0) for weight, value in parts)


def mean_scored(values: Sequence[float | None]) -> float:
    """Mean of the values that are there; NaN where none is."""
    scored = [value for value in values if value is not None]
    return fmean(scored) if scored else math.nan


def _shown(name: str) -> str:
    """A scorer's name with the last part of a checkpoint's folder."""
    kind, colon, folder = name.partition(":")
    return f"{kind}{colon}{Path(folder).name}"


def spread(totals: Sequence[float | None], n: int) -> dict[str, float]:
    """What a batch of groups of `n` answers says: mean, spread, and groups that teach nothing.

    Returns:
        `reward`, `reward_std` (over the batch) and `frac_reward_zero_std`: the share of groups whose scored
        answers all earned the same, so that no answer stands out from its group.
    """
    scored = [total for total in totals if total is not None]
    groups = [[t for t in totals[i : i + n] if t is not None] for i in range(0, len(totals), n)]
    silent = sum(len(set(group)) < 2 for group in groups) / len(groups)
    deviation = pstdev(scored) if scored else math.nan
    return {"reward": mean_scored(totals), "reward_std": deviation, "frac_reward_zero_std": silent}
