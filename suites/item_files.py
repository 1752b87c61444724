"""Rows of benchmark files as hubs and authors publish them: JSONL, CSV, Parquet.

For suites whose official data this project has not seen: their files are found by name below
WATERBED_DATA or named by the user, and nothing is known of their sha256. Not here: suites with
recorded hashes (harness/folders.py), downloading.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ..harness.errors import DataError, UsageError
from ..harness.folders import data_root
from ..harness.jsonl import read_jsonl

Row: TypeAlias = Mapping[str, Any]

ENDINGS = (".jsonl", ".csv", ".parquet")
#: Longest CSV field; LiveCodeBench's packed tests are the longest known.
_FIELD = 1 << 28


def find_files(
    suite: str, stem: str, where: str, instead: str = ", or pass a file with --items"
) -> list[Path]:
    """Files `stem*` of one kind in WATERBED_DATA/<suite>, or its `data/`; shards in name order.

    Args:
        suite: folder below WATERBED_DATA.
        stem: how the files' names begin.
        where: one phrase that says where users get them.
        instead: what else they can do.

    Raises:
        UsageError: there is none.
    """
    root = data_root()
    for folder in () if root is None else (root / suite, root / suite / "data"):
        for ending in ENDINGS:
            if found := sorted(folder.glob(f"{stem}*{ending}")):
                return found
    seen = "WATERBED_DATA is not set" if root is None else f"'{root / suite}' has no such file"
    wanted = " or ".join(f"{stem}{ending}" for ending in ENDINGS)
    raise UsageError(f"{seen}; put {where} there as {suite}/{wanted}{instead}.")


def read_items(path: Path) -> Iterable[Row]:
    """The rows of one file, by its ending.

    Raises:
        UsageError: no such file, or another ending.
        DataError: the file is not what its ending says.
    """
    if not path.is_file():
        raise UsageError(f"There is no file '{path}'; check the path.")
    readers: dict[str, Callable[[Path], Iterable[Row]]] = {
        ".jsonl": read_jsonl,
        ".json": read_jsonl,
        ".csv": _csv,
        ".parquet": _parquet,
    }
    if path.suffix not in readers:
        raise UsageError(f"'{path}' is none of {', '.join(ENDINGS)}; convert it to one of them.")
    return readers[path.suffix](path)


def _csv(path: Path) -> list[dict[str, Any]]:
    before = csv.field_size_limit(_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            return list(csv.DictReader(lines))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' is not readable CSV ({error}); get it again.") from error
    finally:
        csv.field_size_limit(before)


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"'{path}' is not readable Parquet ({error}); get it again.") from error


def text_of(row: Row, field: str, place: str) -> str:
    """A field that must be a text with something in it.

    Raises:
        DataError: it is missing, empty or no text; names `place`.
    """
    value = row.get(field)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{place} lacks the text '{field}'; it has {sorted(map(str, row))}.")
    return value
