"""The `waterbed` command: one typer app, one place where errors become exit codes.

Data goes to stdout, everything else to stderr. Commands live in the files beside this one and import
what is heavy when they are called; `waterbed --help` loads no torch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ... import __version__
from ..errors import WaterbedError
from . import (
    constitution,
    contamination,
    demo,
    doctor,
    evaluate,
    gate,
    init,
    leaderboard,
    listing,
    loop,
    noise,
    plan,
    ratings,
    report,
    watch,
)

app = typer.Typer(
    name="waterbed",
    help="Evaluate every checkpoint, and see what post-training took elsewhere.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("demo")(demo.demo)
app.command("init")(init.init)
app.command("list")(listing.list_)
app.command("plan")(plan.plan)
app.command("eval")(evaluate.eval_)
app.command("score")(evaluate.score)
app.command("noise")(noise.noise)
app.command("gate")(gate.gate)
app.command("loop")(loop.loop)
app.command("watch")(watch.watch)
app.command("contamination")(contamination.contamination)
app.command("constitution")(constitution.constitution)
app.command("ratings")(ratings.ratings)
app.command("leaderboard")(leaderboard.leaderboard)
app.command("report")(report.report)
app.command("doctor")(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"waterbed {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[  # noqa: ARG001 - read by its callback
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Exit codes: 0 policy satisfied, 1 regression, 2 usage, 3 inconclusive, 4 data or instrument."""
    if debug:
        os.environ["WATERBED_DEBUG"] = "1"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; every planned error is one sentence and its exit code."""
    try:
        app(args=arguments, prog_name="waterbed")
    except WaterbedError as error:
        if os.environ.get("WATERBED_DEBUG"):
            raise
        typer.echo(f"waterbed: {error}", err=True)
        sys.exit(error.exit_code)
