"""Replay by domain: rows of what a model knew already, mixed into what it is taught.

A domain declares its replay dataset (`@dataset(..., replay_for=domain)`). Not here: choosing shares;
they are a recipe's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..harness.datasets import datasets
from ..harness.errors import UnknownName, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """How many rows of which domains."""

    rows: int
    """Rows in all, about."""
    domains: Mapping[str, float]
    """Weight of each domain; they need not sum to 1."""

    def __post_init__(self) -> None:
        if self.rows < 1 or not self.domains or min(self.domains.values()) <= 0:
            raise ValueError(
                f"replay needs at least 1 row and a domain with a weight above 0, got {self.rows} rows and "
                f"{dict(self.domains)}"
            )


def with_replay(data: Mapping[str, int | None], replay: Replay | None) -> dict[str, int | None]:
    """`data` and the replay rows by reference.

    Raises:
        UnknownName: a domain without a replay dataset.
        UsageError: `data` names a replay dataset that `replay` asks for too.
    """
    mixed = dict(data)
    if replay is None:
        return mixed
    declared = {d.replay_for: d.name for d in datasets.all().values() if d.replay_for}
    total = sum(replay.domains.values())
    for domain, weight in replay.domains.items():
        if domain not in declared:
            raise UnknownName.of("replay dataset for domain", domain, declared)
        name = f"{declared[domain]}@train"
        if name in mixed:
            raise UsageError(f"'{name}' stands in data and in replay; take it out of one of them.")
        if count := round(replay.rows * weight / total):
            mixed[name] = count
    return mixed
