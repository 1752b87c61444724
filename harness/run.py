"""The Run directory: one checkpoint's results on disk.

`run.json` says what was run and how, `answers.jsonl` is the journal, and a finished Run has
`scores.parquet`, `generations.parquet` and `results.json`. `Run` reads one; `RunWriter` makes or
resumes one and holds a lock while it does. Not here: what is run (runner.py), comparing two Runs.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import DataError, StoreError, UsageError
from .journal import Journal

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
MANIFEST = "run.json"
FILES = ("answers.jsonl", "scores.parquet", "generations.parquet", "results.json", MANIFEST)
#: Manifest entries that two sittings of one Run may not differ in.
PINNED = ("kind", "checkpoint", "tasks", "backend", "roles", "judging", "seed", "selection")


@dataclass(frozen=True, slots=True)
class Run:
    """A Run directory, opened for reading."""

    path: Path
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Read `run.json`.

        Raises:
            UsageError: there is no Run at `path`.
            DataError: its manifest is damaged or of another schema version.
        """
        file = Path(path) / MANIFEST
        if not file.is_file():
            raise UsageError(
                f"There is no Run at '{path}' (no run.json); make one with `waterbed eval`."
            )
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
            version = manifest["schema_version"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"'{file}' is damaged ({error}); run the evaluation again.") from error
        if version != SCHEMA_VERSION:
            raise DataError(
                f"'{file}' has schema version {version}, this waterbed reads {SCHEMA_VERSION}; "
                "run the evaluation again."
            )
        return cls(Path(path), manifest)

    @property
    def label(self) -> str:
        """How people call this Run."""
        return str(self.manifest.get("label") or self.path.name)

    @property
    def status(self) -> str:
        """`complete`, `stopped` or `partial`."""
        return str(self.manifest.get("status", "partial"))

    def scores(self) -> pd.DataFrame:
        """`scores.parquet`: a row per task, sample_id, repeat, metric."""
        return self._table("scores.parquet")

    def generations(self) -> pd.DataFrame:
        """`generations.parquet`: a row per answer."""
        return self._table("generations.parquet")

    def results(self) -> dict[str, Any]:
        """`results.json`: every metric of every task with n, standard error, unscored by reason."""
        try:
            found: dict[str, Any] = json.loads(
                (self.path / "results.json").read_text(encoding="utf-8")
            )
        except (OSError, ValueError) as error:
            raise self._unfinished("results.json", error) from error
        return found

    def _table(self, name: str) -> pd.DataFrame:
        import pandas as pd

        try:
            return pd.read_parquet(self.path / name)
        except (OSError, ValueError) as error:
            raise self._unfinished(name, error) from error

    def _unfinished(self, name: str, error: Exception) -> DataError:
        return DataError(
            f"Run '{self.path}' is {self.status} and its {name} cannot be read ({error}); "
            "run the same `waterbed eval` command again, it resumes."
        )


class RunWriter:
    """A Run directory being written; use as a context manager."""

    def __init__(self, path: Path, manifest: Mapping[str, Any], *, fresh: bool = False) -> None:
        """Make the folder or continue the Run in it.

        Raises:
            UsageError: another process writes there, the folder holds something else, or the Run in it
                was begun with other settings.
            StoreError: the folder cannot be written.
        """
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = (path / ".lock").open("w")
        except OSError as error:
            raise _store_error(path, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise UsageError(
                f"Another process is writing to '{path}'; wait for it or choose another --out."
            ) from error
        try:
            if fresh:
                self._clear()
            self.manifest = {**self._begin(manifest), "status": "partial"}
            self.write_json(MANIFEST, self.manifest)
            self.journal = Journal(path / "answers.jsonl")
        except BaseException:
            self._lock.close()
            raise

    def _begin(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        old = previous(self.path)
        if old is None:
            foreign = [p.name for p in self.path.iterdir() if not p.name.startswith(".")]
            if foreign:
                raise UsageError(
                    f"'{self.path}' is not empty and holds no Run ({foreign[0]}); choose another --out."
                )
            return dict(manifest)
        new = json.loads(json.dumps(manifest))
        for key in PINNED:
            was_entry, now_entry = _pinned(old.get(key)), _pinned(new.get(key))
            if was_entry != now_entry:
                was, now = _first_difference(was_entry, now_entry)
                raise UsageError(
                    f"The Run in '{self.path}' was begun with {key}{was}, now it is {now}; "
                    "choose another --out, or --fresh to begin anew."
                )
        # By which looks a gate asked stays known, whoever asks the rest.
        labels = {**old.get("labels", {}), **new.get("labels", {})}
        return {**new, "labels": labels, "created": old.get("created"), "cost": old.get("cost", {})}

    def _clear(self) -> None:
        """Remove the files of an earlier Run; whatever else lies there is not ours to delete."""
        if (self.path / MANIFEST).is_file():
            for name in FILES:
                (self.path / name).unlink(missing_ok=True)

    def finish(self, status: str, tables: Mapping[str, Any], **entries: Any) -> Run:
        """Write the tables (pyarrow, whole or in parts of one schema) and the final manifest.

        Raises:
            StoreError: the disk is full.
        """
        self.journal.flush()
        for name, table in tables.items():
            aside = self.path / f".{name}.partial"
            try:
                _write_parquet(table, aside)
                os.replace(aside, self.path / name)
            except OSError as error:
                aside.unlink(missing_ok=True)
                raise _store_error(self.path / name, error) from error
        self.manifest = {**self.manifest, **entries, "status": status}
        self.write_json(MANIFEST, self.manifest)
        return Run(self.path, self.manifest)

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Replace a small JSON file in one step."""
        aside = self.path / f".{name}.partial"
        try:
            text = json.dumps(value, indent=1, ensure_ascii=True, sort_keys=True, allow_nan=False)
            aside.write_text(text + "\n", encoding="utf-8")
            os.replace(aside, self.path / name)
        except OSError as error:
            raise _store_error(self.path / name, error) from error

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self.journal.close()
        finally:
            self._lock.close()


def _write_parquet(table: Any, path: Path) -> None:
    """A table, or one from parts that are never in memory together."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if isinstance(table, pa.Table):
        pq.write_table(table, path)
        return
    parts = iter(table)
    first = next(parts)
    # Prompts of one conversation repeat each other, which zstd sees and the default does not.
    with pq.ParquetWriter(path, first.schema, compression="zstd") as file:
        file.write_table(first)
        for part in parts:
            file.write_table(part)


def previous(path: Path) -> dict[str, Any] | None:
    """The manifest of a Run begun at `path`, or None where there is none."""
    if not (path / MANIFEST).is_file():
        return None
    return dict(Run.open(path).manifest)


def _pinned(entry: Any) -> Any:
    """A manifest entry without what only a finished Run knows, and without the folder's own name."""
    if isinstance(entry, dict):
        return {k: _pinned(v) for k, v in entry.items() if k not in ("prompt_hash", "path")}
    return entry


def _first_difference(old: Any, new: Any, where: str = "") -> tuple[str, str]:
    """The innermost place where two JSON values differ, as (` .path = old`, `new`)."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                return _first_difference(old.get(key), new.get(key), f"{where}.{key}")
    return f"{where} = {_brief(old)}", _brief(new)


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _store_error(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"Cannot write '{path}' ({error.strerror or error}); free space or fix the permissions, "
        "then run the same command again: it resumes."
    )
