"""Whether two Runs were made the same way: what refuses a comparison, what is only noted.

A paired test means something only where both sides saw the same items and prompts, decoded and
graded alike. Version, data, prompts, settings, repeats, metrics and prompt style of a common task, and who
judged, must agree; engine, dtype, machine, packages, batch and threads are listed for the reader. Reads
manifests (run.json) only, never a score. Not here: items missing on one side (pairing.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .errors import DataError, IncomparableRuns
from .tasks import resolve

if TYPE_CHECKING:
    import pandas as pd

Manifest = Mapping[str, Any]

_PINNED = ("version", "domain", "style", "data_hash", "repeats")
_READ = ("domain", "items", "repeats", "metrics")
_NOTED = ("backend", "roles", "packages", "hardware", "seed")
#: A judge or simulated user that is somebody else measures something else.
_WHO = tuple(
    f"roles.{role}.{key}:"
    for role in ("judge", "user")
    for key in ("name", "identity", "model", "digest")
)


class RunLike(Protocol):
    """What a gate needs of a Run."""

    @property
    def path(self) -> Path: ...
    @property
    def label(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def manifest(self) -> Manifest: ...
    def scores(self) -> pd.DataFrame: ...


@dataclass(frozen=True, slots=True)
class Differences:
    """What differs between two Runs, a sentence fragment each: `gsm8k.version: 1 -> 2`."""

    refusals: tuple[str, ...]
    """Make a paired comparison meaningless."""
    notes: tuple[str, ...]

    def enforce(self, baseline: str, candidate: str) -> None:
        """Refuse where the Runs were not made the same way.

        Raises:
            IncomparableRuns: names every differing thing.
        """
        if self.refusals:
            listed = "; ".join(self.refusals)
            raise IncomparableRuns(
                f"'{baseline}' and '{candidate}' were not made the same way ({listed}); evaluate one "
                "again like the other, or write `on_difference: warn` in the policy."
            )


def chosen_tasks(
    baseline: Manifest, candidate: Manifest, suites: Iterable[str] | None
) -> dict[str, str]:
    """Tasks to compare with their domains, by name: all of both Runs, or those that `suites` name.

    A suite is a task or a domain of these Runs, or any registered task, group or `file.py`; a task
    it stands for is chosen even where neither Run has it, so that its absence shows.

    Raises:
        UnknownName: nothing of that name exists.
    """
    present = {
        name: str(task.get("domain"))
        for side in (candidate, baseline)
        for name, task in side.get("tasks", {}).items()
    }
    if suites is None:
        return dict(sorted(present.items()))
    chosen: dict[str, str] = {}
    for suite in suites:
        found = {name: domain for name, domain in present.items() if suite in (name, domain)}
        chosen |= found or {task.name: task.domain for task in resolve([suite])}
    return dict(sorted(chosen.items()))


def compare(baseline: Manifest, candidate: Manifest, tasks: Iterable[str]) -> Differences:
    """Compare two manifests over the tasks that both have."""
    sides = (baseline, candidate)
    common = [t for t in tasks if all(t in side.get("tasks", {}) for side in sides)]
    refusals = [line for task in common for line in _task_refusals(task, *sides)]
    seen = [line for key in _NOTED for line in _changes(key, *(s.get(key) for s in sides))]
    refusals += [line for line in seen if line.startswith(_WHO)]
    notes = [line for line in seen if not line.startswith(_WHO)]
    kinds = [str(side.get("kind", "eval")) for side in sides]
    if kinds[0] != kinds[1]:
        notes.insert(0, f"kind: {kinds[0]} -> {kinds[1]}")
    if "score" in kinds:
        notes.append("prompts and settings of recorded answers are unknown and were not compared")
    notes += [line for task in common for line in _item_notes(task, *sides)]
    return Differences(tuple(refusals), tuple(notes))


def check_manifest(run: RunLike) -> None:
    """Refuse a run.json without what a gate reads.

    Raises:
        DataError: names the task and the missing entries.
    """
    tasks = run.manifest.get("tasks")
    if not isinstance(tasks, Mapping):
        raise DataError(f"The run.json of '{run.path}' lists no tasks; run the evaluation again.")
    for name, task in tasks.items():
        lacks = [key for key in _READ if key not in task]
        if lacks:
            raise DataError(
                f"The run.json of '{run.path}' lacks {', '.join(lacks)} of task '{name}'; "
                "run the evaluation again."
            )


def unfinished(run: RunLike, side: str) -> str | None:
    """Why a Run cannot be gated yet, or None.

    `stopped` is accepted: its items are a prefix of the hash order, and both sides are compared on
    what they have in common.
    """
    if run.status in ("complete", "stopped"):
        return None
    return f"The {side} '{run.label}' is {run.status}; complete it with `{completing(run)}`."


def completing(run: RunLike) -> str:
    """The command that goes on with a Run: what was selected stays, since anything else is refused."""
    selection = run.manifest.get("selection") or {}
    suites = ",".join(map(str, selection.get("suites", []))) or "SUITES"
    limit = f" --limit {selection['limit']}" if selection.get("limit") else ""
    checkpoint = (run.manifest.get("checkpoint") or {}).get("path", "CHECKPOINT")
    return f"waterbed eval {checkpoint} --suites {suites}{limit} --out {run.path}"


def _task_refusals(task: str, baseline: Manifest, candidate: Manifest) -> Iterator[str]:
    old, new = baseline["tasks"][task], candidate["tasks"][task]
    for key in _PINNED:
        yield from _changes(f"{task}.{key}", old.get(key), new.get(key))
    yield from _changes(f"{task}.metrics", _metrics(old), _metrics(new))
    asked = [(side.get("judging") or {}).get(task) for side in (baseline, candidate)]
    yield from _changes(f"{task}.judging", *asked)
    if "score" in (baseline.get("kind"), candidate.get("kind")):
        return
    yield from _changes(f"{task}.settings", old.get("settings"), new.get("settings"))
    # The hash covers the prompts that were run: it says something only over the same items.
    whole = baseline.get("status") == candidate.get("status") == "complete"
    if whole and old.get("items") == new.get("items"):
        yield from _changes(f"{task}.prompt_hash", old.get("prompt_hash"), new.get("prompt_hash"))


def _metrics(task: Manifest) -> dict[str, Any]:
    return {str(m["name"]): {k: v for k, v in m.items() if k != "name"} for m in task["metrics"]}


def _item_notes(task: str, baseline: Manifest, candidate: Manifest) -> Iterator[str]:
    yield from _changes(
        f"{task}.items", baseline["tasks"][task].get("items"), candidate["tasks"][task].get("items")
    )


def _changes(where: str, old: Any, new: Any) -> Iterator[str]:
    """Every place where two JSON values differ, with both values."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _changes(f"{where}.{key}", old.get(key), new.get(key))
    elif old != new:
        yield f"{where}: {_brief(old)} -> {_brief(new)}"


def _brief(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
