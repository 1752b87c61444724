"""What a loop keeps of its attempts: what was tried from where, how it was judged, what was accepted.

All of it is plain JSON in `loop.jsonl`; a page needs nothing else. Not here: deciding (loop.py),
judging (loop_gate.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .checkpoints import Checkpoint
    from .run import Run

How = Literal[
    "base",
    "first",
    "retry",
    "replay",
    "keep",
    "heal",
    "lighter",
    "interpolate",
    "earlier",
    "gentler",
]
Outcome = Literal["green", "red", "inconclusive", "invalid", "broken"]
"""`invalid`: data or instrument; `broken`: the stage left no checkpoint that could be judged."""
OUTCOMES: Mapping[int, Outcome] = {0: "green", 1: "red", 3: "inconclusive", 4: "invalid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is to be tried: a registered stage with settings."""

    how: How
    stage: str
    settings: Mapping[str, Any]
    why: str
    """A sentence for people."""
    ready: str | None = None
    """Folder of a checkpoint that is there already, so that nothing is trained."""
    mends: Judged | None = None
    """The attempt whose checkpoint this starts from; None: where the stage of the recipe began."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A remedy that does not apply."""

    how: How
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the gates said of one attempt; levels and differences are proportions."""

    attempt: str
    outcome: Outcome
    exit_code: int
    headline: str
    sentence: str
    checkpoint: str | None = None
    """Folder, None where the stage left none."""
    run: str | None = None
    verdict: str | None = None
    """File of the verdict that decided."""
    lost: Sequence[str] = ()
    """Domains with a proven loss, against the previous checkpoint or the anchor."""
    deltas: Mapping[str, float | None] = field(default_factory=dict)
    """claim -> candidate - baseline."""
    items: int = 0
    """Items the candidate was asked."""
    early: bool = False
    """Decided before its last item."""
    anchored: bool = False
    """Held against the anchor as well."""
    alpha_pass: float | None = None
    alpha_fail: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Node:
    """An accepted checkpoint, with the complete Run that the next gate compares with."""

    attempt: str
    checkpoint: Checkpoint
    run: Run


@dataclass(frozen=True, slots=True)
class LoopResult:
    """How a loop ended."""

    exit_code: int
    """0 every stage accepted, 1 a regression that was not repaired, 3 inconclusive, 4 instrument."""
    sentence: str
    accepted: str | None
    """Folder of the promoted checkpoint."""
    digest: str | None
    summary: Mapping[str, Any]
    """What `loop.json` says."""
