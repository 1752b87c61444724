"""What a gate would cost and could detect, put together before anything runs.

With a stored baseline the plan is the one that the gate freezes; without one it is made from the
numbers of items alone. Not here: the formulas (statistics/), how it is shown (cli/plan.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .comparability import RunLike, check_manifest, chosen_tasks, unfinished
from .cost import TaskCost, expected_costs, unknown_costs
from .errors import UnknownName, UsageError
from .gate_looks import Looks, plan_gate_looks
from .gate_plan import ClaimPlan, Plan
from .gate_plan import plan as freeze
from .gate_words import discordance_notes, plan_sentence, unmet, unseen_mean
from .planned_run import counted, shortened
from .policy import Policy
from .records import DOMAINS
from .run import Run
from .statistics.chances import Chances, verdict_chances
from .tasks import resolve
from .waivers import waiver_of

_GREEN = {"harm": "no harm shown", "release": "the policy is satisfied", "strict": "PASS"}
_AMBER = {"fail": "1", "warn": "0 with a warning", "pass": "0"}


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
        seed = int(cut.manifest.get("seed") or 0)
        looks = plan_gate_looks(frozen, cut, self.policy, self.target, seed)
        return Outlook(self.policy, frozen, costs, measured=run.label, lacks=lacks, looks=looks)

    def from_counts(self) -> Outlook:
        """The plan from the numbers of items; the cost of a token is unknown.

        Raises:
            UsageError: no suite was named.
        """
        if not self.suites:
            raise UsageError(
                "Nothing to plan: pass --suites (for example --suites pocket), --baseline RUN, or a "
                "policy that names suites."
            )
        stand_in = counted(resolve(self.suites), self.limit, self.repeats)
        frozen = replace(self, suites=())._frozen(stand_in)
        costs = unknown_costs(stand_in.manifest["tasks"])
        return Outlook(self.policy, frozen, costs)

    def _frozen(self, run: RunLike) -> Plan:
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
    looks: Looks | None = None
    """Of a live gate; None without a baseline, whose items they cut."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the planned discordances come from, a line for each source but the table."""
        return tuple(discordance_notes(self.frozen))

    @property
    def blockers(self) -> tuple[str, ...]:
        """Why this gate could not be green even if nothing changed."""
        reasons = [unmet(claim) for claim in self.frozen.claims if claim.required]
        reasons += [
            f"{name} is required, and no suite here is of that domain; add one."
            for name in self.frozen.absent
        ]
        reasons.append(unseen_mean(self.frozen, self.policy))
        return (*self.lacks, *(reason for reason in reasons if reason))

    def chances(self, claim: ClaimPlan, margins: float) -> Chances | None:
        """The chance of each verdict at a true loss of so many margins; None where none is given."""
        if claim.numbers is None or not claim.can_fail:
            return None
        levels = (self.policy.alpha_pass, self.policy.alpha_fail)
        return verdict_chances(claim.numbers, min(1.0, margins * claim.margin), *levels)

    def exit_codes(self) -> str:
        """The rules in one line."""
        mapped = self.policy.inconclusive
        amber = f" (this policy makes it {_AMBER[mapped]})" if mapped else ""
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
            "looks": self.looks.to_dict() if self.looks else None,
            "blockers": list(self.blockers),
            "notes": list(self.notes),
            "exit_codes": self.exit_codes(),
        }

    def _claim(self, claim: ClaimPlan) -> dict[str, Any]:
        waiver = waiver_of(claim.claim.id, self.policy.waivers)
        chances = {"no_change": self.chances(claim, 0), "twice_margin": self.chances(claim, 2)}
        return {
            "claim": claim.claim.id,
            "tasks": list(claim.claim.tasks),
            "items": claim.items,
            "margin": claim.margin,
            "discordance": claim.discordance,
            "discordance_from": claim.discordance_from,
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
