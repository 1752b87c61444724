"""`waterbed constitution`: training rows from a model's own judgment under a file of principles."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .evaluate import Batch, Device, Dtype, Out, Threads
from .output import default_out, print_json, progress, say


class Kind(StrEnum):
    """What kind of rows."""

    revise = "revise"
    prefer = "prefer"


def constitution(
    kind: Annotated[
        Kind, typer.Argument(help="revise: chats for sft. prefer: pairs for preference stages.")
    ],
    checkpoint: Annotated[str, typer.Argument(help="Checkpoint folder or hub id that writes.")],
    prompts: Annotated[str, typer.Option(help="Dataset, JSONL file or hub:owner/name@revision.")],
    principles: Annotated[
        Path | None, typer.Option(help="YAML file of principles; default: three bundled ones.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help="Checkpoint that chooses; default: the one that writes.")
    ] = None,
    n: Annotated[int | None, typer.Option("--rows", min=1, help="Only so many prompts.")] = None,
    rounds: Annotated[int, typer.Option(help="Critiques and revisions of an answer.")] = 1,
    max_tokens: Annotated[int, typer.Option(help="Most new tokens of an answer.")] = 256,
    temperature: Annotated[float, typer.Option(help="Of the answers to choose from.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of principles and of sampling.")] = 0,
    out: Out = None,
    device: Device = None,
    dtype: Dtype = None,
    batch_size: Batch = None,
    threads: Threads = None,
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Make training rows from prompts and principles; the same command again resumes."""
    from ...trainers.constitution import DEFAULT, Constitution, ConstitutionConfig, label
    from ..api import make_backend
    from ..checkpoints import open_checkpoint
    from ..config import load_config

    rules = load_config(principles, Constitution) if principles else DEFAULT
    try:
        config = ConstitutionConfig(
            prompts=prompts,
            n=n,
            rounds=rounds,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
        )
    except ValueError as error:
        raise UsageError(f"{error}.") from error
    writer = open_checkpoint(checkpoint)
    given = {"device": device, "dtype": dtype, "batch_size": batch_size, "threads": threads}
    options = {key: value for key, value in given.items() if value is not None}
    where = out or default_out("constitution", kind.value, writer.path.name, writer.short)
    backend = make_backend("transformers", writer, options)
    chooser = make_backend("transformers", open_checkpoint(judge), options) if judge else None
    with progress(f"{kind.value} {writer.path.name}") as update:
        made = label(
            kind.value, rules, config, backend, writer, where, judge=chooser, progress=update
        )
    if json_:
        print_json({"path": str(made.path), "rows": made.rows, "dropped": dict(made.dropped)})
    else:
        typer.echo(made.path)
    lost = ", ".join(f"{count} {reason}" for reason, count in made.dropped.items())
    say(f"{made.rows} rows{f'; prompts without a row: {lost}' if lost else ''}.")
