"""A callback for transformers' Trainer, and so for TRL's: every N steps the model is gated where it stands.

The model is saved as a whole checkpoint, a copy of it is evaluated under the gate in this process, and
the verdict is written beside it. Red stops the training or is only recorded; the best accepted checkpoint
is marked by a link. Training goes on as if nothing had happened: its model, random numbers and threads
are as they were. In one process only: with several, let `waterbed watch` gate what they save. Nothing of
transformers is imported. Not here: one gate (harness/watch_gate.py), stages, whose loop gates them.
"""

from __future__ import annotations

import copy
import random
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ..harness.checkpoints import Checkpoint, open_checkpoint, write_checkpoint
from ..harness.errors import CheckpointError, DataError, InstrumentError, UsageError
from ..harness.loop_attempt import promote
from ..harness.loop_records import Node
from ..harness.loop_summary import Spent
from ..harness.policy import Policy
from ..harness.recipe import Budget
from ..harness.run import Run
from ..harness.verdict import Verdict
from ..harness.watch_gate import Gatekeeper, verdict_of
from .lora import merged
from .saving import saver

#: Below the trainer's output folder.
FOLDER = "gated"
_STAGE = "gate-callback"
OnRed = Literal["stop", "record"]


def _to_stderr(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A checkpoint that its gate let through."""

    step: int
    path: Path
    gain: float | None
    """Mean difference of the target's claims, a proportion; None without a target."""


class GateCallback:
    """Gates a training from inside; `trainer.add_callback(GateCallback(...))`.

    Args:
        baseline: a Run, or its folder, that every checkpoint is held against.
        every: steps between two gates; the end of the training is gated too.
        policy: a name, a YAML file, or a Policy.
        suites: default: the policy's, else what the baseline has.
        target: the domain that is trained; the best accepted checkpoint is the one that gained most in
            it, and without one the latest.
        anchor: a Run that is kept for good, below which nothing may fall by 1.5 margins.
        out: folder of the gated checkpoints; default: `gated` in the trainer's output folder.
        on_red: `stop` ends the training, `record` only writes the verdict.
        device: where the copy is evaluated; default: where the training runs.
        options: further ones of the backend: batch_size, threads, dtype.
        limit: items of each task, in hash order.
        budget: of all gates of this sitting together; once it is used up the training goes on ungated.
        say: told in a sentence what was decided; default: stderr.

    Raises:
        UsageError, DataError: a Run or policy that cannot be used.
    """

    def __init__(
        self,
        baseline: Run | str | Path,
        *,
        every: int,
        policy: Policy | str | Path | None = None,
        suites: Sequence[str] | None = None,
        target: str | None = None,
        anchor: Run | str | Path | None = None,
        out: str | Path | None = None,
        on_red: OnRed = "stop",
        device: str | None = None,
        options: Mapping[str, Any] | None = None,
        limit: int | None = None,
        budget: Budget | None = None,
        say: Callable[[str], None] = _to_stderr,
    ) -> None:
        if every < 1:
            raise UsageError(f"every must be at least 1 step, got {every}.")
        if on_red not in get_args(OnRed):
            raise UsageError(f"on_red must be 'stop' or 'record', got {on_red!r}.")
        rules = policy if isinstance(policy, Policy) else Policy.load(policy)
        fixed = anchor or rules.anchor
        kept = _run(baseline)
        self.every, self.on_red, self.device, self.say = every, on_red, device, say
        self.out = Path(out) if out else None
        self.budget, self.spent = budget or Budget(), Spent()
        self.verdicts: dict[int, Verdict] = {}
        """step -> what its gate said."""
        self.accepted: list[Accepted] = []
        self.asked = 0
        """The last step at which it was time to gate."""
        self.keeper = Gatekeeper(
            baseline=kept,
            policy=rules.model_copy(
                update={"anchor": None, **({} if limit is None else {"limit": limit})}
            ),
            suites=list(suites or rules.suites or kept.manifest["tasks"]),
            target=target,
            anchor=_run(fixed) if fixed else None,
            options=options or {},
            limit=limit,
            say=say,
        )

    def __getattr__(self, event: str) -> Any:
        # Trainer calls every event on every callback, and later versions may have more of them.
        if event.startswith("on_"):
            return _nothing
        raise AttributeError(f"GateCallback has no attribute '{event}'")

    @property
    def best(self) -> Accepted | None:
        """The accepted checkpoint that gained most in the target, of equals the latest."""
        return max(self.accepted, key=lambda a: (a.gain or 0.0, a.step), default=None)

    def on_train_begin(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Take up what was gated before a training that goes on.

        Raises:
            UsageError: several processes train.
        """
        if args.world_size > 1:
            raise UsageError(
                f"GateCallback works in one process and {args.world_size} train; gate what they save with "
                "`waterbed watch`."
            )
        self.out = self.out or Path(args.output_dir) / FOLDER
        for step in range(self.every, state.global_step + 1, self.every):
            if verdict_of(self._folder(step)).is_file():
                verdict = Verdict.load(verdict_of(self._folder(step)))
                self._remember(step, self._folder(step), verdict)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Gate where it is time to.

        Raises:
            UsageError: the model cannot be compared with the baseline.
        """
        if state.global_step % self.every == 0:
            self._gate(args, state.global_step, control, given)

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Gate what the training ends with."""
        if state.global_step not in (0, self.asked, *self.verdicts):
            self._gate(args, state.global_step, control, given)

    def _gate(self, args: Any, step: int, control: Any, given: Mapping[str, Any]) -> None:
        """Save, gate, mark; trouble with the measuring side is told and stops no training."""
        self.asked = step
        if why := self.spent.beyond(self.budget):
            self.say(f"step {step}: not gated, since {why}.")
            return
        folder = self._folder(step)
        options = {"device": self.device or str(args.device), **self.keeper.options}
        try:
            with _undisturbed():
                made = self._save(folder, given["model"], given["processing_class"])
                gated = replace(self.keeper, options=options).gate(folder)
        except CheckpointError as error:
            self.say(f"step {step}: no checkpoint that could be gated. {error}")
            control.should_training_stop |= self.on_red == "stop"
            return
        except (DataError, InstrumentError) as error:
            self.say(f"step {step}: not gated. {error}")
            return
        except OSError as error:
            reason = error.strerror or str(error)
            self.say(
                f"step {step}: not gated. '{self.out}' cannot be written ({reason}); make room there."
            )
            return
        self.spent += gated.spent
        self._remember(step, folder, gated.verdict)
        if self.best and self.best.step == step:
            self._mark(made, gated.run)
        if gated.verdict.exit_code == 1 and self.on_red == "stop":
            self.say(f"step {step}: red, so the training stops.")
            control.should_training_stop = True

    def _folder(self, step: int) -> Path:
        assert self.out is not None
        return self.out / f"step-{step}"

    def _save(self, folder: Path, model: Any, tokenizer: Any) -> Checkpoint:
        """A whole checkpoint, its adapter merged; what an earlier sitting left of this step is dropped."""
        if tokenizer is None:
            raise UsageError(
                "The trainer has no tokenizer to save with the model; pass it as `processing_class`."
            )
        if folder.exists():
            if open_checkpoint(folder).stage != _STAGE:
                raise UsageError(f"'{folder}' is not GateCallback's; choose another `out`.")
            shutil.rmtree(folder)
            shutil.rmtree(verdict_of(folder).parent, ignore_errors=True)
        # Merging changes weights in place.
        whole = merged(copy.deepcopy(model)) if hasattr(model, "merge_and_unload") else model
        step = int(folder.name.rpartition("-")[2])
        return write_checkpoint(
            folder, saver(whole, tokenizer), parent=None, stage=_STAGE, settings={"step": step}
        )

    def _remember(self, step: int, folder: Path, verdict: Verdict) -> None:
        self.verdicts[step] = verdict
        if verdict.exit_code == 0:
            self.accepted.append(Accepted(step, folder, _gain(verdict, self.keeper.target)))

    def _mark(self, checkpoint: Checkpoint, run: Run) -> None:
        assert self.out is not None
        of = len(self.accepted)
        label = "accepted" if of == 1 else f"best of {of} accepted (selection not confirmed)"
        promote(self.out, Node(checkpoint.path.name, checkpoint, run), label, recipe=None)
        self.say(f"{checkpoint.path.name}: {label}.")


def _nothing(*_: Any, **__: Any) -> None:
    """An event that concerns others."""


def _run(given: Run | str | Path) -> Run:
    return given if isinstance(given, Run) else Run.open(given)


def _gain(verdict: Verdict, target: str | None) -> float | None:
    """Mean difference over the target's claims."""
    own = [d.delta for d in verdict.domain_list if target in (d.domain, d.id)]
    known = [delta for delta in own if delta is not None]
    return sum(known) / len(known) if known else None


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Random numbers of Python, numpy and torch, and torch's threads, as they were before."""
    import numpy
    import torch

    python, arrays, threads = random.getstate(), numpy.random.get_state(), torch.get_num_threads()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        numpy.random.set_state(arrays)
        torch.set_num_threads(threads)
