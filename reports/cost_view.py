"""What the page of a Run says its answers took: tokens, seconds and money by role.

Reads the entry `cost` of run.json (harness/cost.py). Not here: counting, HTML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CostRow:
    """One role; None is not counted."""

    role: str
    answers: int
    cached: int
    prompt_tokens: int | None
    completion_tokens: int | None
    median_s: float | None
    """Of an answer."""
    money: float | None
    """In the currency of the prices; None without a price."""


@dataclass(frozen=True, slots=True)
class CostView:
    """All roles, and what the price could not cover."""

    rows: tuple[CostRow, ...]
    priced: bool
    uncounted: int
    per_solved: tuple[tuple[str, float], ...]
    """Money for each solved item, by task."""


def cost_view(cost: Mapping[str, Any]) -> CostView:
    """Arrange the cost of a Run; no rows where it was made before roles were counted."""
    money = cost.get("money") or {}
    by_role = money.get("by_role") or {}
    solved = (money.get("per_solved") or {}).items()
    return CostView(
        rows=tuple(
            CostRow(role, **own, money=by_role.get(role))
            for role, own in (cost.get("roles") or {}).items()
        ),
        priced=bool(money),
        uncounted=int(money.get("uncounted") or 0),
        per_solved=tuple((task, price) for task, price in solved if price is not None),
    )
