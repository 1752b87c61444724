"""The journal of a loop: what was made, measured and decided, each once, in the order it happened.

`loop.jsonl` is append-only. A loop that goes on after a kill runs the same code again and takes from
here whatever it finds, so that nothing is trained, evaluated or decided twice. A torn last line (the
process died while writing) is dropped. One process at a time: the lock ends with the process that
holds it. Not here: what the events mean (loop.py).
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .errors import DataError, StoreError, UsageError

JOURNAL, SUMMARY = "loop.jsonl", "loop.json"
Event = dict[str, Any]


class LoopJournal:
    """The journal in a loop's folder, held by this process; use as a context manager."""

    def __init__(self, folder: Path) -> None:
        """Take the folder.

        Raises:
            UsageError: another process runs a loop there.
            StoreError: the folder cannot be written.
            DataError: a line of the journal is damaged.
        """
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / ".lock").open("w")
        except OSError as error:
            raise store_error(folder, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise UsageError(
                f"Another loop is running in '{folder}'; wait for it or choose another --out."
            ) from error
        try:
            self.events = _read(folder / JOURNAL)
        except BaseException:
            self._lock.close()
            raise

    def found(self, kind: str, key: str) -> Event | None:
        """The event of that kind and key, if it happened."""
        return next((e for e in self.events if e["kind"] == kind and e["key"] == key), None)

    def once(self, kind: str, key: str, make: Callable[[], Mapping[str, Any]]) -> Event:
        """What `make` gave when it was done; it is done now if it never was.

        Raises:
            StoreError: the journal cannot be written.
        """
        known = self.found(kind, key)
        return known or self._append({"kind": kind, "key": key, **make()})

    def _append(self, event: Event) -> Event:
        stamped = {"at": datetime.now(UTC).isoformat(timespec="seconds"), **event}
        line = json.dumps(stamped, ensure_ascii=True, allow_nan=False) + "\n"
        path = self.folder / JOURNAL
        try:
            with path.open("ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise store_error(path, error) from error
        self.events.append(json.loads(line))
        return self.events[-1]

    def __enter__(self) -> LoopJournal:
        return self

    def __exit__(self, *exc: object) -> None:
        self._lock.close()


def _read(path: Path) -> list[Event]:
    """The whole lines; a torn last one is cut off."""
    if not path.is_file():
        return []
    raw = path.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    if len(whole) < len(raw):
        os.truncate(path, len(whole))
    events = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            event = json.loads(line)
            events.append({**event, "kind": event["kind"], "key": event["key"]})
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}:{number}: this line is damaged ({error}); begin anew in another --out."
            ) from error
    return events


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a small JSON file in one step.

    Raises:
        StoreError: it cannot be written.
    """
    aside = path.with_name(f".{path.name}.partial")
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    try:
        aside.write_text(text + "\n", encoding="utf-8")
        os.replace(aside, path)
    except OSError as error:
        raise store_error(path, error) from error


def store_error(path: Path, error: OSError) -> StoreError:
    """The sentence for a folder that cannot be written."""
    return StoreError(
        f"Cannot write '{path}' ({error.strerror or error}); free space or fix the permissions, then go "
        "on with --resume."
    )
