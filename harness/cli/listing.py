"""`waterbed list`: what there is to run, and what has been run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UnknownName
from .output import points, print_json, table

KINDS = ("suites", "stages", "datasets", "runs")


def list_(
    kind: Annotated[str, typer.Argument(help="suites, stages, datasets or runs.")] = "suites",
    folder: Annotated[Path, typer.Argument(help="Where to look for Runs.")] = Path(),
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """List suites, stages, datasets, or the Runs below a folder."""
    if kind not in KINDS:
        raise UnknownName.of("list", kind, KINDS)
    rows = {"suites": _suites, "stages": _stages, "datasets": _datasets, "runs": _runs}[kind](
        folder
    )
    if json_:
        print_json(rows)
    elif not rows:
        typer.echo(f"No {kind} found.", err=True)
    else:
        columns = [c for c in rows[0] if not isinstance(rows[0][c], dict | list)]
        table(columns, [[str(row[c]) for c in columns] for row in rows], numbers=("items",))


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
        }
        for t in sorted(tasks.all().values(), key=lambda t: (t.domain, t.name))
    ]


def _stages(_: Path) -> list[dict[str, Any]]:
    from ..stage import stages

    return [
        {"stage": s.name, "what": (s.function.__doc__ or "").strip().splitlines()[0]}
        for s in sorted(stages.all().values(), key=lambda s: s.name)
    ]


def _datasets(_: Path) -> list[dict[str, Any]]:
    from ..datasets import datasets

    return [
        {"dataset": d.name, "shape": d.shape, "replay for": d.replay_for or "-"}
        for d in sorted(datasets.all().values(), key=lambda d: d.name)
    ]


def _runs(folder: Path) -> list[dict[str, Any]]:
    from ..run import Run

    runs = [Run.open(file.parent) for file in sorted(folder.rglob("run.json"))]
    return [_run_row(run) for run in runs]


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
