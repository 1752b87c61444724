"""`waterbed report`: the page of one Run, or of a loop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .output import say


def report(
    run: Annotated[Path, typer.Argument(help="A Run directory, or the folder of a loop.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The HTML file.")] = None,
) -> None:
    """Write a Run's page (metrics, errors, worst samples), or a loop's (its tree and what it cost)."""
    from ...reports.lineage_page import write_lineage_page
    from ...reports.run_page import write_run_page
    from ..loop_journal import SUMMARY
    from ..run import Run

    if (run / SUMMARY).is_file():
        page = write_lineage_page(run, out)
    else:
        page = write_run_page(Run.open(run), out or run / "report.html")
    typer.echo(str(page))
    say(f"Open {page} in a browser.")
