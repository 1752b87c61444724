"""`waterbed watch`: gate every checkpoint of a running training as it is completely written.

A verdict and its page lie beside each checkpoint, in `gate-<its name>/`; what has one is not gated
again. Not here: the watching itself (harness/watch.py).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from .evaluate import Batch, Device, Judge, Limit, Prices, Suites, Threads, User, named_others
from .gate import Sides, write_outputs
from .output import print_json, say, suite_names


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
    stop_file: Annotated[
        Path | None,
        typer.Option("--stop-file", help="Written when a checkpoint is red; ends this."),
    ] = None,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1)] = 10.0,
    minutes: Annotated[float | None, typer.Option(help="End after so long.")] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Gate what is complete by now, and end.")
    ] = False,
    user: User = None,
    judge: Judge = None,
    price: Prices = None,
    device: Device = None,
    batch_size: Batch = None,
    threads: Threads = None,
    limit: Limit = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the verdicts.")] = False,
) -> None:
    """Gate checkpoints as they are written; the exit code is that of the worst verdict."""
    from ..policy import Policy
    from ..watch import Watcher
    from ..watch import watch as look_again

    rules = Policy.load(policy)
    if limit is not None:
        rules = rules.model_copy(update={"limit": limit})
    names = suite_names(suites) or list(rules.suites)
    options = {"device": device, "batch_size": batch_size, "threads": threads}
    others = named_others(price, user=user, judge=judge)
    sides = Sides(folder / "gate-of-the", names, options, limit, others)
    kept = sides.open("baseline", baseline)
    watcher = Watcher(
        folder=folder,
        baseline=kept,
        policy=rules,
        suites=names or list(kept.manifest["tasks"]),
        target=target,
        stop_file=stop_file,
        options=options,
        others=others,
        limit=limit,
        say=say,
        show=write_outputs,
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
    codes = {verdict.exit_code for verdict in found}
    raise typer.Exit(next((code for code in (4, 1, 3) if code in codes), 0))
