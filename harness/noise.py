"""The noise floor: how much a checkpoint differs from itself (A/A), measured and kept beside its Run.

`measure_noise` answers a part of a Run's items again with the same checkpoint, engine and decoding
but another seed, batch size and order, and holds the two against each other: drift figures by task,
and the share of scores that change. `noise.json` in the Run's folder holds what was found, when, and
how; `load_noise` believes it only for a Run of that very checkpoint, task and settings. Never assumed,
never taken from a candidate. Not here: what drift is (drift.py), what a gate does with it (gate_plan.py).
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .checkpoints import Checkpoint, open_checkpoint
from .comparability import Manifest, compare
from .drift import Noise, figures_by_task, measure_drift
from .drift_figures import smoothed_se
from .drift_pairs import AnsweredRun
from .drift_record import Figure
from .errors import StoreError, UsageError
from .pairing import Claim, pair
from .records import canonical_json, content_hash
from .roles import Others
from .runner import Progress
from .statistics.normal import critical_value
from .tasks import Task, resolve

if TYPE_CHECKING:
    from .run import Run

FILE = "noise.json"
SHARE = 0.1
"""Of the items of a task, answered again where decoding is greedy in float32 on one machine."""
FEWEST = 100
_SCHEMA = 1
#: What a backend says of itself and an A/A run varies on purpose, or that changes no answer.
_VARIED = ("batch_size", "threads", "notes", "unexpected_weights")
_PASSED = ("device", "dtype", "threads")


class HasNoise(Protocol):
    """What finding a noise floor needs of a Run."""

    @property
    def path(self) -> Path: ...
    @property
    def manifest(self) -> Manifest: ...


class PlacedRun(AnsweredRun, Protocol):
    """A Run with answers and a folder of its own."""

    @property
    def path(self) -> Path: ...


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """The A/A figures of one Run's checkpoint."""

    noise: Noise = field(default_factory=dict)
    """task -> drift metric -> figure."""
    changed: Noise = field(default_factory=dict)
    """task -> scored metric -> mean squared difference of an item's score."""
    lacking: tuple[str, ...] = ()
    """Tasks that were asked for and have none."""
    source: str = ""
    """For people: when and how it was measured."""

    def discordance(self, weights: Mapping[tuple[str, str], int]) -> float | None:
        """Upper 95% limit of the discordance over (task, metric), by items; None if one lacks it.

        The limit and not the estimate: a small A/A run without a change is no proof of none.
        """
        parts = {key: self.changed.get(key[0], {}).get(key[1]) for key in weights}
        total = sum(weights.values())
        if not total or any(part is None for part in parts.values()):
            return None
        found = [(weights[key] / total, part) for key, part in parts.items() if part]
        mean = math.fsum(w * f.change for w, f in found)
        error = math.sqrt(math.fsum((w * f.se) ** 2 for w, f in found))
        return min(1.0, mean + critical_value(0.05) * error)


def measure_noise(
    run: Run,
    suites: Sequence[str] | None = None,
    *,
    limit: int | None = None,
    batch_size: int | None = None,
    others: Others = Others(),
    fresh: bool = False,
    progress: Progress | None = None,
) -> NoiseFloor:
    """Answer some of a Run's items again with the same checkpoint, and keep the figures beside it.

    Args:
        run: a complete Run; the second answers go to `noise/` in its folder, and resume there.
        suites: which of its tasks, domains or suites; default: all. Figures of others are kept.
        limit: items of each task; default: for greedy decoding in float32 a tenth of the items, at
            least 100; otherwise all.
        batch_size: of the second run; default: half of the first's.
        others: who judges and who plays the user, the same as in the Run; addresses are not taken from there.
        fresh: discard the second answers there are.

    Raises:
        UsageError: the Run is not complete, no model made it, or its checkpoint is another by now.
        DataError, InstrumentError: as `evaluate`.
        StoreError: the figures cannot be written.
    """
    from .api import evaluate

    checkpoint, size = _checkpoint_of(run), batch_size or _other_batch(run)
    backend = run.manifest["backend"]
    measured: list[str] = []
    for number, group in enumerate(_groups(run, suites)):
        few = limit or group.enough(exact=backend.get("dtype") == "float32")
        again = evaluate(
            checkpoint,
            group.names,
            run.path / "noise" / f"{number}-{content_hash([*group.names, few], digits=8)}",
            backend=str(backend["name"]),
            options={**{k: backend[k] for k in _PASSED if k in backend}, "batch_size": size},
            judges=others.judges,
            prices=others.prices,
            check=functools.partial(_same_others, run, group.names),
            limit=min(few, group.items),
            samples=group.repeats,
            settings=group.settings,
            seed=int(run.manifest["seed"]) + 1,
            order_seed=int(run.manifest["seed"]),
            cache=False,
            fresh=fresh,
            progress=progress,
        )
        keep_noise(run, again, group.names, kind="greedy" if group.greedy else "sampled")
        measured += group.names
    return load_noise(run, measured)


def _same_others(run: Run, names: Sequence[str], manifest: Manifest) -> None:
    """Refuse another judge or user than the Run's: it would be their difference that is measured."""
    found = compare(run.manifest, manifest, names)
    found.enforce(run.label, "the second answers")


def keep_noise(run: PlacedRun, again: AnsweredRun, names: Sequence[str], *, kind: str) -> None:
    """Hold two Runs of one checkpoint against each other, and keep the figures beside the first.

    Args:
        run: the Run whose noise it is.
        again: the same checkpoint's answers to some of its items, drawn or computed anew.
        names: the tasks to compare.
        kind: for people, how both were decoded.

    Raises:
        StoreError: the figures cannot be written.
    """
    kept = {**_kept(run), **_entries(run, again, names, kind)}
    _write(run.path / FILE, {"schema_version": _SCHEMA, "tasks": kept})


def load_noise(run: HasNoise, tasks: Iterable[str] | None = None) -> NoiseFloor:
    """What is kept beside a Run for its checkpoint, backend and settings; of `tasks`, default all.

    A figure that is missing, damaged or of another checkpoint is lacking, which gates nothing.
    """
    kept = _kept(run)
    wanted = sorted(set(run.manifest["tasks"]) if tasks is None else set(tasks))
    noise, changed, sources = {}, {}, []
    for name in wanted:
        if name in kept:
            noise[name] = _figures(kept[name]["figures"])
            changed[name] = _figures(kept[name]["changed"])
            sources.append(f"{kept[name]['how']}, {kept[name]['measured'][:10]}")
    lacking = tuple(name for name in wanted if name not in noise)
    return NoiseFloor(noise, changed, lacking, "; ".join(dict.fromkeys(sources)))


@dataclass(frozen=True, slots=True)
class _Group:
    """Tasks of a Run that were decoded alike."""

    names: list[str]
    settings: Mapping[str, Any]
    """What differs from the tasks' own."""
    repeats: int
    items: int
    """Of the largest task."""
    greedy: bool

    def enough(self, *, exact: bool) -> int:
        """Items to answer again."""
        return max(FEWEST, math.ceil(SHARE * self.items)) if self.greedy and exact else self.items


def _groups(run: Run, suites: Sequence[str] | None) -> list[_Group]:
    """The chosen tasks of a Run by how they were decoded, largest first within a group."""
    entries = run.manifest["tasks"]
    chosen = _chosen(run, suites)
    grouped: dict[str, list[Task]] = {}
    for task in chosen:
        settings = _changed_settings(task, entries[task.name]["settings"])
        greedy = task.decoded(**settings).settings.greedy
        key = canonical_json([settings, entries[task.name]["repeats"], greedy])
        grouped.setdefault(key, []).append(task)
    groups = []
    for own in grouped.values():
        first = own[0]
        settings = _changed_settings(first, entries[first.name]["settings"])
        groups.append(
            _Group(
                names=[task.name for task in own],
                settings=settings,
                repeats=int(entries[first.name]["repeats"]),
                items=max(int(entries[task.name]["items"]) for task in own),
                greedy=first.decoded(**settings).settings.greedy,
            )
        )
    return groups


def _chosen(run: Run, suites: Sequence[str] | None) -> list[Task]:
    """The tasks of a Run that `suites` name, as they are registered now."""
    selection = run.manifest.get("selection", {}).get("suites") or list(run.manifest["tasks"])
    known = {task.name: task for task in resolve(map(str, selection))}
    entries = run.manifest["tasks"]
    if suites:
        named = {t for t, e in entries.items() for s in suites if s in (t, e["domain"])}
        rest = [s for s in suites if not any(s in (t, e["domain"]) for t, e in entries.items())]
        named |= {task.name for task in resolve(rest)} if rest else set()
    else:
        named = set(entries)
    missing = sorted(name for name in named if name not in known or name not in entries)
    if missing:
        raise UsageError(
            f"'{run.label}' has no task '{missing[0]}'; it has {', '.join(sorted(entries))}."
        )
    return [known[name] for name in sorted(named)]


def _changed_settings(task: Task, ran: Mapping[str, Any]) -> dict[str, Any]:
    """The decoding settings of a Run that are not the task's own."""
    own = dataclasses.asdict(task.settings)
    changed = {}
    for name, value in ran.items():
        value = tuple(value) if isinstance(value, list) else value
        if name in own and own[name] != value and value is not None:
            changed[name] = value
    return changed


def _checkpoint_of(run: Run) -> Checkpoint:
    """The checkpoint that made a Run, if it is still the same."""
    made = run.manifest.get("checkpoint")
    if run.manifest["backend"].get("name") == "openai":
        raise UsageError(
            f"'{run.label}' was answered by a server, of which nobody knows how it composes batches; "
            "evaluate its checkpoint with --backend transformers or vllm to measure noise."
        )
    if run.manifest.get("kind") != "eval" or not made:
        raise UsageError(
            f"'{run.label}' was made from recorded answers, so there is no model to ask again; "
            "measure a Run of `waterbed eval`."
        )
    if run.status != "complete":
        raise UsageError(
            f"'{run.label}' is {run.status}; complete it with its `waterbed eval` command first."
        )
    checkpoint = open_checkpoint(made["path"])
    if checkpoint.digest != made["digest"]:
        raise UsageError(
            f"'{made['path']}' is another checkpoint by now ({checkpoint.short}, the Run has "
            f"{made['digest'][:12]}); evaluate it anew, then measure its noise."
        )
    return checkpoint


def _other_batch(run: HasNoise) -> int:
    """A batch size that composes other batches than the first run's."""
    size = run.manifest["backend"].get("batch_size")
    if not isinstance(size, int):
        raise UsageError(
            f"The backend '{run.manifest['backend'].get('name')}' does not say its batch size "
            f"({size!r}); pass the one of the second run with --batch-size."
        )
    return size // 2 if size > 1 else 2


def _entries(
    run: PlacedRun, again: AnsweredRun, names: Sequence[str], kind: str
) -> dict[str, dict[str, Any]]:
    """What two Runs of one checkpoint say of its noise, by task, as plain data."""
    figures = figures_by_task(measure_drift(run, again, tasks=frozenset(names)))
    changed = _score_changes(run, again, names)
    sizes = " and ".join(str(r.manifest["backend"].get("batch_size")) for r in (run, again))
    seeds = " and ".join(str(r.manifest["seed"]) for r in (run, again))
    entries = {}
    for name in names:
        declared = run.manifest["tasks"][name]
        entries[name] = {
            "key": _key(run.manifest, name),
            "measured": str(again.manifest["created"]),
            "how": f"{kind}, batch sizes {sizes}, seeds {seeds}, {declared['repeats']} answer(s) an item",
            "items": int(again.manifest["tasks"][name]["items"]),
            "settings": declared["settings"],
            "figures": _plain(figures.get(name, {})),
            "changed": _plain(changed.get(name, {})),
        }
    return entries


def _score_changes(
    run: AnsweredRun, again: AnsweredRun, names: Sequence[str]
) -> dict[str, dict[str, Figure]]:
    """Mean squared difference of an item's mean score between two Runs, by task and metric."""
    wanted = [
        Claim(
            f"{name}\0{metric['name']}", "", str(metric["name"]), False, ((name, metric["name"]),)
        )
        for name in names
        for metric in run.manifest["tasks"][name]["metrics"]
        if metric["gated"]
    ]
    second = again.scores()
    asked = set(zip(second["task"], second["sample_id"], strict=True))
    first = run.scores()
    places = zip(first["task"], first["sample_id"], strict=True)
    both = pair(wanted, first[[place in asked for place in places]], second)
    found: dict[str, dict[str, Figure]] = {}
    for claim in wanted:
        own = both[claim.id]
        if own.n:
            d2 = (own.candidate - own.baseline) ** 2
            figure = Figure(own.n, float(d2.mean()), smoothed_se(d2))
            found.setdefault(claim.tasks[0], {})[claim.metric] = figure
    return found


def _key(manifest: Manifest, task: str) -> str:
    """All that the figures of a task may depend on."""
    entry = manifest["tasks"][task]
    backend = {k: v for k, v in (manifest.get("backend") or {}).items() if k not in _VARIED}
    digest = (manifest.get("checkpoint") or {}).get("digest")
    same = {k: entry.get(k) for k in ("version", "data_hash", "settings", "repeats")}
    return content_hash([_SCHEMA, digest, backend, task, same], digits=32)


def _kept(run: HasNoise) -> dict[str, dict[str, Any]]:
    """The entries beside a Run that can be believed."""
    return dict(_believed(run))


def _believed(run: HasNoise) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        kept = json.loads((run.path / FILE).read_text(encoding="utf-8"))
        entries = kept["tasks"].items() if kept["schema_version"] == _SCHEMA else ()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    for name, entry in entries:
        try:
            every = {**_figures(entry["figures"]), **_figures(entry["changed"])}
            known = name in run.manifest["tasks"] and entry["key"] == _key(run.manifest, name)
            said = isinstance(entry["how"], str) and isinstance(entry["measured"], str)
        except (KeyError, TypeError, AttributeError):
            continue
        if known and said and every and all(_sound(f) for f in every.values()):
            yield name, entry


def _figures(data: Mapping[str, Any]) -> dict[str, Figure]:
    return {str(name): Figure(**figure) for name, figure in data.items()}


def _plain(figures: Mapping[str, Figure]) -> dict[str, Any]:
    return {name: dataclasses.asdict(figure) for name, figure in sorted(figures.items())}


def _sound(figure: Figure) -> bool:
    return figure.n > 0 and figure.se >= 0 and math.isfinite(figure.change + figure.se)


def _write(path: Path, data: Mapping[str, Any]) -> None:
    aside = path.with_suffix(".partial")
    try:
        text = json.dumps(data, indent=1, sort_keys=True, allow_nan=False)
        aside.write_text(text + "\n", encoding="utf-8")
        os.replace(aside, path)
    except OSError as error:
        raise StoreError(
            f"Cannot write '{path}' ({error.strerror or error}); free space or fix the permissions, "
            "then measure again: it resumes."
        ) from error
