"""The lineage page: one self-contained HTML file that tells what a loop tried, lost, mended and kept.

Every figure comes from the folder of the loop: `loop.json`, the verdicts, the accepted Runs, the
metrics files. The same rules as the gate page. Not here: reading the folder (harness/lineage.py), the
arrangement (lineage_view.py).
"""

from __future__ import annotations

from pathlib import Path

from ..harness.lineage import read_lineage
from ..harness.lineage_matrix import lineage_matrix
from ..harness.run import Run
from .budget import Plan, fitted
from .html import render, write
from .lineage_curves import curves
from .lineage_view import is_toy, lineage_view

__all__ = ["PAGE", "write_lineage_page"]

PAGE = "lineage.html"


def write_lineage_page(folder: str | Path, out: Path | None = None) -> Path:
    """Write the page of a loop, whether it runs or has ended.

    Args:
        folder: the loop's.
        out: the HTML file to write, in one step; by default `lineage.html` in the folder, where its
            links to the gates lead somewhere.

    Returns:
        The file. Where it would exceed one megabyte it shows fewer rejected attempts and says
        so, then no curves.

    Raises:
        UsageError: there is no loop in the folder.
        DataError: its record, a verdict or an accepted Run is damaged.
    """
    lineage = read_lineage(folder)
    found = lineage_matrix(lineage)
    runs = [path for name in lineage.trunk if (path := lineage.run(name))]
    toy = is_toy(lineage, [Run.open(path).manifest for path in runs])

    lines = {a.name: curves(a.file("metrics")) for a in lineage.attempts}

    def page(plan: Plan) -> bytes:
        view = lineage_view(lineage, found, lines, toy=toy, plan=plan)
        return render("lineage.html.jinja", "lineage.css", view=view, plan=plan)

    return write(out or Path(folder) / PAGE, fitted(page))
