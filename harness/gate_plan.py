"""The gate's first step: what can be seen, fixed before any score of the candidate is read.

`plan` is given the baseline and the policy and nothing of the candidate, so margins, gating classes,
blind spots, floors and the size of the Holm family cannot depend on the answers under test. The planned
discordance is the policy's, else the one measured between the baseline's checkpoint and itself
(noise.py), else that of sampled answers, else a table's. Not here: verdicts (gate.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

from .comparability import RunLike
from .noise import NoiseFloor, load_noise
from .pairing import Claim, PairedClaim, claims, pair
from .policy import ANCHOR_MARGINS, SMALL_CODE_ITEMS, Policy
from .statistics.decision import FEWEST_ITEMS, SMALL_SET
from .statistics.planning import (
    DomainPlan,
    at_floor,
    plan_domain,
    planned_sampling,
    pooled_detectable_loss,
)
from .statistics.two_level import TwoLevel, item_variance
from .waivers import waiver_of

Origin: TypeAlias = Literal["policy", "A/A", "samples", "table"]


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
    """Planned mean squared difference of an item's score; of pass/fail items the share that changes."""
    discordance_from: Origin
    required: bool
    flags: tuple[str, ...]
    """`no_verdict at_floor underpowered small_set unverified`, where they hold."""
    numbers: DomainPlan | None
    """None for fewer than 30 units."""
    graded: bool = False
    """Planned by the spread of differences: scores between 0 and 1, several answers an item, clusters."""
    listed: int | None = None
    """Under `estimand: benchmark` the length of the list, beyond which nothing is said."""
    sampling: TwoLevel | None = None
    """Of several answers an item: what the planned error is made of."""

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
        return self.can_fail and (
            likely or self.listed is not None or self.claim.domain == "safety"
        )

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
    """J: claims that can FAIL, one for their mean, hard drift and claims against the anchor."""
    shared: frozenset[str]
    """Domains whose claims are made on the same items."""
    pooled_blind_spot: float | None
    absent: tuple[str, ...]
    """Required domains and claims that the baseline does not have."""
    drift: tuple[str, ...] = ()
    """Hard drift metrics that can fail: `drift/loop` ...; none without a measured noise floor."""
    anchored: tuple[ClaimPlan, ...] = ()
    """The same claims against the anchor, at its margins."""
    noise: str = ""
    """When and how the noise floor was measured; empty: it was not."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able data, to be written down before the candidate answers."""
        return {**asdict(self), "shared": sorted(self.shared)}

    @property
    def listed(self) -> bool:
        """Whether only fixed lists are spoken of."""
        return any(claim.listed for claim in self.claims)

    @property
    def tested(self) -> tuple[ClaimPlan, ...]:
        """Members of the family, without the mean."""
        return tuple(c for c in self.claims if c.can_fail)


def plan(
    baseline: RunLike,
    policy: Policy,
    tasks: Iterable[str],
    target: str | None = None,
    anchor: RunLike | None = None,
) -> Plan:
    """Fix what the gate will test, from the baseline, the anchor and the policy alone.

    Args:
        baseline: the reference Run; its scores give item counts, floors and gradedness.
        policy: see policy.py.
        tasks: names of the tasks to compare.
        target: domain the stage meant to improve, if any.
        anchor: the Run that is kept for good, if any.

    Raises:
        ConfigError: the policy names a claim that its domain does not make.
        DataError: the scores of either cannot be used.
    """
    tasks = tuple(tasks)
    floor = load_noise(baseline, tasks)
    drafts = _drafts(baseline, policy, tasks, target, floor)
    kept = _anchored(anchor, policy, tasks) if anchor else []
    drift = _drift_members(baseline, policy, floor)
    policy.check_claims({d.claim.id: f"{d.claim.domain}/{d.claim.metric}" for d, _ in drafts})
    family = sum(draft.can_fail for draft, _ in (*drafts, *kept)) + 1 + len(drift)
    planned = tuple(_powered(draft, policy, family) for draft, _ in drafts)
    shared = _shared_domains(own for _, own in drafts)
    return Plan(
        tasks=tasks,
        claims=planned,
        family_size=family,
        shared=shared,
        pooled_blind_spot=_pooled_blind_spot(planned, shared, policy, family),
        absent=_absent((d.claim for d, _ in drafts), policy, target),
        drift=drift,
        anchored=tuple(_powered(draft, policy, family) for draft, _ in kept),
        noise=floor.source,
    )


def _drafts(
    run: RunLike, policy: Policy, tasks: Iterable[str], target: str | None, floor: NoiseFloor
) -> list[tuple[ClaimPlan, PairedClaim]]:
    """Each claim's plan without its power, with the Run's scores held against themselves."""
    declared = {t: run.manifest["tasks"][t] for t in tasks if t in run.manifest["tasks"]}
    found = claims(gating_tasks(declared, policy))
    scores = run.scores()
    own = pair(found, scores, scores)
    return [(_draft(own[c.id], declared, policy, target, floor), own[c.id]) for c in found]


def _anchored(
    anchor: RunLike, policy: Policy, tasks: Iterable[str]
) -> list[tuple[ClaimPlan, PairedClaim]]:
    """The claims against the anchor: wider margins, and nothing is required of them twice."""
    drafts = _drafts(anchor, policy, tasks, None, load_noise(anchor, tasks))
    return [
        (replace(draft, margin=min(0.99, ANCHOR_MARGINS * draft.margin), required=False), own)
        for draft, own in drafts
    ]


def _drift_members(baseline: RunLike, policy: Policy, floor: NoiseFloor) -> tuple[str, ...]:
    """The hard drift metrics that are gated: named by the policy, and measured in the noise floor."""
    judged = "judge" in (baseline.manifest.get("roles") or {})
    measured: dict[str, int] = {}
    for figures in floor.noise.values():
        for metric, figure in figures.items():
            measured[metric] = measured.get(metric, 0) + figure.n
    gated = [m for m in policy.drift if judged or m != "length"]
    wanted = [m for m in gated if measured.get(m, 0) >= FEWEST_ITEMS]
    return tuple(f"drift/{metric}" for metric in wanted)


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
    own: PairedClaim,
    declared: Mapping[str, Mapping[str, Any]],
    policy: Policy,
    target: str | None,
    floor: NoiseFloor,
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
    sampling = _sampling(own, [int(e.get("repeats") or 1) for e in entries])
    spread, origin = _spread(own, policy, floor, sampling)
    # Items of a cluster are planned to change together: the error cannot be larger than that.
    clustered = own.units < own.n
    graded = clustered or bool(((own.baseline != 0) & (own.baseline != 1)).any()) or bool(sampling)
    return ClaimPlan(
        claim=claim,
        items=own.n,
        units=own.units,
        margin=margin,
        discordance=spread if sampling else max(spread, margin),
        discordance_from=origin,
        required=policy.requires(claim.domain, claim.id, target),
        flags=tuple(_early_flags(own, declared, policy, margin)),
        numbers=None,
        graded=graded,
        listed=whole if policy.estimand == "benchmark" else None,
        sampling=sampling,
    )


def _early_flags(
    own: PairedClaim,
    declared: Mapping[str, Mapping[str, Any]],
    policy: Policy,
    margin: float,
) -> Iterator[str]:
    """What is known of a claim before its power is."""
    if own.units < FEWEST_ITEMS:
        yield "no_verdict"
    elif _at_floor(own, _chance(own, declared), policy, margin):
        yield "at_floor"
    if FEWEST_ITEMS <= own.units < SMALL_SET:
        yield "small_set"
    if not policy.allow_unverified and not any(verified(declared[t]) for t in own.claim.tasks):
        yield "unverified"


def _at_floor(own: PairedClaim, chance: float, policy: Policy, margin: float) -> bool:
    """Whether nothing can be lost; of a fixed list that is exact."""
    mean = float(own.baseline.mean())
    if policy.estimand == "benchmark":
        return mean < chance + margin
    return at_floor(mean, own.units, chance, margin)


def _sampling(own: PairedClaim, repeats: Sequence[int]) -> TwoLevel | None:
    """The planned parts of the error where items are answered several times, the same on both sides.

    The noise of one answer is the baseline's own where its samples are at hand; items that answer
    otherwise than the baseline are planned as in the reference suite (statistics/planning.py).
    """
    answers = min(repeats, default=1)
    if answers < 2 or own.n < 2 or own.clustered:
        return None
    several = own.samples is not None and any(len(s) > 1 for s in own.samples[0])
    noise = item_variance(own.samples[0]).sigma2_candidate if own.samples and several else None
    return planned_sampling(own.n, answers, noise)


def _spread(
    own: PairedClaim, policy: Policy, floor: NoiseFloor, sampling: TwoLevel | None
) -> tuple[float, Origin]:
    """The planned discordance of a claim and where it comes from."""
    claim = own.claim
    named = policy.own_discordance(claim.domain, claim.metric)
    if named is not None:
        return named, "policy"
    weights = {key: int((own.task == key[0]).sum()) for key in claim.metrics}
    measured = floor.discordance({key: n for key, n in weights.items() if n})
    if measured is not None:
        return measured, "A/A"
    if sampling is not None:
        return min(1.0, sampling.omega2 + sampling.noise), "samples"
    return policy.table_discordance(claim.domain), "table"


def _powered(draft: ClaimPlan, policy: Policy, family: int) -> ClaimPlan:
    if draft.units < FEWEST_ITEMS or draft.listed:
        return draft
    spread = max(draft.discordance, 1e-9)
    numbers = plan_domain(
        draft.units,
        draft.margin,
        None if draft.graded else spread,
        sd=math.sqrt(spread) if draft.graded else None,
        family=family,
        alpha_pass=policy.alpha_pass,
        alpha_fail=policy.alpha_fail,
    )
    if draft.sampling:  # what more samples bring is said of the samples there are
        numbers = replace(numbers, sampled_margin=None, sampled_family=None)
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
    planned: Iterable[ClaimPlan], shared: frozenset[str], policy: Policy, family: int
) -> float | None:
    """What the mean over domains could miss; waived claims have no part in it (gate.py)."""
    counted = [p for p in planned if p.can_fail and not waiver_of(p.claim.id, policy.waivers)]
    ses = [(p.claim.domain, 0.0, p.numbers.se) for p in counted if p.numbers]
    if not ses:
        return None
    return pooled_detectable_loss(domain_means(ses, shared)[1], policy.alpha_fail / family)


def _absent(found: Iterable[Claim], policy: Policy, target: str | None) -> tuple[str, ...]:
    known = {key for claim in found for key in (claim.domain, claim.id)}
    wanted = policy.require if policy.require is not None else (target,) if target else ()
    return tuple(sorted({name for name in wanted if name not in known}))
