"""What the leaderboard page's template is given: the record with places on charts.

Not here: HTML (templates/leaderboard.html.jinja), ranking (harness/leaderboard.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..harness.leaderboard_record import Against, Duel, Estimate, Leaderboard, Place
from . import charts, wording

#: Up to so many Runs are shown pair by pair.
MOST_DUELS = 12
#: What an axis is called, and how its numbers are written.
AXES = {
    "bytes": ("size on disk", "bytes"),
    "tokens_per_s": ("tokens per second", "rate"),
    "money": ("cost", "money"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One Run."""

    place: Place
    anchor: str
    rank: str
    baseline: bool
    overall: charts.Mark
    change: charts.Mark | None
    """Mean over domains against the baseline."""
    badge: tuple[str, str, str] | None
    """(word, shape, tone) of its gate."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One Run among quality and a cost, in percent of the plot."""

    name: str
    anchor: str
    x: float
    y: float
    on: bool
    dominated: bool
    number: int
    """Its row in the table."""


@dataclass(frozen=True, slots=True)
class Scatter:
    """Quality upwards against one cost."""

    axis: str
    kind: str
    """How its numbers are written."""
    dots: tuple[Dot, ...]
    low: float
    high: float
    quality: charts.Scale


@dataclass(frozen=True, slots=True)
class LeaderboardView:
    """The whole page."""

    board: Leaderboard
    lines: tuple[Line, ...]
    scale: charts.Scale
    """Of overall scores."""
    plot: charts.IntervalPlot | None
    """Of the differences from the baseline."""
    scatters: tuple[Scatter, ...]
    priced: bool
    """Whether any Run knows what it cost."""
    duels: Mapping[tuple[str, str], Duel]
    """Row minus column; empty where there are too many Runs."""


def leaderboard_view(board: Leaderboard) -> LeaderboardView:
    """Arrange a record."""
    scale = _scores([p.overall for p in board.places])
    places = wording.anchors("run", (p.name for p in board.places))
    changed = [p.against.mean if p.against else None for p in board.places]
    rows = [charts.Row(c.delta, c.low, c.high, None) if c else None for c in changed]
    plot = charts.interval_plot([r for r in rows if r]) if any(rows) else None
    lines = tuple(
        Line(
            place=place,
            anchor=places[place.name],
            rank=_rank(place),
            baseline=place.name == board.baseline,
            overall=charts.place(_row(place.overall), scale),
            change=charts.place(row, plot.scale) if row and plot else None,
            badge=_badge(place.against) if place.against else None,
        )
        for place, row in zip(board.places, rows, strict=True)
    )
    return LeaderboardView(
        board=board,
        lines=lines,
        scale=scale,
        plot=plot,
        scatters=tuple(s for axis in board.axes if (s := _scatter(board, places, axis))),
        priced=any(p.spent.money is not None for p in board.places),
        duels=_duels(board) if len(board.places) <= MOST_DUELS else {},
    )


def _rank(place: Place) -> str:
    return str(place.best) if place.best == place.worst else f"{place.best}–{place.worst}"


def _row(found: Estimate) -> charts.Row:
    return charts.Row(found.value, found.low, found.high, None)


def _badge(against: Against) -> tuple[str, str, str]:
    """How a Run's gate is marked."""
    tone = "invalid" if against.exit_code == 4 else against.outcome
    word = "not valid" if tone == "invalid" else wording.BADGES[tone][0]
    return ("no harm shown" if tone == "pass" else word), wording.SHAPES[tone], tone


def _scores(found: Sequence[Estimate]) -> charts.Scale:
    """A scale that holds all intervals, with round ticks."""
    low, high = min(e.low for e in found), max(e.high for e in found)
    step = charts.nice_step(max(high - low, 0.01) / 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    bare = charts.Scale(first * step, max(last, first + 1) * step)
    ticks = tuple(
        charts.Tick(i * step, bare.at(i * step), f"{100 * i * step:g}")
        for i in range(first, max(last, first + 1) + 1)
    )
    return charts.Scale(bare.low, bare.high, ticks)


def _scatter(board: Leaderboard, places: Mapping[str, str], axis: str) -> Scatter | None:
    """Quality against a cost that is known of every Run; None where all cost the same."""
    name, kind = AXES[axis]
    costs = [float(getattr(p.spent, axis)) for p in board.places]
    low, high = min(costs), max(costs)
    if low == high:
        return None
    across = charts.Scale(low, high)
    quality = _scores(
        [Estimate(p.overall.value, p.overall.value, p.overall.value) for p in board.places]
    )
    dots = tuple(
        Dot(
            name=p.name,
            anchor=places[p.name],
            x=across.at(cost),
            y=round(100 - quality.at(p.overall.value), 2),
            on=bool(p.front and p.front.on),
            dominated=bool(p.front and p.front.dominated_by),
            number=number,
        )
        for number, (p, cost) in enumerate(zip(board.places, costs, strict=True), 1)
    )
    return Scatter(name, kind, dots, low, high, quality)


def _duels(board: Leaderboard) -> dict[tuple[str, str], Duel]:
    found = {(d.first, d.second): d for d in board.duels}
    turned = {
        (d.second, d.first): Duel(
            first=d.second, second=d.first, delta=-d.delta, p=d.p, p_holm=d.p_holm
        )
        for d in board.duels
    }
    return found | turned
