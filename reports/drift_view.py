"""Rows of behavior drift as people read them: change, interval, the same against itself, what came of it.

Shared by the page and the terminal. Not here: any decision (the Verdict has them all).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..harness.drift_record import DriftRow, shown, state
from ..harness.verdict import Verdict
from . import figures


@dataclass(frozen=True, slots=True)
class DriftLine:
    """One metric, ready to be printed."""

    words: str
    kind: str
    change: str
    """In points; of lengths in percent of the length, and says so."""
    interval: str
    noise: str
    """The interval between two runs of the baseline."""
    n: int
    p: float | None
    """Holm's or Benjamini-Hochberg's where it was corrected."""
    state: str
    tone: str


def drift_lines(verdict: Verdict) -> tuple[DriftLine, ...]:
    """The rows that were measured, failed before warned before the rest."""
    lines = [line for row in verdict.drift.rows if (line := _line(row))]
    rank = {"fail": 0, "warn": 1, "": 2}
    return tuple(sorted(lines, key=lambda line: rank[line.tone]))


def drift_notes(verdict: Verdict) -> tuple[str, ...]:
    """What was not measured and why, and where the comparison with itself comes from."""
    drift = verdict.drift
    source = [f"A/A: {drift.noise_source}."] if drift.noise_source else []
    rest = [f"{row.metric}: {row.why}." for row in drift.rows if row.figures is None]
    return (*(note if note.endswith(".") else f"{note}." for note in drift.notes), *source, *rest)


def _line(row: DriftRow) -> DriftLine | None:
    seen, found = shown(row), row.figures
    if seen is None or found is None:
        return None
    unit = " %" if seen.relative else ""
    return DriftLine(
        words=row.words,
        kind=row.kind,
        change=figures.points(seen.change) + unit,
        interval=figures.interval(seen.low, seen.high),
        noise=figures.interval(*seen.noise) if seen.noise else figures.ABSENT,
        n=found.n,
        p=found.p_harm if row.p_adjusted is None else row.p_adjusted,
        state=state(row),
        tone="fail" if row.failed else "warn" if row.warned else "",
    )
