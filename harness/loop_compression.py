"""Remedies for a compression that lost too much: keep what is sensitive, heal, compress less.

A stage compresses if it has a setting that says how much (`SHARES`, `BITS`) or how many parts to leave
as they are (`KEEP`). Not here: other remedies (loop_repair.py), which parts are sensitive (the stages).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .loop_case import Case, Tries, replay_datasets
from .loop_records import Judged, Proposal, Skipped
from .recipe import HEAL_STAGE
from .stage import stages
from .stage_config import problems

#: Rows of replay for each domain of which the loop knows no rows that were learned.
HEAL_ROWS = 1000
#: Rows in all; where more were learned, every dataset gives its share.
MOST_HEAL_ROWS = 16_000
#: Settings that say how much goes, as a share, and how many bits stay.
SHARES, BITS = ("sparsity", "neurons", "groups"), "bits"
#: The setting that keeps so many parts in high precision; how many more are kept, try by try.
KEEP, MORE_KEPT = "keep_most_sensitive", (2, 4)
#: Rows of each dataset on which sensitivity is measured.
MEASURED_ROWS = 64
#: What is left of the share that goes, try by try; the bits that are taken instead, if they are more.
LIGHTER, MORE_BITS = (0.6, 0.3), (4, 8)


def compresses(case: Case) -> bool:
    """Whether the stage makes a checkpoint smaller."""
    full = case.settings
    return any(full.get(name) for name in (*SHARES, BITS)) or KEEP in full


def keep(case: Case) -> Tries:
    """The parts whose compression changes the answers most stay as they were."""
    full, step = case.settings, case.step
    if KEEP not in full:
        yield Skipped("keep", f"stage '{step.stage}' cannot keep its most sensitive parts")
        return
    data = full.get("data") or dict.fromkeys(_rows(case), MEASURED_ROWS)
    for more in MORE_KEPT:
        settings = {**step.settings, KEEP: full[KEEP] + more, "data": data}
        if wrong := problems(stages.get(step.stage).config, settings, step.stage):
            yield Skipped("keep", str(wrong[0][1]).rstrip("."))
            return
        why = f"keeping the {settings[KEEP]} most sensitive parts"
        yield Proposal(how="keep", stage=step.stage, settings=settings, why=why)


def heal(case: Case) -> Tries:
    """The checkpoint before teaches the rejected one, which stays as sparse or as small as it is."""
    made, why = case.made, _unhealable(case)
    if why or made is None or case.start is None:
        yield Skipped("heal", why)
        return
    data = _rows(case)
    settings = {"data": data, "teacher": str(case.start.path.resolve()), **case.step.heal}
    if not settings["data"]:
        yield Skipped("heal", "no rows are known to heal with; name `data` under `heal`")
        return
    on = f"on {_counted(settings['data'])}"
    why = f"{made.attempt}, taught by the checkpoint before it {on}"
    yield Proposal(how="heal", stage=HEAL_STAGE, settings=settings, why=why, mends=made)
    healed = case.judged[-1]
    if healed is not made and healed.checkpoint:
        why = f"{healed.attempt}, taught once more {on}"
        yield Proposal(how="heal", stage=HEAL_STAGE, settings=settings, why=why, mends=healed)


def _unhealable(case: Case) -> str:
    """Why there is nothing to heal, or empty."""
    if not compresses(case):
        return f"stage '{case.step.stage}' does not compress"
    if case.made is None or case.start is None:
        return "there is no checkpoint to heal, or none to teach it"
    if HEAL_STAGE not in stages.all():
        return f"no stage '{HEAL_STAGE}' is registered here"
    if _quantized(case.made):
        return "what the stage made is quantized, and rounded weights cannot learn"
    return ""


def _quantized(made: Judged) -> bool:
    try:
        config = json.loads((Path(str(made.checkpoint)) / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False  # the stage says what is wrong with it
    return "quantization_config" in config


def _rows(case: Case) -> dict[str, int | None]:
    """What is known to have been learned, and replay of every evaluated domain that is not in it."""
    learned = dict(case.learned)
    for domain, dataset in replay_datasets().items():
        name = f"{dataset.name}@train"
        known = domain in case.targets or name in learned
        if domain in case.evaluated and not known and dataset.shape in ("messages", "text"):
            learned[name] = HEAL_ROWS
    total = sum(n or 0 for n in learned.values())
    if total <= MOST_HEAL_ROWS:
        return learned
    share = MOST_HEAL_ROWS / total
    return {name: n and max(1, round(n * share)) for name, n in learned.items()}


def _counted(data: Mapping[str, int | None]) -> str:
    if None in data.values():
        return f"the rows of {', '.join(sorted(data))}"
    return f"{sum(n or 0 for n in data.values())} rows"


def lighter(case: Case) -> Tries:
    """Less goes, or more bits stay."""
    full, step = case.settings, case.step
    shares = [name for name in SHARES if isinstance(full.get(name), float) and full[name] > 0]
    bits = full.get(BITS)
    changes: list[dict[str, Any]] = []
    if shares:
        changes = [{name: round(full[name] * left, 6) for name in shares} for left in LIGHTER]
    elif isinstance(bits, int):
        changes = [{BITS: more} for more in MORE_BITS if more > bits]
    if not changes:
        yield Skipped("lighter", f"stage '{step.stage}' has nothing to compress less by")
    for changed in changes:
        settings = {**step.settings, **changed}
        if wrong := problems(stages.get(step.stage).config, settings, step.stage):
            yield Skipped("lighter", str(wrong[0][1]).rstrip("."))
            return
        said = ", ".join(f"{key} {value:g}" for key, value in changed.items())
        yield Proposal(
            how="lighter", stage=step.stage, settings=settings, why=f"compressed less: {said}"
        )
