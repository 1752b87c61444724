"""Watching a training: each checkpoint is gated as soon as it is completely written.

A folder counts as complete when it opens as a checkpoint and nothing in it has changed between two
looks, so that what a trainer is still writing is let be. Red may raise a stop file, which a training that
wants to be stopped looks for. A watcher that falls behind may keep to the newest, and one with a budget
ends with it; what was not gated, or never became a checkpoint, is named. Not here: one gate (watch_gate.py), stages (loop.py), stopping
a training from inside it (trainers/gate_callback.py).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .checkpoints import open_checkpoint
from .errors import CheckpointError, UsageError
from .loop_journal import write_json
from .loop_summary import Spent
from .recipe import Budget
from .verdict import Verdict
from .watch_gate import Gatekeeper, is_beside, verdict_of, verdicts_in

#: What a file was at a look: path, bytes, time of the last change (ns).
Look = frozenset[tuple[str, int, int]]
#: Beside a checkpoint that was passed over for a newer one.
SKIPPED = "skipped.json"


@dataclass(slots=True, kw_only=True)
class Watcher:
    """Gates the checkpoints below one folder, each once."""

    folder: Path
    keeper: Gatekeeper
    stop_file: Path | None = None
    """Written when a checkpoint is red; says which and why."""
    newest: bool = False
    """Of several that wait, gate the newest and pass over the others."""
    budget: Budget = field(default_factory=Budget)
    """Of all gates of this watch together; `tries` are checkpoints."""
    spent: Spent = field(default_factory=Spent)
    left: list[Path] = field(default_factory=list)
    """What was complete and not gated when the budget was used up."""
    looks: dict[Path, Look] = field(default_factory=dict)
    """What each folder held at the last look."""
    shut: dict[Path, tuple[Look, str]] = field(default_factory=dict)
    """What could not be opened or loaded as a checkpoint: what it held then, and why."""

    @property
    def over(self) -> str | None:
        """Which part of the budget is used up, if one is."""
        return self.spent.beyond(self.budget)

    def look(self) -> Iterator[Verdict]:
        """Gate what has become complete since the last look, in the order of their last change."""
        ready = self._settled()
        if self.newest and len(ready) > 1:
            self._pass_over(ready[:-1], ready[-1])
            ready = ready[-1:]
        for number, path in enumerate(ready):
            if why := self.over:
                self.left = ready[number:]
                names = ", ".join(path.name for path in self.left)
                self.keeper.say(f"Not gated, since {why}: {names}.")
                return
            if not path.is_dir():  # trainers remove old checkpoints
                self.keeper.say(f"{path.name}: removed before it could be gated.")
            elif verdict := self._gate(path):
                yield verdict

    def verdicts(self) -> dict[str, Verdict]:
        """checkpoint -> what its gate said; those of earlier watches and of removed checkpoints too."""
        return {name: Verdict.load(file) for name, file in verdicts_in(self.folder).items()}

    def unopened(self) -> dict[Path, str]:
        """Folders that hold still and are no checkpoints that could be gated, each with why."""
        shut = self.shut.items()
        return {path: why for path, (held, why) in shut if self.looks.get(path) == held}

    def _settled(self) -> list[Path]:
        """Checkpoints without a verdict, unchanged since the last look, the newest last."""
        check_places(self.folder, self.stop_file)
        seen = {path: _held(path) for path in _candidates(self.folder)}
        same = [path for path, held in seen.items() if self.looks.get(path) == held]
        self.looks = seen
        ready = [path for path in same if not self._done(path) and self._opens(path)]
        return sorted(ready, key=lambda path: max(changed for _, _, changed in seen[path]))

    def _opens(self, path: Path) -> bool:
        """Whether a folder is a checkpoint; one that is not is opened again when it has changed."""
        if path in self.unopened() or not path.is_dir():
            return False
        try:
            open_checkpoint(path)
        except CheckpointError as error:
            self.shut[path] = self.looks[path], str(error)
            return False
        return True

    def _done(self, path: Path) -> bool:
        file = verdict_of(path)
        return file.is_file() or (self.newest and file.with_name(SKIPPED).is_file())

    def _pass_over(self, older: list[Path], newest: Path) -> None:
        for path in older:
            place = verdict_of(path).with_name(SKIPPED)
            place.parent.mkdir(exist_ok=True)
            write_json(place, {"newer": newest.name})
        names = ", ".join(path.name for path in older)
        self.keeper.say(f"Behind the training: passing over {names} for {newest.name}.")

    def _gate(self, path: Path) -> Verdict | None:
        """The verdict; None where the folder opened and yet cannot be loaded as a checkpoint."""
        try:
            gated = self.keeper.gate(path)
        except CheckpointError as error:
            self.shut[path] = self.looks[path], str(error)
            return None
        self.spent += gated.spent
        if gated.verdict.exit_code == 1 and self.stop_file:
            reason = {"checkpoint": str(path), "sentence": gated.verdict.sentence}
            write_json(self.stop_file, reason)
            self.keeper.say(f"Raised the stop file '{self.stop_file}'.")
        return gated.verdict


def watch(watcher: Watcher, *, every_s: float, until: Callable[[], bool]) -> Iterator[Verdict]:
    """Look again and again, giving each verdict as it falls, until told or the budget is used up.

    Args:
        every_s: seconds between two looks; a checkpoint is gated at the second look at the earliest.
        until: asked after each look whether that was the last.
    """
    while True:
        yield from watcher.look()
        if until() or watcher.left:
            break
        time.sleep(every_s)
    for path, why in watcher.unopened().items():
        watcher.keeper.say(f"{path.name}: not gated. {why}")


def check_places(folder: Path, stop_file: Path | None) -> None:
    """Refuse what could not be watched, or could not be written once a checkpoint is red.

    Raises:
        UsageError: there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no folder '{folder}' to watch; check the path.")
    if stop_file and not stop_file.parent.is_dir():
        raise UsageError(
            f"There is no folder '{stop_file.parent}' to raise the stop file '{stop_file.name}' in; make it, "
            "or name another one."
        )


def _candidates(folder: Path) -> list[Path]:
    """Folders that hold or will hold a checkpoint; links, work folders and verdicts are not among them."""
    return [
        path.parent
        for path in folder.glob("*/config.json")
        if not path.parent.name.startswith((".", "tmp"))
        and not path.parent.is_symlink()
        and not is_beside(path.parent)
        and path.parent.suffix not in (".partial", ".work", ".kept")
    ]


def _held(path: Path) -> Look:
    """The files of a folder as they are now."""
    found = set()
    for place, _, names in os.walk(path):  # says nothing of folders that are removed meanwhile
        for file in (Path(place, name) for name in names):
            try:
                state = file.stat()
            except FileNotFoundError:
                continue  # renamed meanwhile
            found.add((str(file.relative_to(path)), state.st_size, state.st_mtime_ns))
    return frozenset(found)
