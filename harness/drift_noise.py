"""The A/A noise floor: how much a checkpoint drifts from itself.

Measured, never assumed. Greedy tasks are answered twice with different batch sizes on a tenth of the
items; sampled tasks with twice the repeats, and one half is held against the other. The figures are
kept under WATERBED_CACHE by (checkpoint, backend, task, version, data, settings, repeats), where the gate
of any later candidate finds them. Not here: what drift is (drift.py), other machines.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .checkpoints import Checkpoint
from .comparability import Manifest
from .drift import Noise, figures_by_task, measure_drift
from .drift_pairs import AnsweredRun
from .drift_record import Figure
from .errors import StoreError, UsageError
from .folders import cache_folder
from .records import Role, content_hash
from .tasks import Task, resolve

if TYPE_CHECKING:
    import pandas as pd

    from .backends.base import Backend
    from .run import Run

SHARE = 0.1
"""Of the items of a task, answered again."""
FEWEST = 30
_SCHEMA = 1
#: What a backend says of itself and an A/A run varies on purpose, or that changes no answer.
_VARIED = ("batch_size", "threads", "notes", "unexpected_weights")


class HasManifest(Protocol):
    """What finding a noise floor needs of a Run."""

    @property
    def manifest(self) -> Manifest: ...


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """The A/A figures of one checkpoint."""

    noise: Noise
    """task -> metric -> figure."""
    lacking: tuple[str, ...]
    """Tasks that were asked for and have none."""
    source: str
    """For people: how it was measured, by task where that differs."""


@dataclass(frozen=True, slots=True)
class Half:
    """Some repeats of a Run, as a Run of its own."""

    run: AnsweredRun
    first: int
    """Number of the first repeat; they are counted from 0 again."""
    repeats: int

    @property
    def label(self) -> str:
        """The Run's."""
        return self.run.label

    @property
    def status(self) -> str:
        """The Run's."""
        return self.run.status

    @property
    def manifest(self) -> Manifest:
        """The Run's, with the repeats of this half."""
        tasks = {t: {**e, "repeats": self.repeats} for t, e in self.run.manifest["tasks"].items()}
        return {**self.run.manifest, "tasks": tasks}

    def scores(self) -> pd.DataFrame:
        """Rows of these repeats."""
        return self._own(self.run.scores())

    def generations(self) -> pd.DataFrame:
        """Rows of these repeats."""
        return self._own(self.run.generations())

    def _own(self, table: pd.DataFrame) -> pd.DataFrame:
        repeat = table["repeat"] - self.first
        return table.assign(repeat=repeat)[repeat.between(0, self.repeats - 1)]


def measure_aa(
    checkpoint: str | Path | Checkpoint,
    suites: Sequence[str],
    out: str | Path,
    *,
    backend: str = "transformers",
    options: Mapping[str, Any] | None = None,
    judges: Mapping[Role, Backend] | None = None,
    settings: Mapping[str, Any] | None = None,
    repeats: int | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> NoiseFloor:
    """Measure a checkpoint against itself and keep the figures.

    Args:
        checkpoint, suites, backend, options, judges, settings, repeats, seed: as for `evaluate`;
            those of the Runs that are to be compared. No answer is taken from the cache.
        out: folder for the Runs `first` and `again` (greedy), or `repeated` (sampled).
        limit: items of each task; default: a tenth of the largest task, at least 30.

    Raises:
        UsageError, DataError, InstrumentError: as `evaluate`; a Run that has begun is resumed.
        StoreError: the cache cannot be written.
    """
    from .api import evaluate

    tasks = [t.decoded(**(settings or {})) for t in resolve(suites)]
    few = limit or max(FEWEST, math.ceil(SHARE * max(len(t.items) for t in tasks)))

    def answered(names: list[str], name: str, times: int | None, how: Mapping[str, Any]) -> Run:
        return evaluate(
            checkpoint,
            names,
            Path(out) / name,
            backend=backend,
            options=how,
            judges=judges,
            limit=few,
            repeats=times,
            settings=settings,
            seed=seed,
            cache=False,
        )

    given, pairs = dict(options or {}), list[tuple[AnsweredRun, AnsweredRun]]()
    greedy = [t.name for t in tasks if t.settings.greedy]
    if greedy:
        first = answered(greedy, "first", repeats, given)
        other = {**given, "batch_size": _other_batch(first)}
        pairs.append((first, answered(greedy, "again", repeats, other)))
    for k, names in _sampled(tasks, repeats).items():
        run = answered(names, f"repeated{k}", 2 * k, given)
        pairs.append((Half(run, 0, k), Half(run, k, k)))
    return _measured(pairs)


def load_aa(baseline: HasManifest, tasks: Iterable[str] | None = None) -> NoiseFloor:
    """The figures kept for the checkpoint, backend and settings of a Run; of `tasks`, default all.

    A figure that is missing or cannot be read is lacking, which gates nothing.
    """
    entries = baseline.manifest["tasks"]
    noise: dict[str, Mapping[str, Figure]] = {}
    sources: list[str] = []
    wanted = sorted(set(entries) if tasks is None else set(tasks))
    for name in wanted:
        kept = _read(_path(baseline.manifest, name)) if name in entries else None
        if kept is not None:
            noise[name] = kept[0]
            sources.append(kept[1])
    lacking = tuple(name for name in wanted if name not in noise)
    return NoiseFloor(noise, lacking, "; ".join(dict.fromkeys(sources)))


def _measured(pairs: Sequence[tuple[AnsweredRun, AnsweredRun]]) -> NoiseFloor:
    """The figures of each pair of runs, kept."""
    noise: dict[str, Mapping[str, Figure]] = {}
    sources = []
    for one, two in pairs:
        sources.append(_how(one, two))
        for name, figures in figures_by_task(measure_drift(one, two)).items():
            noise[name] = figures
            _keep(one.manifest, name, figures, sources[-1])
    return NoiseFloor(noise, (), "; ".join(sources))


def _other_batch(run: HasManifest) -> int:
    """A batch size that composes other batches than the first run's."""
    size = run.manifest["backend"].get("batch_size")
    if not isinstance(size, int):
        raise UsageError(
            f"The backend '{run.manifest['backend'].get('name')}' does not say its batch size "
            f"({size!r}); greedy A/A runs need one, use --backend transformers."
        )
    return size // 2 if size > 1 else 2


def _sampled(tasks: Sequence[Task], repeats: int | None) -> dict[int, list[str]]:
    """The sampled tasks by the repeats an item has."""
    found: dict[int, list[str]] = {}
    for task in tasks:
        if not task.settings.greedy:
            found.setdefault(repeats or task.repeats, []).append(task.name)
    return found


def _how(one: AnsweredRun, two: AnsweredRun) -> str:
    sizes = [run.manifest["backend"].get("batch_size") for run in (one, two)]
    if isinstance(one, Half):
        return f"sampled twice ({one.repeats} repeats each, batch size {sizes[0]})"
    return f"greedy, batch sizes {sizes[0]} and {sizes[1]}"


def _path(manifest: Manifest, task: str) -> Path:
    """Where the figures of a task lie: named by all that they may depend on."""
    entry = manifest["tasks"][task]
    backend = {k: v for k, v in manifest["backend"].items() if k not in _VARIED}
    digest = (manifest.get("checkpoint") or {}).get("digest")
    same = {k: entry.get(k) for k in ("version", "data_hash", "settings", "repeats")}
    key = content_hash([_SCHEMA, digest, backend, task, same], digits=32)
    return cache_folder("aa") / f"{key}.json"


def _keep(manifest: Manifest, task: str, figures: Mapping[str, Figure], source: str) -> None:
    path = _path(manifest, task)
    kept = {
        "schema_version": _SCHEMA,
        "task": task,
        "source": source,
        "figures": {name: dataclasses.asdict(f) for name, f in sorted(figures.items())},
    }
    aside = path.with_suffix(f".{os.getpid()}.partial")
    try:
        aside.write_text(json.dumps(kept, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(aside, path)
    except OSError as error:
        raise StoreError(
            f"Cannot write '{path}' ({error.strerror or error}); set WATERBED_CACHE to a folder that "
            "can be written, then measure again: the Runs resume."
        ) from error


def _read(path: Path) -> tuple[dict[str, Figure], str] | None:
    """The figures in a file and their source; None where there are none that can be believed."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        figures = {str(name): Figure(**f) for name, f in kept["figures"].items()}
        if kept["schema_version"] != _SCHEMA or not all(_sound(f) for f in figures.values()):
            return None
        return figures, str(kept["source"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _sound(figure: Figure) -> bool:
    return figure.n > 0 and figure.se >= 0 and math.isfinite(figure.change + figure.se)
