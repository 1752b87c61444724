"""`waterbed report`: the page of one Run, of a loop, or of a leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .output import say


def report(
    folder: Annotated[
        Path, typer.Argument(help="A Run directory, or the folder of a loop or of a leaderboard.")
    ],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The HTML file.")] = None,
) -> None:
    """Write a page anew from what is stored: a Run's, a loop's or a leaderboard's."""
    from ..leaderboard_record import RECORD
    from ..loop_journal import SUMMARY

    if (folder / SUMMARY).is_file():
        from ...reports.lineage_page import write_lineage_page

        page = write_lineage_page(folder, out)
    elif (folder / RECORD).is_file():
        from ...reports.leaderboard_page import PAGE, write_leaderboard_page
        from ..leaderboard_record import load_leaderboard

        page = write_leaderboard_page(load_leaderboard(folder / RECORD), out or folder / PAGE)
    else:
        from ...reports.run_page import write_run_page
        from ..run import Run

        page = write_run_page(Run.open(folder), out or folder / "report.html")
    typer.echo(str(page))
    say(f"Open {page} in a browser.")
