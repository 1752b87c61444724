"""One stage of a recipe while it is being decided: what remedies look at.

Not here: what they propose (loop_repair.py, loop_compression.py), running and judging it (loop.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .checkpoints import Checkpoint
from .datasets import Dataset, datasets
from .loop_records import Judged, Proposal, Skipped
from .recipe import Action, StageStep
from .stage import stages

Tries = Iterator[Proposal | Skipped]


@dataclass(slots=True)
class Case:
    """One stage of a recipe while it is being decided."""

    step: StageStep
    start: Checkpoint | None
    """Where every attempt starts, but those that mend what another left."""
    judged: list[Judged] = field(default_factory=list)
    """What the gates said, in order; the first is the stage as written."""
    learned: Mapping[str, int | None] = field(default_factory=dict)
    """Chats and texts that the base and the accepted stages before this one trained on, by dataset."""
    targets: frozenset[str] = frozenset()
    """Domains that those stages were meant to improve."""

    @property
    def regressed(self) -> tuple[str, ...]:
        """Domains to be mended: proven losses of all tries, else all that fell in the first.

        The target is never among them: it has rows of its own.
        """
        proven = [domain for judged in self.judged for domain in judged.lost]
        fell = [
            claim.split("/")[0]
            for claim, delta in self.judged[0].deltas.items()
            if delta is not None and delta < 0
        ]
        return tuple(d for d in dict.fromkeys(proven or fell) if d != self._target)

    @property
    def evaluated(self) -> tuple[str, ...]:
        """Every domain that the first gate looked at."""
        return tuple(dict.fromkeys(claim.split("/")[0] for claim in self.judged[0].deltas))

    @property
    def others(self) -> tuple[str, ...]:
        """Those of them that do not have to be mended, without the target."""
        return tuple(d for d in self.evaluated if d not in (*self.regressed, self._target))

    @property
    def _target(self) -> str:
        """The domain of the stage's target, if it has one."""
        return (self.step.target or "").split("/")[0]

    @property
    def made(self) -> Judged | None:
        """The first attempt that left a checkpoint."""
        return next((judged for judged in self.judged if judged.checkpoint), None)

    @property
    def settings(self) -> dict[str, Any]:
        """Every setting of the stage as written, after defaults."""
        return stages.get(self.step.stage).settings(**self.step.settings)

    def action(self) -> Action:
        """What the recipe wants after the first attempt."""
        red = self.judged[0].outcome in ("red", "broken")
        return self.step.on_red if red else self.step.on_inconclusive


def replay_datasets() -> dict[str, Dataset]:
    """domain -> the dataset that keeps it where it is."""
    return {d.replay_for: d for d in datasets.all().values() if d.replay_for}
