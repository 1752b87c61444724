"""The record of behavior drift, and its words: what a verdict holds and pages show.

Shares and distances are proportions (a point is 0.01), lengths log ratios. Not here: how it is
measured (drift.py) and tested (drift_figures.py).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from .statistics.normal import critical_value

Kind: TypeAlias = Literal["hard", "soft", "shown"]
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Figure:
    """A change of one metric in one task or over all, with its error."""

    n: int
    change: float
    se: float


@dataclass(frozen=True, slots=True)
class Tested:
    """One metric's figures. Shares are proportions, the length is a log ratio."""

    n: int
    """Units: items, or clusters."""
    baseline: float | None
    candidate: float | None
    change: float
    """candidate - baseline in the natural direction; more is harm, but for the length."""
    low: float
    """Interval of the change, each end one-sided at alpha."""
    high: float
    more: int
    """Units on which the candidate does it more."""
    less: int
    p_harm: float | None
    """None where there is nothing to compare with."""
    p_within: float | None
    reaches: bool
    """Whether the estimate is a harm of at least the margin, above the A/A figure where it needs one."""
    harmed: bool
    """Alone, before any correction: a real change that reaches the margin."""
    parts: Mapping[str, Figure]
    """By task."""


@dataclass(frozen=True, slots=True)
class DriftRow:
    """One metric's drift. Every number is finite or None."""

    metric: str
    kind: Kind
    words: str
    margin: float | None = None
    figures: Tested | None = None
    noise: Figure | None = None
    """The same figure between two runs of the baseline, over the same tasks."""
    counts: bool = False
    """Whether it may gate (hard) or warn (soft): measured, with an A/A run, on at least 30 items."""
    p_adjusted: float | None = None
    """Benjamini-Hochberg among the soft metrics that count; Holm over a gate's claims for hard ones."""
    warned: bool = False
    failed: bool = False
    """Whether it made a gate red."""
    why: str = ""
    """Why it does not count, or empty."""


@dataclass(frozen=True, slots=True)
class Drift:
    """What drifted between two Runs."""

    rows: tuple[DriftRow, ...]
    unpaired: tuple[int, int]
    """Answers that only the baseline, and only the candidate, has."""
    noise_source: str = ""
    """Where the A/A figures come from; empty: there are none."""
    notes: tuple[str, ...] = ()

    def row(self, metric: str) -> DriftRow:
        """The row of one metric; KeyError where there is none."""
        return {r.metric: r for r in self.rows}[metric]

    def p_values(self) -> dict[str, float]:
        """p of "no harm" of the hard metrics that count, for a gate's Holm family: `drift/loop` ..."""
        return {
            f"drift/{r.metric}": r.figures.p_harm
            for r in self.rows
            if r.kind == "hard" and r.counts and r.figures and r.figures.p_harm is not None
        }

    @property
    def harmed(self) -> tuple[str, ...]:
        """The hard metrics that count and drifted if each were the only claim, by family name."""
        alone = {f"drift/{r.metric}" for r in self.rows if r.figures and r.figures.harmed}
        return tuple(name for name in self.p_values() if name in alone)

    def failed(self, adjusted: Mapping[str, float], alpha: float = ALPHA) -> tuple[str, ...]:
        """The hard metrics that fail once Holm's correction is done, by their family names."""
        return tuple(n for n in self.harmed if adjusted.get(n, 1.0) <= alpha)

    def not_excluded(self, alpha: float = ALPHA) -> tuple[str, ...]:
        """The hard metrics that count and whose harm of a whole margin is not excluded."""
        within = {f"drift/{r.metric}": r.figures.p_within for r in self.rows if r.figures}
        return tuple(n for n in self.p_values() if (p := within[n]) is None or p > alpha)

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each soft metric that drifted."""
        return tuple(sentence(r) for r in self.rows if r.warned)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `verdict.json`, each row with its sentence."""
        return {
            **dataclasses.asdict(self),
            "rows": [{**dataclasses.asdict(r), "sentence": sentence(r)} for r in self.rows],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Drift:
        """What `to_dict` gave; KeyError or TypeError where it is something else."""
        rows = tuple(_row({k: v for k, v in r.items() if k != "sentence"}) for r in data["rows"])
        first, second = data["unpaired"]
        rest = {"rows": rows, "unpaired": (first, second), "notes": tuple(data["notes"])}
        return cls(**{**data, **rest})


NO_DRIFT = Drift((), (0, 0))


def _row(data: dict[str, Any]) -> DriftRow:
    found, noise = data["figures"], data["noise"]
    if found is not None:
        found = Tested(**{**found, "parts": {t: Figure(**f) for t, f in found["parts"].items()}})
    return DriftRow(**{**data, "figures": found, "noise": Figure(**noise) if noise else None})


@dataclass(frozen=True, slots=True)
class Shown:
    """A row's figures as people read them: proportions, for lengths the relative change."""

    change: float
    low: float
    high: float
    noise: tuple[float, float] | None
    """The 90% interval between two runs of the baseline."""
    relative: bool


def shown(row: DriftRow) -> Shown | None:
    """The figures of a row; None where nothing was measured."""
    found, relative = row.figures, row.metric.startswith("length")
    if found is None:
        return None
    natural = math.expm1 if relative else float
    noise = None
    if row.noise is not None:
        half = critical_value(ALPHA) * row.noise.se
        noise = natural(row.noise.change - half), natural(row.noise.change + half)
    return Shown(natural(found.change), natural(found.low), natural(found.high), noise, relative)


def sentence(row: DriftRow) -> str:
    """One row in words."""
    found, figures = row.figures, shown(row)
    if found is None or figures is None:
        return f"{row.metric}: not measured ({row.why})."
    change, low, high = (100 * x for x in (figures.change, figures.low, figures.high))
    p = "" if found.p_harm is None else f", p {max(found.p_harm, 1e-7):.2g}"
    name = "Holm" if row.kind == "hard" else "BH"
    adjusted = "" if row.p_adjusted is None else f" ({name} {max(row.p_adjusted, 1e-7):.2g})"
    aa = figures.noise
    noise = "" if aa is None else f", A/A [{100 * aa[0]:.1f}, {100 * aa[1]:.1f}]"
    return (
        f"{row.words}: {change:+.1f}{'%' if figures.relative else ' points'} "
        f"[{low:.1f}, {high:.1f}]{noise}, {found.n} items{p}{adjusted}; {state(row)}."
    )


def state(row: DriftRow) -> str:
    """What became of a row, in few words."""
    if row.why:
        return f"not gated: {row.why}"
    alone = row.kind == "hard" and row.figures is not None and row.figures.harmed
    if row.failed or row.warned or (alone and row.p_adjusted is None):
        return "DRIFT"
    return "drift if it were the only claim" if alone else "no drift shown"
