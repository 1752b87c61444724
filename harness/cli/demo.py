"""`waterbed demo`: the closed loop on the embedded tiny model, on a CPU, without network.

Pre-trains a base, fine-tunes it on maths alone and gates it (red: the waterbed), fine-tunes it again
with replay of what it knew and gates that, and leaves a page for each. A toy model in a toy world;
every effect in it is real. The recipes lie in suites/pocket/base.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .gate import write_outputs
from .output import progress, say

if TYPE_CHECKING:
    from ..checkpoints import Checkpoint
    from ..run import Run
    from ..verdict import Verdict

Recipe = tuple[str, Mapping[str, Any]]


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the demo.")] = Path(
        "waterbed-out/demo"
    ),
    seed: Annotated[int, typer.Option(help="Seed of every stage.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do everything again.")] = False,
) -> None:
    """Run the closed loop on the embedded tiny model: a red gate, then one that is not."""
    from ...suites.pocket import base as pocket

    began = time.monotonic()
    room = Workroom(out, seed, fresh)
    say(
        "A toy model in a toy world: 0.3 million parameters, seven generated domains, one CPU thread."
    )
    with _step("pre-train the base (once; kept in the cache)") as update:
        base = pocket.base_checkpoint(_as_stage_progress(update), seed=seed)
    before = room.evaluate(base, "base")
    alone = room.train(base, "maths-alone", pocket.MATH_ALONE)
    first = room.gate(before, room.evaluate(alone, "maths-alone"), "1-maths-alone")
    mixed = room.train(base, "maths-with-replay", pocket.MATH_WITH_REPLAY)
    second = room.gate(before, room.evaluate(mixed, "maths-with-replay"), "2-maths-with-replay")
    _tell(first, second, time.monotonic() - began)
    for name in ("1-maths-alone", "2-maths-with-replay"):
        typer.echo(f"open {(out / name / 'gate.html').resolve()}")


@dataclass(frozen=True, slots=True)
class Workroom:
    """The demo's folder: checkpoints, Runs and gates; what is there already is used again."""

    out: Path
    seed: int
    fresh: bool

    def train(self, base: Checkpoint, name: str, recipe: Recipe) -> Checkpoint:
        """One stage from the base, into `<out>/<name>`."""
        import shutil

        from ..checkpoints import open_checkpoint
        from ..stage import StageContext, stages

        folder = self.out / "checkpoints" / name
        stage, settings = recipe
        if folder.is_dir():
            found = open_checkpoint(folder)
            if found.parent == base.digest and not self.fresh:
                return found
            if found.stage != stage:
                raise UsageError(f"'{folder}' is not the demo's; choose another --out.")
            shutil.rmtree(folder)
        with _step(f"{stage}: {name}") as update:
            context = StageContext(folder, seed=self.seed, progress=_as_stage_progress(update))
            return stages.get(stage).run(base, context, **settings)

    def evaluate(self, checkpoint: Checkpoint, name: str) -> Run:
        """The pocket suites on one checkpoint."""
        from ..api import evaluate

        with _step(f"evaluate {name}") as update:
            return evaluate(
                checkpoint,
                ["pocket"],
                self.out / "runs" / name,
                options={"device": "cpu", "threads": 1},
                label=name,
                fresh=self.fresh,
                progress=update,
            )

    def gate(self, baseline: Run, candidate: Run, name: str) -> Verdict:
        """The default policy with maths as the target; writes the page."""
        from ..gate import gate_runs
        from ..policy import Policy

        verdict = gate_runs(baseline, candidate, Policy.load("harm"), target="math")
        write_outputs(verdict, baseline, candidate, self.out / name)
        say(f"gate {candidate.label}: {verdict.headline}: {verdict.sentence}")
        return verdict


@contextmanager
def _step(what: str) -> Iterator[Callable[[int, int], None]]:
    began = time.monotonic()
    say(f"{what} ...")
    with progress(what) as update:
        yield update
    say(f"{what}: {time.monotonic() - began:.0f} s")


def _as_stage_progress(update: Callable[[int, int], None]) -> Callable[[str, int, int], None]:
    return lambda _, done, total: update(done, total)


def _tell(first: Verdict, second: Verdict, seconds: float) -> None:
    """What happened, read off the two verdicts."""
    say("")
    say(f"Toy model, {seconds:.0f} s in all.")
    for verdict in (first, second):
        gain = verdict.domains["math"].delta
        lost = [d.id for d in verdict.domain_list if d.badge == "fail"]
        where = f"lost {', '.join(lost)}" if lost else "no loss shown elsewhere"
        shown = "-" if gain is None else f"{100 * gain:+.1f} points"
        say(f"{verdict.candidate.label}: maths {shown}, {where}; exit code {verdict.exit_code}.")
