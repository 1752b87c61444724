"""The leaderboard page: one self-contained HTML file that ranks Runs as `leaderboard.json` says.

Every figure comes from the record. The same rules as the gate page; sorting is the browser's and optional.
Not here: the ranking (harness/leaderboard.py), the arrangement (leaderboard_view.py).
"""

from __future__ import annotations

from pathlib import Path

from ..harness.leaderboard_record import Leaderboard
from .html import render, write
from .leaderboard_view import leaderboard_view

__all__ = ["PAGE", "write_leaderboard_page"]

PAGE = "leaderboard.html"


def write_leaderboard_page(board: Leaderboard, out: Path) -> Path:
    """Write the page of a leaderboard in one step.

    Returns:
        `out`.
    """
    view = leaderboard_view(board)
    return write(out, render("leaderboard.html.jinja", "leaderboard.css", view=view))
