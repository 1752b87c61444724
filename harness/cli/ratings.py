"""`waterbed ratings`: models by their strength in a file of battles."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .output import print_json, table


def ratings(
    battles: Annotated[
        Path,
        typer.Argument(help="JSONL of {prompt, model_a, model_b, winner: model_a|model_b|tie}."),
    ],
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Rate models by Bradley-Terry, with 95% intervals drawn by prompt; no online Elo."""
    from ...suites.battles import rate

    found = rate(battles)
    if json_:
        print_json({"ratings": [asdict(each) for each in found]})
        return
    rows = [
        [r.model, _shown(r.rating), f"{_shown(r.low)} to {_shown(r.high)}", str(r.battles), f"{100 * r.won:.1f}"]
        for r in found
    ]  # fmt: skip
    columns = ("model", "rating", "95% interval", "battles", "won, %")
    table(columns, rows, numbers=("rating", "battles", "won, %"))


def _shown(points: float | None) -> str:
    return "unbounded" if points is None else f"{points:.0f}"
