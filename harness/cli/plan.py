"""`waterbed plan`: what a gate would cost and could detect, before anything runs.

With a stored baseline the plan is the one that `waterbed gate` freezes; without one it is made from
the numbers of items alone. No model is loaded and nothing is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UnknownName, UsageError
from .evaluate import Limit, Suites
from .output import points, print_json, suite_names, table

if TYPE_CHECKING:
    from ..comparability import RunLike
    from ..cost import TaskCost
    from ..gate_plan import ClaimPlan, Plan
    from ..policy import Policy
    from ..run import Run
    from ..statistics.chances import Chances

_GREEN = {"harm": "no harm shown", "release": "the policy is satisfied", "strict": "PASS"}
_AMBER = {"fail": " (this policy makes it 1)", "warn": " (this policy makes it 0 with a warning)"}


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


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be planned."""

    policy: Policy
    suites: Sequence[str]
    target: str | None
    limit: int | None
    repeats: int | None

    def from_baseline(self, path: Path) -> Outlook:
        """The plan that a gate against this Run would freeze, and what the candidate would cost.

        Raises:
            UsageError: no Run, an unfinished one, or one with other answers an item.
        """
        from ..comparability import check_manifest, unfinished
        from ..cost import expected_costs, unknown_costs
        from ..planned_run import shortened
        from ..run import Run

        run = Run.open(path)
        check_manifest(run)
        if trouble := unfinished(run, "baseline"):
            raise UsageError(trouble)
        self._check_repeats(run)
        cut = shortened(run, self.limit) if self.limit else run
        frozen = self._frozen(cut)
        wanted = {k: v for k, v in cut.manifest["tasks"].items() if k in frozen.tasks}
        costs = expected_costs(run, unknown_costs(wanted))
        lacks = tuple(self._lacks(run, frozen))
        return Outlook(self.policy, frozen, costs, measured=run.label, lacks=lacks)

    def from_counts(self) -> Outlook:
        """The plan from the numbers of items; the cost of a token is unknown.

        Raises:
            UsageError: no suite was named.
        """
        from ..cost import unknown_costs
        from ..planned_run import counted
        from ..tasks import resolve

        if not self.suites:
            raise UsageError(
                "Nothing to plan: pass --suites (for example --suites pocket), --baseline RUN, or a "
                "policy that names suites."
            )
        stand_in = counted(resolve(self.suites), self.limit, self.repeats)
        rules, notes = self._sampled()
        frozen = replace(self, policy=rules, suites=())._frozen(stand_in)
        costs = unknown_costs(stand_in.manifest["tasks"])
        return Outlook(rules, frozen, costs, notes=notes)

    def _frozen(self, run: RunLike) -> Plan:
        from ..comparability import chosen_tasks
        from ..gate_plan import plan as freeze
        from ..records import DOMAINS

        if self.target and self.target.split("/", 1)[0] not in DOMAINS:
            raise UnknownName.of("domain", self.target, DOMAINS)
        tasks = chosen_tasks(run.manifest, run.manifest, self.suites or None)
        return freeze(run, self.policy, tasks, self.target)

    def _check_repeats(self, run: Run) -> None:
        own = {name: entry["repeats"] for name, entry in run.manifest["tasks"].items()}
        for name, answers in own.items():
            if self.repeats and self.repeats != answers:
                raise UsageError(
                    f"The baseline has {answers} answer(s) an item of '{name}', and a gate compares "
                    f"equal numbers; evaluate it with --repeats {self.repeats}, or leave out "
                    "--baseline."
                )

    def _lacks(self, run: Run, frozen: Plan) -> Iterator[str]:
        """Tasks of which the baseline has less than the policy is content with."""
        for name in frozen.tasks:
            entry = run.manifest["tasks"].get(name)
            if entry is None:
                yield f"{name}: the baseline has none of it; evaluate it first."
                continue
            full, ran = entry.get("items_in_full") or entry["items"], entry["items"]
            if ran < min(self.policy.limit or full, full):
                yield (
                    f"{name}: the baseline has {ran} of {full} items; evaluate all of them, or gate "
                    f"(and plan) with --limit {ran}."
                )

    def _sampled(self) -> tuple[Policy, tuple[str, ...]]:
        """The policy with the planning discordance of several samples an item, and what to write."""
        from ..records import DOMAINS
        from ..statistics.planning import paired_sd

        if not self.repeats or self.repeats == 1:
            return self.policy, ()
        spread = round(paired_sd(self.repeats, self.repeats) ** 2, 4)
        own = self.policy.discordance
        more = {d: spread for d in DOMAINS if d != "chat" and d not in own}
        rules = self.policy.model_copy(update={"discordance": {**more, **own}})
        note = (
            f"Planned for sampled decoding with {self.repeats} answers an item on both sides; a gate "
            f"plans so where the policy says `discordance: {{DOMAIN: {spread}}}`."
        )
        return rules, (note,)


@dataclass(frozen=True, slots=True)
class Outlook:
    """A plan with its cost, ready to be shown."""

    policy: Policy
    frozen: Plan
    costs: tuple[TaskCost, ...]
    measured: str | None = None
    """The Run that the cost was measured on."""
    lacks: tuple[str, ...] = ()
    """What the baseline has too little of."""
    notes: tuple[str, ...] = ()

    @property
    def blockers(self) -> tuple[str, ...]:
        """Why this gate could not be green even if nothing changed."""
        from ..gate_words import unmet, unseen_mean

        reasons = [unmet(claim) for claim in self.frozen.claims if claim.required]
        reasons += [
            f"{name} is required, and no suite here is of that domain; add one."
            for name in self.frozen.absent
        ]
        reasons.append(unseen_mean(self.frozen, self.policy))
        return (*self.lacks, *(reason for reason in reasons if reason))

    def chances(self, claim: ClaimPlan, margins: float) -> Chances | None:
        """The chance of each verdict at a true loss of so many margins; None where none is given."""
        from ..statistics.chances import verdict_chances

        if claim.numbers is None or not claim.can_fail:
            return None
        levels = (self.policy.alpha_pass, self.policy.alpha_fail)
        return verdict_chances(claim.numbers, min(1.0, margins * claim.margin), *levels)

    def exit_codes(self) -> str:
        """The rules in one line."""
        amber = _AMBER.get(self.policy.inconclusive or "", "")
        amber = " (this policy makes it 0)" if self.policy.inconclusive == "pass" else amber
        return (
            f"Exit codes: 0 {_GREEN[self.policy.name]}, 1 a proven loss, 2 usage, 3 "
            f"inconclusive{amber}, 4 data or instrument trouble."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data; proportions, tokens, seconds."""
        frozen, policy = self.frozen, self.policy
        return {
            "policy": policy.resolved(),
            "claims": [self._claim(claim) for claim in frozen.claims],
            "family_size": frozen.family_size,
            "pooled_blind_spot": frozen.pooled_blind_spot,
            "tasks": [asdict(cost) for cost in self.costs],
            "cost_measured_on": self.measured,
            "blockers": list(self.blockers),
            "notes": list(self.notes),
            "exit_codes": self.exit_codes(),
        }

    def _claim(self, claim: ClaimPlan) -> dict[str, Any]:
        from ..gate_words import plan_sentence
        from ..waivers import waiver_of

        waiver = waiver_of(claim.claim.id, self.policy.waivers)
        chances = {"no_change": self.chances(claim, 0), "twice_margin": self.chances(claim, 2)}
        return {
            "claim": claim.claim.id,
            "tasks": list(claim.claim.tasks),
            "items": claim.items,
            "margin": claim.margin,
            "discordance": claim.discordance,
            "blind_spot": claim.blind_spot,
            "items_needed": claim.numbers.items_needed if claim.numbers else None,
            "can_fail": claim.can_fail,
            "required": claim.required,
            "waived_until": str(waiver.expires) if waiver else None,
            "flags": list(claim.flags),
            "chances": {name: _shares(found) for name, found in chances.items()},
            "sentence": plan_sentence(claim),
        }


def _shares(chances: Chances | None) -> Mapping[str, float] | None:
    if chances is None:
        return None
    return {
        "pass": chances.passed,
        "fail": chances.failed,
        "inconclusive": chances.inconclusive,
    }


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
        _blind_spot(claim.blind_spot),
        _needed(claim),
        _percentages(outlook.chances(claim, 0)),
        _percentages(outlook.chances(claim, 2)),
        _role(outlook.policy, claim),
    ]


def _blind_spot(loss: float | None) -> str:
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
