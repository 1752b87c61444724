"""Drift in a gate: measured on the answers of both sides, and what of it may fail.

Hard metrics that the plan froze (named by the policy, with a measured noise floor) join the Holm
family; every other row is shown. A Run without stored answers has no drift, and says so in one
line. Not here: how drift is measured (drift.py), corrections and outcomes (gate.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from .comparability import RunLike
from .drift import measure_drift
from .drift_pairs import AnsweredRun
from .drift_record import Drift, DriftRow
from .errors import DataError
from .gate_plan import Plan
from .noise import load_noise
from .policy import Policy


def drift_between(
    baseline: RunLike, candidate: RunLike, frozen: Plan, tasks: Iterable[str], policy: Policy
) -> Drift:
    """How the answers of two Runs drifted; without rows where either holds no answers."""
    without = [run.label for run in (baseline, candidate) if not isinstance(run, AnsweredRun)]
    if without:
        return _none(f"'{without[0]}' holds no answers, only scores")
    assert isinstance(baseline, AnsweredRun) and isinstance(candidate, AnsweredRun)
    floor = load_noise(baseline, tasks)
    try:
        found = measure_drift(
            baseline,
            candidate,
            floor.noise,
            tasks=frozenset(tasks),
            noise_source=floor.source,
            alpha=policy.alpha_fail,
        )
    except DataError as error:
        return _none(str(error))
    return replace(found, rows=tuple(_gated(row, frozen) for row in found.rows))


def after_holm(drift: Drift, adjusted: Mapping[str, float], failed: Iterable[str]) -> Drift:
    """The rows with Holm's p of those in the family, and which of them failed."""
    lost = set(failed)
    rows = []
    for row in drift.rows:
        name = f"drift/{row.metric}"
        p = adjusted.get(name) if row.kind == "hard" and row.counts else row.p_adjusted
        rows.append(replace(row, p_adjusted=p, failed=name in lost))
    return replace(drift, rows=tuple(rows))


def _none(why: str) -> Drift:
    return Drift((), (0, 0), notes=(f"Drift was not measured: {why}",))


def _gated(row: DriftRow, frozen: Plan) -> DriftRow:
    """A hard row counts only where the plan has it in the family."""
    if row.kind != "hard" or not row.counts or f"drift/{row.metric}" in frozen.drift:
        return row
    return replace(row, counts=False, why="not among what this policy gates")
