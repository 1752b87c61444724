"""`waterbed gate`: compare a candidate with its baseline and answer with an exit code and a page.

A side is a Run directory or a checkpoint folder; a checkpoint is evaluated first, on the policy's
suites or on `--suites`, and a candidate only on as many items as the verdict needs (gate_live.py).
What can be seen is planned and written down before the candidate answers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from .evaluate import (
    Batch,
    Device,
    Dtype,
    Judge,
    Limit,
    Out,
    Prices,
    Suites,
    Threads,
    User,
    named_others,
)
from .output import default_out, print_json, progress, say, suite_names

if TYPE_CHECKING:
    from ..policy import Policy
    from ..roles import Others
    from ..run import Run
    from ..verdict import Verdict


def gate(
    baseline: Annotated[str, typer.Argument(help="A Run, or a checkpoint: folder or hub id.")],
    candidate: Annotated[str, typer.Argument(help="A Run, or a checkpoint: folder or hub id.")],
    policy: Annotated[
        str | None, typer.Option("--policy", "-p", help="harm, release, strict or a YAML file.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", "-t", help="The domain this stage was meant to improve."),
    ] = None,
    suites: Suites = None,
    out: Out = None,
    user: User = None,
    judge: Judge = None,
    price: Prices = None,
    device: Device = None,
    dtype: Dtype = None,
    batch_size: Batch = None,
    threads: Threads = None,
    limit: Limit = None,
    anchor: Annotated[
        str | None,
        typer.Option(
            "--anchor", help="A Run kept for good; nothing may fall 1.5 margins below it."
        ),
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Ask a checkpoint every item, even where the verdict is decided."
        ),
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print verdict.json.")] = False,
) -> None:
    """Gate a candidate: 0 no harm shown, 1 regression, 2 usage, 3 inconclusive, 4 data trouble."""
    from ..gate import gate_runs
    from ..policy import Policy
    from ..run import Run

    rules = Policy.load(policy)
    if limit is not None:
        rules = rules.model_copy(update={"limit": limit})
    names = suite_names(suites) or list(rules.suites)
    where = out or default_out("gate", Path(baseline).name, Path(candidate).name)
    options = {"device": device, "dtype": dtype, "batch_size": batch_size, "threads": threads}
    others = named_others(price, user=user, judge=judge)
    sides = Sides(where, names, options, limit, others)
    old = sides.open("baseline", baseline)
    kept = Run.open(anchor or rules.anchor or "") if anchor or rules.anchor else None
    _write_plan(where, old, rules, target, names, kept)
    whole = full or kept is not None
    if kept and not full:
        say("Every item is asked: the anchor is compared on all of them.")
    new = sides.open("candidate", candidate, None if whole else Watched(old, rules, target))
    verdict = gate_runs(old, new, rules, target=target, suites=names or None, anchor=kept)
    file = Path(policy) if policy and Path(policy).is_file() else None
    page = write_outputs(verdict, old, new, where, file)
    if json_:
        print_json(verdict.to_dict())
    else:
        from ...reports.terminal import print_verdict

        print_verdict(verdict)
    say(f"Page: {page}")
    raise typer.Exit(verdict.exit_code)


@dataclass(frozen=True, slots=True)
class Watched:
    """By which gate a candidate is stopped early."""

    baseline: Run
    policy: Policy
    target: str | None


@dataclass(frozen=True, slots=True)
class Sides:
    """Opens either side: a Run as it is, a checkpoint by evaluating it."""

    out: Path
    suites: Sequence[str]
    options: Mapping[str, Any]
    limit: int | None
    others: Others
    """Who judges and who plays the user where a checkpoint is evaluated."""

    def open(self, side: str, given: str, watched: Watched | None = None) -> Run:
        """The Run of one side.

        Raises:
            UsageError: neither a Run nor a checkpoint, or a checkpoint without suites.
        """
        from ..api import evaluate
        from ..checkpoints import open_checkpoint
        from ..gate_live import evaluate_live
        from ..run import MANIFEST, Run

        path = Path(given)
        if (path / MANIFEST).is_file():
            return Run.open(path)
        if path.is_dir() and not (path / "config.json").is_file():
            raise UsageError(
                f"'{given}' is neither a Run (no run.json) nor a checkpoint (no config.json); "
                "pass a folder made by `waterbed eval` or by a trainer."
            )
        if not self.suites:
            raise UsageError(
                f"'{given}' is a checkpoint, so pass --suites (or a policy with suites), for example "
                "--suites pocket."
            )
        checkpoint = open_checkpoint(given)
        with progress(f"eval {side} {path.name}") as update:
            if watched:
                return evaluate_live(
                    watched.baseline,
                    checkpoint,
                    watched.policy,
                    self.suites,
                    self.out / side,
                    target=watched.target,
                    options=self.options,
                    others=self.others,
                    limit=self.limit,
                    progress=update,
                    note=say,
                )
            return evaluate(
                checkpoint,
                self.suites,
                self.out / side,
                options=self.options,
                judges=self.others.judges,
                prices=self.others.prices,
                limit=self.limit,
                progress=update,
            )


def _write_plan(
    out: Path,
    baseline: Run,
    policy: Policy,
    target: str | None,
    suites: Sequence[str],
    anchor: Run | None,
) -> None:
    """`plan.json`: what this gate can see, on disk before any candidate answer is read."""
    from ..comparability import chosen_tasks
    from ..gate_plan import plan

    tasks = chosen_tasks(baseline.manifest, baseline.manifest, suites or None)
    frozen = plan(baseline, policy, tasks, target, anchor)
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(frozen.to_dict(), indent=1, sort_keys=True, allow_nan=False)
    (out / "plan.json").write_text(text + "\n", encoding="utf-8")


def write_outputs(
    verdict: Verdict, baseline: Run, candidate: Run, out: Path, policy_file: Path | None = None
) -> Path:
    """verdict.json, the page, JUnit, the step summary and annotations; returns the page."""
    from ...reports.ci import annotations, step_summary, write_junit
    from ...reports.flips import collect_flips
    from ...reports.gate_page import write_gate_page

    verdict.save(out / "verdict.json")
    write_junit(verdict, out / "junit.xml")
    summary = step_summary(verdict)
    (out / "summary.md").write_text(summary, encoding="utf-8")
    if step := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(step).open("a", encoding="utf-8") as file:
            file.write(summary)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in annotations(verdict, policy_file):
            say(line)
    return write_gate_page(
        verdict, out / "gate.html", flips=collect_flips(verdict, baseline, candidate)
    )
