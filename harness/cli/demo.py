"""`waterbed demo`: the closed loop on the embedded tiny model, on a CPU, without network.

Writes a recipe (demo_recipe.py) into its folder, hands it to the loop (harness/loop.py) and says in a
line each what the gates said. A toy model in a toy world; every effect in it is real, and whatever the
gates decide is told. Killed or stopped, the same command goes on. Not here: training, gates, repairs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import Interrupted, UsageError
from .demo_recipe import POLICY, POLICY_FILE, RECIPE_FILE, STORY, recipe
from .gate import write_outputs
from .init import write_new
from .loop import write_lineage
from .output import progress, say

if TYPE_CHECKING:
    from ..lineage import Attempt, Lineage
    from ..loop_records import LoopResult

#: What a preference loss says of itself in its metrics file.
_PAIRS_RIGHT = "rewards/accuracies"
#: What its stages need beside the package itself: module -> extra.
_EXTRAS = {"trl": "train", "llmcompressor": "compress"}
#: Exit codes of a loop that ended as it should, whatever its gates said: a demo shows gates and is none.
_TOLD = (0, 1, 3)
#: Takes the marks of nested settings away.
_BARE = str.maketrans("", "", "{}'")


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the demo.")] = Path(
        "waterbed-out/demo"
    ),
    seed: Annotated[int, typer.Option(help="Seed of every stage.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only the first stage and its repair.")
    ] = False,
) -> None:
    """Run the closed loop on the embedded tiny model: stages, red gates, repairs, the lineage page."""
    from ...suites.pocket.base import base_checkpoint
    from ..lineage import read_lineage

    _require_extras(quick=quick)
    began, folder = time.monotonic(), out.resolve()
    say(
        "Toy model in a toy world: 0.3 million parameters, seven generated domains, one CPU thread."
    )
    with progress("pre-train the base") as update:
        base = base_checkpoint(lambda _, done, total: update(done, total), seed=seed)
    say(f"base: pre-trained once and kept ({_since(began)}).")
    file = _written(folder, recipe(base.path, folder, seed=seed, quick=quick))
    done = _looped(file, folder)
    say(f"{done.sentence} {_since(began)} in all.")
    found = read_lineage(folder)
    say(f"Toy model, percent from base to accepted (* less is better): {_figures(found)}.")
    _point_to_pages(folder, found)
    if done.exit_code not in _TOLD:
        raise typer.Exit(done.exit_code)


def _require_extras(*, quick: bool) -> None:
    """Say before anything is trained what the last stage would miss.

    Raises:
        UsageError: a package is not here.
    """
    wanted = ["trl"] if quick else list(_EXTRAS)
    absent = [name for name in wanted if find_spec(name) is None]
    if absent:
        extras = ",".join(_EXTRAS[name] for name in wanted)
        more = "" if quick else ", or pass --quick, which compresses nothing"
        raise UsageError(
            f"The demo needs {' and '.join(absent)}; pip install 'waterbed[{extras}]'{more}."
        )


def _written(folder: Path, text: str) -> Path:
    """The recipe's file; what lies there already must be the same.

    Raises:
        UsageError: it is another one, or cannot be written.
    """
    write_new(folder, {RECIPE_FILE: text, POLICY_FILE: POLICY})
    for name, wanted in ((RECIPE_FILE, text), (POLICY_FILE, POLICY)):
        if (folder / name).read_text(encoding="utf-8") != wanted:
            raise UsageError(
                f"'{folder / name}' is not what this demo would write; run it with `waterbed loop`, or choose "
                "another --out."
            )
    return folder / RECIPE_FILE


def _looped(file: Path, folder: Path) -> LoopResult:
    """Begin the loop, or go on with it."""
    from ..loop import loop

    teller = Teller(folder)
    try:
        return loop(
            file,
            folder,
            resume=True,
            watching=teller.watching,
            show=write_outputs,
            told=teller.told,
        )
    except Interrupted as error:
        raise Interrupted(
            "Stopped; all that was done is kept, and the same command goes on."
        ) from error


@dataclass(slots=True)
class Teller:
    """Says what happens in a loop, each thing once, and keeps its page up to date."""

    folder: Path
    said: set[str] = field(default_factory=set)

    @contextmanager
    def watching(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Progress; the first of a stage begins with what the stage is."""
        step = what.rpartition(" ")[2].partition(".")[0]
        if step in STORY:
            self._once(step, f"{step}: {STORY[step]}")
        with progress(what) as update:
            yield update

    def told(self, folder: Path) -> None:
        """A line for each attempt that was decided since."""
        from ..lineage import read_lineage

        for attempt in read_lineage(folder).attempts:
            if attempt.label:
                self._once(attempt.name, _line(attempt))
        write_lineage(folder)

    def _once(self, key: str, text: str) -> None:
        if key not in self.said:
            self.said.add(key)
            say(text)


def _line(attempt: Attempt) -> str:
    """What a gate said of one attempt, what it rests on, and what follows."""
    judged = attempt.judged
    assert judged is not None
    parts = list(filter(None, [_changed(attempt), _own_metric(attempt), _gained(attempt)]))
    parts.append(_lost(attempt))
    parts.append(f"{attempt.seconds:.0f} s")
    after = attempt.label or ""
    follows = f"; by the recipe: {attempt.next}" if attempt.next else ""
    return f"  {attempt.outcome:5} {attempt.name}: {'; '.join(parts)}. {after}{follows}."


def _changed(attempt: Attempt) -> str:
    """What a later try does otherwise; of a retry's settings the first, for the recipe has them all."""
    if attempt.how == "first":
        return ""
    why = attempt.why
    return why.translate(_BARE).split(",")[0] if attempt.how == "retry" else why


def _lost(attempt: Attempt) -> str:
    """Proven losses: on the items that decide, against the anchor, or on the reserve."""
    judged, reserve, verdict = attempt.judged, attempt.confirmation, attempt.verdict
    assert judged is not None
    if reserve is not None and reserve.outcome == "red":
        return f"on the reserve lost {_named(reserve.lost, reserve.deltas)}"
    proven = [d.id for d in verdict.domain_list if d.badge == "fail"] if verdict else []
    lost = proven or judged.lost
    if lost:
        return f"lost {_named(lost, judged.deltas)}"
    # A loss in the mean over domains, drift, or why nothing could be said.
    return "no loss shown" if judged.outcome == "green" else judged.sentence.rstrip(".")


def _named(claims: Sequence[str], deltas: Mapping[str, float | None]) -> str:
    """Claims with their differences; a domain with several claims stands alone."""
    return ", ".join(f"{c} {_points(deltas[c])}" if c in deltas else c for c in claims)


def _gained(attempt: Attempt) -> str:
    claim = attempt.claim(attempt.target)
    return f"{attempt.target} {_points(claim.delta)}" if claim else ""


def _own_metric(attempt: Attempt) -> str:
    """What the training said of itself, where it learned from pairs."""
    path = attempt.file("metrics")
    lines = path.read_text(encoding="utf-8").splitlines() if path else []
    right = json.loads(lines[-1]).get(_PAIRS_RIGHT) if lines else None
    return "" if right is None else f"its own metric: {right:.0%} of its pairs right"


def _points(delta: float | None) -> str:
    return "-" if delta is None else f"{100 * delta:+.1f}"


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.0f} s"


def _figures(found: Lineage) -> str:
    """Anchor and accepted checkpoint by domain, on the items that decide."""
    from ..lineage_matrix import lineage_matrix

    whole = lineage_matrix(found)
    if isinstance(whole, str):
        return whole.rstrip(".")
    first, last = found.trunk[0], found.trunk[-1]
    ends = ((c, whole.means[first, c.id], whole.means[last, c.id]) for c in whole.claims)
    return ", ".join(
        f"{c.id}{'*' if c.lower_is_better else ''} {100 * old:.1f} to {100 * new:.1f}"
        for c, old, new in ends
    )


def _point_to_pages(folder: Path, found: Lineage) -> None:
    """The lineage page first, then the gates that were not green."""
    typer.echo(f"open {folder / 'lineage.html'}")
    for attempt in found.attempts:
        page = attempt.file("gate")
        if page and not attempt.accepted:
            typer.echo(f"open {page}")
