"""Making one attempt of a loop, and promoting one that was accepted.

What a killed sitting left of an attempt is taken up (the stage's own work folder) or taken over (a
finished checkpoint), so that nothing is trained twice. `accepted` is a link that is moved in one step. Not
here: what to try (loop_repair.py), judging it (loop_gate.py).
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from .checkpoints import Checkpoint, open_checkpoint
from .errors import (
    CheckpointError,
    DataError,
    InstrumentError,
    TrainingDiverged,
    UsageError,
    WaterbedError,
)
from .loop_gate import Watching
from .loop_journal import store_error, write_json
from .loop_records import Node, Proposal
from .recipe import Recipe
from .stage import StageContext, stages

ACCEPTED = "accepted"


def train(
    folder: Path,
    recipe: Recipe,
    name: str,
    proposal: Proposal,
    start: Node | None,
    watching: Watching,
) -> dict[str, Any]:
    """Run a stage; what it left before a kill is taken up or taken over."""
    context = StageContext(
        folder / "checkpoints" / name,
        seed=recipe.seed,
        device=recipe.device,
        threads=recipe.threads,
    )
    began = time.monotonic()
    mends = proposal.mends
    origin = mends.attempt if mends else start.attempt if start else None
    found: dict[str, Any] = {
        "attempt": name,
        "parent": origin,
        "how": proposal.how,
        "stage": proposal.stage,
        "settings": dict(proposal.settings),
        "why": proposal.why,
    }
    parent = start.checkpoint if start else None
    if mends and mends.checkpoint:
        parent = open_checkpoint(mends.checkpoint)
    try:
        made = _made(context, proposal, parent, watching)
    except _refused(proposal) as error:
        return {**found, "broken": str(error), "seconds": time.monotonic() - began}
    seconds = round(time.monotonic() - began, 3)
    return {**found, "checkpoint": str(made.path), "digest": made.digest, "seconds": seconds}


def _refused(proposal: Proposal) -> tuple[type[WaterbedError], ...]:
    """What ends an attempt and not the loop: no usable weights, or a remedy the stage cannot do."""
    # What the recipe's author wrote and a stage refuses, they must hear of.
    own = proposal.how in ("first", "retry")
    failed = (CheckpointError, TrainingDiverged)
    return failed if own else (*failed, UsageError, DataError)


def _made(
    context: StageContext, proposal: Proposal, parent: Checkpoint | None, watching: Watching
) -> Checkpoint:
    """The checkpoint of a proposal: there already, left by a killed sitting, or made now."""
    if proposal.ready:
        return open_checkpoint(proposal.ready)
    stage = stages.get(proposal.stage)
    if context.out.is_dir():
        left = open_checkpoint(context.out)
        if left.parent != (parent.digest if parent else None):
            raise UsageError(f"'{context.out}' is not this loop's; choose another --out.")
        return left
    with watching(f"{proposal.stage}: {context.out.name}") as update:
        told = StageContext(
            context.out,
            seed=context.seed,
            device=context.device,
            threads=context.threads,
            progress=lambda _, done, total: update(done, total),
        )
        try:
            return stage.run(parent, told, **proposal.settings)
        except (WaterbedError, KeyboardInterrupt):
            raise
        except OSError as error:
            raise store_error(context.out, error) from error
        except Exception as error:
            raise InstrumentError(
                f"Stage '{proposal.stage}' of {context.out.name} raised {type(error).__name__}: {error}; mend "
                "it, then go on with --resume."
            ) from error


def promote(folder: Path, node: Node, label: str, *, recipe: str | None) -> None:
    """Point `accepted` at a checkpoint, in one step, and write its manifest.

    Args:
        recipe: digest of the recipe that led there, if one did.

    Raises:
        StoreError: the folder cannot be written.
    """
    aside, target = folder / f".{ACCEPTED}.partial", node.checkpoint.path.resolve()
    if target.is_relative_to(folder.resolve()):
        target = target.relative_to(folder.resolve())  # the folder may be moved as a whole
    try:
        aside.unlink(missing_ok=True)
        aside.symlink_to(target, target_is_directory=True)
        os.replace(aside, folder / ACCEPTED)
    except OSError as error:
        raise store_error(folder / ACCEPTED, error) from error
    record = {
        "attempt": node.attempt,
        "label": label,
        "checkpoint": str(node.checkpoint.path),
        "digest": node.checkpoint.digest,
        "run": str(node.run.path),
        "recipe": recipe,
    }
    write_json(folder / f"{ACCEPTED}.json", record)
