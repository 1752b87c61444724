"""What the gate page's template is given: a Verdict arranged for reading, with nothing computed anew.

Adds order, anchors, chart places, the two-by-two table a verdict's counts imply, and texts cut and
compared. Not here: HTML (templates/gate.html.jinja), statistics (the Verdict has them all).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..harness.verdict import Comparison, DomainVerdict, TaskVerdict, Verdict
from . import charts, wording
from .budget import Plan
from .drift_view import DriftLine, drift_lines, drift_notes
from .flip_view import FlipView, flip_views
from .flips import FlipGroup
from .settings_view import Setting, flat, side_by_side

_RANK = {"fail": 0, "inconclusive": 1, "pass": 2}


@dataclass(frozen=True, slots=True)
class TwoByTwo:
    """Items by outcome, baseline against candidate."""

    both_pass: int
    lost: int
    gained: int
    both_fail: int


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task of a claim, with its flips."""

    task: TaskVerdict
    anchor: str
    mark: charts.Mark
    lower: bool
    table: TwoByTwo | None
    flips: tuple[FlipView, ...]

    def shown(self, direction: str) -> tuple[FlipView, ...]:
        """The flips shown in one direction."""
        return tuple(v for v in self.flips if v.flip.direction == direction)


@dataclass(frozen=True, slots=True)
class ClaimView:
    """One gated claim."""

    domain: DomainVerdict
    anchor: str
    word: str
    shape: str
    mark: charts.Mark
    lower: bool
    bars: tuple[tuple[str, tuple[charts.Part, ...]], ...]
    """(side, parts): scored, scored with a fault of the model, unscored."""
    trend: charts.Sparkline | None
    tasks: tuple[TaskView, ...]


@dataclass(frozen=True, slots=True)
class Health:
    """What the instruments did, added up over the claims."""

    tone: str
    baseline_unscored: int
    candidate_unscored: int


@dataclass(frozen=True, slots=True)
class GateView:
    """The whole page."""

    verdict: Verdict
    tone: str
    shape: str
    first_line: str
    reason: str
    toy: bool
    plot: charts.IntervalPlot
    claims: tuple[ClaimView, ...]
    """In the order of the policy."""
    worst: tuple[ClaimView, ...]
    """Regressed before undecided before passed, then by size of the loss."""
    pooled: charts.Mark | None
    health: Health
    drift: tuple[DriftLine, ...]
    drift_notes: tuple[str, ...]
    badges: Mapping[str, tuple[str, str, str]]
    settings: tuple[Setting, ...]
    policy: tuple[tuple[str, str], ...]


def gate_view(
    verdict: Verdict,
    flips: Sequence[FlipGroup],
    history: Mapping[str, Sequence[float | None]],
    plan: Plan,
) -> GateView:
    """Arrange a verdict under a plan of how much detail to show."""
    plot = charts.interval_plot(_rows(verdict))
    marks = iter(plot.marks)
    groups = {(g.task, g.metric): g for g in flips}
    names = _task_anchors(verdict)
    places = wording.anchors("claim", (d.id for d in verdict.domain_list))
    claims = tuple(
        _claim(d, places[d.id], marks, names, groups, history.get(d.id, ()), plan)
        for d in verdict.domain_list
    )
    pooled = next(marks) if verdict.pooled else None
    tone = wording.tone(verdict)
    return GateView(
        verdict=verdict,
        tone=tone,
        shape=wording.SHAPES[tone],
        first_line=wording.first_line(verdict),
        reason=wording.reason(verdict),
        toy=wording.is_toy(verdict),
        plot=plot,
        claims=claims,
        worst=tuple(sorted(claims, key=_worst_first)),
        pooled=pooled,
        health=_health(verdict),
        drift=drift_lines(verdict),
        drift_notes=drift_notes(verdict),
        badges=wording.BADGES,
        settings=side_by_side(verdict.baseline.settings, verdict.candidate.settings),
        policy=flat(verdict.policy),
    )


def _rows(verdict: Verdict) -> list[charts.Row]:
    """Every interval of the plot: each claim followed by its tasks, then the pool."""
    rows: list[charts.Row] = []
    for domain in verdict.domain_list:
        rows.append(_row(domain.comparison, domain.margin))
        rows += [_row(task.comparison, domain.margin) for task in domain.tasks]
    if verdict.pooled:
        rows.append(charts.Row(verdict.pooled.delta, verdict.pooled.low, verdict.pooled.high, None))
    return rows


def _row(comparison: Comparison, margin: float) -> charts.Row:
    return charts.Row(comparison.delta, comparison.low, comparison.high, margin)


def _worst_first(claim: ClaimView) -> tuple[int, bool, float]:
    delta = claim.domain.comparison.delta
    return _RANK[claim.domain.badge], delta is None, delta or 0.0


def _task_anchors(verdict: Verdict) -> dict[tuple[str, str], str]:
    """`task-gsm8k`, with the metric where a task is gated on several."""
    pairs = [(t.task, t.metric) for d in verdict.domain_list for t in d.tasks]
    tasks = [task for task, _ in pairs]
    names = {p: p[0] if tasks.count(p[0]) == 1 else f"{p[0]}-{p[1]}" for p in pairs}
    found = wording.anchors("task", names.values())
    return {pair: found[name] for pair, name in names.items()}


def _claim(
    domain: DomainVerdict,
    anchor: str,
    marks: charts.Marks,
    names: Mapping[tuple[str, str], str],
    groups: Mapping[tuple[str, str], FlipGroup],
    trend: Sequence[float | None],
    plan: Plan,
) -> ClaimView:
    word, shape, _ = wording.BADGES[domain.badge]
    mark = next(marks)
    limit = plan.samples if domain.badge == "fail" else plan.others
    tasks = tuple(
        TaskView(
            task=task,
            anchor=names[task.task, task.metric],
            mark=next(marks),
            lower=wording.lower_is_better(task.comparison),
            table=two_by_two(task.comparison),
            flips=flip_views(groups.get((task.task, task.metric)), limit, plan.characters),
        )
        for task in domain.tasks
    )
    return ClaimView(
        domain=domain,
        anchor=anchor,
        word=word,
        shape=shape,
        mark=mark,
        lower=wording.lower_is_better(domain.comparison),
        bars=_bars(domain.comparison),
        trend=charts.sparkline(trend),
        tasks=tasks,
    )


def two_by_two(c: Comparison) -> TwoByTwo | None:
    """The table that n, both rates and the flips imply; None where scores are not pass or fail."""
    if c.baseline is None or c.candidate is None:
        return None
    flipped = wording.lower_is_better(c)
    before, after = (c.n * (1 - x if flipped else x) for x in (c.baseline, c.candidate))
    both = round(before) - c.lost
    table = TwoByTwo(both, c.lost, c.gained, c.n - both - c.lost - c.gained)
    fits = abs(before - both - c.lost) < 1e-6 * c.n and abs(after - both - c.gained) < 1e-6 * c.n
    return table if fits and min(both, table.both_fail) >= 0 else None


def _bars(c: Comparison) -> tuple[tuple[str, tuple[charts.Part, ...]], ...]:
    sides = (
        ("baseline", c.baseline_notes, c.baseline_unscored),
        ("candidate", c.candidate_notes, c.candidate_unscored),
    )
    return tuple((name, charts.stacked_bar(_parts(c.n, *rest))) for name, *rest in sides)


def _parts(n: int, notes: Mapping[str, int], unscored: Mapping[str, int]) -> dict[str, int]:
    """Pairs without a note, then the model's faults, then the instrument's."""
    clean = {"clean": max(0, n - sum(notes.values()))}
    faults = {f"note {reason}": count for reason, count in notes.items()}
    return clean | faults | {f"unscored {reason}": count for reason, count in unscored.items()}


def _health(verdict: Verdict) -> Health:
    sides = [d.comparison for d in verdict.domain_list]
    before = sum(sum(c.baseline_unscored.values()) for c in sides)
    after = sum(sum(c.candidate_unscored.values()) for c in sides)
    broken = bool(verdict.problems)
    tone = "invalid" if broken else "warn" if before or after else "pass"
    return Health(tone, before, after)
