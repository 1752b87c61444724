"""What is tried after a gate that was not green: other settings, or a repair.

Each remedy looks at what the gates said so far and proposes attempts, one after the other, all from the
checkpoint where the stage began; the loop takes the first that is accepted. A remedy that cannot apply
says why. Not here: running and judging attempts (loop.py), compression's own repairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .checkpoints import Checkpoint
from .dataset_rows import shape_of
from .datasets import datasets, load_any
from .loop_records import Judged, Proposal, Skipped
from .recipe import Action, Remedy, StageStep
from .stage import StageContext, stages

#: The stage that takes the weighted mean of two checkpoints (WiSE-FT).
LINE_STAGE = "interpolate"
#: Shares of the rejected checkpoint on the line to the one it was made from.
LINE = (0.75, 0.5, 0.25)
#: Rows of replay over the stage's own rows, round by round.
ROUNDS = (1.0, 2.0)
#: Where a stage trains on all rows of a dataset, their number is not known beforehand.
UNCOUNTED_ROWS = 2000
#: Rates are divided, and weights of a penalty multiplied, by this a try.
GENTLER, GENTLER_TRIES = 3.0, 2
_RATES, _PENALTIES = ("lr", "muon_lr", "adamw_lr"), ("beta", "kl")


@dataclass(slots=True)
class Case:
    """One stage of a recipe while it is being decided."""

    step: StageStep
    start: Checkpoint | None
    """Where every attempt starts."""
    judged: list[Judged] = field(default_factory=list)
    """What the gates said, in order; the first is the stage as written."""

    @property
    def regressed(self) -> tuple[str, ...]:
        """Domains to be mended: proven losses of all tries, else all that fell in the first.

        The target is never among them: it has rows of its own.
        """
        target = (self.step.target or "").split("/")[0]
        proven = [domain for judged in self.judged for domain in judged.lost]
        fell = [
            claim.split("/")[0]
            for claim, delta in self.judged[0].deltas.items()
            if delta is not None and delta < 0
        ]
        return tuple(d for d in dict.fromkeys(proven or fell) if d != target)

    def action(self) -> Action:
        """What the recipe wants after the first attempt."""
        red = self.judged[0].outcome in ("red", "broken")
        return self.step.on_red if red else self.step.on_inconclusive


Tries = Iterator[Proposal | Skipped]


def proposals(case: Case) -> Tries:
    """The stage as written, then what the recipe's action proposes."""
    step = case.step
    yield Proposal(how="first", stage=step.stage, settings=step.settings, why="as the recipe says")
    action = case.action()
    if action == "retry":
        for changed in step.retry:
            said = ", ".join(f"{key}: {value}" for key, value in changed.items())
            settings = {**step.settings, **changed}
            yield Proposal(how="retry", stage=step.stage, settings=settings, why=f"with {said}")
    elif action == "repair":
        for remedy in step.repair:
            yield from REMEDIES[remedy](case)


def _replay(case: Case) -> Tries:
    """Rows of what regressed beside the stage's own, each round more and for all that fell by then."""
    declared = {d.replay_for: d for d in datasets.all().values() if d.replay_for}
    data = case.step.settings.get("data")
    if not isinstance(data, Mapping):
        yield Skipped("replay", f"stage '{case.step.stage}' has no 'data' to mix rows into")
        return
    shapes = {_shape(reference) for reference in data}
    for share in ROUNDS:
        domains = [
            d for d in case.regressed if d in declared and shapes == {str(declared[d].shape)}
        ]
        if not domains:
            fell = ", ".join(case.regressed) or "no domain"
            yield Skipped(
                "replay", f"{fell} fell, and no replay dataset of the data's shape is for it"
            )
            return
        own = sum(n if n is not None else UNCOUNTED_ROWS for n in data.values())
        rows = max(1, round(share * own / len(domains)))
        settings = _mixed(case.step.settings, {d: declared[d].name for d in domains}, rows)
        why = f"with {rows} rows of replay for each of {', '.join(domains)}"
        yield Proposal(how="replay", stage=case.step.stage, settings=settings, why=why)


def _shape(reference: str) -> str | None:
    """The shape of the rows that a reference gives."""
    known = datasets.all().get(reference.partition("@")[0])
    return known.shape if known else shape_of(load_any(reference, n=1)[0])


def _mixed(settings: Mapping[str, Any], named: Mapping[str, str], rows: int) -> dict[str, Any]:
    """Settings with so many more rows for each domain; what they replay already is kept."""
    data, replayed = dict(settings["data"]), settings.get("replay")
    if replayed:
        # Every reference stands in one place only, so the recipe's own replay moves over.
        total = sum(replayed["domains"].values())
        declared = {d.replay_for: d.name for d in datasets.all().values() if d.replay_for}
        for domain, weight in replayed["domains"].items():
            data[f"{declared[domain]}@train"] = round(replayed["rows"] * weight / total)
    for name in named.values():
        reference = f"{name}@train"
        data[reference] = (data.get(reference) or 0) + rows
    return {**settings, "data": data, **({"replay": None} if replayed else {})}


def _interpolate(case: Case) -> Tries:
    """Points on the line back to where the stage began, the farthest first."""
    rejected = next((j.checkpoint for j in case.judged if j.checkpoint), None)
    if rejected is None or case.start is None:
        yield Skipped("interpolate", "there are no two checkpoints to draw a line between")
        return
    if LINE_STAGE not in stages.all():
        yield Skipped("interpolate", f"no stage '{LINE_STAGE}' is registered here")
        return
    for share in LINE:
        yield Proposal(
            how="interpolate",
            stage=LINE_STAGE,
            settings={"other": str(Path(rejected).resolve()), "alpha": share},
            why=f"{share:.0%} of the way from where the stage began to what it made",
        )


def _earlier(case: Case) -> Tries:
    """Checkpoints that the stage kept on its way, the latest first."""
    made = next((Path(j.checkpoint) for j in case.judged if j.checkpoint), None)
    folder = StageContext(made).kept if made else None
    kept = sorted(folder.iterdir(), key=_by_step) if folder and folder.is_dir() else []
    if not kept:
        yield Skipped("earlier", f"stage '{case.step.stage}' kept no earlier checkpoint")
    for path in reversed(kept):
        yield Proposal(
            how="earlier",
            stage=case.step.stage,
            settings=case.step.settings,
            why=f"what the stage had at {path.name}",
            ready=str(path),
        )


def _by_step(path: Path) -> tuple[int, str]:
    return len(path.name), path.name


def _gentler(case: Case) -> Tries:
    """Smaller learning rates, a stronger pull towards where the stage began."""
    full = stages.get(case.step.stage).settings(**case.step.settings)
    rates = [k for k in _RATES if isinstance(full.get(k), float)]
    pulls = [k for k in _PENALTIES if isinstance(full.get(k), float) and full[k] > 0]
    if not rates and not pulls:
        yield Skipped("gentler", f"stage '{case.step.stage}' has no learning rate and no penalty")
        return
    for number in range(1, GENTLER_TRIES + 1):
        factor = GENTLER**number
        changed = {k: full[k] / factor for k in rates} | {k: full[k] * factor for k in pulls}
        said = ", ".join(f"{key} {value:.3g}" for key, value in changed.items())
        yield Proposal(
            how="gentler",
            stage=case.step.stage,
            settings={**case.step.settings, **changed},
            why=f"gentler: {said}",
        )


REMEDIES: Mapping[Remedy, Callable[[Case], Tries]] = {
    "replay": _replay,
    "interpolate": _interpolate,
    "earlier": _earlier,
    "gentler": _gentler,
}
