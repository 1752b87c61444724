"""What a gate makes of items that were trained on: refuse or warn, by policy, with the items named.

Reads what `eval` wrote into run.json and nothing else. A score on items that were trained on measures
memory, so with `contamination: refuse` too many of them on either side are a problem of the data (exit
4), which a proven loss outranks. What was not checked is said to be unknown. Not here: how overlap is
found (contamination.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .comparability import RunLike
from .errors import DataError
from .policy import Policy

#: Items that a sentence names.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Contamination:
    """What a gate says of overlap between training text and items, a sentence each."""

    problems: tuple[str, ...] = ()
    """Make the data invalid."""
    warnings: tuple[str, ...] = ()


def contamination_of(
    sides: Mapping[str, RunLike], tasks: Iterable[str], policy: Policy
) -> Contamination:
    """Judge both sides' records of overlap.

    Args:
        sides: Runs by `baseline` and `candidate`.
        tasks: those that the gate compares.

    Raises:
        DataError: a record in a run.json is damaged.
    """
    if policy.contamination == "ignore":
        return Contamination()
    names = list(tasks)
    problems: list[str] = []
    warnings = list(_unknown(sides))
    for side, run in sides.items():
        for share, told in contaminated(run, names, side):
            if policy.contamination == "refuse" and share > policy.max_contaminated:
                problems.append(
                    f"{told}, more than max_contaminated allows ({100 * policy.max_contaminated:g}%); "
                    "train without them, or write `contamination: warn` in the policy."
                )
            else:
                warnings.append(f"{told}.")
    return Contamination(tuple(problems), tuple(warnings))


def contaminated(
    run: RunLike, tasks: Iterable[str], side: str = "checkpoint"
) -> Iterator[tuple[float, str]]:
    """Tasks with items that were trained on: their share, and a sentence without its full stop.

    Raises:
        DataError: the record in run.json is damaged.
    """
    for task, entry in _entries(run, list(tasks)):
        if entry["contaminated"]:
            yield entry["share"], _told(side, run.label, task, entry)


def _entries(run: RunLike, tasks: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        found = (run.manifest.get("contamination") or {}).get("tasks", {})
        for task in tasks:
            if task in found:
                entry = found[task]
                counts = {key: float(entry[key]) for key in ("items", "contaminated", "share")}
                yield task, {**counts, "ids": [str(id) for id in entry["ids"]]}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"The contamination record in the run.json of '{run.path}' is damaged ({error!r}); run the "
            "evaluation again."
        ) from error


def _told(side: str, label: str, task: str, entry: Mapping[str, Any]) -> str:
    ids, count = entry["ids"], int(entry["contaminated"])
    more = ", ..." if count > _NAMED else ""
    return (
        f"{task}: {count} of {int(entry['items'])} items ({100 * entry['share']:.1f}%) are in the training "
        f"text of the {side} '{label}' ({', '.join(ids[:_NAMED])}{more})"
    )


def _unknown(sides: Mapping[str, RunLike]) -> Iterator[str]:
    """Who was trained on what nobody knows; nothing where a Run holds answers of no checkpoint."""
    found = {side: _status(run) for side, run in sides.items()}
    for status, what in (
        ("unknown", "is unknown, so their items were not looked for in it"),
        ("partly_unknown", "is known in part only, so contaminated items may have been missed"),
    ):
        who = [f"the {side} '{sides[side].label}'" for side in found if found[side] == status]
        if who:
            yield f"What {' and '.join(who)} learned from {what}."


def _status(run: RunLike) -> str | None:
    record = run.manifest.get("contamination")
    return str(record.get("status")) if isinstance(record, Mapping) else None
