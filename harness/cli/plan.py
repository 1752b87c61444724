"""`waterbed plan`: what a gate would cost and could detect, before anything runs.

Shows what outlook.py puts together; no model is loaded and nothing is written.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError
from .evaluate import Limit, Suites
from .output import points, print_json, suite_names, table

if TYPE_CHECKING:
    from ..cost import TaskCost
    from ..gate_plan import ClaimPlan
    from ..outlook import Outlook
    from ..policy import Policy
    from ..statistics.chances import Chances


def plan(
    suites: Suites = None,
    policy: Annotated[
        str | None, typer.Option("--policy", "-p", help="harm, release, strict or a YAML file.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", "-b", help="A stored Run: its items, scores, cost.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", "-t", help="The domain the stage is to improve.")
    ] = None,
    limit: Limit = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Answers an item, on both sides.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Say what a gate would cost and could detect, before anything runs."""
    from ..outlook import Request
    from ..policy import Policy

    rules = Policy.load(policy)
    if limit is not None:
        if limit < 1:
            raise UsageError(
                f"--limit must be at least 1, got {limit}; leave it out for all items."
            )
        rules = rules.model_copy(update={"limit": limit})
    names = suite_names(suites) or list(rules.suites)
    request = Request(rules, names, target, limit, repeats)
    outlook = request.from_baseline(baseline) if baseline else request.from_counts()
    if json_:
        print_json(outlook.to_dict())
    else:
        _show(outlook)


def _show(outlook: Outlook) -> None:
    from ..gate_words import plan_sentence
    from ..statistics.planning import POWER
    from ..statistics.sentences import pooled_blind_spot

    frozen = outlook.frozen
    columns = ("items", "margin", "blind spot", "80% PASS needs")
    verdicts = ("if nothing changed", "if it lost two margins")
    rows = [_row(outlook, claim) for claim in frozen.claims]
    table(("domain", *columns, *verdicts, "in this gate"), rows, columns)
    typer.echo("Margins and blind spots in points; chances of PASS / FAIL / INCONCLUSIVE in %.")
    typer.echo("")
    for claim in frozen.claims:
        if not claim.can_fail or claim.numbers is None or claim.numbers.p_pass < POWER:
            typer.echo(plan_sentence(claim))
    if frozen.pooled_blind_spot is not None:
        typer.echo(f"{pooled_blind_spot(frozen.pooled_blind_spot)}.")
    typer.echo("")
    _show_costs(outlook)
    for note in outlook.notes:
        typer.echo(note)
    for reason in outlook.blockers:
        typer.echo(f"Cannot be green as planned: {reason}")
    typer.echo(outlook.exit_codes())


def _row(outlook: Outlook, claim: ClaimPlan) -> list[str]:
    return [
        claim.claim.id,
        str(claim.items),
        points(claim.margin),
        blind_spot(claim.blind_spot),
        _needed(claim),
        _percentages(outlook.chances(claim, 0)),
        _percentages(outlook.chances(claim, 2)),
        _role(outlook.policy, claim),
    ]


def blind_spot(loss: float | None) -> str:
    """Points, rounded up to a half as in every sentence: never understated."""
    return "-" if loss is None else f"{math.ceil(200 * loss - 1e-9) / 2:g}"


def _needed(claim: ClaimPlan) -> str:
    if claim.numbers is None:
        return "-"
    unit = "items" if claim.numbers.n == claim.items else "clusters"
    return f"{claim.numbers.items_needed} {unit}"


def _percentages(chances: Chances | None) -> str:
    if chances is None:
        return "-"
    shares = (chances.passed, chances.failed, chances.inconclusive)
    return " / ".join(_percent(share) for share in shares)


def _percent(share: float) -> str:
    """A whole number; only what is certain is 0 or 100."""
    if 0 < share < 0.005:
        return "<1"
    return ">99" if 0.995 <= share < 1 else f"{100 * share:.0f}"


def _role(policy: Policy, claim: ClaimPlan) -> str:
    from ..waivers import waiver_of

    if not claim.can_fail:
        reasons = {
            "no_verdict": "too few items",
            "at_floor": "at its floor",
            "unverified": "unverified",
        }
        return "not tested: " + ", ".join(reasons[f] for f in claim.flags if f in reasons)
    critical = {claim.claim.domain, claim.claim.id}.intersection(policy.critical)
    must_pass = claim.gating if policy.name == "strict" else policy.name == "release" and critical
    role = "must PASS" if must_pass else "can FAIL"
    waiver = waiver_of(claim.claim.id, policy.waivers)
    until = [f"waived until {waiver.expires}"] if waiver else []
    return ", ".join([role, *(["required"] if claim.required else []), *until])


def _show_costs(outlook: Outlook) -> None:
    costs = outlook.costs
    numbers = ("items", "answers", "prompt tokens", "completion tokens", "time")
    rows = [
        [c.task, str(c.items), str(c.answers), *map(_count, _tokens(c)), _time(c.seconds)]
        for c in costs
    ]
    table(("task", *numbers), rows, numbers)
    if outlook.measured is None:
        typer.echo("Tokens and time are unknown: --baseline RUN plans with what a stored Run took.")
    elif any(c.seconds is None for c in costs):
        typer.echo(
            f"As in '{outlook.measured}'; '?' was not measured there (recorded or cached answers)."
        )
    else:
        total = sum(c.seconds or 0.0 for c in costs)
        typer.echo(
            f"One side takes {_time(total)} on the machine and engine of '{outlook.measured}'."
        )


def _tokens(cost: TaskCost) -> tuple[int | None, int | None]:
    return cost.prompt_tokens, cost.completion_tokens


def _count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
