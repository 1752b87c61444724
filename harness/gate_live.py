"""The live gate: asks a checkpoint only as many items as the verdict needs.

`Watch` is what the runner calls after each complete block of a task. A domain that lost stops at once;
one that passed stops when the mean over domains is settled too, or when the gate is red already; a
target goes on until its gain is decided. What other tasks have to say is taken from the blocks before,
which are complete whatever came back first. Not here: the looks and their frame (gate_looks.py), what
they say (gate_readings.py), the verdict (gate.py), which reads the stored Run by the same looks and
nothing of this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .comparability import RunLike, chosen_tasks
from .gate_looks import LABEL, Looks, plan_gate_looks
from .gate_plan import Plan, plan
from .gate_readings import ClaimReading, available, read_claim, read_mean, red
from .pairing import Claim, PairedClaim, pair
from .policy import Policy
from .records import Score
from .runner import Progress, ScoreKey
from .tasks import Task, resolve

if TYPE_CHECKING:
    import pandas as pd

    from .backends.base import Backend
    from .checkpoints import Checkpoint
    from .run import Run


class Answers(Protocol):
    """What has been answered so far."""

    def tenths(self) -> Mapping[str, int]:
        """How many tenths of each task are wholly there."""

    def pairs(self, claims: Sequence[str]) -> Mapping[str, PairedClaim]:
        """Those claims' pairs, of all that is there."""


class StopRule:
    """Which tasks need no further item; knows no model and no table."""

    def __init__(self, looks: Looks, answers: Answers) -> None:
        self.looks = looks
        self.answers = answers
        self._settled: dict[int, bool] = {}

    def enough(self, task: str, tenth: int) -> bool:
        """Whether a task of which so many tenths are there needs no further item."""
        own = [c for c in self.looks.claims.values() if task in c.tasks]
        # Another task of the domain may be a block behind or not, as it happens.
        known = tenth if all(len(c.tasks) == 1 for c in own) else tenth - 1
        readings = self._read([c.id for c in own], known)
        if not own or not all(r and r.stop for r in readings):
            return False
        return red(readings) or self._all_settled(tenth - 1)

    def _all_settled(self, tenth: int) -> bool:
        """Whether, after this tenth, the gate is red or the mean over domains needs no more."""
        have = min(self.answers.tenths().values(), default=0)
        if tenth not in self._settled and have >= tenth:
            self._settled[tenth] = self._settled_after(tenth)
        return self._settled[tenth] if tenth in self._settled else self._settled_after(tenth)

    def _settled_after(self, tenth: int) -> bool:
        if red(self._read(list(self.looks.claims), tenth)):
            return True
        if self.looks.mean is None:
            return True
        own = list(self.looks.averaged)
        mean = read_mean(self.looks, self.answers.pairs(own), self._known(own, tenth))
        return mean is not None and mean.settled

    def _read(self, names: Sequence[str], tenth: int) -> list[ClaimReading | None]:
        paired = self.answers.pairs(names)
        return [
            read_claim(self.looks, self.looks.claims[n], paired[n], self._known([n], tenth))
            for n in names
        ]

    def _known(self, names: Sequence[str], tenth: int) -> int:
        """The tenths, up to this one, that all tasks of some claims have."""
        have = self.answers.tenths()
        return min(tenth, *(have[t] for n in names for t in self.looks.claims[n].tasks))


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
        self.rule = StopRule(looks, self)

    def __call__(self, task: str, scores: Mapping[ScoreKey, Score]) -> bool:
        """Whether this task needs no further item; `scores` are all of its complete blocks."""
        from .tables import scores_table

        if task not in self.looks.cuts:
            return False
        self.frames[task] = scores_table([self.tasks[task]], scores).to_pandas()
        return self.rule.enough(task, self.tenths()[task])

    def tenths(self) -> Mapping[str, int]:
        """See `Answers`."""
        empty = dict.fromkeys(self.looks.cuts, 0)
        if not self.frames:
            return empty
        import pandas as pd

        return available(self.looks, pd.concat(self.frames.values()))

    def pairs(self, claims: Sequence[str]) -> Mapping[str, PairedClaim]:
        """See `Answers`."""
        import pandas as pd

        wanted = [self.claims[name] for name in claims]
        tasks = {task for claim in wanted for task in claim.tasks}
        old = self.baseline[self.baseline["task"].isin(tasks)]
        new = pd.concat(
            [self.baseline.iloc[:0], *(self.frames[t] for t in tasks & self.frames.keys())]
        )
        return pair(wanted, old, new, frozenset(tasks))


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
        stop=Watch(looks, frozen, baseline, suites) if looks else None,
        labels={LABEL: looks.id} if looks else None,
        progress=progress,
    )
