"""What a leaderboard says: `leaderboard.json`, from which its page derives and nothing else.

Scores, differences and intervals are proportions; a score counts as its metric counts (an unsafe rate is
better when lower), a difference is always turned so that negative is a loss. No number is NaN or infinite:
what is unknown is None. Not here: how it is computed (leaderboard.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .errors import DataError, UsageError

RECORD, SCHEMA_VERSION = "leaderboard.json", 1


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with the ends of its two-sided 90% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One claim that is compared."""

    id: str
    domain: str
    lower_is_better: bool
    items: int
    """Scored in every Run."""
    units: int
    """Independent ones: items, or clusters of items."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One claim of a Run against the baseline, as its gate says."""

    delta: float | None
    low: float | None
    high: float | None
    badge: str
    p_holm: float | None
    """Of a loss, within this gate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """A Run against the baseline."""

    outcome: str
    exit_code: int
    headline: str
    sentence: str
    mean: Change | None
    """Over domains."""
    claims: Mapping[str, Change]
    worst: str | None
    """The claim with the largest loss; None where nothing was lost."""
    p_harm: float
    """The smallest Holm-adjusted p of the gate."""
    p_harm_all: float
    """The same over all Runs here (Benjamini-Hochberg): what it is worth among so many gates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a Run is made of and took; None where the Run does not know."""

    parameters: int | None
    bytes: int | None
    """Of the weight files."""
    tokens_per_s: float | None
    """Prompt and answer tokens over wall time, in this one Run."""
    tokens: int | None
    wall_s: float | None
    money: float | None
    """In the currency of the prices that the Run was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """A Run's place among quality and costs."""

    on: bool
    """No other is as good on every axis and better on one."""
    frequency: float
    """Share of item-bootstrap draws in which it is on the front."""
    dominated_by: tuple[str, ...]
    """Runs that are shown to be as good within a point and clearly better somewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One Run."""

    name: str
    path: str
    digest: str
    stage: str | None
    made: str
    best: int
    worst: int
    """Ranks that it may have, 1 the first; they hold for all Runs at once with 95% confidence."""
    overall: Estimate
    """Mean over domains of their means over claims, each turned so that higher is better."""
    scores: Mapping[str, Estimate]
    """By claim, as the metric counts."""
    against: Against | None
    """None for the baseline, and where there is none."""
    spent: Spent
    front: Front | None
    """None where no cost is known of every Run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duel:
    """Two Runs: mean over domains of `first` minus `second`."""

    first: str
    second: str
    delta: float
    p: float
    p_holm: float
    """Two-sided, over all pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipePlace:
    """Several runs of one recipe that differ in their seed."""

    name: str
    runs: tuple[str, ...]
    items_only: bool
    """Fewer than three runs: the intervals are those of these runs, and nothing is said of the recipe."""
    overall: Estimate
    change: Estimate | None
    """Overall, against the baseline; None where there is none."""
    scores: Mapping[str, Estimate]
    changes: Mapping[str, Estimate]
    """By claim against the baseline, negative is a loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaderboard:
    """The whole record, the best first."""

    sentence: str
    baseline: str | None
    policy: Mapping[str, Any]
    columns: tuple[Column, ...]
    tasks: tuple[Mapping[str, Any], ...]
    """`name`, `version`, `domain`, `items`, `verified`."""
    toy: bool
    places: tuple[Place, ...]
    duels: tuple[Duel, ...]
    recipes: tuple[RecipePlace, ...]
    """The best first; empty where no Runs were named as a recipe's."""
    axes: tuple[str, ...]
    """Costs that the front is drawn over, beside quality."""
    notes: tuple[str, ...]
    """What differs between the Runs without forbidding a comparison."""
    version: str
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able data."""
        return asdict(self)

    def save(self, path: Path) -> None:
        """Write `leaderboard.json` in one step."""
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.partial")
        aside.write_text(self.text() + "\n", encoding="utf-8")
        os.replace(aside, path)

    def text(self) -> str:
        """The record as JSON.

        Raises:
            ValueError: a number is NaN or infinite.
        """
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True, slots=True)
class _Version:
    """All that is read of a record before it is known to be of this version."""

    schema_version: int


def load_leaderboard(path: Path) -> Leaderboard:
    """Read a `leaderboard.json` back.

    Raises:
        UsageError: there is no such file.
        DataError: it is not one, or of another schema version.
    """
    if not path.is_file():
        raise UsageError(
            f"There is no leaderboard at '{path}'; make one with `waterbed leaderboard`."
        )
    from pydantic import TypeAdapter, ValidationError

    text = path.read_bytes()
    try:
        version = TypeAdapter(_Version).validate_json(text).schema_version
        if version == SCHEMA_VERSION:
            found = TypeAdapter(Leaderboard).validate_json(text)
            found.text()
            return found
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        what = ": ".join(part for part in (".".join(map(str, first["loc"])), first["msg"]) if part)
        raise DataError(f"'{path}' is not a leaderboard ({what}); make it again.") from error
    except ValueError as error:
        raise DataError(f"'{path}' is not a leaderboard ({error}); make it again.") from error
    raise DataError(
        f"'{path}' has schema version {version}, this waterbed reads {SCHEMA_VERSION}; make it again."
    )
