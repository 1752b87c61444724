"""`loop.json`: the whole story of a loop as one record, and what it spent; both follow from the journal.

A page needs nothing else: the tree of attempts (each names its parent), what each gate said of every
domain, what was decided and why. Not here: writing files (loop_journal.py), deciding (loop.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .loop_journal import Event
from .loop_records import Node
from .recipe import Budget

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Spent:
    """What a loop has used, over all sittings."""

    tries: int = 0
    seconds: float = 0.0
    """Of training and evaluation that came to an end."""
    tokens: int = 0
    """Of the evaluations."""

    def __add__(self, more: Spent) -> Spent:
        seconds = round(self.seconds + more.seconds, 3)
        return Spent(self.tries + more.tries, seconds, self.tokens + more.tokens)

    def beyond(self, budget: Budget) -> str | None:
        """Which part of a budget is used up, if one is."""
        if budget.tries is not None and self.tries >= budget.tries:
            return f"the budget of {budget.tries} tries is used up"
        if budget.hours is not None and self.seconds >= 3600 * budget.hours:
            return f"the budget of {budget.hours:g} hours is used up ({self.seconds:.0f} s)"
        if budget.tokens is not None and self.tokens >= budget.tokens:
            return f"the budget of {budget.tokens} tokens is used up ({self.tokens})"
        return None


def spent(events: Sequence[Event]) -> Spent:
    """The sums over a journal."""
    return Spent(
        tries=sum(event["kind"] == "trained" for event in events),
        seconds=round(sum(float(event.get("seconds") or 0) for event in events), 3),
        tokens=sum(int((event.get("cost") or {}).get("tokens", 0)) for event in events),
    )


def summary(
    events: Sequence[Event], status: str, code: int | None, sentence: str | None, node: Node | None
) -> dict[str, Any]:
    """What `loop.json` says.

    Args:
        status: `running`, `finished`, `stopped` or `failed`.
        node: what is accepted.
    """
    begun = next((event for event in events if event["kind"] == "begun"), {})
    base = next((event for event in events if event["kind"] == "base"), None)
    return {
        "schema_version": SCHEMA_VERSION,
        "status": status,
        "exit_code": code,
        "sentence": sentence,
        "recipe": begun.get("recipe"),
        "recipe_digest": begun.get("digest"),
        "base": base and _plain(base),
        "accepted": {"attempt": node.attempt, "digest": node.checkpoint.digest} if node else None,
        "attempts": _attempts(events),
        "skipped": [_skipped(event) for event in events if event["kind"] == "skipped"],
        "spent": asdict(spent(events)),
    }


def _attempts(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Every attempt in order, with what the gates said and what was decided."""
    found: dict[str, dict[str, Any]] = {}
    for event in events:
        if event["kind"] == "trained":
            found[event["key"]] = _plain(event)
        elif event["kind"] in ("judged", "decided"):
            found[event["key"]][event["kind"]] = _plain(event)
    return list(found.values())


def _skipped(event: Mapping[str, Any]) -> dict[str, Any]:
    """A remedy that did not apply, with the stage that it was for."""
    return {"step": event["key"].partition("/")[0], **_plain(event)}


def _plain(event: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key not in ("kind", "key")}
