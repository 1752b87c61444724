"""`waterbed eval` and `waterbed score`: make a Run from a checkpoint, or from recorded answers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..cost import seconds_per_solved
from ..errors import UsageError
from .output import (
    cost_lines,
    default_out,
    print_json,
    progress,
    result_rows,
    say,
    suite_names,
    table,
)

if TYPE_CHECKING:
    from ..roles import Others
    from ..run import Run

Suites = Annotated[
    list[str] | None,
    typer.Option("--suites", "-s", help="Suites, groups or file.py, comma-separated."),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder for what this writes.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print results as JSON.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Discard what is in --out and begin anew.")]
Limit = Annotated[int | None, typer.Option(help="Only so many items of each task, in hash order.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 ...")]
Dtype = Annotated[str | None, typer.Option(help="auto, float32, bfloat16 or float16.")]
Batch = Annotated[int | None, typer.Option("--batch-size", help="Prompts a batch.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads of torch.")]

_WHO = "a checkpoint folder, or http://host:port/v1#model (its key: WATERBED_{}_API_KEY)"
User = Annotated[str | None, typer.Option(help=f"Who plays the user: {_WHO.format('USER')}.")]
Judge = Annotated[str | None, typer.Option(help=f"Who judges: {_WHO.format('JUDGE')}.")]
Prices = Annotated[
    list[str] | None,
    typer.Option("--price", help="Of a million tokens, ROLE=PROMPT,COMPLETION: judge=2,8."),
]
BaseUrl = Annotated[
    str | None, typer.Option(help="With --backend openai: the server, http://host:port/v1.")
]
UnsafeExec = Annotated[
    bool,
    typer.Option(
        "--unsafe-local-exec", help="Run model-written programs WITHOUT isolation where none works."
    ),
]

#: More lost samples than this share and the Run is not a measurement (DESIGN section 2).
MAX_UNSCORED = 0.01


def eval_(
    checkpoint: Annotated[
        str,
        typer.Argument(help="Folder with config.json and safetensors, hub id, or served model."),
    ],
    suites: Suites = None,
    out: Out = None,
    backend: Annotated[str, typer.Option(help="Engine that generates.")] = "transformers",
    base_url: BaseUrl = None,
    user: User = None,
    judge: Judge = None,
    price: Prices = None,
    device: Device = None,
    dtype: Dtype = None,
    batch_size: Batch = None,
    threads: Threads = None,
    limit: Limit = None,
    samples: Annotated[
        int | None, typer.Option("--samples", "--repeats", help="Answers an item.")
    ] = None,
    k: Annotated[str | None, typer.Option(help="Of pass@k and maj@k, for example 1,8.")] = None,
    best_of: Annotated[int | None, typer.Option(help="Answers a scorer chooses from.")] = None,
    scorer: Annotated[
        str | None, typer.Option(help="What chooses: logprob, shortest, longest, or a suite.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most new tokens of an answer.")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Share of the likeliest tokens.")] = None,
    thinking_budget: Annotated[
        int | None, typer.Option(help="Most tokens of thinking, which is then closed.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of item order and of sampling.")] = 0,
    cache: Annotated[bool, typer.Option(help="Share greedy answers with other Runs.")] = True,
    fresh: Fresh = False,
    label: Annotated[str | None, typer.Option(help="How pages call this Run.")] = None,
    unsafe_local_exec: UnsafeExec = False,
    json_: AsJson = False,
) -> None:
    """Evaluate a checkpoint into a Run; the same command again resumes it."""
    from ..api import evaluate
    from ..roles import known_checkpoint
    from ..sampling import Sampling
    from ..tasks import resolve

    allow_unsafe(unsafe_local_exec)
    names, others = suite_names(suites), named_others(price, user=user, judge=judge)
    options = _with_url(base_url, backend)
    options |= {"device": device, "dtype": dtype, "batch_size": batch_size, "threads": threads}
    sampling = Sampling(samples, _numbers(k), best_of, scorer)
    settings = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "thinking_budget": thinking_budget,
    }
    for task in resolve(names):
        sampling.decoded(task, settings)
    opened = known_checkpoint(checkpoint, backend)
    who = (opened.path.name, opened.short) if opened else (checkpoint,)
    where = out or default_out("eval", *who, *names)
    with progress(f"eval {who[0]}") as update:
        run = evaluate(
            opened or checkpoint,
            names,
            where,
            backend=backend,
            options=options,
            judges=others.judges,
            prices=others.prices,
            limit=limit,
            samples=sampling,
            settings=settings,
            seed=seed,
            cache=cache,
            fresh=fresh,
            label=label,
            progress=update,
        )
    show(run, as_json=json_)


def score(
    suite: Annotated[str, typer.Argument(help="The task the answers belong to.")],
    responses: Annotated[Path, typer.Option(help="JSONL of {id, response, repeat?}.")],
    items: Annotated[
        Path | None, typer.Option(help="Problems in the suite's format, instead of its own.")
    ] = None,
    out: Out = None,
    judge: Judge = None,
    price: Prices = None,
    limit: Limit = None,
    label: Annotated[str | None, typer.Option(help="How pages call this Run.")] = None,
    unsafe_local_exec: UnsafeExec = False,
    json_: AsJson = False,
) -> None:
    """Score answers that already exist into a Run; no model is loaded."""
    from ..api import score as score_

    allow_unsafe(unsafe_local_exec)
    where = out or default_out("score", suite, responses.stem)
    others = named_others(price, judge=judge)
    with progress(f"score {suite}") as update:
        run = score_(
            suite,
            responses,
            where,
            items=items,
            judges=others.judges,
            prices=others.prices,
            limit=limit,
            label=label,
            progress=update,
        )
    show(run, as_json=json_)


def _with_url(url: str | None, backend: str) -> dict[str, Any]:
    """The address, as an option of the backend that wants one."""
    if url and backend != "openai":
        raise UsageError(
            f"--base-url {url} means nothing to {backend}; pass --backend openai, or leave it out."
        )
    return {"url": url} if url else {}


def named_others(price: list[str] | None, **named: str | None) -> Others:
    """Who was named for the other roles, and the prices of tokens.

    Raises:
        UsageError: a price is no price.
    """
    from ..roles import Others, read_prices

    judges = {role: who for role, who in named.items() if who}
    return Others(judges, read_prices(price or ()))  # type: ignore[arg-type]


def _numbers(text: str | None) -> tuple[int, ...]:
    """The numbers of `1,8`."""
    try:
        return tuple(sorted({int(part) for part in text.split(",")})) if text else ()
    except ValueError:
        raise UsageError(f"--k {text} is no list of numbers; write it like 1,8.") from None


def allow_unsafe(wanted: bool) -> None:
    """Let the sandbox fall back to no isolation, for this process and those it starts."""
    if wanted:
        os.environ["WATERBED_UNSAFE_LOCAL_EXEC"] = "1"


def show(run: Run, *, as_json: bool) -> None:
    """Print a Run's results; exit 4 where too much of it was lost to the instrument."""
    from ..contamination_gate import contaminated
    from ..judge_report import warnings

    results = run.results()
    if as_json:
        print_json({"run": str(run.path), "status": run.status, "results": results})
    else:
        numbers = ("points", "std. error", "n", "tokens/solved", "s/solved")
        columns = ("task", "metric", *numbers[:3], "unscored", *numbers[3:])
        table(columns, result_rows(results, seconds_per_solved(run)), numbers)
    for told in cost_lines(run.manifest.get("cost") or {}):
        say(told)
    say(f"Run ({run.status}): {run.path}")
    for _, told in contaminated(run, results):
        say(f"{told}.")
    for told in warnings(results):
        say(told)
    if run.manifest.get("roles", {}).get("sandbox", {}).get("level") == "L1":
        say("Model-written programs ran WITHOUT isolation (L1).")
    lost = too_much_lost(results)
    if lost:
        say(f"waterbed: {lost}")
        raise typer.Exit(4)


def too_much_lost(results: Mapping[str, Any]) -> str | None:
    """The sentence for a Run that lost more than 1% of a task's samples, or None."""
    for task, found in results.items():
        for entry in found["metrics"].values():
            unscored = sum(entry["unscored"].values())
            total = unscored + entry["n"]
            if unscored > MAX_UNSCORED * total:
                reasons = ", ".join(f"{v} {k}" for k, v in entry["unscored"].items())
                return (
                    f"{unscored} of {total} samples of '{task}' are unscored ({reasons}), more than "
                    f"{MAX_UNSCORED:.0%}; mend the cause and run the same command again."
                )
    return None
