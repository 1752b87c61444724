"""What a gate plans with where no baseline was evaluated, or fewer of its items will be run.

A stand-in holds what `gate_plan.plan` reads of a Run: the tasks' declarations and a score an item. A
counted one makes no guess about the model: every pass/fail item is right, so no domain sits at its
floor and only the numbers of items speak. Not here: what the plan says (gate_plan.py), what a run
would cost (cost.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from .comparability import RunLike
from .records import Sample
from .runner import hash_order
from .tasks import Metric, Task

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("task", "sample_id", "repeat", "metric", "value", "reason", "cluster")
#: A score between right and wrong says that a task is graded.
_RIGHT, _GRADED = 1.0, 0.75


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A Run as a plan sees it; nothing of it was measured unless it was cut from a real one."""

    path: Path
    label: str
    manifest: Mapping[str, Any]
    table: pd.DataFrame
    status: str = "complete"

    def scores(self) -> pd.DataFrame:
        """Columns and rows as in scores.parquet."""
        return self.table


def counted(tasks: Sequence[Task], limit: int | None, repeats: int | None) -> PlannedRun:
    """A stand-in for a baseline that was not evaluated.

    Args:
        tasks: what would be run.
        limit: items of each task, in hash order; None is all.
        repeats: answers an item; None is each task's own.

    Raises:
        DataError, UsageError: a task's items cannot be read.
    """
    import pandas as pd

    chosen = {t.name: hash_order(t, t.items, 0)[:limit] for t in tasks}
    rows = [row for t in tasks for row in _rows(t, chosen[t.name], repeats or t.repeats)]
    entries = {t.name: _entry(t, len(chosen[t.name]), repeats or t.repeats) for t in tasks}
    table = pd.DataFrame(rows, columns=list(_COLUMNS)).astype({"value": "float64"})
    return PlannedRun(Path(), "no baseline", {"tasks": entries}, table)


def shortened(run: RunLike, limit: int) -> PlannedRun:
    """A Run cut to the first items of each task, as `--limit` would choose them."""
    table, kept = run.scores(), set()
    tasks = dict(run.manifest["tasks"])
    for name, entry in tasks.items():
        ids = table.loc[table["task"] == name, "sample_id"].unique()
        # The order depends on a task's version alone, and this Run may be all that is left of it.
        task = cast("Task", SimpleNamespace(version=entry["version"]))
        first = hash_order(task, [Sample(str(i), None) for i in ids], run.manifest["seed"])[:limit]
        kept |= {(name, sample.id) for sample in first}
        tasks[name] = {**entry, "items": len(first)}
    keys = zip(table["task"], table["sample_id"], strict=True)
    return PlannedRun(
        run.path,
        run.label,
        {**run.manifest, "tasks": tasks},
        table[[key in kept for key in keys]],
        run.status,
    )


def _rows(task: Task, items: Sequence[Sample], repeats: int) -> Iterator[tuple[Any, ...]]:
    score = _GRADED if repeats > 1 or "judge" in task.roles else _RIGHT
    for metric in task.metrics:
        value = score if metric.better == "higher" else 1.0 - score
        for item in items:
            if metric.gated and _counts(item, metric):
                yield task.name, item.id, 0, metric.name, value, None, item.cluster


def _counts(item: Sample, metric: Metric) -> bool:
    return not item.metrics or metric.name in item.metrics


def _entry(task: Task, items: int, repeats: int) -> dict[str, Any]:
    return {
        "version": task.version,
        "domain": task.domain,
        "items": items,
        "items_in_full": len(task.items),
        "repeats": repeats,
        "metrics": [asdict(metric) for metric in task.metrics],
        "verified": task.card.verified,
        "chance": task.card.chance,
    }
