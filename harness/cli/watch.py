"""`waterbed watch`: gate every checkpoint of a running training as it is completely written.

A verdict and its page lie beside each checkpoint, in `gate-<its name>/`; what has one is not gated
again. Not here: the watching itself (harness/watch.py).
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .evaluate import Batch, Device, Judge, Limit, Prices, Suites, Threads, User, named_others
from .gate import Sides, write_outputs
from .output import print_json, say, suite_names

if TYPE_CHECKING:
    from ..watch import Watcher
    from ..watch_gate import Gatekeeper


def watch(
    folder: Annotated[Path, typer.Argument(help="Folder in which a training writes checkpoints.")],
    baseline: Annotated[
        str, typer.Option("--baseline", "-b", help="A Run, or a checkpoint: folder or hub id.")
    ],
    policy: Annotated[
        str | None, typer.Option("--policy", "-p", help="harm, release, strict or a YAML file.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", "-t", help="The domain that is trained.")
    ] = None,
    suites: Suites = None,
    anchor: Annotated[
        str | None,
        typer.Option("--anchor", help="A Run that is kept for good; allows 1.5 margins."),
    ] = None,
    stop_file: Annotated[
        Path | None,
        typer.Option("--stop-file", help="Written when a checkpoint is red; ends this."),
    ] = None,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1)] = 10.0,
    minutes: Annotated[float | None, typer.Option(help="End after so long.")] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Gate what is complete by now, and end.")
    ] = False,
    newest: Annotated[
        bool, typer.Option("--newest", help="When behind, gate the newest; the others are named.")
    ] = False,
    budget_minutes: Annotated[
        float | None, typer.Option(help="Gate for so long in all, then end.", min=0.01)
    ] = None,
    budget_tokens: Annotated[
        int | None, typer.Option(help="Ask and answer so many tokens in all, then end.", min=1)
    ] = None,
    user: User = None,
    judge: Judge = None,
    price: Prices = None,
    device: Device = None,
    batch_size: Batch = None,
    threads: Threads = None,
    limit: Limit = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the verdicts.")] = False,
) -> None:
    """Gate checkpoints as written; exit code of the worst verdict in FOLDER, 3 if one could not be."""
    from ..recipe import Budget
    from ..watch import Watcher, check_places
    from ..watch import watch as look_again

    check_places(folder, stop_file)  # before the baseline is evaluated, into that folder
    options = {"device": device, "batch_size": batch_size, "threads": threads}
    others = named_others(price, user=user, judge=judge)
    sides = Sides(folder / "gate-of-the", suite_names(suites), options, limit, others)
    hours = None if budget_minutes is None else budget_minutes / 60
    watcher = Watcher(
        folder=folder,
        keeper=_keeper(sides, baseline, anchor, policy, target),
        stop_file=stop_file,
        newest=newest,
        budget=Budget(hours=hours, tokens=budget_tokens),
    )
    began, looks = time.monotonic(), 0

    def until() -> bool:
        nonlocal looks
        looks += 1
        over = minutes is not None and time.monotonic() - began >= 60 * minutes
        return over or (once and looks > 1) or bool(stop_file and stop_file.exists())

    found = list(look_again(watcher, every_s=every, until=until))
    if json_:
        print_json([verdict.to_dict() for verdict in found])
    raise typer.Exit(_worst(watcher))


def _keeper(
    sides: Sides, baseline: str, anchor: str | None, policy: str | None, target: str | None
) -> Gatekeeper:
    """What every checkpoint is held against; a baseline that is a checkpoint is evaluated now."""
    from ..policy import Policy
    from ..run import Run
    from ..watch_gate import Gatekeeper

    rules = Policy.load(policy)
    if sides.limit is not None:
        rules = rules.model_copy(update={"limit": sides.limit})
    suites = list(sides.suites) or list(rules.suites)
    kept = replace(sides, suites=suites).open("baseline", baseline)
    fixed = anchor or rules.anchor
    return Gatekeeper(
        baseline=kept,
        policy=rules.model_copy(update={"anchor": None}),
        suites=suites or list(kept.manifest["tasks"]),
        target=target,
        anchor=Run.open(fixed) if fixed else None,
        options=sides.options,
        others=sides.others,
        limit=sides.limit,
        say=say,
        show=write_outputs,
    )


def _worst(watcher: Watcher) -> int:
    """The exit code over every verdict in the folder, also of earlier watches."""
    codes = {verdict.exit_code for verdict in watcher.verdicts().values()}
    if not codes:
        say(f"No checkpoint in '{watcher.folder}' was gated; an empty watch shows nothing.")
    if watcher.left or watcher.unopened() or not codes:
        codes.add(3)  # what nobody looked at is not known to be harmless
    return next((code for code in (4, 1, 3) if code in codes), 0)
