"""What the lineage page's template is given: a loop arranged for reading.

Adds order, words, shapes, the lanes of the tree and the bars of the matrix. Not here: HTML
(templates/lineage.html.jinja), what was decided and how (the harness has it all).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..harness.lineage import Attempt, Lineage, Price
from ..harness.lineage_matrix import LineageMatrix
from ..harness.statistics.decision import Decision
from ..harness.verdict import DomainVerdict
from . import wording
from .budget import Plan
from .hostile import Excerpt, excerpt
from .lineage_curves import Curve
from .settings_view import flat

#: Outcome -> (tone, shape).
_MARKS = {
    "accepted": ("pass", "disc"),
    "red": ("fail", "triangle"),
    "inconclusive": ("inconclusive", "square"),
    "invalid": ("invalid", "cross"),
    "broken": ("invalid", "cross"),
    "green": ("pass", "disc"),
}
#: Not judged yet, or a word that a later version wrote.
_UNKNOWN = ("muted", "diamond")
#: Exit code of a loop -> (headline, tone).
_HEADLINES = {
    0: ("EVERY STAGE ACCEPTED", "pass"),
    1: ("REGRESSION NOT REPAIRED", "fail"),
    3: ("INCONCLUSIVE", "inconclusive"),
    4: ("STOPPED BY DATA OR INSTRUMENT", "invalid"),
    None: ("RUNNING", "inconclusive"),
}
_FAILED = ("BROKEN OFF", "invalid")
#: Column of the mean over domains.
POOL = "mean"
#: Samples a plan shows at least where it has room for curves.
_WITH_CURVES = 30
#: Half the height of a bar's cell in pixels, and the most that a bar shows, as a proportion.
HALF, REACH = 20.0, 0.20


@dataclass(frozen=True, slots=True)
class Cell:
    """One difference in the matrix; proportions, places in pixels."""

    delta: float
    low: float | None
    high: float | None
    tone: str
    shape: str
    word: str
    y: float
    height: float
    clipped: bool
    """The bar is cut at the edge of its cell."""
    target: bool
    n: int


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt: its place in the tree, its evidence, its cells."""

    attempt: Attempt
    anchor: str
    tone: str
    shape: str
    word: str
    why: Excerpt
    headline: str
    """With the sentence: of its own gate."""
    sentence: Excerpt
    reserve: Excerpt | None
    settings: tuple[tuple[str, str], ...]
    cells: tuple[Cell | None, ...]
    page: str | None
    """Link to its gate page."""
    curves: Sequence[Curve] = ()
    goes_on: bool = False
    """Another attempt follows in the picture."""
    settled: bool = False
    """Something was accepted later, so the trunk goes on."""


@dataclass(frozen=True, slots=True)
class StepView:
    """One stage of the recipe."""

    name: str
    stage: str
    target: str | None
    rows: tuple[Row, ...]
    left_out: int
    """Rejected attempts that the page has no room for."""
    skipped: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class AnchorRow:
    """An accepted stage against the anchor, on all items that the accepted Runs share."""

    name: str
    scores: tuple[float | None, ...]
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True, slots=True)
class LineageView:
    """The whole page."""

    lineage: Lineage
    headline: str
    tone: str
    shape: str
    toy: bool
    columns: tuple[str, ...]
    anchor: str | None
    """Name of the anchor."""
    start: tuple[float | None, ...]
    """The anchor's scores."""
    settled: bool
    """Something was accepted after the anchor."""
    sentence: str
    steps: tuple[StepView, ...]
    since: tuple[AnchorRow, ...]
    matrix: LineageMatrix | None
    no_matrix: str
    suspected: tuple[tuple[str, str, float, float], ...]
    """(stage, claim, difference, adjusted p), the surest first."""
    prices: tuple[Price, ...]
    facts: tuple[tuple[str, str], ...]


def lineage_view(
    lineage: Lineage,
    found: LineageMatrix | str,
    lines: Mapping[str, Sequence[Curve]],
    *,
    toy: bool,
    plan: Plan,
) -> LineageView:
    """Arrange a loop under a plan of how much detail to show.

    Args:
        found: of `lineage_matrix`.
        lines: training curves by attempt.
        toy: the models are pocket models.
        plan: `others` bounds the rejected attempts of a stage; the tightest plans show no curves.
    """
    matrix = found if isinstance(found, LineageMatrix) else None
    columns = _columns(lineage)
    word, tone = (
        _FAILED if lineage.status == "failed" else _HEADLINES.get(lineage.exit_code, _FAILED)
    )
    anchor = lineage.trunk[0] if lineage.trunk else None
    return LineageView(
        lineage=lineage,
        headline=word,
        tone=tone,
        shape=wording.SHAPES[tone],
        toy=toy,
        columns=columns,
        anchor=anchor,
        start=_start(lineage, matrix, columns),
        settled=len(lineage.trunk) > 1,
        sentence=lineage.sentence or _so_far(lineage),
        steps=_steps(lineage, lines if plan.samples >= _WITH_CURVES else {}, columns, plan),
        since=_since(lineage, matrix, columns),
        matrix=matrix,
        no_matrix=found if isinstance(found, str) else "",
        suspected=_suspected(matrix),
        prices=lineage.prices,
        facts=flat(lineage.recipe),
    )


def _so_far(lineage: Lineage) -> str:
    decided = [a.name for a in lineage.attempts if a.label]
    last = f", the last {decided[-1]}" if decided else ""
    held = lineage.accepted[0] if lineage.accepted else "nothing"
    return f"{len(decided)} attempts are decided{last}; accepted so far is {held}."


def is_toy(lineage: Lineage, manifests: Sequence[Mapping[str, Any]]) -> bool:
    """Whether any verdict or Run says that its model is a pocket model."""
    verdicts = (a.verdict for a in lineage.attempts)
    return any(wording.is_toy(v) for v in verdicts if v) or any(
        wording.marked_toy(m) for m in manifests
    )


def _columns(lineage: Lineage) -> tuple[str, ...]:
    verdicts = [a.verdict for a in lineage.attempts if a.verdict]
    names = dict.fromkeys(d.id for v in verdicts for d in v.domain_list)
    return (*names, *((POOL,) if any(v.pooled for v in verdicts) else ()))


def _start(
    lineage: Lineage, matrix: LineageMatrix | None, columns: Sequence[str]
) -> tuple[float | None, ...]:
    """The anchor's scores: of the whole Runs, else what the first gate read of them."""
    anchor = lineage.trunk[0] if lineage.trunk else ""
    if matrix:
        return tuple(matrix.means.get((anchor, name)) for name in columns)
    first = next((a for a in lineage.attempts if a.parent == anchor and a.verdict), None)
    claims = [first.claim(name) if first else None for name in columns]
    return tuple(claim.comparison.baseline if claim else None for claim in claims)


def _steps(
    lineage: Lineage,
    lines: Mapping[str, Sequence[Curve]],
    columns: Sequence[str],
    plan: Plan,
) -> tuple[StepView, ...]:
    found, at = [], -1
    places = wording.anchors("attempt", (a.name for a in lineage.attempts))
    kept = {step.name: _kept(step.attempts, plan.others) for step in lineage.steps}
    trunk = [a.accepted for step in lineage.steps for a in kept[step.name]]
    last = max((i for i, accepted in enumerate(trunk) if accepted), default=-1)
    for step in lineage.steps:
        rows = []
        for attempt in kept[step.name]:
            at += 1
            row = _row(attempt, places[attempt.name], columns, plan.characters)
            more = (at + 1 < len(trunk), at < last)
            own = lines.get(attempt.name, ())
            rows.append(replace(row, curves=own, goes_on=more[0], settled=more[1]))
        left = len(step.attempts) - len(rows)
        found.append(StepView(step.name, step.stage, step.target, tuple(rows), left, step.skipped))
    return tuple(found)


def _kept(attempts: Sequence[Attempt], others: int) -> list[Attempt]:
    """What was accepted, and as many of the others, the first ones, as there is room for."""
    rejected = {a.name for a in [a for a in attempts if not a.accepted][:others]}
    return [a for a in attempts if a.accepted or a.name in rejected]


def _row(attempt: Attempt, anchor: str, columns: Sequence[str], limit: int) -> Row:
    tone, shape = _MARKS.get("accepted" if attempt.accepted else attempt.outcome, _UNKNOWN)
    confirmed = attempt.confirmation
    own = attempt.verdict if _by_reserve(attempt) else attempt.judged
    gate = attempt.file("gate")
    return Row(
        attempt=attempt,
        anchor=anchor,
        tone=tone,
        shape=shape,
        word=_word(attempt),
        why=excerpt(wording.prose(attempt.why), limit),
        sentence=excerpt(wording.prose(own.sentence if own else ""), limit),
        headline=own.headline if own else "",
        reserve=excerpt(wording.prose(confirmed.sentence), limit) if confirmed else None,
        settings=flat(attempt.settings),
        cells=tuple(_of_gate(attempt, name) for name in columns),
        page=gate.relative_to(attempt.folder).as_posix() if gate else None,
    )


def _word(attempt: Attempt) -> str:
    """What became of an attempt, and where its own gate did not say so, who did."""
    return (attempt.label or "being judged") + (" on the reserve" if _by_reserve(attempt) else "")


def _by_reserve(attempt: Attempt) -> bool:
    """Whether its own gate let it through and the reserve did not."""
    confirmed = attempt.confirmation
    return bool(confirmed and not attempt.accepted and confirmed.outcome == attempt.outcome)


def _of_gate(attempt: Attempt, name: str) -> Cell | None:
    """What an attempt's own gate saw of a claim, or of the mean over domains."""
    claim, verdict = attempt.claim(name), attempt.verdict
    if claim:
        c = claim.comparison
        aimed = attempt.target in (name, claim.domain)
        return _cell(c.delta, c.low, c.high, claim.badge, c.n, target=aimed)
    pooled = verdict.pooled if verdict and name == POOL else None
    return _cell(pooled.delta, pooled.low, pooled.high, pooled.badge, 0) if pooled else None


def _cell(
    delta: float | None,
    low: float | None,
    high: float | None,
    badge: str,
    n: int,
    *,
    target: bool = False,
) -> Cell | None:
    if delta is None:
        return None
    word, shape, _ = wording.BADGES[badge]
    height = round(min(abs(delta) / REACH, 1.0) * (HALF - 2), 1)
    return Cell(
        delta=delta,
        low=low,
        high=high,
        tone=badge,
        shape=shape,
        word=word,
        y=HALF if delta < 0 else HALF - height,
        height=height,
        clipped=abs(delta) > REACH,
        target=target,
        n=n,
    )


def _since(
    lineage: Lineage, matrix: LineageMatrix | None, columns: Sequence[str]
) -> tuple[AnchorRow, ...]:
    """Each accepted stage against the anchor: figures of the matrix, badges of the gates."""
    if matrix is None:
        return ()
    rows = []
    for attempt in (a for a in lineage.attempts if a.accepted and a.name != lineage.trunk[0]):
        own = [matrix.matrix.cumulative.get((attempt.name, name)) for name in columns]
        badges = [_anchored(attempt, lineage.trunk, name) for name in columns]
        rows.append(
            AnchorRow(
                attempt.name,
                tuple(matrix.means.get((attempt.name, name)) for name in columns),
                tuple(_of_matrix(d, b) for d, b in zip(own, badges, strict=True)),
            )
        )
    return tuple(rows)


def _anchored(attempt: Attempt, trunk: Sequence[str], name: str) -> str:
    """What the gate said of a claim against the anchor.

    The first stage after the anchor is gated against it alone, whatever its weights were made from: a
    healed checkpoint was made from a rejected one.
    """
    verdict = attempt.verdict
    known: Sequence[DomainVerdict] = ()
    if verdict and verdict.anchor:
        known = verdict.anchor.domain_list
    elif verdict and attempt.name == trunk[1]:
        known = verdict.domain_list
    return next((d.badge for d in known if d.id == name), "inconclusive")


def _of_matrix(decision: Decision | None, badge: str) -> Cell | None:
    if decision is None:
        return None
    return _cell(decision.delta, decision.low, decision.high, badge, decision.n)


def _suspected(matrix: LineageMatrix | None) -> tuple[tuple[str, str, float, float], ...]:
    if matrix is None:
        return ()
    found = [
        (stage, name, matrix.matrix.step[stage, name].delta, matrix.matrix.adjusted[stage, name])
        for stage, name in matrix.matrix.suspected
    ]
    return tuple(sorted(found, key=lambda cell: (cell[3], cell[2])))
