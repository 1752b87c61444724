"""`waterbed list`: what there is to run, and what has been run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UnknownName
from .output import points, print_json, table
from .plan import blind_spot

if TYPE_CHECKING:
    from ..run import Run

KINDS = ("suites", "groups", "stages", "datasets", "runs")


_NUMBERS = ("items", "prompt tokens", "answer tokens")
_NOTES = {
    "suites": "What a suite measures and what it leaves out, with the reason: `waterbed list suites --json`.",
    "groups": "Tokens of one side: ~ counts words and marks, <= is the limit of all answers; others were "
    "measured in the Runs below the folder. Detectable: points lost that a gate on the group finds in 80% "
    "of cases at the planned discordance. '?': its data are not on this machine.",
}


def list_(
    kind: Annotated[
        str, typer.Argument(help="suites, groups, stages, datasets or runs.")
    ] = "suites",
    folder: Annotated[Path, typer.Argument(help="Where to look for Runs.")] = Path(),
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List suites, groups of suites, stages, datasets, or the Runs below a folder."""
    if kind not in KINDS:
        raise UnknownName.of("list", kind, KINDS)
    listings = (_suites, _groups, _stages, _datasets, _runs)
    rows = dict(zip(KINDS, listings, strict=True))[kind](folder)
    if json_:
        print_json(rows)
    elif not rows:
        typer.echo(f"No {kind} found.", err=True)
    else:
        columns = [c for c in rows[0] if not isinstance(rows[0][c], dict | list)]
        table(columns, [[str(row[c]) for c in columns] for row in rows], numbers=_NUMBERS)
    if not json_ and kind in _NOTES:
        typer.echo(_NOTES[kind])


def _suites(_: Path) -> list[dict[str, Any]]:
    from ..tasks import tasks

    return [
        {
            "suite": t.name,
            "domain": t.domain,
            "items": t.card.items or "?",
            "style": t.style,
            "licence": t.card.licence or "?",
            "source": t.card.source or "?",
            "revision": t.card.revision[:12] or "?",
            "verified": t.card.verified,
            "groups": list(t.groups),
            "about": {"measures": t.card.measures, "not measures": t.card.not_measures},
        }
        for t in sorted(tasks.all().values(), key=lambda t: (t.domain, t.name))
    ]


def _groups(folder: Path) -> list[dict[str, Any]]:
    from ..groups import members

    finished = [run for run in _stored(folder) if run.status != "partial"]
    return [_group_row(member) for member in members(finished)]


def _group_row(member: Any) -> dict[str, Any]:
    about, most = ("", "") if member.measured else ("~", "<= ")
    seen = ", ".join(
        f"{claim} {blind_spot(loss)}" for claim, loss in (member.detectable or {}).items()
    )
    return {
        "group": member.group,
        "suite": member.task,
        "domain": member.domain,
        "items": "?" if member.items is None else member.items,
        "prompt tokens": _tokens(about, member.prompt_tokens),
        "answer tokens": _tokens(most, member.answer_tokens),
        "detectable": seen or "-",
        "losses": dict(member.detectable or {}),
    }


def _tokens(mark: str, count: int | None) -> str:
    return "?" if count is None else f"{mark}{count:,}"


def _stages(_: Path) -> list[dict[str, Any]]:
    from ..stage import stages

    return [
        {"stage": s.name, "what": (s.function.__doc__ or "-").strip().splitlines()[0]}
        for s in sorted(stages.all().values(), key=lambda s: s.name)
    ]


def _datasets(_: Path) -> list[dict[str, Any]]:
    from ..datasets import datasets

    return [
        {"dataset": d.name, "shape": d.shape, "replay for": d.replay_for or "-"}
        for d in sorted(datasets.all().values(), key=lambda d: d.name)
    ]


def _runs(folder: Path) -> list[dict[str, Any]]:
    return [_run_row(run) for run in _stored(folder)]


def _stored(folder: Path) -> list[Run]:
    from ..run import Run

    return [Run.open(file.parent) for file in sorted(folder.rglob("run.json"))]


def _run_row(run: Any) -> dict[str, Any]:
    results = run.results() if run.status != "partial" else {}
    means = [
        f"{name} {points(next(iter(found['metrics'].values()))['mean'])}"
        for name, found in results.items()
    ]
    digest = (run.manifest.get("checkpoint") or {}).get("digest", "-")
    return {
        "run": str(run.path),
        "label": run.label,
        "status": run.status,
        "checkpoint": digest[:12],
        "created": run.manifest.get("created", "?"),
        "points": ", ".join(means) or "-",
    }
