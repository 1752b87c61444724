"""`waterbed loop`: run a recipe, each stage gated; say what was decided and why.

Terminal lines are what `loop.jsonl` records; each gate leaves its page under `gates/`, and
`lineage.html` tells the whole story so far after each decision. Not here: the loop itself
(harness/loop.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import WaterbedError
from .evaluate import Judge, Out, Prices, User, named_others
from .gate import write_outputs
from .output import default_out, print_json, progress, say


def loop(
    recipe: Annotated[Path, typer.Argument(help="YAML file with stages, suites and a policy.")],
    out: Out = None,
    user: User = None,
    judge: Judge = None,
    price: Prices = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the loop that was begun in --out.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print loop.json.")] = False,
) -> None:
    """Run stages, each gated: 0 all accepted, 1 regression not repaired, 2 usage, 3 inconclusive, 4 trouble."""
    from ..loop import loop as run
    from ..loop_attempt import ACCEPTED

    where = out or default_out("loop", recipe.stem)
    done = run(
        recipe,
        where,
        resume=resume,
        others=named_others(price, user=user, judge=judge),
        say=say,
        watching=progress,
        show=write_outputs,
        told=write_lineage,
    )
    say(f"Page: {where / 'lineage.html'}")
    if json_:
        print_json(dict(done.summary))
    elif done.accepted:
        typer.echo(where / ACCEPTED)
    raise typer.Exit(done.exit_code)


def write_lineage(folder: Path) -> None:
    """The page of the loop so far; that it cannot be written stops no loop."""
    from ...reports.lineage_page import write_lineage_page

    try:
        write_lineage_page(folder)
    except (WaterbedError, OSError) as error:
        say(f"The lineage page was not written: {error}")
