"""The live gate: asks a checkpoint only as many items as the verdict needs.

`Watch` is what the runner calls after each complete block of a task. A domain that lost stops at once;
one that passed stops when the mean over domains is settled too, or when the gate is red already; a
target goes on until its gain is decided. What other tasks have to say is taken from the blocks before,
which are complete whatever came back first. Not here: the looks and their frame (gate_looks.py), the
verdict (gate.py), which reads the stored Run by the same looks and nothing of this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .comparability import RunLike, chosen_tasks
from .gate_looks import (
    LABEL,
    ClaimReading,
    Looks,
    available,
    plan_gate_looks,
    read_claim,
    read_mean,
)
from .gate_plan import Plan, plan
from .pairing import pair
from .policy import Policy
from .records import Score
from .runner import Progress, ScoreKey
from .tasks import Task, resolve

if TYPE_CHECKING:
    import pandas as pd

    from .backends.base import Backend
    from .checkpoints import Checkpoint
    from .run import Run


class Watch:
    """Decides after each block of a task whether the task may stop; pass it as `stop`."""

    def __init__(
        self, looks: Looks, frozen: Plan, baseline: RunLike, policy: Policy, suites: Sequence[str]
    ) -> None:
        self.looks = looks
        self.policy = policy
        self.tasks: dict[str, Task] = {t.name: t for t in resolve(suites) if t.name in looks.cuts}
        self.claims = {c.claim.id: c.claim for c in frozen.tested}
        self.baseline = baseline.scores()
        self.scores: dict[str, Mapping[ScoreKey, Score]] = {}

    def __call__(self, task: str, scores: Mapping[ScoreKey, Score]) -> bool:
        """Whether this task needs no further item; `scores` are all of its complete blocks."""
        if task not in self.looks.cuts:
            return False
        self.scores[task] = scores
        items = len({key[1] for key in scores})
        tenth = max(k for k, cut in enumerate(self.looks.cuts[task], 1) if cut <= items)
        own = [c for c in self.looks.claims.values() if task in c.tasks]
        # Another task of the domain may be a block behind or not, as it happens.
        known = tenth if all(len(c.tasks) == 1 for c in own) else tenth - 1
        readings = self._read([c.id for c in own], known)
        if not own or not all(r and r.stop for r in readings):
            return False
        return any(r.failed for r in readings if r) or self._all_settled(tenth - 1)

    def _all_settled(self, tenth: int) -> bool:
        """Whether, after this tenth, the gate is red or the mean over domains needs no more."""
        if tenth < 1:
            return False
        frame = self._frame(tenth)
        if any(r and r.failed for r in self._read(list(self.looks.claims), tenth, frame)):
            return True
        have = min(available(self.looks, frame).values())
        paired = pair(self.claims.values(), self.looks.within(self.baseline, have), frame)
        mean = read_mean(self.looks, paired, min(have, tenth))
        return mean is not None and mean.settled

    def _read(
        self, names: Sequence[str], tenth: int, frame: pd.DataFrame | None = None
    ) -> list[ClaimReading | None]:
        if tenth < 1:
            return [None] * len(names)
        frame = self._frame(tenth) if frame is None else frame
        have = available(self.looks, frame)
        own = [self.claims[name] for name in names]
        everywhere = frozenset(self.looks.cuts)
        paired = pair(own, self.looks.within(self.baseline, tenth), frame, everywhere)
        readings: list[ClaimReading | None] = []
        for name in names:
            claim = self.looks.claims[name]
            so_far = min(tenth, *(have[task] for task in claim.tasks))
            readings.append(read_claim(self.looks, claim, paired[name], so_far, self.policy))
        return readings

    def _frame(self, tenth: int) -> pd.DataFrame:
        """What the candidate scored up to a tenth."""
        from .tables import scores_table

        scores = {key: score for own in self.scores.values() for key, score in own.items()}
        frame = scores_table(list(self.tasks.values()), scores).to_pandas()
        return self.looks.within(frame, tenth)


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
    limit: int | None = None,
    progress: Progress | None = None,
) -> Run:
    """Evaluate a candidate under its gate, or resume it; the Run is `stopped` where items were saved.

    Gate it with the same policy, target and suites: the Run knows by which frame it was stopped.

    Raises:
        UsageError, DataError, InstrumentError: see errors.py; what was answered is kept.
    """
    from .api import evaluate

    seed = int(baseline.manifest.get("seed") or 0)
    tasks = chosen_tasks(baseline.manifest, baseline.manifest, suites)
    frozen = plan(baseline, policy, tasks, target)
    looks = plan_gate_looks(frozen, baseline, policy, target, seed)
    return evaluate(
        checkpoint,
        suites,
        out,
        backend=backend,
        options=options,
        limit=limit,
        seed=seed,
        looks=looks.cuts if looks else None,
        stop=Watch(looks, frozen, baseline, policy, suites) if looks else None,
        labels={LABEL: looks.id} if looks else None,
        progress=progress,
    )
