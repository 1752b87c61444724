"""Nested settings as flat rows, of one side or of two beside each other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .hostile import excerpt

_LONGEST = 240


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting on both sides; empty where a side does not have it."""

    key: str
    baseline: str
    candidate: str

    @property
    def differs(self) -> bool:
        """Whether the sides disagree."""
        return self.baseline != self.candidate


def flat(settings: Mapping[str, Any], prefix: str = "") -> tuple[tuple[str, str], ...]:
    """(dotted key, value) pairs of nested mappings, in order; other values as short JSON."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            rows += flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", _shown(value)))
    return tuple(rows)


def side_by_side(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> tuple[Setting, ...]:
    """All settings of both sides, those that differ first."""
    before, after = dict(flat(baseline)), dict(flat(candidate))
    rows = [Setting(k, before.get(k, ""), after.get(k, "")) for k in {**before, **after}]
    return tuple(sorted(rows, key=lambda row: not row.differs))


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    cut = excerpt(text, _LONGEST)
    return f"{cut.head} … {cut.note} … {cut.tail}" if cut.cut else cut.head + cut.tail
