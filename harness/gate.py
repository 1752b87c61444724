"""The gate: two Runs and a policy in, a Verdict out.

Two steps, in this order and by separate code: `plan` (gate_plan.py) fixes from the baseline alone
what is tested and what could be seen; `decide` then reads both sides. A loss is claimed only after
Holm's correction over all claims: domains, their mean, hard drift, claims against the anchor. Green is
claimed only where the evidence that the policy demands is there (gate_demands.py). Pure: no clock, no
randomness, no files beyond those of the Runs, so the same Runs give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from .. import __version__
from . import gate_demands as demands
from . import gate_words as words
from . import waivers
from .comparability import (
    Differences,
    RunLike,
    check_manifest,
    chosen_tasks,
    compare,
    unfinished,
)
from .drift_record import sentence as drift_sentence
from .errors import UnknownName
from .gate_case import ANCHOR, POOL, Case, Findings, Ruling
from .gate_drift import after_holm, drift_between
from .gate_evidence import LOOKS, Evidence, gather
from .gate_looks import LABEL, looks_of
from .gate_plan import Plan, domain_means, plan, verified
from .gate_prompts import with_prompts
from .gate_readings import Prefixes, read_mean
from .gate_record import command_of, domain_verdict, early_stop, missing_verdict, side_of
from .gate_waterbed import waterbed_of
from .policy import Policy
from .records import DOMAINS
from .statistics.common_looks import MeanReading
from .statistics.decision import Decision
from .statistics.families import holm, mean_harm_p, pool_domains
from .verdict import AnchorVerdict, Badge, DomainVerdict, PooledVerdict, Verdict


def gate_runs(
    baseline: RunLike,
    candidate: RunLike,
    policy: Policy,
    target: str | None = None,
    suites: Sequence[str] | None = None,
    anchor: RunLike | None = None,
) -> Verdict:
    """Compare two Runs item by item and decide.

    Args:
        baseline: what must not be lost.
        candidate: the checkpoint under test.
        policy: see policy.py; its `suites`, `settings`, `backend` and `anchor` are the command line's.
        target: the domain this checkpoint was meant to improve.
        suites: tasks, domains or groups to compare; default: all that either Run has.
        anchor: a Run kept for good, below which nothing may fall by 1.5 margins.

    Raises:
        IncomparableRuns: the Runs were not made the same way (unless the policy only warns).
        UnknownName: no such target or suite.
        ConfigError: the policy names a claim that these Runs do not make.
        DataError: a score table or a run.json is damaged.
    """
    _check_target(target)
    sides = [(baseline, "baseline"), (candidate, "candidate")]
    sides += [(anchor, "anchor")] if anchor else []
    for run, _ in sides:
        check_manifest(run)
    domains = chosen_tasks(baseline.manifest, candidate.manifest, suites)
    differences = _differences(baseline, candidate, domains, policy)
    if anchor:
        _differences(anchor, candidate, domains, policy)
    case = Case(baseline, candidate, policy, target, suites, domains, differences, anchor)
    problems = tuple(p for p in (unfinished(run, side) for run, side in sides) if p)
    if problems:
        return _verdict(case, None, Findings(), Ruling(problems=problems))
    frozen = plan(baseline, policy, case.speaking, target, anchor)
    case = replace(case, looks=looks_of(candidate, frozen, baseline, policy, target))
    found = _find(case, frozen)
    return _verdict(case, frozen, found, decide(case, frozen, found))


def _differences(
    reference: RunLike, candidate: RunLike, tasks: dict[str, str], policy: Policy
) -> Differences:
    """What differs between a reference and the candidate, refused where it may not."""
    found = compare(reference.manifest, candidate.manifest, tasks)
    found = with_prompts(found, reference, candidate, tasks)
    if policy.on_difference == "refuse":
        found.enforce(reference.label, candidate.label)
    return found


def _find(case: Case, frozen: Plan) -> Findings:
    """Read all sides' answers."""
    baseline, candidate, policy, tasks = case.baseline, case.candidate, case.policy, case.speaking
    kept: tuple[Evidence, ...] = ()
    if case.anchor:
        claims = replace(frozen, claims=frozen.anchored)
        kept = gather(claims, tasks, case.anchor, candidate, policy, reference="anchor")
    return Findings(
        evidence=gather(frozen, tasks, baseline, candidate, policy, case.looks),
        anchored=kept,
        drift=drift_between(baseline, candidate, frozen, tasks, policy),
    )


def decide(case: Case, frozen: Plan, found: Findings) -> Ruling:
    """Apply the policy to the evidence; only complete claims can be lost."""
    policy, mean = case.policy, _mean(case, frozen, found)
    adjusted = _adjusted(frozen, found, mean)
    lost = {e.plan.claim.id for e in found.tested if _alone(e)}
    lost |= {ANCHOR + e.plan.claim.id for e in found.anchored if e.plan.can_fail and _alone(e)}
    lost |= set(found.drift.harmed)
    if mean is not None and mean.pooled.large:
        lost.add(POOL)
    proven = [n for n in adjusted if n in lost and adjusted[n] <= policy.alpha_fail]
    if policy.strict_drift:
        proven += [f"drift/{row.metric}" for row in found.drift.rows if row.warned]
    failed, waived = waivers.apply(proven, policy.waivers)
    missing = demands.missing(case, frozen)
    return Ruling(
        failed=failed,
        adjusted=adjusted,
        mean=mean,
        problems=(*demands.problems(found), *case.contamination.problems),
        undecided=(
            *demands.lacks(missing, found),
            *demands.undecided(case, frozen, found, mean),
        ),
        missing=missing,
        waived=waived,
    )


def _adjusted(frozen: Plan, found: Findings, mean: MeanReading | None) -> dict[str, float]:
    """Holm's p of every member of the family that the plan froze; 1 for what may not speak."""
    members = {e.plan.claim.id: e.p_loss for e in found.tested}
    members |= {POOL: mean.p_loss if mean else 1.0}
    drifted = found.drift.p_values()
    members |= {name: drifted.get(name, 1.0) for name in frozen.drift}
    members |= {ANCHOR + e.plan.claim.id: e.p_loss for e in found.anchored if e.plan.can_fail}
    return dict(zip(members, holm(list(members.values())), strict=True))


def _alone(found: Evidence) -> bool:
    return found.usable and found.decision is not None and found.decision.verdict == "fail"


def _mean(case: Case, frozen: Plan, found: Findings) -> MeanReading | None:
    """The mean over domains; None where a tested domain is not complete, or too little was read.

    A waived claim has no part in it, or its loss would come back through the mean.
    """
    given = case.policy.waivers
    tested = [e for e in found.tested if not waivers.waiver_of(e.plan.claim.id, given)]
    if not tested or not all(e.usable and not e.plan.listed for e in tested):
        return None
    if case.looks:
        own = Prefixes(case.looks, {e.plan.claim.id: e.whole for e in tested})
        return read_mean(case.looks, own, min(e.tenths for e in tested))
    values = [(e.plan.claim.domain, *e.moved) for e in tested if e.moved]
    pooled = pool_domains(*domain_means(values, frozen.shared))
    p_loss = min(1.0, pooled.p_loss * (LOOKS if any(e.stopped for e in tested) else 1))
    excluded = mean_harm_p(pooled, case.policy.mean_harm) <= case.policy.alpha_pass
    return MeanReading(1, pooled, (pooled.z_loss,), p_loss, False, excluded, last=True)


def _verdict(case: Case, frozen: Plan | None, found: Findings, ruling: Ruling) -> Verdict:
    """The record, with the policy's mapping of exit code 3 applied."""
    policy, code, evidence = case.policy, ruling.code, found.evidence
    early = early_stop(case.looks, evidence, case.candidate) if case.looks else None
    mapped = {"fail": 1, "warn": 0, "pass": 0, None: 3}[policy.inconclusive] if code == 3 else code
    made = [str(run.manifest.get("created", "")) for run in case.sides.values()]
    drift = after_holm(found.drift, ruling.adjusted or {}, ruling.failed)
    found = replace(found, drift=drift)
    return Verdict(
        outcome=_outcome(code),
        exit_code=mapped,
        headline=_headline(code, policy, waived=bool(ruling.waived)),
        sentence=_sentence(case, frozen, found, ruling),
        baseline=side_of(case.baseline, tuple(case.domains)),
        candidate=side_of(case.candidate, tuple(case.domains)),
        policy=policy.resolved(),
        target=case.target,
        family_size=frozen.family_size if frozen else 0,
        domain_list=_domain_list(case, frozen, evidence, ruling),
        pooled=_pooled_verdict(case, frozen, ruling) if frozen and not frozen.listed else None,
        differences=(*case.differences.refusals, *case.differences.notes),
        warnings=(*([early.sentence] if early else []), *_warnings(case, found, ruling)),
        problems=ruling.problems,
        command=command_of(case),
        created=max(made),
        version=__version__,
        waterbed=waterbed_of(evidence, case.target, policy.alpha_fail),
        early=early,
        drift=drift,
        anchor=_anchor_verdict(case, frozen, found, ruling),
    )


def _outcome(code: int) -> Badge:
    return "pass" if code == 0 else "fail" if code == 1 else "inconclusive"


def _headline(code: int, policy: Policy, *, waived: bool) -> str:
    harm = "NO NEW HARM SHOWN" if waived else "NO HARM SHOWN"
    green = harm if policy.name == "harm" else "PASS, WITH A WAIVER" if waived else "PASS"
    return {0: green, 1: "REGRESSION", 3: "INCONCLUSIVE", 4: "INVALID"}[code]


def _sentence(case: Case, frozen: Plan | None, found: Findings, ruling: Ruling) -> str:
    if ruling.code == 0 and frozen:
        harm = case.policy.name == "harm"
        green = words.no_harm(frozen) if harm else words.excluded(frozen, case.policy)
        known = "; ".join(waivers.warning(*each) for each in ruling.waived)
        return f"Apart from a waived loss ({known}): {green}" if known else green
    if ruling.code != 1:
        reasons = ruling.problems or ruling.undecided
        more = f" ({len(reasons) - 1} more reasons.)" if len(reasons) > 1 else ""
        return f"{reasons[0]}{more}"
    adjusted = ruling.adjusted or {}
    lost = words.regression(_lost(found.evidence, "", ruling))
    if frozen and frozen.listed:
        lost = words.lost_on_lists(e for e in found.evidence if e.plan.claim.id in ruling.failed)
    crept = words.regression(_lost(found.anchored, ANCHOR, ruling))
    said = [lost, f"Against the anchor: {crept}" if crept else ""]
    said += [f"Drift: {drift_sentence(row)}" for row in found.drift.rows if row.failed]
    if POOL in ruling.failed and not lost:
        said.append(words.pooled_sentence(ruling.pooled, adjusted.get(POOL)))
    return " ".join(filter(None, said))


def _lost(
    evidence: Sequence[Evidence], prefix: str, ruling: Ruling
) -> list[tuple[str, Decision, float]]:
    """The claims of one reference that are proven lost, with their decisions and Holm's p."""
    adjusted = ruling.adjusted or {}
    return [
        (words.claim_lost(e), e.read, adjusted[prefix + e.plan.claim.id])
        for e in evidence
        if e.read and prefix + e.plan.claim.id in ruling.failed
    ]


def _domain_list(
    case: Case, frozen: Plan | None, evidence: Sequence[Evidence], ruling: Ruling
) -> tuple[DomainVerdict, ...]:
    policy, records = case.policy, _records(case, frozen, evidence, "", ruling)
    for name, sentence in ruling.missing:
        domain, _, metric = name.partition("/")
        margin = policy.margin(domain, metric, declared=None, small=False)
        required = policy.requires(domain, name, case.target)
        records.append(missing_verdict(name, sentence, margin, required=required))
    return tuple(sorted(records, key=lambda d: DOMAINS.index(d.domain)))


def _records(
    case: Case, frozen: Plan | None, evidence: Sequence[Evidence], prefix: str, ruling: Ruling
) -> list[DomainVerdict]:
    """A record for each claim against one reference; `prefix` begins their names in the family."""
    adjusted, failed = ruling.adjusted or {}, {*ruling.failed, *dict(ruling.waived)}
    return [
        domain_verdict(
            found,
            failed=prefix + found.plan.claim.id in failed,
            adjusted=adjusted.get(prefix + found.plan.claim.id) if found.usable else None,
            family=frozen.family_size if frozen else 0,
            tasks=case.entries,
            policy=case.policy,
        )
        for found in evidence
    ]


def _anchor_verdict(
    case: Case, frozen: Plan | None, found: Findings, ruling: Ruling
) -> AnchorVerdict | None:
    if case.anchor is None:
        return None
    records = _records(case, frozen, found.anchored, ANCHOR, ruling)
    return AnchorVerdict(side_of(case.anchor, tuple(case.domains)), tuple(records))


def _pooled_verdict(case: Case, frozen: Plan, ruling: Ruling) -> PooledVerdict:
    mean, pooled = ruling.mean, ruling.pooled
    adjusted = (ruling.adjusted or {}).get(POOL) if pooled else None
    spot, sentence = frozen.pooled_blind_spot, words.pooled_sentence(pooled, adjusted)
    if mean is None or pooled is None:
        return PooledVerdict("inconclusive", None, None, None, None, None, None, spot, sentence)
    badge: Badge = "fail" if POOL in ruling.failed else "inconclusive"
    if mean.harmless and badge != "fail":
        badge = "pass"
    return PooledVerdict(
        badge=badge,
        delta=pooled.delta,
        se=pooled.se,
        low=pooled.low,
        high=pooled.high,
        p_loss=mean.p_loss if case.looks else pooled.p_loss,
        p_holm=adjusted,
        blind_spot=spot,
        sentence=sentence,
    )


def _warnings(case: Case, found: Findings, ruling: Ruling) -> Iterator[str]:
    evidence = found.evidence
    if ruling.code == 3 and case.policy.inconclusive == "warn":
        yield "Inconclusive, let through by the policy (inconclusive: warn)."
    if ruling.code == 4 or (ruling.code == 1 and not case.looks):
        yield from ruling.undecided  # a live gate that is red was stopped on purpose
    yield from (f"{waivers.warning(*each)}." for each in ruling.waived)
    yield from case.contamination.warnings
    if case.looks is None and LABEL in (case.candidate.manifest.get("labels") or {}):
        yield words.second_decision()
    if case.differences.refusals:
        yield "Made differently, compared because the policy only warns (on_difference: warn)."
    for name, task in case.entries.items():
        full, ran = task.get("items_in_full"), task.get("items")
        if full and ran and ran < full:
            yield f"{name}: {ran} of {full} items were run (limit)."
        if not verified(task) and not case.policy.allow_unverified:
            yield f"{name} is unverified and does not gate (allow_unverified: true lets it)."
    yield from (e.trouble for e in evidence if e.trouble and "unverified" in e.plan.flags)
    others = (e for e in evidence if e.plan.claim.id not in ruling.failed)  # what is lost was seen
    yield from filter(None, map(words.churned, others))
    failed = {f"drift/{row.metric}" for row in found.drift.rows if row.failed}
    yield from (
        f"Drift: {drift_sentence(row)}"
        for row in found.drift.rows
        if row.warned and f"drift/{row.metric}" not in failed
    )


def _check_target(target: str | None) -> None:
    if target is not None and target.split("/", 1)[0] not in DOMAINS:
        raise UnknownName.of("domain", target, DOMAINS)
