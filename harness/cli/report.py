"""`waterbed report`: the page of one Run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .output import say


def report(
    run: Annotated[Path, typer.Argument(help="A Run directory.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The HTML file.")] = None,
) -> None:
    """Write a Run's page: every metric with its error, what was lost, the worst samples."""
    from ...reports.run_page import write_run_page
    from ..run import Run

    opened = Run.open(run)
    page = write_run_page(opened, out or run / "report.html")
    typer.echo(str(page))
    say(f"Open {page} in a browser.")
