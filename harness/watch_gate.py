"""Gating checkpoints of a training in progress: against one baseline, and an anchor where there is one.

The verdict lies beside the checkpoint, in `gate-<its name>/`, with the Run that it was read from. Used by
the watcher (watch.py), which finds checkpoints, and by trainers/gate_callback.py, which makes them. Not
here: which checkpoint is gated when, what follows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .checkpoints import open_checkpoint
from .gate_anchored import cost_of, hold
from .loop_gate import Show
from .loop_summary import Spent
from .policy import Policy
from .roles import Others
from .run import Run
from .verdict import Verdict

_BESIDE = "gate-"


def _unsaid(_: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Gated:
    """One checkpoint that was gated."""

    verdict: Verdict
    run: Run
    spent: Spent


@dataclass(frozen=True, slots=True, kw_only=True)
class Gatekeeper:
    """Holds the checkpoints of one training against the same Runs, by the same policy."""

    baseline: Run
    policy: Policy
    suites: Sequence[str]
    target: str | None = None
    anchor: Run | None = None
    """Kept for good: nothing may fall 1.5 margins below it, whatever the baseline is."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the backend: device, threads, batch_size ..."""
    others: Others = field(default_factory=Others)
    """Who judges and who plays the user."""
    limit: int | None = None
    say: Callable[[str], None] = _unsaid
    show: Show | None = None
    """Writes pages."""

    def gate(self, path: Path) -> Gated:
        """Evaluate one checkpoint under its gate and write the verdict beside it.

        Raises:
            UsageError, DataError, InstrumentError: see errors.py; what was answered is kept.
        """
        began = time.monotonic()
        beside = verdict_of(path).parent
        held = hold(
            self.baseline,
            self.anchor,
            self.policy,
            self.suites,
            self.target,
            live=lambda rules: self._live(path, rules, beside / "run"),
            whole=lambda: self._whole(path, beside / "run"),
            complete=False,
        )
        if self.show:
            self.show(held.verdict, self.baseline, held.run, beside)
        held.verdict.save(verdict_of(path))
        self.say(f"{path.name}: {held.verdict.headline}. {held.verdict.sentence}")
        spent = Spent(1, round(time.monotonic() - began, 3), cost_of(held.run)["tokens"])
        return Gated(held.verdict, held.run, spent)

    def _live(self, path: Path, rules: Policy, out: Path) -> Run:
        from .gate_live import evaluate_live

        return evaluate_live(
            self.baseline,
            open_checkpoint(path),
            rules,
            self.suites,
            out,
            target=self.target,
            options=self.options,
            others=self.others,
            limit=self.limit,
            note=self.say,
        )

    def _whole(self, path: Path, out: Path) -> Run:
        from .api import evaluate

        return evaluate(
            open_checkpoint(path),
            self.suites,
            out,
            options=self.options,
            judges=self.others.judges,
            prices=self.others.prices,
            limit=self.limit,
            seed=int(self.baseline.manifest.get("seed") or 0),
        )


def verdict_of(path: Path) -> Path:
    """Not `<name>.gate`: a trainer that keeps its last so many `checkpoint-*` would count that too."""
    return path.with_name(_BESIDE + path.name) / "verdict.json"


def is_beside(path: Path) -> bool:
    """Whether a folder holds a verdict, and no checkpoint."""
    return path.name.startswith(_BESIDE)


def verdicts_in(folder: Path) -> dict[str, Path]:
    """checkpoint -> its verdict's file, whether or not the checkpoint is still there."""
    files = sorted(folder.glob(f"{_BESIDE}*/verdict.json"))
    return {file.parent.name.removeprefix(_BESIDE): file for file in files}
