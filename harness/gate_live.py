"""The live gate: asks a checkpoint only as many items as the verdict needs.

`Watch` is what the runner calls after each complete block of a task. A domain that lost stops at once;
one that passed stops when the mean over domains is settled too, or when the gate is red already; a
target goes on until its gain is decided. What other tasks have to say is taken from the blocks before,
which are complete whatever came back first. Not here: the looks and their frame (gate_looks.py), what
they say (gate_readings.py), the verdict (gate.py), which reads the stored Run by the same looks and
nothing of this file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .comparability import Manifest, RunLike, chosen_tasks, compare
from .gate_looks import LABEL, ClaimLooks, Looks, plan_gate_looks
from .gate_plan import Plan, plan
from .gate_readings import ClaimReading, available, read_claim, read_mean, red
from .gate_style import judged_tasks
from .gate_units import unit_pairs
from .pairing import Claim, pair
from .policy import Policy
from .records import Score
from .roles import Others
from .runner import Progress, ScoreKey
from .statistics.paired import Pairs
from .tasks import Task, resolve

if TYPE_CHECKING:
    import pandas as pd

    from .backends.base import Backend
    from .checkpoints import Checkpoint
    from .run import Run


class Answers(Protocol):
    """What has been answered so far, in whole tenths."""

    def tenths(self) -> Mapping[str, int]:
        """How many tenths of each task are there."""

    def pairs_at(self, claim: str, tenth: int) -> Pairs | None:
        """See gate_readings.PairsAt; asked only for tenths that are there."""


class StopRule:
    """Which tasks need no further item; knows no model and no table."""

    def __init__(self, looks: Looks, answers: Answers) -> None:
        self.looks = looks
        self.answers = answers
        self._pairs: dict[tuple[str, int], Pairs | None] = {}
        self._readings: dict[tuple[str, int], ClaimReading | None] = {}

    def enough(self, task: str, tenth: int) -> bool:
        """Whether a task of which so many tenths are there needs no further item."""
        own = [c for c in self.looks.claims.values() if task in c.tasks]
        # Another task of the domain may be a block behind or not, as it happens.
        known = tenth if all(len(c.tasks) == 1 for c in own) else tenth - 1
        readings = [self._read(c, known) for c in own]
        if not own or not all(r and r.stop for r in readings):
            return False
        return red(readings) or self._all_settled(tenth - 1)

    def _all_settled(self, tenth: int) -> bool:
        """Whether, after this tenth, the gate is red or the mean over domains needs no more."""
        if red(self._read(claim, tenth) for claim in self.looks.claims.values()):
            return True
        if self.looks.mean is None:
            return True
        known = min(self._known(claim, tenth) for claim in self.looks.averaged.values())
        mean = read_mean(self.looks, self._pairs_at, known)
        return mean is not None and mean.settled

    def _read(self, claim: ClaimLooks, tenth: int) -> ClaimReading | None:
        key = (claim.id, self._known(claim, tenth))
        if key not in self._readings:
            self._readings[key] = read_claim(claim, self._pairs_at, key[1])
        return self._readings[key]

    def _known(self, claim: ClaimLooks, tenth: int) -> int:
        """The tenths, up to this one, that all tasks of a claim have."""
        have = self.answers.tenths()
        return min(tenth, *(have[task] for task in claim.tasks))

    def _pairs_at(self, claim: str, tenth: int) -> Pairs | None:
        key = (claim, tenth)
        if key not in self._pairs:
            self._pairs[key] = self.answers.pairs_at(claim, tenth)
        return self._pairs[key]


class Watch:
    """Asks the stop rule after each block of a task; pass it as `stop`. It is its own `Answers`."""

    def __init__(
        self, looks: Looks, frozen: Plan, baseline: RunLike, suites: Sequence[str]
    ) -> None:
        self.looks = looks
        self.tasks: dict[str, Task] = {t.name: t for t in resolve(suites) if t.name in looks.cuts}
        self.claims: dict[str, Claim] = {c.claim.id: c.claim for c in frozen.tested}
        self.baseline = baseline.scores()
        self.frames: dict[str, pd.DataFrame] = {}
        self.have: dict[str, int] = dict.fromkeys(looks.cuts, 0)
        self.rule = StopRule(looks, self)

    def __call__(self, task: str, scores: Mapping[ScoreKey, Score]) -> bool:
        """Whether this task needs no further item; `scores` are all of its complete blocks."""
        from .tables import scores_table

        if task not in self.looks.cuts:
            return False
        self.frames[task] = scores_table([self.tasks[task]], scores).to_pandas()
        self.have[task] = available(self.looks, self.frames[task])[task]
        return self.rule.enough(task, self.have[task])

    def tenths(self) -> Mapping[str, int]:
        """See `Answers`."""
        return self.have

    def pairs_at(self, claim: str, tenth: int) -> Pairs | None:
        """See `Answers`."""
        import pandas as pd

        wanted = self.claims[claim]
        old = self.baseline[self.baseline["task"].isin(wanted.tasks)]
        new = pd.concat([self.frames[task] for task in wanted.tasks])
        part = pair([wanted], self.looks.within(old, tenth), self.looks.within(new, tenth))[claim]
        return unit_pairs(part) if part.n else None


def evaluate_live(
    baseline: Run,
    checkpoint: str | Path | Checkpoint,
    policy: Policy,
    suites: Sequence[str],
    out: str | Path,
    *,
    target: str | None = None,
    backend: str | Backend = "transformers",
    options: Mapping[str, Any] | None = None,
    others: Others = Others(),
    limit: int | None = None,
    progress: Progress | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Run:
    """Evaluate a candidate under its gate, or resume it; the Run is `stopped` where items were saved.

    Gate it with the same policy, target and suites: the Run knows by which frame it was stopped.

    Args:
        others: who judges and who plays the user, the same as for the baseline.
        note: told in a sentence why every item is asked, where that is so.

    Raises:
        IncomparableRuns: before anything is asked, where the gate would refuse the Run afterwards.
        UsageError, DataError, InstrumentError: see errors.py; what was answered is kept.
    """
    from .api import evaluate

    seed = int(baseline.manifest.get("seed") or 0)
    tasks = chosen_tasks(baseline.manifest, baseline.manifest, suites)
    frozen = plan(baseline, policy, tasks, target)
    looks = plan_gate_looks(frozen, baseline, policy, target, seed)
    asked = {t.name: len(t.items[:limit]) for t in resolve(suites)}
    judged = [c.claim.id for c in frozen.tested if judged_tasks(c.claim, baseline.manifest)]
    if why := _why_all(frozen, policy, looks, asked, judged):
        note(f"Every item is asked: {why}.")
        looks = None

    def comparable(manifest: Manifest) -> None:
        if policy.on_difference == "refuse":
            found = compare(baseline.manifest, manifest, tasks)
            found.enforce(baseline.label, str(manifest["label"]))

    return evaluate(
        checkpoint,
        suites,
        out,
        backend=backend,
        options=options,
        judges=others.judges,
        prices=others.prices,
        check=comparable,
        limit=limit,
        seed=seed,
        looks=looks.cuts if looks else None,
        stop=Watch(looks, frozen, baseline, suites) if looks else None,
        labels={LABEL: looks.id} if looks else None,
        progress=progress,
    )


def _why_all(
    frozen: Plan,
    policy: Policy,
    looks: Looks | None,
    asked: Mapping[str, int],
    judged: Sequence[str],
) -> str:
    """Why a candidate cannot be stopped early, or empty.

    Args:
        frozen: what the gate tests; drift and the anchor are not tested by looks.
        policy: see policy.py.
        looks: the frame, if there is one.
        asked: how many items of each task the candidate would be asked.
        judged: claims that a judge votes on.
    """
    if judged:
        return f"length and style are held equal over all of them ({', '.join(judged)} is judged)"
    if looks is None:
        return "the baseline is not complete, or nothing of it can be tested"
    if policy.estimand == "benchmark":
        return "the policy speaks of exactly these items"
    if policy.anchor or frozen.anchored:
        return "the anchor is compared on all of them"
    if frozen.drift:
        names = ", ".join(name.removeprefix("drift/") for name in frozen.drift)
        return f"drift can fail this gate and is read on all of them ({names})"
    for task, cuts in looks.cuts.items():
        if asked.get(task, 0) != cuts[-1]:
            return (
                f"the baseline has {cuts[-1]} items of {task} and the candidate is asked "
                f"{asked.get(task, 0)}, so looks planned on one do not fit the other"
            )
    return ""
