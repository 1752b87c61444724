"""What a gate is given, what it found, and what it decided: the records its steps hand on.

Not here: any step (gate.py), and the Verdict that people read (verdict.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .comparability import Differences, RunLike
from .contamination_gate import Contamination, contamination_of
from .drift_record import NO_DRIFT, Drift
from .gate_evidence import Evidence
from .gate_looks import Looks
from .gate_plan import gating_tasks
from .policy import Policy, Waiver
from .statistics.common_looks import MeanReading
from .statistics.families import Pooled

POOL = ""
"""The mean over domains among the claims; no claim is called so."""
ANCHOR = "anchor/"
"""Begins the name of a claim against the anchor."""


@dataclass(frozen=True, slots=True)
class Case:
    """What is to be decided."""

    baseline: RunLike
    candidate: RunLike
    policy: Policy
    target: str | None
    suites: Sequence[str] | None
    domains: Mapping[str, str]
    """Chosen tasks with their domains."""
    differences: Differences
    anchor: RunLike | None = None
    """A Run kept for good, which small steps may not lead away from."""
    looks: Looks | None = None
    """By which a live gate of this very kind asked the candidate."""

    @property
    def sides(self) -> dict[str, RunLike]:
        """Both Runs by name."""
        return {"baseline": self.baseline, "candidate": self.candidate}

    @property
    def contamination(self) -> Contamination:
        """What either side learned by heart, as far as the Runs say."""
        return contamination_of(self.sides, self.domains, self.policy)

    @property
    def entries(self) -> dict[str, Mapping[str, Any]]:
        """Manifest entries of the chosen tasks; the baseline's where both have one."""
        known = {**self.candidate.manifest["tasks"], **self.baseline.manifest["tasks"]}
        return {task: known[task] for task in self.domains if task in known}

    @property
    def speaking(self) -> dict[str, str]:
        """Chosen tasks that speak for their domain, and those that no Run has."""
        known = self.entries
        gating = gating_tasks(known, self.policy)
        return {t: d for t, d in self.domains.items() if t in gating or t not in known}


@dataclass(frozen=True, slots=True)
class Findings:
    """What both sides' answers say, before any correction over claims."""

    evidence: tuple[Evidence, ...] = ()
    anchored: tuple[Evidence, ...] = ()
    """Of the same claims against the anchor."""
    drift: Drift = NO_DRIFT

    @property
    def tested(self) -> list[Evidence]:
        """Claims that can FAIL, in the order of the plan."""
        return [e for e in self.evidence if e.plan.can_fail]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What was decided, before it becomes an exit code."""

    failed: tuple[str, ...] = ()
    """What is proven: claims lost, `drift/loop` ..., `anchor/math` ..., `""` for the mean over domains."""
    adjusted: Mapping[str, float] | None = None
    mean: MeanReading | None = None
    problems: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    """(domain, sentence) where the baseline has nothing to plan with."""
    waived: tuple[tuple[str, Waiver], ...] = ()
    """Claims with a proven loss that somebody answers for."""

    @property
    def pooled(self) -> Pooled | None:
        """The mean over domains, where it was taken."""
        return self.mean.pooled if self.mean else None

    @property
    def code(self) -> int:
        """Exit code before the policy's mapping; a proven loss outranks trouble elsewhere."""
        if self.failed:
            return 1
        return 4 if self.problems else 3 if self.undecided else 0
