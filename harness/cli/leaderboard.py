"""`waterbed leaderboard`: rank stored Runs, as a table, a record and a page.

Not here: the ranking itself (harness/leaderboard.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .evaluate import Suites
from .output import default_out, points, print_json, say, suite_names, table

if TYPE_CHECKING:
    from ..leaderboard_record import Place


def leaderboard(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Complete Runs on the same items.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="The Run that each is gated against.")
    ] = None,
    policy: Annotated[str, typer.Option(help="Of those gates: a name or a YAML file.")] = "harm",
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            help="Runs that differ in their seed alone: NAME=RUN,RUN,RUN; they are ranked too."
        ),
    ] = None,
    suites: Suites = None,
    limit: Annotated[
        int | None,
        typer.Option(
            help="With which the Runs were evaluated: their gates then demand no more items."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the page.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print leaderboard.json.")] = False,
) -> None:
    """Rank Runs with rank intervals, what each lost against a baseline, and what it costs."""
    from ...reports.leaderboard_page import PAGE, write_leaderboard_page
    from ..leaderboard import leaderboard as rank
    from ..leaderboard_record import RECORD
    from ..policy import Policy
    from ..run import Run

    rules = Policy.load(policy)
    if limit is not None:
        rules = rules.model_copy(update={"limit": limit})
    groups = _groups(recipe or [])
    paths = dict.fromkeys([*(runs or []), *(path for own in groups.values() for path in own)])
    where = out or default_out("leaderboard", *(path.name for path in paths))
    opened = {path: Run.open(path) for path in paths}
    found = rank(
        list(opened.values()),
        Run.open(baseline) if baseline else None,
        rules,
        suite_names(suites) or None,
        {name: [opened[path] for path in own] for name, own in groups.items()},
    )
    found.save(where / RECORD)
    page = write_leaderboard_page(found, where / PAGE)
    if json_:
        print_json(found.to_dict())
    else:
        columns = ("rank", "run", "points", "90% interval", "against baseline", "worst", "gate")
        table(columns, [_row(p) for p in found.places], numbers=("points", "against baseline"))
    say(f"{found.sentence}{' Toy model.' if found.toy else ''}")
    say(f"Page: {page}")


def _groups(given: Sequence[str]) -> dict[str, list[Path]]:
    """Runs by recipe.

    Raises:
        UsageError: not NAME=RUN,RUN.
    """
    groups: dict[str, list[Path]] = {}
    for text in given:
        name, sign, paths = text.partition("=")
        if not sign or not name or name in groups:
            raise UsageError(f"--recipe takes NAME=RUN,RUN once for each name, got '{text}'.")
        groups[name] = [Path(path.strip()) for path in paths.split(",") if path.strip()]
    return groups


def _row(place: Place) -> list[str]:
    rank = str(place.best) if place.best == place.worst else f"{place.best}-{place.worst}"
    score, against = place.overall, place.against
    shown = [rank, place.name, points(score.value), f"{points(score.low)} to {points(score.high)}"]
    if against is None:
        return [*shown, "-", "-", "-"]
    worst = (
        f"{against.worst} {points(against.claims[against.worst].delta)}" if against.worst else "-"
    )
    return [*shown, points(against.mean.delta if against.mean else None), worst, against.headline]
