"""What commands share when they talk: progress, tables, default folders, JSON.

Progress is a bar on a terminal and a line every 30 seconds in a log; nothing here reaches stdout but
what the user asked for.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

#: Seconds between two lines of progress in a log.
LOG_EVERY_S = 30.0


def say(text: str) -> None:
    """A line for people, on stderr."""
    typer.echo(text, err=True)


def print_json(value: Any) -> None:
    """Data for programs, on stdout."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def slug(text: str) -> str:
    """Text as part of a file name or an anchor."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.") or "x"


def default_out(command: str, *ids: str) -> Path:
    """`./waterbed-out/<command>-<ids>`."""
    return Path("waterbed-out") / slug("-".join([command, *ids]))[:120]


def suite_names(given: Sequence[str] | None) -> list[str]:
    """Suite names from repeated and comma-separated options."""
    return [n.strip() for part in given or [] for n in part.split(",") if n.strip()]


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback (done, total)."""
    if sys.stderr.isatty():
        with _bar(what) as update:
            yield update
    else:
        yield _lines(what)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        job = bar.add_task(what, total=None)

        def update(done: int, total: int) -> None:
            bar.update(job, completed=done, total=total)

        yield update


def _lines(what: str) -> Callable[[int, int], None]:
    last = time.monotonic()

    def update(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LOG_EVERY_S:
            last = now
            say(f"{what}: {done} of {total}")

    return update


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str] = ()
) -> None:
    """A plain table on stdout, columns of `numbers` to the right; model text in it is escaped."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    grid = Table(box=None, pad_edge=False)
    for name in columns:
        grid.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(escape(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 160).print(grid)


def result_rows(
    results: Mapping[str, Any], seconds: Mapping[str, Mapping[str, float]]
) -> list[list[str]]:
    """Rows (task, metric, value, error, n, unscored, tokens and seconds per solved item).

    Args:
        results: a `results.json`.
        seconds: by task and figure, as in cost.py.
    """
    rows = []
    for name, found in results.items():
        cost, took = found["cost"], seconds.get(name, {})
        for place, (metric, entry) in enumerate(found["metrics"].items()):
            lost = ", ".join(f"{k} {v}" for k, v in entry["unscored"].items()) or "-"
            spent = ("", "") if place else (_whole(cost["per_solved"]), _short(took.get("any")))
            rows.append([name, metric, *_figures(entry), lost, *spent])
        several = found.get("sampling") or {}
        for metric, entry in several.get("figures", {}).items():
            spent = _whole(cost["per_solved_by"][metric]), _short(took.get(metric))
            rows.append([name, metric, *_figures(entry), str(entry["unscored"] or "-"), *spent])
        for metric, reason in several.get("absent", {}).items():
            rows.append([name, f"no {metric}: {reason}", *[""] * 6])
        rows += [[name, k, points(v), *[""] * 5] for k, v in found["extra"].items()]
    return rows


def _figures(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    return points(entry["mean"]), points(entry["se"]), str(entry["n"])


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def cost_lines(cost: Mapping[str, Any]) -> Iterator[str]:
    """What each role's answers took, a sentence each, and the money; from run.json (cost.py)."""
    from ...reports import figures

    spent = cost.get("money") or {}
    for role, own in (cost.get("roles") or {}).items():
        cached = f" ({own['cached']:,} from the cache)" if own["cached"] else ""
        parts = [f"{own['answers']:,} answers{cached}"]
        if own["prompt_tokens"] is not None:
            parts.append(f"{own['prompt_tokens']:,} + {own['completion_tokens']:,} tokens")
        if own["median_s"] is not None:
            parts.append(f"{figures.latency(own['median_s'])} an answer (median)")
        if role in spent.get("by_role", {}):
            parts.append(f"{figures.money(spent['by_role'][role])} by its price")
        yield f"{role}: {', '.join(parts)}"
    if spent.get("uncounted"):
        yield f"{spent['uncounted']:,} answers without a count of tokens are in no price."


def points(value: float | None) -> str:
    """A proportion in points, one decimal place."""
    return "-" if value is None else f"{100 * value:.1f}"
