"""`waterbed contamination`: which items stand in training data, or in what a checkpoint learned.

Asked before training, it costs minutes instead of a refused gate afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .evaluate import Suites
from .output import points, print_json, say, suite_names, table

if TYPE_CHECKING:
    from ..contamination import TaskOverlap
    from ..contamination_trace import Trace

#: Items that the table names of each task.
_NAMED = 5


def contamination(
    data: Annotated[
        str,
        typer.Argument(help="Dataset, JSONL file, hub:owner/name@revision, or checkpoint folder."),
    ],
    suites: Suites = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Only so many rows of the data.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of generated data.")] = 0,
    max_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of a task's items that is let through.")
    ] = 0.0,
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Look for benchmark items in training data; exit 4 where there are too many."""
    from ..contamination import overlap
    from ..tasks import resolve

    tasks = resolve(suite_names(suites))
    trace = _trace(data, rows, seed)
    found = {task.name: overlap(task, task.items, trace) for task in tasks}
    if json_:
        unknown = {"unknown_ancestors": list(trace.unknown)}
        told = {name: each.to_dict() for name, each in found.items()}
        print_json({"data": data, "rows": trace.rows, **unknown, "tasks": told})
    else:
        _show(data, trace, found)
    worst = max(found, key=lambda name: found[name].share)
    if found[worst].share > max_share:
        say(
            f"waterbed: {len(found[worst].contaminated)} of {found[worst].items} items of '{worst}' are in "
            f"'{data}', more than --max-share {max_share:g}; leave these rows out of training."
        )
        raise typer.Exit(4)


def _trace(data: str, rows: int | None, seed: int) -> Trace:
    from ..contamination_trace import Trace
    from ..datasets import load_any

    if not Path(data).is_dir():
        return Trace.of(load_any(data, n=rows, seed=seed))
    trace = Trace.load(Path(data))
    if trace is None:
        raise UsageError(
            f"'{data}' has no record of what it was trained on, so that is unknown; pass the training "
            "data itself."
        )
    return trace


def _show(data: str, trace: Trace, found: Mapping[str, TaskOverlap]) -> None:
    numbers = ("items", "contaminated", "% of items", "partly", "unchecked")
    cells = [
        [
            name,
            str(each.items),
            str(len(each.contaminated)),
            points(each.share),
            str(each.partly),
            str(each.unchecked),
            ", ".join(each.contaminated[:_NAMED]) + (", ..." * (len(each.contaminated) > _NAMED)),
        ]
        for name, each in found.items()
    ]
    table(("task", *numbers, "which"), cells, numbers)
    say(f"{trace.rows} rows of '{data}'. Paraphrases and translations are not seen.")
    if trace.unknown:
        say(f"What {', '.join(trace.unknown)} learned from is unknown.")
