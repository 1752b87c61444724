"""`waterbed noise`: how much a checkpoint differs from itself, measured and kept beside its Run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .evaluate import Batch, Judge, Limit, Prices, Suites, User, named_others
from .output import points, print_json, progress, say, suite_names, table

if TYPE_CHECKING:
    from ..noise import NoiseFloor
    from ..run import Run


def noise(
    run: Annotated[Path, typer.Argument(help="A complete Run: its checkpoint is asked again.")],
    suites: Suites = None,
    limit: Limit = None,
    batch_size: Batch = None,
    user: User = None,
    judge: Judge = None,
    price: Prices = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard earlier second answers.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print noise.json.")] = False,
) -> None:
    """Ask a Run's checkpoint again with another seed, batch size and order; gates use the result.

    Greedy float32: a tenth of the items, at least 100 a task; otherwise all.
    """
    from ..noise import FILE, measure_noise
    from ..run import Run

    opened = Run.open(run)
    with progress(f"noise {opened.label}") as update:
        floor = measure_noise(
            opened,
            suite_names(suites) or None,
            limit=limit,
            batch_size=batch_size,
            others=named_others(price, user=user, judge=judge),
            fresh=fresh,
            progress=update,
        )
    if json_:
        import json

        print_json(json.loads((run / FILE).read_text(encoding="utf-8")))
    else:
        _show(opened, floor)
    say(f"Kept: {run / FILE} ({floor.source})")


def _show(run: Run, floor: NoiseFloor) -> None:
    """What changed between the checkpoint and itself, in points."""
    rows = []
    for task, metrics in floor.changed.items():
        items = int(run.manifest["tasks"][task]["items"])
        for metric, figure in metrics.items():
            planned = floor.discordance({(task, metric): items})
            rows.append([task, metric, str(figure.n), points(figure.change), points(planned)])
    numbers = ("items", "changed", "planned with")
    table(("task", "metric", *numbers), rows, numbers)
    typer.echo("Share of scores that change, in points; gates plan with its upper 95% limit.")
