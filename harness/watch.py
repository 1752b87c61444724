"""Watching a training: each checkpoint is gated as soon as it is completely written.

A folder counts as complete when it opens as a checkpoint and nothing in it has changed between two
looks, so that what a trainer is still writing is let be. The verdict lies beside the checkpoint, in
`gate-<its name>/`. Red may raise a stop file, which a training that wants to be stopped looks for. Not
here: stages (loop.py), stopping a training from inside it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .checkpoints import open_checkpoint
from .errors import CheckpointError, UsageError
from .loop_gate import Show
from .policy import Policy
from .roles import Others
from .run import Run
from .verdict import Verdict

#: What a file was at a look: path, bytes, time of the last change (ns).
Look = frozenset[tuple[str, int, int]]
_BESIDE = "gate-"


@dataclass(slots=True)
class Watcher:
    """Gates the checkpoints below one folder, each once, against one baseline."""

    folder: Path
    baseline: Run
    policy: Policy
    suites: Sequence[str]
    target: str | None = None
    stop_file: Path | None = None
    """Written when a checkpoint is red; says which and why."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the backend: device, threads, batch_size ..."""
    others: Others = field(default_factory=Others)
    """Who judges and who plays the user."""
    limit: int | None = None
    say: Callable[[str], None] = lambda _: None
    show: Show | None = None
    looks: dict[Path, Look] = field(default_factory=dict)
    """What each folder held at the last look."""

    def look(self) -> list[Verdict]:
        """Gate what has become complete since the last look, in the order of their last change."""
        return [self._gate(path) for path in self._settled()]

    def _settled(self) -> list[Path]:
        """Checkpoints without a verdict, unchanged since the last look."""
        if not self.folder.is_dir():
            raise UsageError(f"There is no folder '{self.folder}' to watch; check the path.")
        seen = {path: _held(path) for path in _candidates(self.folder)}
        same = [path for path, held in seen.items() if self.looks.get(path) == held]
        self.looks = seen
        ready = [path for path in same if not _verdict_of(path).is_file() and _opens(path)]
        return sorted(ready, key=lambda path: max(changed for _, _, changed in seen[path]))

    def _gate(self, path: Path) -> Verdict:
        """Evaluate one checkpoint under its gate and write the verdict beside it."""
        from .gate import gate_runs
        from .gate_live import evaluate_live

        beside = _verdict_of(path).parent
        run = evaluate_live(
            self.baseline,
            open_checkpoint(path),
            self.policy,
            self.suites,
            beside / "run",
            target=self.target,
            options=self.options,
            others=self.others,
            limit=self.limit,
            note=self.say,
        )
        verdict = gate_runs(self.baseline, run, self.policy, self.target, self.suites)
        if self.show:
            self.show(verdict, self.baseline, run, beside)
        verdict.save(_verdict_of(path))
        self.say(f"{path.name}: {verdict.headline}. {verdict.sentence}")
        if verdict.exit_code == 1 and self.stop_file:
            self._stop(path, verdict)
        return verdict

    def _stop(self, path: Path, verdict: Verdict) -> None:
        assert self.stop_file is not None
        reason = {"checkpoint": str(path), "sentence": verdict.sentence}
        self.stop_file.write_text(json.dumps(reason) + "\n", encoding="utf-8")
        self.say(f"Raised the stop file '{self.stop_file}'.")


def watch(watcher: Watcher, *, every_s: float, until: Callable[[], bool]) -> Iterator[Verdict]:
    """Look again and again, giving each verdict as it falls.

    Args:
        every_s: seconds between two looks; a checkpoint is gated at the second look at the earliest.
        until: asked after each look whether that was the last.
    """
    while True:
        yield from watcher.look()
        if until():
            return
        time.sleep(every_s)


def _candidates(folder: Path) -> list[Path]:
    """Folders that hold or will hold a checkpoint; work folders and verdicts are not among them."""
    return [
        path.parent
        for path in folder.glob("*/config.json")
        if not path.parent.name.startswith((_BESIDE, ".", "tmp"))
        and path.parent.suffix not in (".partial", ".work", ".kept")
    ]


def _held(path: Path) -> Look:
    """The files of a folder as they are now."""
    found = set()
    for file in path.rglob("*"):
        try:
            state = file.stat()
        except FileNotFoundError:
            continue  # renamed meanwhile
        found.add((str(file.relative_to(path)), state.st_size, state.st_mtime_ns))
    return frozenset(found)


def _opens(path: Path) -> bool:
    try:
        open_checkpoint(path)
    except CheckpointError:
        return False
    return True


def _verdict_of(path: Path) -> Path:
    """Not `<name>.gate`: a trainer that keeps its last so many `checkpoint-*` would count that too."""
    return path.with_name(_BESIDE + path.name) / "verdict.json"
