"""Training data by name: `pocket/math@train`, a JSONL path, or `hub:owner/name@revision`.

A dataset is a function `rows(split, n, seed)` with `@dataset` on it; rows come in one of four
shapes, and prompts alone can be read from any of them but text. Trainers ask here and nowhere else, so
that a test split can never be trained on and every row is checked before any training time is spent.
What a stage records of its data is `fingerprint(rows)`.

A hub reference may name a configuration and a split: `hub:owner/name@revision?config=en&split=train`.
The revision is a must: what a branch holds tomorrow is other data under the same name. Not here: what
a good row is (dataset_rows.py), evaluation items (tasks.py), tokenization (trainers/).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from .dataset_rows import Row, Shape, check_rows, shape_of
from .errors import DataError, UsageError
from .jsonl import numbered_lines, object_of
from .plugins import Registry

__all__ = ["Dataset", "Row", "Shape", "dataset", "datasets", "fingerprint", "load", "load_any"]


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


def load(
    reference: str,
    *,
    shape: Shape,
    n: int | None = None,
    seed: int = 0,
    tokens: Callable[[Row], int] | None = None,
    longest: int | None = None,
) -> list[Row]:
    """Rows for a trainer in the one form of their shape (see dataset_rows.py), all of them checked.

    Args:
        n: only the first so many rows; None is all there are.
        seed: of generated datasets; files and the hub have an order of their own.
        tokens, longest: count a row's tokens and refuse rows with more.

    Raises:
        UsageError: a test split, an unknown name, or a dataset of another shape.
        DataError: no rows, or bad ones; names the first of them and counts the rest.
    """
    placed = _placed(reference, shape, n, seed)
    rows = check_rows(placed, shape, tokens=tokens, longest=longest)
    if not rows:
        raise DataError(f"'{reference}' holds no rows; check the path or the split.")
    return rows


def load_any(reference: str, *, n: int | None = None, seed: int = 0) -> list[Row]:
    """Like `load`, of whatever shape the first row has.

    Raises:
        UsageError, DataError: see `load`.
    """
    if not _is_file(reference) and not reference.startswith("hub:"):
        shape = datasets.get(reference.partition("@")[0]).shape
        return load(reference, shape=shape, n=n, seed=seed)
    for place, given in _placed(reference, "text", 1, seed):
        row = object_of(place, given) if isinstance(given, bytes) else given
        found = shape_of(row)
        if found is None:
            raise DataError(
                f"{place} has the columns {', '.join(sorted(map(str, row))) or 'none'}, which are those "
                "of no kind of training data; write messages, prompt + chosen + rejected, prompt + "
                "task, or text."
            )
        return load(reference, shape=found, n=n, seed=seed)
    raise DataError(f"'{reference}' holds no rows; check the path or the split.")


def fingerprint(rows: Iterable[Row]) -> dict[str, Any]:
    """What a checkpoint's lineage says of the rows it was trained on.

    Returns:
        `rows`: how many. `sha256`: over each row as JSON, in their order.
    """
    digest, count = hashlib.sha256(), 0
    for row in rows:
        # Foreign columns of hub rows may hold dates or NaN; ASCII keeps lone surrogates apart.
        digest.update(json.dumps(row, sort_keys=True, default=str).encode() + b"\n")
        count += 1
    return {"rows": count, "sha256": digest.hexdigest()}


def _is_file(reference: str) -> bool:
    return reference.endswith((".jsonl", ".json"))


def _placed(
    reference: str, shape: Shape, n: int | None, seed: int
) -> Iterable[tuple[str, Row | bytes]]:
    """Rows, or lines of a file, with the place that messages name."""
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
        raise UsageError(f"'{reference}' is to give {n!r} rows; ask for 1 or more, or for all.")
    if reference.startswith("hub:"):
        return _numbered(reference, islice(_hub_rows(HubReference.parse(reference)), n))
    name, _, split = reference.partition("@")
    _refuse_test(reference, split, f"{name}@train")
    if _is_file(reference):
        return islice(numbered_lines(reference), n)
    if Path(reference).exists() and name not in datasets.all():
        raise UsageError(f"'{reference}' is no JSONL file; convert it to one and name that.")
    found = datasets.get(name)
    if found.shape != shape and not (shape == "prompt" and found.shape != "text"):
        raise UsageError(f"Dataset '{name}' has {found.shape} rows but {shape} rows are needed.")
    return _numbered(reference, found.rows(split or "train", n, seed))


def _numbered(reference: str, rows: Iterable[Row]) -> Iterator[tuple[str, Row]]:
    return ((f"{reference}: row {number}", row) for number, row in enumerate(rows, 1))


def _refuse_test(reference: str, split: str, instead: str) -> None:
    """`test`, `test_sft`, `test[:10]`: whatever is called test is for evaluation."""
    if "test" in re.split(r"[^a-z]+", split.lower()):
        raise UsageError(
            f"'{reference}' is a test split and cannot be trained on; use '{instead}'."
        )


@dataclass(frozen=True, slots=True)
class HubReference:
    """`hub:owner/name@revision?config=...&split=...`, taken apart."""

    name: str
    revision: str
    config: str | None = None
    split: str = "train"

    @classmethod
    def parse(cls, reference: str) -> HubReference:
        """Take a reference apart.

        Raises:
            UsageError: no revision, a test split, or a key other than config and split.
        """
        place, _, query = reference.removeprefix("hub:").partition("?")
        name, _, revision = place.partition("@")
        if not name or not revision:
            raise UsageError(
                f"'{reference}' names no revision, so its rows could change under the same name; write "
                f"hub:{name or 'owner/name'}@COMMIT."
            )
        chosen = dict(parse_qsl(query, keep_blank_values=True))
        unknown = sorted(set(chosen) - {"config", "split"})
        if unknown or (query and not chosen):
            raise UsageError(
                f"'{reference}' says '{unknown[0] if unknown else query}' after the question mark; "
                "known are config=NAME and split=NAME, joined by &."
            )
        split = chosen.get("split") or "train"
        _refuse_test(reference, split, f"hub:{place}?split=train")
        return cls(name, revision, chosen.get("config") or None, split)


def _hub_rows(wanted: HubReference) -> Iterator[Row]:
    """Rows as the hub has them; no code of a dataset is run (datasets >= 4 has none).

    Raises:
        UsageError: no network, no such dataset, revision, configuration or split.
    """
    import datasets as hub

    try:
        found = hub.load_dataset(
            wanted.name, wanted.config, split=wanted.split, revision=wanted.revision
        )
    except (OSError, ValueError, hub.exceptions.DatasetsError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(
            f"The hub does not give '{wanted.name}' at revision '{wanted.revision}', split "
            f"'{wanted.split}' ({why}); check the name, the network and HF_TOKEN, or pass a JSONL file."
        ) from error
    yield from found
