"""Keeping a page under its byte budget: details give way, figures never.

A page is rendered with more and more modest plans until it fits; it says itself what was reduced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: A page has to open at once on a phone and fit through a CI artifact viewer.
PAGE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How much detail a page shows."""

    characters: int
    """Of each text."""
    samples: int
    """Of a task in a claim that regressed, or of any task of a single Run."""
    others: int
    """Of any other task."""


PLANS = (
    Plan(6000, 50, 50),
    Plan(3000, 50, 50),
    Plan(1500, 50, 50),
    Plan(1500, 50, 20),
    Plan(800, 50, 20),
    Plan(800, 50, 8),
    Plan(600, 30, 5),
    Plan(400, 15, 3),
    Plan(300, 5, 1),
    Plan(300, 0, 0),
)


def _unknown(_plan: Plan) -> int:
    return 0


def fitted(
    page: Callable[[Plan], bytes],
    least: Callable[[Plan], int] = _unknown,
    limit: int = PAGE_BYTES,
) -> bytes:
    """The page under the most generous plan that fits, or under the last if none does.

    `least` is a lower bound of a plan's bytes that costs little, so that hopeless plans are skipped.
    """
    for plan in PLANS[:-1]:
        if least(plan) <= limit:
            content = page(plan)
            if len(content) <= limit:
                return content
    return page(PLANS[-1])
