"""`waterbed ratings`: models by their strength in a file of battles."""

from __future__ import annotations

from dataclasses import asdict, astuple
from pathlib import Path
from typing import Annotated

import typer

from .output import print_json, say, table


def ratings(
    battles: Annotated[
        Path,
        typer.Argument(
            help="JSONL of {prompt, model_a, model_b, winner: model_a|model_b|tie, answer_a, answer_b}; "
            "the answers may be left out."
        ),
    ],
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Rate models by Bradley-Terry, as voted and at equal length and style; no online Elo."""
    from ...suites.battles import rate

    found = rate(battles)
    if json_:
        print_json(
            {"ratings": [asdict(each) for each in found.rows], "unstyled": found.unstyled or None}
        )
        return
    columns = ("model", "rating", "95% interval", "battles", "won, %")
    styled = () if found.unstyled else ("at equal style", "95% interval")
    rows = [
        [
            r.model,
            *_shown(*astuple(r.raw)),
            str(r.battles),
            f"{100 * r.won:.1f}",
            *(_shown(*astuple(r.styled)) if r.styled else ()),
        ]
        for r in found.rows
    ]
    table((*columns, *styled), rows, numbers=("rating", "battles", "won, %", "at equal style"))
    if found.unstyled:
        say(f"No ratings at equal length and style: {found.unstyled}.")
    else:
        say("At equal style: length and markup held equal, which is a modelling assumption.")


def _shown(*points: float | None) -> tuple[str, str]:
    """A rating and its interval."""
    rating, low, high = ("unbounded" if x is None else f"{x:.0f}" for x in points)
    return rating, f"{low} to {high}"
