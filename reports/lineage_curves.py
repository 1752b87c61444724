"""The training curves of an attempt: a few series of its metrics file as small lines.

The file is what a stage streamed, one JSON object a line; whatever in it is no finite number is a gap,
a torn line is skipped. Not here: which metrics stages write (trainers/), HTML.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .charts import Sparkline, sparkline

#: Places on an axis, clocks and schedules, which say nothing of how a training went.
_AXES = {"step", "time", "lr", "learning_rate", "epoch", "num_tokens"}
#: Shown first, where they are there; what begins alike goes with them.
_ORDER = ("loss", "reward", "kl", "accurac", "margin", "entropy", "length")
_SHOWN = 3
#: Points of a line, and lines of a metrics file that are read.
_POINTS, _LINES = 60, 200_000


@dataclass(frozen=True, slots=True)
class Curve:
    """One series."""

    name: str
    line: Sparkline
    first: float
    last: float
    steps: int
    """The last step."""


def curves(path: Path | None) -> tuple[Curve, ...]:
    """At most three series of a metrics file, thinned; none where there is no file."""
    if path is None:
        return ()
    rows = list(_rows(path))
    names = {name: None for row in rows for name in row if name not in _AXES}
    chosen = sorted(names, key=_rank)
    found = [_curve(name, rows) for name in chosen]
    return tuple(curve for curve in found if curve)[:_SHOWN]


def _rows(path: Path) -> Iterator[Mapping[str, float]]:
    """The finite numbers of every whole line."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file):
            if number >= _LINES:
                return
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict):
                yield {name: float(value) for name, value in row.items() if _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _rank(name: str) -> tuple[int, str]:
    """Where a series stands: by what it says, then by name; norms of gradients last."""
    last = name.rpartition("/")[2] if "loss" in name else name
    places = [i for i, word in enumerate(_ORDER) if word in last.lower()]
    return (places[0] if places else len(_ORDER) + ("norm" in name), name)


def _curve(name: str, rows: list[Mapping[str, float]]) -> Curve | None:
    values = [row.get(name) for row in rows]
    known = [value for value in values if value is not None]
    if len(known) < 2 or min(known) == max(known):
        return None
    stride = math.ceil(len(values) / _POINTS)
    # The last value stays whatever the stride, since it is the one that is printed.
    thin = values[(len(values) - 1) % stride :: stride]
    line = sparkline(thin) or sparkline(known[:1] + known[-1:])
    assert line is not None
    return Curve(name, line, known[0], known[-1], round(rows[-1].get("step", len(rows) - 1)))
