"""What is tried after a gate that was not green: other settings, or a repair.

Each remedy looks at what the gates said so far and proposes attempts, one after the other, all from the
checkpoint where the stage began; the loop takes the first that is accepted. A remedy that cannot apply
says why; whether it can follows from the settings that the stage has and from what it made, not from its
name. Not here: compression's own remedies (loop_compression.py), running and judging attempts (loop.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .dataset_rows import shape_of
from .datasets import datasets, load_any
from .errors import WaterbedError
from .loop_case import Case, Tries, replay_datasets
from .loop_compression import compresses, heal, keep, lighter
from .loop_records import Proposal, Skipped
from .recipe import Remedy
from .stage import StageContext, stages

#: The stage that takes the weighted mean of two checkpoints (WiSE-FT).
LINE_STAGE = "interpolate"
#: Shares of the rejected checkpoint on the line to the one it was made from.
LINE = (0.75, 0.5, 0.25)
#: Rows of replay over the stage's own rows, round by round.
ROUNDS = (1.0, 2.0, 4.0)
#: Where a stage trains on all rows of a dataset, their number is not known beforehand.
UNCOUNTED_ROWS = 2000
#: Rates are divided, and weights of a penalty multiplied, by this a try.
GENTLER, GENTLER_TRIES = 3.0, 2
_RATES, _PENALTIES = ("lr", "muon_lr", "adamw_lr"), ("beta", "kl")


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
    """Rows of every other domain beside the stage's own, each round more; of what fell twice as many.

    Of every other: a gate that is red was stopped before it had seen every loss.
    """
    declared = replay_datasets()
    data = case.step.settings.get("data")
    if not isinstance(data, Mapping):
        yield Skipped("replay", f"stage '{case.step.stage}' has no 'data' to mix rows into")
        return
    shapes = {shape(reference) for reference in data}
    fit = [d for d, found in declared.items() if shapes == {str(found.shape)}]
    own = sum(n if n is not None else UNCOUNTED_ROWS for n in data.values())
    for share in ROUNDS:
        fell = case.regressed
        if not set(fell) & set(fit):
            named = ", ".join(fell) or "no domain"
            yield Skipped(
                "replay", f"{named} fell, and no replay dataset of the data's shape is for it"
            )
            return
        weights = {d: 1 + (d in fell) for d in (*fell, *case.others) if d in fit}
        rows = {
            d: max(1, round(share * own * w / sum(weights.values()))) for d, w in weights.items()
        }
        settings = _mixed(case.step.settings, {declared[d].name: n for d, n in rows.items()})
        said = ", ".join(f"{domain} {n}" for domain, n in rows.items())
        why = f"with rows of replay: {said}"
        yield Proposal(how="replay", stage=case.step.stage, settings=settings, why=why)


def shape(reference: str) -> str | None:
    """The shape of the rows that a reference gives."""
    known = datasets.all().get(reference.partition("@")[0])
    return known.shape if known else shape_of(load_any(reference, n=1)[0])


def _mixed(settings: Mapping[str, Any], rows: Mapping[str, int]) -> dict[str, Any]:
    """Settings with so many more rows of each dataset; what they replay already is kept."""
    data, replayed = dict(settings["data"]), settings.get("replay")
    if replayed:
        # Every reference stands in one place only, so the recipe's own replay moves over.
        total = sum(replayed["domains"].values())
        declared = replay_datasets()
        for domain, weight in replayed["domains"].items():
            data[f"{declared[domain].name}@train"] = round(replayed["rows"] * weight / total)
    for name, more in rows.items():
        reference = f"{name}@train"
        data[reference] = (data.get(reference) or 0) + more
    return {**settings, "data": data, **({"replay": None} if replayed else {})}


def learned(
    settings: Mapping[str, Any], before: Mapping[str, int | None] | None = None
) -> dict[str, int | None]:
    """The chats and texts that a training with these settings learned, by dataset.

    Args:
        before: what was learned already; of one dataset the larger number counts, since a compression
            only looks at a few of the same rows.
    """
    known = dict(before or {})
    if not isinstance(settings, Mapping) or not isinstance(settings.get("data"), Mapping):
        return known
    try:
        whole: dict[str, int | None] = _mixed(settings, {})["data"]
        texts = {k: n and int(n) for k, n in whole.items() if shape(k) in ("messages", "text")}
    except (WaterbedError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return known  # a base from elsewhere, whose data is not here or is written otherwise
    for name, n in texts.items():
        already = known.get(name, 0)
        known[name] = None if n is None or already is None else max(n, already)
    return known


def _interpolate(case: Case) -> Tries:
    """Points on the line back to where the stage began, the farthest first."""
    if case.made is None or case.start is None:
        yield Skipped("interpolate", "there are no two checkpoints to draw a line between")
        return
    if compresses(case):
        yield Skipped("interpolate", "the line back would undo the compression")
        return
    if LINE_STAGE not in stages.all():
        yield Skipped("interpolate", f"no stage '{LINE_STAGE}' is registered here")
        return
    for share in LINE:
        yield Proposal(
            how="interpolate",
            stage=LINE_STAGE,
            settings={"other": str(Path(str(case.made.checkpoint)).resolve()), "alpha": share},
            why=f"{share:.0%} of the way from where the stage began to what it made",
        )


def _earlier(case: Case) -> Tries:
    """Checkpoints that the stage kept on its way, the latest first."""
    made = case.made
    folder = StageContext(Path(str(made.checkpoint))).kept if made else None
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
    full = case.settings
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
    "keep": keep,
    "heal": heal,
    "lighter": lighter,
    "interpolate": _interpolate,
    "earlier": _earlier,
    "gentler": _gentler,
}
