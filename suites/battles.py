"""Ratings of models from a file of battles: who won which pair of answers, judged by people or by a judge.

Bradley-Terry by maximum likelihood with intervals by prompt (harness/statistics/bradley_terry.py), on the
scale of Elo; where the battles hold both answers, also with length and markup held equal
(styled_strengths.py). A model without a finite strength is "unbounded" and gets no number. Two models whose
intervals overlap are not told apart by the intervals alone. Not here: online Elo, which depends on the order
of the battles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..harness.errors import DataError
from ..harness.jsonl import numbered_jsonl
from ..harness.statistics.bradley_terry import DRAWS, Strength, Vote, elo, strengths
from ..harness.statistics.style_control import difference, style
from ..harness.statistics.styled_strengths import styled_strengths

#: The winner's name in Chatbot Arena's files, by the share of the first model.
_WINNERS = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5, "tie (bothbad)": 0.5}
_PROMPTS = ("prompt", "question_id", "id")
_ANSWERS = ("answer_a", "answer_b")


@dataclass(frozen=True, slots=True)
class Points:
    """A strength in Elo points, mean 1000 over the bounded models."""

    rating: float | None
    """None is unbounded."""
    low: float | None
    high: float | None
    """Ends of the 95% interval; None: unbounded on that side."""

    @classmethod
    def of(cls, strength: Strength) -> Points:
        """From the logarithm of the odds."""
        ends = (strength.theta, strength.low, strength.high)
        return cls(*(None if theta is None else elo(theta) for theta in ends))


@dataclass(frozen=True, slots=True)
class Rating:
    """One model's place."""

    model: str
    battles: int
    won: float
    """Share of its battles, ties one half."""
    raw: Points
    styled: Points | None
    """At equal length and markup, where that could be fitted."""


@dataclass(frozen=True, slots=True)
class Ratings:
    """All models, best first, unbounded ones at their end."""

    rows: tuple[Rating, ...]
    unstyled: str
    """Why there are no ratings at equal style, or empty."""


@dataclass(frozen=True, slots=True)
class Battles:
    """What a file of battles holds."""

    models: tuple[str, ...]
    """In order of their names."""
    votes: tuple[Vote, ...]
    apart: tuple[list[float] | None, ...]
    """How the answers of each battle differ in style; None where it does not hold both."""


def read_battles(path: Path) -> Battles:
    """Models, the battles between them, and how their answers differ.

    Args:
        path: JSONL of `{prompt, model_a, model_b, winner}`, where `prompt` (or `question_id`, `id`) names the
            prompt and the winner is model_a, model_b, tie or "tie (bothbad)"; with `answer_a` and `answer_b`
            where length and markup are to be held equal.

    Raises:
        UsageError: the file cannot be read.
        DataError: a row is no battle; names its place.
    """
    rows = [_battle(place, row) for place, row in numbered_jsonl(path)]
    if not rows:
        raise DataError(f"'{path}' holds no battle; write one JSON object a line.")
    models = sorted({model for _, *pair, _, _ in rows for model in pair})
    places = {model: n for n, model in enumerate(models)}
    return Battles(
        models=tuple(models),
        votes=tuple(Vote(prompt, places[a], places[b], share) for prompt, a, b, share, _ in rows),
        apart=tuple(apart for *_, apart in rows),
    )


def _battle(place: str, row: Mapping[str, Any]) -> tuple[str, str, str, float, list[float] | None]:
    prompt = next((str(row[key]) for key in _PROMPTS if key in row), None)
    first, second, winner = (row.get(key) for key in ("model_a", "model_b", "winner"))
    named = isinstance(first, str) and isinstance(second, str) and first != second
    known = isinstance(winner, str) and winner in _WINNERS
    if prompt is None or not named or not known:
        raise DataError(
            f"{place}: no battle of two models about a prompt (prompt {prompt!r}, model_a {first!r}, "
            f"model_b {second!r}, winner {winner!r}); the winner is one of {', '.join(_WINNERS)}."
        )
    answers = [row.get(key) for key in _ANSWERS]
    texts = [style(text) for text in answers if isinstance(text, str)]
    apart = difference(*texts) if len(texts) == 2 else None
    return prompt, str(first), str(second), _WINNERS[str(winner)], apart


def rate(path: Path, *, draws: int = DRAWS) -> Ratings:
    """Ratings by the votes as they are, and at equal style.

    Raises:
        UsageError, DataError: see `read_battles`.
    """
    found = read_battles(path)
    votes, models = found.votes, len(found.models)
    styled = _at_equal_style(found)
    rows = []
    for n, strength in enumerate(strengths(votes, models, draws=draws)):
        own = [v.score if v.first == n else 1 - v.score for v in votes if n in (v.first, v.second)]
        points = None if isinstance(styled, str) else Points.of(styled[n])
        won = sum(own) / len(own)
        rows.append(Rating(found.models[n], len(own), won, Points.of(strength), points))
    return Ratings(
        tuple(sorted(rows, key=_place)), unstyled=styled if isinstance(styled, str) else ""
    )


def _at_equal_style(found: Battles) -> list[Strength] | str:
    known = [apart for apart in found.apart if apart is not None]
    if len(known) < len(found.votes):
        lacking = len(found.votes) - len(known)
        return f"{lacking} of {len(found.votes)} battles do not hold both answers ({', '.join(_ANSWERS)})"
    return styled_strengths(found.votes, len(found.models), known)


def _place(rating: Rating) -> tuple[float, float, str]:
    """By rating; an unbounded model stands where its battles put it."""
    points = rating.raw.rating
    side = 0.0 if points is not None else 1.0 if rating.won >= 0.5 else -1.0
    return (-side, -(points or rating.won), rating.model)
