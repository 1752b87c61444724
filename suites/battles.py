"""Ratings of models from a file of battles: who won which pair of answers, judged by people or by a judge.

Bradley-Terry by maximum likelihood with intervals by prompt (harness/statistics/bradley_terry.py), on the
scale of Elo. A model without a finite strength is "unbounded" and gets no number. Two models whose
intervals overlap are not told apart by the intervals alone. Not here: online Elo, which depends on the
order of the battles; style control over many models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..harness.errors import DataError
from ..harness.jsonl import numbered_jsonl
from ..harness.statistics.bradley_terry import DRAWS, Vote, elo, strengths

#: The winner's name in Chatbot Arena's files, by the share of the first model.
_WINNERS = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5, "tie (bothbad)": 0.5}
_PROMPTS = ("prompt", "question_id", "id")


@dataclass(frozen=True, slots=True)
class Rating:
    """One model's place."""

    model: str
    battles: int
    won: float
    """Share of its battles, ties one half."""
    rating: float | None
    """Elo points, mean 1000 over the bounded models; None is unbounded."""
    low: float | None
    high: float | None
    """Ends of the 95% interval; None: unbounded on that side."""


def read_battles(path: Path) -> tuple[list[str], list[Vote]]:
    """Models in order of their names, and the battles between them.

    Args:
        path: JSONL of `{prompt, model_a, model_b, winner}`, where `prompt` (or `question_id`, `id`) names the
            prompt and the winner is model_a, model_b, tie or "tie (bothbad)".

    Raises:
        UsageError: the file cannot be read.
        DataError: a row is no battle; names its place.
    """
    rows = [_battle(place, row) for place, row in numbered_jsonl(path)]
    if not rows:
        raise DataError(f"'{path}' holds no battle; write one JSON object a line.")
    models = sorted({model for _, first, second, _ in rows for model in (first, second)})
    places = {model: n for n, model in enumerate(models)}
    votes = [Vote(prompt, places[a], places[b], share) for prompt, a, b, share in rows]
    return models, votes


def _battle(place: str, row: Mapping[str, Any]) -> tuple[str, str, str, float]:
    prompt = next((str(row[key]) for key in _PROMPTS if key in row), None)
    first, second, winner = (row.get(key) for key in ("model_a", "model_b", "winner"))
    named = isinstance(first, str) and isinstance(second, str) and first != second
    known = isinstance(winner, str) and winner in _WINNERS
    if prompt is None or not named or not known:
        raise DataError(
            f"{place}: no battle of two models about a prompt (prompt {prompt!r}, model_a {first!r}, "
            f"model_b {second!r}, winner {winner!r}); the winner is one of {', '.join(_WINNERS)}."
        )
    return prompt, str(first), str(second), _WINNERS[str(winner)]


def rate(path: Path, *, draws: int = DRAWS) -> list[Rating]:
    """Ratings, best first, unbounded ones at their end.

    Raises:
        UsageError, DataError: see `read_battles`.
    """
    models, votes = read_battles(path)
    found = []
    for n, strength in enumerate(strengths(votes, len(models), draws=draws)):
        own = [v.score if v.first == n else 1 - v.score for v in votes if n in (v.first, v.second)]
        ends = [
            None if theta is None else elo(theta)
            for theta in (strength.theta, strength.low, strength.high)
        ]
        found.append(Rating(models[n], len(own), sum(own) / len(own), *ends))
    return sorted(found, key=_place)


def _place(rating: Rating) -> tuple[float, float, str]:
    """By rating; an unbounded model stands where its battles put it."""
    side = 0.0 if rating.rating is not None else 1.0 if rating.won >= 0.5 else -1.0
    return (-side, -(rating.rating or rating.won), rating.model)
