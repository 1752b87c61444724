"""Training data by name: `pocket/math@train`, a JSONL path, or `hub:name@revision`.

A dataset is a function `rows(split, n, seed)` with `@dataset` on it; rows come in one of four
shapes. Trainers ask here and nowhere else, so that a test split can never be trained on. Not here:
evaluation items (tasks.py) and tokenization (trainers/).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from .errors import DataError, UsageError
from .plugins import Registry

Row: TypeAlias = Mapping[str, Any]
Shape: TypeAlias = Literal["messages", "preference", "reward", "text"]

#: Keys a row of each shape must have.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "messages": ("messages",),
    "preference": ("prompt", "chosen", "rejected"),
    "reward": ("prompt", "task"),
    "text": ("text",),
}


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named source of rows."""

    name: str
    shape: Shape
    rows: Callable[[str, int | None, int], Iterable[Row]]
    """`rows(split, n, seed)`; n None means all there are (an endless generator must refuse)."""
    replay_for: str | None = None
    """The domain whose regressions this dataset's rows repair."""


datasets: Registry[Dataset] = Registry("dataset", "waterbed.datasets")
F = TypeVar("F", bound=Callable[..., Iterable[Row]])


def dataset(name: str, *, shape: Shape, replay_for: str | None = None) -> Callable[[F], F]:
    """Register `rows(split, n, seed)` under `name`."""

    def register(rows: F) -> F:
        datasets.add(name, Dataset(name, shape, rows, replay_for))
        return rows

    return register


def load(reference: str, *, shape: Shape, n: int | None = None, seed: int = 0) -> list[Row]:
    """Rows for a trainer, checked for their shape before any training time is spent.

    Raises:
        UsageError: a test split, or a dataset of another shape.
        DataError: a row lacks a column; names the row.
    """
    rows = list(_rows(reference, shape, n, seed))
    if not rows:
        raise DataError(f"'{reference}' holds no rows; check the path or the split.")
    for number, row in enumerate(rows, 1):
        missing = [c for c in COLUMNS[shape] if not row.get(c)]
        if missing:
            raise DataError(
                f"{reference}: row {number} lacks '{missing[0]}' which {shape} data needs; it has {sorted(row)}."
            )
    return rows


def _rows(reference: str, shape: Shape, n: int | None, seed: int) -> Iterable[Row]:
    name, _, split = reference.partition("@")
    if split == "test":
        raise UsageError(
            f"'{reference}' is a test split and cannot be trained on; use '{name}@train'."
        )
    if reference.startswith("hub:"):
        return _hub(name.removeprefix("hub:"), split or None, n)
    if reference.endswith((".jsonl", ".json")):
        return _take(read_jsonl(Path(reference)), n)
    found = datasets.get(name)
    if found.shape != shape:
        raise UsageError(f"Dataset '{name}' has {found.shape} rows but {shape} rows are needed.")
    return found.rows(split or "train", n, seed)


def _take(rows: Iterable[Row], n: int | None) -> Iterator[Row]:
    for index, row in enumerate(rows):
        if n is not None and index >= n:
            return
        yield row


def _hub(name: str, revision: str | None, n: int | None) -> Iterator[Row]:
    import datasets as hub

    split = f"train[:{n}]" if n else "train"
    yield from hub.load_dataset(name, split=split, revision=revision)


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file; blank lines are skipped.

    Raises:
        UsageError: there is no such file.
        DataError: a line is not a JSON object; names file:line.
    """
    if not path.is_file():
        raise UsageError(f"There is no file '{path}'; check the path.")
    with path.open("rb") as lines:
        for number, raw in enumerate(lines, 1):
            if not raw.strip():
                continue
            try:
                row = json.loads(raw)
            except (ValueError, RecursionError) as error:
                shown = raw[:60].decode("utf-8", "replace").rstrip()
                raise DataError(
                    f"{path}:{number}: not valid JSON ({error}): {shown!r}; mend or remove the line."
                ) from error
            if not isinstance(row, dict):
                raise DataError(
                    f"{path}:{number}: expected a JSON object, got {type(row).__name__}; "
                    "write one object a line."
                )
            yield row
