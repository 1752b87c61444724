"""The gate's first step: what can be seen, fixed before any score of the candidate is read.

`plan` is given the baseline and the policy and nothing of the candidate, so margins, gating classes,
blind spots, floors and the size of the Holm family cannot depend on the answers under test. Later
places for more evidence: a measured A/A discordance, k samples an item, looks. Not here:
verdicts (gate.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from .comparability import RunLike
from .pairing import Claim, PairedClaim, claims, pair
from .policy import SMALL_CODE_ITEMS, Policy
from .statistics.decision import FEWEST_ITEMS, SMALL_SET
from .statistics.planning import DomainPlan, at_floor, plan_domain, pooled_detectable_loss


@dataclass(frozen=True, slots=True)
class ClaimPlan:
    """What one claim can show. Proportions, not points."""

    claim: Claim
    items: int
    """Items the baseline has scores for."""
    units: int
    """Independent observations among them: clusters where items share some."""
    margin: float
    discordance: float
    required: bool
    flags: tuple[str, ...]
    """`no_verdict at_floor underpowered small_set unverified`, where they hold."""
    numbers: DomainPlan | None
    """None for fewer than 30 units."""

    @property
    def clustered(self) -> bool:
        """Whether the unit is the cluster."""
        return self.units < self.items

    @property
    def can_fail(self) -> bool:
        """Whether this claim is tested: a member of the Holm family and of the pooled mean."""
        return not {"no_verdict", "at_floor", "unverified"}.intersection(self.flags)

    @property
    def gating(self) -> bool:
        """Whether `strict` demands a PASS; safety is never demoted to advisory."""
        likely = self.numbers is not None and self.numbers.gating
        return self.can_fail and (likely or self.claim.domain == "safety")

    @property
    def blind_spot(self) -> float | None:
        """Smallest true loss found with 80% power at the first Holm step."""
        return self.numbers.detectable_family if self.numbers and self.can_fail else None


@dataclass(frozen=True, slots=True)
class Plan:
    """The frozen frame of one gate."""

    tasks: tuple[str, ...]
    """Names of the tasks to compare."""
    claims: tuple[ClaimPlan, ...]
    family_size: int
    """J: claims that can FAIL, and one for their mean."""
    shared: frozenset[str]
    """Domains whose claims are made on the same items."""
    pooled_blind_spot: float | None
    absent: tuple[str, ...]
    """Required domains and claims that the baseline does not have."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able data, to be written down before the candidate answers."""
        return {**asdict(self), "shared": sorted(self.shared)}

    @property
    def tested(self) -> tuple[ClaimPlan, ...]:
        """Members of the family, without the mean."""
        return tuple(c for c in self.claims if c.can_fail)


def plan(
    baseline: RunLike, policy: Policy, tasks: Iterable[str], target: str | None = None
) -> Plan:
    """Fix what the gate will test, from the baseline and the policy alone.

    Args:
        baseline: the reference Run; its scores give item counts, floors and gradedness.
        policy: see policy.py.
        tasks: names of the tasks to compare.
        target: domain the stage meant to improve, if any.

    Raises:
        DataError: the baseline's scores cannot be used.
    """
    tasks = tuple(tasks)
    declared = {t: baseline.manifest["tasks"][t] for t in tasks if t in baseline.manifest["tasks"]}
    found = claims(gating_tasks(declared, policy))
    scores = baseline.scores()
    own = pair(found, scores, scores)
    drafts = [_draft(own[claim.id], declared, policy, target) for claim in found]
    family = sum(draft.can_fail for draft in drafts) + 1
    planned = tuple(_powered(draft, own[draft.claim.id], policy, family) for draft in drafts)
    shared = _shared_domains(own.values())
    return Plan(
        tasks=tasks,
        claims=planned,
        family_size=family,
        shared=shared,
        pooled_blind_spot=_pooled_blind_spot(planned, shared, policy.alpha_fail / family),
        absent=_absent(found, policy, target),
    )


def gating_tasks(
    declared: Mapping[str, Mapping[str, Any]], policy: Policy
) -> dict[str, Mapping[str, Any]]:
    """Tasks that speak for their domain: the verified ones, or all where none is verified."""
    sound = {d["domain"] for d in declared.values() if verified(d)}
    return {
        name: task
        for name, task in declared.items()
        if policy.allow_unverified or verified(task) or task["domain"] not in sound
    }


def verified(task: Mapping[str, Any]) -> bool:
    """Whether a task's scorer was compared with a reference."""
    return str(task.get("verified", "")).startswith("against")


def domain_means(
    values: Iterable[tuple[str, float, float]], shared: frozenset[str]
) -> tuple[list[float], list[float]]:
    """Differences and standard errors by domain, from (domain, difference, error) by claim.

    A domain of several claims counts once, as their mean. Errors of claims on the same items are
    added as if they were fully correlated, which can only make the pooled test more careful.
    """
    groups: dict[str, list[tuple[float, float]]] = {}
    for domain, delta, se in values:
        groups.setdefault(domain, []).append((delta, se))
    deltas = [math.fsum(delta for delta, _ in g) / len(g) for g in groups.values()]
    sums = [
        math.fsum(se for _, se in g)
        if domain in shared
        else math.sqrt(math.fsum(se * se for _, se in g))
        for domain, g in groups.items()
    ]
    return deltas, [total / len(g) for total, g in zip(sums, groups.values(), strict=True)]


def _draft(
    own: PairedClaim, declared: Mapping[str, Mapping[str, Any]], policy: Policy, target: str | None
) -> ClaimPlan:
    """Everything but the power, which needs the size of the family."""
    claim = own.claim
    entries = [declared[task] for task in claim.tasks]
    whole = sum(int(e.get("items_in_full") or e["items"]) for e in entries)
    margin = policy.margin(
        claim.domain,
        claim.metric,
        declared=_declared_margin(claim, declared),
        small=whole < SMALL_CODE_ITEMS,
    )
    flags = []
    if own.units < FEWEST_ITEMS:
        flags.append("no_verdict")
    elif at_floor(float(own.baseline.mean()), own.units, _chance(own, declared), margin):
        flags.append("at_floor")
    if FEWEST_ITEMS <= own.units < SMALL_SET:
        flags.append("small_set")
    if not policy.allow_unverified and not any(verified(e) for e in entries):
        flags.append("unverified")
    return ClaimPlan(
        claim=claim,
        items=own.n,
        units=own.units,
        margin=margin,
        discordance=max(policy.planned_discordance(claim.domain, claim.metric), margin),
        required=policy.requires(claim.domain, claim.id, target),
        flags=tuple(flags),
        numbers=None,
    )


def _powered(draft: ClaimPlan, own: PairedClaim, policy: Policy, family: int) -> ClaimPlan:
    if draft.units < FEWEST_ITEMS:
        return draft
    # Items of a cluster are planned to change together: the error cannot be larger than that.
    graded = draft.clustered or bool(((own.baseline != 0) & (own.baseline != 1)).any())
    spread = draft.discordance
    numbers = plan_domain(
        draft.units,
        draft.margin,
        None if graded else spread,
        sd=math.sqrt(spread) if graded else None,
        family=family,
        alpha_pass=policy.alpha_pass,
        alpha_fail=policy.alpha_fail,
    )
    flags = draft.flags if numbers.sees_twice_margin else (*draft.flags, "underpowered")
    return replace(draft, flags=flags, numbers=numbers)


def _declared_margin(claim: Claim, declared: Mapping[str, Mapping[str, Any]]) -> float | None:
    """The smallest margin that the claim's tasks declare for their metric."""
    wanted = set(claim.metrics)
    margins = [
        float(metric["margin"])
        for task in claim.tasks
        for metric in declared[task]["metrics"]
        if (task, metric["name"]) in wanted and metric.get("margin") is not None
    ]
    return min(margins, default=None)


def _chance(own: PairedClaim, declared: Mapping[str, Mapping[str, Any]]) -> float:
    """What guessing scores, weighted by items; 0 where lower is better (the worst there is)."""
    if own.claim.lower_is_better:
        return 0.0
    chances = {task: float(declared[task].get("chance") or 0.0) for task in own.claim.tasks}
    return math.fsum(chances[task] for task in own.task) / own.n


def _shared_domains(own: Iterable[PairedClaim]) -> frozenset[str]:
    seen: dict[str, set[tuple[str, str]]] = {}
    shared = set()
    for claim in own:
        items = set(zip(claim.task, claim.sample_id, strict=True))
        before = seen.setdefault(claim.claim.domain, set())
        if not before.isdisjoint(items):
            shared.add(claim.claim.domain)
        before |= items
    return frozenset(shared)


def _pooled_blind_spot(
    planned: Iterable[ClaimPlan], shared: frozenset[str], alpha: float
) -> float | None:
    ses = [(p.claim.domain, 0.0, p.numbers.se) for p in planned if p.can_fail and p.numbers]
    return pooled_detectable_loss(domain_means(ses, shared)[1], alpha) if ses else None


def _absent(found: Iterable[Claim], policy: Policy, target: str | None) -> tuple[str, ...]:
    known = {key for claim in found for key in (claim.domain, claim.id)}
    wanted = policy.require if policy.require is not None else (target,) if target else ()
    return tuple(sorted({name for name in wanted if name not in known}))
