"""Geometry of the charts: scales, ticks, clipped intervals, stacked bars, sparklines.

Horizontal places are percentages of the plot's width, so that a chart fills whatever room a page,
a phone or a sheet of paper gives it without distorting its marks; templates only place them.
Not here: colors, words, numbers for people.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .figures import MINUS

#: Gutter on each side of the plot area, in percent: room for end marks, arrows and tick labels.
GUTTER = 4.0
#: No interval may stretch the scale beyond this multiple of the farthest estimate or margin.
_STRETCH = 2.0


@dataclass(frozen=True, slots=True)
class Tick:
    """One labelled place of an axis."""

    value: float
    x: float
    label: str
    """In points, with as many decimals as the step needs."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from `low` to `high`, drawn from `GUTTER` to `100 - GUTTER` percent."""

    low: float
    high: float
    ticks: tuple[Tick, ...] = ()

    def at(self, value: float) -> float:
        """Place of a value in percent; values outside stay at the edge."""
        inside = min(max(value, self.low), self.high)
        share = (inside - self.low) / (self.high - self.low)
        return round(GUTTER + share * (100 - 2 * GUTTER), 2)

    def holds(self, value: float) -> bool:
        """Whether a value is on the plot."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Row:
    """What the interval plot needs to know of one comparison. Proportions."""

    delta: float | None
    low: float | None
    high: float | None
    margin: float | None


@dataclass(frozen=True, slots=True)
class Mark:
    """One comparison on the plot, in percent. None: not drawn."""

    x: float | None
    x1: float | None
    x2: float | None
    clipped_left: bool
    clipped_right: bool
    off: bool
    """The estimate itself is beyond the edge."""
    band_x: float | None
    band_width: float | None
    """From the largest allowed loss to zero."""


@dataclass(frozen=True, slots=True)
class IntervalPlot:
    """Marks in the order of the rows, on one scale."""

    scale: Scale
    zero: float
    marks: tuple[Mark, ...]


#: Marks handed out in the order of the rows.
Marks = Iterator[Mark]


def interval_plot(rows: Sequence[Row]) -> IntervalPlot:
    """Place every row on a common scale that always shows zero and every margin."""
    scale = _scale(rows)
    return IntervalPlot(scale, scale.at(0.0), tuple(place(row, scale) for row in rows))


def _scale(rows: Sequence[Row]) -> Scale:
    margin = max((r.margin for r in rows if r.margin is not None), default=0.01)
    deltas = [r.delta for r in rows if r.delta is not None]
    reach_low = max([margin, *(-d for d in deltas)]) * 1.15
    reach_high = max([margin / 2, *deltas]) * 1.15
    lows = [-r.low for r in rows if r.low is not None]
    highs = [r.high for r in rows if r.high is not None]
    low = max(reach_low, min(max(lows, default=0.0), _STRETCH * reach_low))
    high = max(reach_high, min(max(highs, default=0.0), _STRETCH * reach_high))
    step = nice_step((low + high) / 6)
    first, last = -math.ceil(low / step - 1e-9), math.ceil(high / step - 1e-9)
    bare = Scale(first * step, last * step)
    ticks = tuple(_tick(i * step, step, bare) for i in range(first, last + 1))
    return Scale(bare.low, bare.high, ticks)


def _tick(value: float, step: float, scale: Scale) -> Tick:
    decimals = max(0, -math.floor(math.log10(step * 100) + 1e-9))
    text = f"{abs(value) * 100:.{decimals}f}"
    sign = "" if float(text) == 0 else MINUS if value < 0 else "+"
    return Tick(round(value, 10), scale.at(value), sign + (text if sign else "0"))


def nice_step(rough: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below `rough`."""
    if rough <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= rough * (1 - 1e-9))


def place(row: Row, scale: Scale) -> Mark:
    """One row on a scale, clipped at its edges."""
    bounded = row.low is not None and row.high is not None
    low, high = (row.low or 0.0, row.high or 0.0) if bounded else (0.0, 0.0)
    band = None if row.margin is None else scale.at(-row.margin)
    return Mark(
        x=None if row.delta is None else scale.at(row.delta),
        x1=scale.at(low) if bounded else None,
        x2=scale.at(high) if bounded else None,
        clipped_left=bounded and low < scale.low,
        clipped_right=bounded and high > scale.high,
        off=row.delta is not None and not scale.holds(row.delta),
        band_x=band,
        band_width=None if band is None else round(scale.at(0.0) - band, 2),
    )


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a stacked bar, in percent of its length."""

    name: str
    count: int
    x: float
    width: float


def stacked_bar(counts: Mapping[str, int], least: float = 0.8) -> tuple[Part, ...]:
    """The counts above 0 side by side; none is thinner than `least` percent, so none vanishes."""
    present = {name: count for name, count in counts.items() if count > 0}
    total = sum(present.values())
    widths = [max(least, 100 * count / total) for count in present.values()]
    shrink = 100 / sum(widths) if widths else 1.0
    parts: list[Part] = []
    x = 0.0
    for (name, count), width in zip(present.items(), widths, strict=True):
        parts.append(Part(name, count, round(x, 2), round(width * shrink, 2)))
        x += width * shrink
    return tuple(parts)


@dataclass(frozen=True, slots=True)
class Sparkline:
    """Polylines (split where a value is missing) in a box of `width` by `height`."""

    width: float
    height: float
    lines: tuple[str, ...]
    last_x: float
    last_y: float


def sparkline(
    values: Sequence[float | None], width: float = 120.0, height: float = 28.0, pad: float = 3.0
) -> Sparkline | None:
    """A trend without axes; None if fewer than two values are known."""
    known = [v for v in values if v is not None]
    if len(known) < 2:
        return None
    low, span = min(known), (max(known) - min(known)) or 1.0
    step = (width - 2 * pad) / (len(values) - 1)

    def place(i: int, value: float) -> tuple[float, float]:
        y = height - pad - (value - low) / span * (height - 2 * pad)
        return round(pad + i * step, 1), round(y, 1)

    runs: list[list[str]] = [[]]
    last = (0.0, 0.0)
    for i, value in enumerate(values):
        if value is None:
            runs.append([])
            continue
        last = place(i, value)
        runs[-1].append(f"{last[0]},{last[1]}")
    lines = tuple(" ".join(run) for run in runs if len(run) > 1)
    return Sparkline(width, height, lines, *last)
