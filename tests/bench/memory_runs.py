"""Small Runs in memory: what a gate reads of a Run, without one on disk.

For tests and benchmarks of the gate. Not here: what only a real Run has (answers, prompts, a journal).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

Values = Sequence[float | None]
LOWER = ("unsafe", "overrefusal")


@dataclass(frozen=True)
class MemoryRun:
    """A Run whose table is a frame."""

    label: str
    manifest: dict[str, Any]
    table: pd.DataFrame
    folder: Path | None = None
    """Where something may lie beside it; nothing of the Run itself does."""

    @property
    def path(self) -> Path:
        return self.folder or Path("runs") / self.label

    @property
    def status(self) -> str:
        return str(self.manifest["status"])

    def scores(self) -> pd.DataFrame:
        return self.table.copy()

    def changed(self, where: str, value: Any) -> MemoryRun:
        """The same with one manifest entry changed, for example `tasks/math/version`."""
        manifest = copy.deepcopy(self.manifest)
        *path, last = where.split("/")
        place = manifest
        for step in path:
            place = place[step]
        place[last] = value
        return replace(self, manifest=manifest)

    def without(self, rows: Callable[[pd.DataFrame], Any]) -> MemoryRun:
        """The same with some rows gone and a manifest that does not know."""
        return replace(self, table=self.table[~rows(self.table)].reset_index(drop=True))

    def without_items(self, task: str, ids: Sequence[str]) -> MemoryRun:
        """The same, made without some items: the manifest declares fewer."""
        kept = self.without(lambda t: (t["task"] == task) & t["sample_id"].isin(list(ids)))
        left = kept.table.loc[kept.table["task"] == task, "sample_id"].nunique()
        return kept.changed(f"tasks/{task}/items", left)

    def without_task(self, task: str) -> MemoryRun:
        """The same, made without one suite."""
        tasks = {k: v for k, v in self.manifest["tasks"].items() if k != task}
        return self.without(lambda t: t["task"] == task).changed("tasks", tasks)

    def unscored(self, task: str, ids: Sequence[str], reason: str = "backend_error") -> MemoryRun:
        """The same with the instrument failing on some items."""
        table = self.table.copy()
        hit = (table["task"] == task) & table["sample_id"].isin(list(ids))
        table.loc[hit, "value"] = None
        table.loc[hit, "reason"] = reason
        return replace(self, table=table)


def make_run(label: str, /, **tasks: Values | Mapping[str, Values]) -> MemoryRun:
    """A Run of tasks named `math`, `math_b` (domain math) ...: values by item, or by metric and item.

    Items of several metrics are disjoint unless they are called alike: metric `unsafe` has items
    `unsafe0`, `unsafe1` ...
    """
    rows: list[tuple[Any, ...]] = []
    entries = {}
    for name, values in tasks.items():
        several = isinstance(values, Mapping)
        by_metric: Mapping[str, Values] = (
            values if isinstance(values, Mapping) else {"correct": values}
        )
        for metric, scores in by_metric.items():
            start = metric if several else ""
            rows += [(name, f"{start}{i}", 0, metric, v, None) for i, v in enumerate(scores)]
        entries[name] = _entry(name, by_metric)
    columns = ["task", "sample_id", "repeat", "metric", "value", "reason"]
    table = pd.DataFrame(rows, columns=columns).astype({"value": "float64", "reason": "object"})
    return MemoryRun(label, _manifest(label, entries), table)


def _entry(name: str, by_metric: Mapping[str, Values]) -> dict[str, Any]:
    items = sum(map(len, by_metric.values()))
    return {
        "version": "1",
        "domain": name.split("_")[0],
        "style": "chat",
        "data_hash": "d",
        "prompt_hash": "p",
        "items": items,
        "items_in_full": items,
        "repeats": 1,
        "settings": {"max_tokens": 64, "temperature": 0.0},
        "metrics": [
            {
                "name": m,
                "better": "lower" if m in LOWER else "higher",
                "gated": True,
                "margin": None,
            }
            for m in by_metric
        ],
        "verified": "against a reference",
        "chance": 0.0,
    }


def _manifest(label: str, entries: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "status": "complete",
        "kind": "eval",
        "label": label,
        "created": "2026-11-20T00:00:00+00:00",
        "checkpoint": {"path": f"ckpt/{label}", "digest": label, "parent": None, "stage": None},
        "tasks": entries,
        "backend": {"name": "fake", "dtype": "float32", "batch_size": 8},
        "packages": {"waterbed": "0.1.0"},
        "seed": 0,
        "hardware": {"cpus": 2},
        "cost": {"wall_s": 1.0},
        "git": {},
        "labels": {},
        "selection": {"suites": list(entries), "limit": None},
    }


def make_pair(
    n: int, right: int, lost: int = 0, gained: int = 0
) -> tuple[list[float], list[float]]:
    """Scores of n items for both sides: `right` of the baseline's, some lost, some gained."""
    old = [1.0] * right + [0.0] * (n - right)
    new = [0.0] * lost + [1.0] * (right - lost + gained) + [0.0] * (n - right - gained)
    return old, new
