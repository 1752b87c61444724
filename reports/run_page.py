"""The page of one Run: every metric with n and standard error, what was not scored, worst samples.

Self-contained like the gate page. Not here: any comparison; one Run alone shows no regression.
"""

from __future__ import annotations

from pathlib import Path

from .budget import Plan, fitted
from .flips import RunLike
from .html import render, write
from .run_view import run_view

__all__ = ["write_run_page"]


def write_run_page(run: RunLike, out: Path) -> Path:
    """Write the page of a Run; fewer and shorter samples where it would exceed one megabyte.

    Returns:
        `out`.
    """
    scores, generations = run.scores(), run.generations()

    def page(plan: Plan) -> bytes:
        view = run_view(run, scores, generations, plan)
        return render("run.html.jinja", view=view, plan=plan)

    return write(out, fitted(page))
