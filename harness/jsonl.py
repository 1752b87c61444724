"""JSONL files: one object a line, and a bad line named by file and number.

The only reader of JSONL that people hand in: training data, problems, recorded answers. Not here: what
a row must hold (dataset_rows.py, backends/replay.py), and the journals this package writes itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import DataError, UsageError

_BOM = b"\xef\xbb\xbf"


def read_jsonl(path: str | Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file; blank lines are skipped.

    Raises:
        UsageError, DataError: see `numbered_jsonl`.
    """
    return (row for _, row in numbered_jsonl(path))


def numbered_jsonl(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSONL file, each with its place, `file:line`.

    Raises:
        UsageError: the file is missing or cannot be read.
        DataError: a line is not a JSON object; names file:line.
    """
    return ((place, object_of(place, line)) for place, line in numbered_lines(path))


def numbered_lines(path: str | Path) -> Iterator[tuple[str, bytes]]:
    """The lines of a JSONL file that are not blank, each with its place, `file:line`; not yet read.

    Raises:
        UsageError: the file is missing or cannot be read.
    """
    try:
        with Path(path).open("rb") as lines:
            for number, raw in enumerate(lines, 1):
                line = raw.removeprefix(_BOM) if number == 1 else raw
                if line.strip():
                    yield f"{path}:{number}", line
    except FileNotFoundError as error:
        raise UsageError(f"There is no file '{path}'; check the path.") from error
    except OSError as error:
        raise UsageError(
            f"'{path}' cannot be read ({error.strerror}); pass a JSONL file."
        ) from error


def object_of(place: str, line: bytes) -> dict[str, Any]:
    """The object of one line.

    Raises:
        DataError: it is no JSON object; names the place.
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        shown = line[:60].decode("utf-8", "replace").rstrip()
        raise DataError(
            f"{place}: not valid JSON ({error}): {shown!r}; write one object a line."
        ) from error
    if not isinstance(row, dict):
        raise DataError(
            f"{place}: expected a JSON object, got {type(row).__name__}; write one object a line."
        )
    return row
