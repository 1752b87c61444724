"""The gate: two Runs and a policy in, a Verdict out.

Two steps, in this order and by separate code: `plan` (gate_plan.py) fixes from the baseline alone
what is tested and what could be seen; `decide` then reads both sides. A loss is claimed only after
Holm's correction over all claims and their mean; green is claimed only where the evidence that the
policy demands is there. Fixed number of items; the places of looks and drift are
in gate_plan.py and gate_evidence.py. Pure: no clock, no randomness, no files
beyond the two score tables, so the same Runs give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import __version__
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
from .contamination_gate import Contamination, contamination_of
from .errors import UnknownName
from .gate_evidence import LOOKS, Evidence, gather, lacking
from .gate_looks import Looks, looks_of
from .gate_plan import Plan, domain_means, gating_tasks, plan, verified
from .gate_prompts import with_prompts
from .gate_readings import read_mean
from .gate_record import command_of, domain_verdict, early_stop, missing_verdict, side_of
from .gate_waterbed import waterbed_of
from .policy import Policy, Waiver
from .records import DOMAINS
from .statistics.common_looks import MeanReading
from .statistics.families import POOLED_LOSS, Pooled, holm, mean_harm_p, pool_domains
from .verdict import Badge, DomainVerdict, PooledVerdict, Verdict

_POOL = ""  # no claim is called so


def gate_runs(
    baseline: RunLike,
    candidate: RunLike,
    policy: Policy,
    target: str | None = None,
    suites: Sequence[str] | None = None,
) -> Verdict:
    """Compare two Runs item by item and decide.

    Args:
        baseline: what must not be lost.
        candidate: the checkpoint under test.
        policy: see policy.py; its `suites`, `settings` and `backend` are the command line's.
        target: the domain this checkpoint was meant to improve.
        suites: tasks, domains or groups to compare; default: all that either Run has.

    Raises:
        IncomparableRuns: the Runs were not made the same way (unless the policy only warns).
        UnknownName: no such target or suite.
        DataError: a score table or a run.json is damaged.
    """
    _check_target(target)
    for run in (baseline, candidate):
        check_manifest(run)
    domains = chosen_tasks(baseline.manifest, candidate.manifest, suites)
    differences = compare(baseline.manifest, candidate.manifest, domains)
    differences = with_prompts(differences, baseline, candidate, domains)
    if policy.on_difference == "refuse":
        differences.enforce(baseline.label, candidate.label)
    case = Case(baseline, candidate, policy, target, suites, domains, differences)
    sides = ((baseline, "baseline"), (candidate, "candidate"))
    problems = tuple(p for p in (unfinished(run, side) for run, side in sides) if p)
    if problems:
        return _verdict(case, None, (), Ruling(problems=problems))
    frozen = plan(baseline, policy, case.speaking, target)
    case = replace(case, looks=looks_of(candidate, frozen, baseline, policy, target))
    evidence = gather(frozen, case.speaking, baseline, candidate, policy, case.looks)
    return _verdict(case, frozen, evidence, decide(case, frozen, evidence))


@dataclass(frozen=True, slots=True)
class Case:
    """What is to be decided."""

    baseline: RunLike
    candidate: RunLike
    policy: Policy
    target: str | None
    suites: Sequence[str] | None
    domains: Mapping[str, str]
    """Chosen tasks with their domains."""
    differences: Differences
    looks: Looks | None = None
    """By which a live gate of this very kind asked the candidate."""

    @property
    def sides(self) -> dict[str, RunLike]:
        """Both Runs by name."""
        return {"baseline": self.baseline, "candidate": self.candidate}

    @property
    def contamination(self) -> Contamination:
        """What either side learned by heart, as far as the Runs say."""
        return contamination_of(self.sides, self.domains, self.policy)

    @property
    def entries(self) -> dict[str, Mapping[str, Any]]:
        """Manifest entries of the chosen tasks; the baseline's where both have one."""
        known = {**self.candidate.manifest["tasks"], **self.baseline.manifest["tasks"]}
        return {task: known[task] for task in self.domains if task in known}

    @property
    def speaking(self) -> dict[str, str]:
        """Chosen tasks that speak for their domain, and those that no Run has."""
        known = self.entries
        gating = gating_tasks(known, self.policy)
        return {t: d for t, d in self.domains.items() if t in gating or t not in known}


@dataclass(frozen=True, slots=True)
class Ruling:
    """What was decided, before it becomes an exit code."""

    failed: tuple[str, ...] = ()
    """Claims with a proven loss; `""` for the mean over domains."""
    adjusted: Mapping[str, float] | None = None
    mean: MeanReading | None = None
    problems: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    missing: tuple[tuple[str, str], ...] = ()
    """(domain, sentence) where the baseline has nothing to plan with."""
    waived: tuple[tuple[str, Waiver], ...] = ()
    """Claims with a proven loss that somebody answers for."""

    @property
    def pooled(self) -> Pooled | None:
        """The mean over domains, where it was taken."""
        return self.mean.pooled if self.mean else None

    @property
    def code(self) -> int:
        """Exit code before the policy's mapping; a proven loss outranks trouble elsewhere."""
        if self.failed:
            return 1
        return 4 if self.problems else 3 if self.undecided else 0


def decide(case: Case, frozen: Plan, evidence: Sequence[Evidence]) -> Ruling:
    """Apply the policy to the evidence; only complete claims can be lost."""
    policy = case.policy
    mean = _mean(case, frozen, evidence)
    tested = [e for e in evidence if e.plan.can_fail]
    names = [*(e.plan.claim.id for e in tested), _POOL]
    p_values = [*(e.p_loss for e in tested), mean.p_loss if mean else 1.0]
    adjusted = dict(zip(names, holm(p_values), strict=True))
    lost = {e.plan.claim.id for e in tested if e.usable and _alone(e)}
    if mean is not None and mean.pooled.large:
        lost.add(_POOL)
    proven = (n for n in names if n in lost and adjusted[n] <= policy.alpha_fail)
    failed, waived = waivers.apply(proven, policy.waivers)
    missing = _missing(case, frozen)
    return Ruling(
        failed=failed,
        adjusted=adjusted,
        mean=mean,
        problems=(*_problems(evidence), *case.contamination.problems),
        undecided=(*_lacks(missing, evidence), *_undecided(case, frozen, evidence, mean)),
        missing=missing,
        waived=waived,
    )


def _alone(found: Evidence) -> bool:
    return found.decision is not None and found.decision.verdict == "fail"


def _mean(case: Case, frozen: Plan, evidence: Sequence[Evidence]) -> MeanReading | None:
    """The mean over domains; None where a tested domain is not complete, or too little was read.

    A waived claim has no part in it, or its loss would come back through the mean.
    """
    given = case.policy.waivers
    tested = [
        e for e in evidence if e.plan.can_fail and not waivers.waiver_of(e.plan.claim.id, given)
    ]
    if not tested or not all(e.usable for e in tested):
        return None
    if case.looks:
        own = {e.plan.claim.id: e.whole for e in tested}
        return read_mean(case.looks, own, min(e.tenths for e in tested))
    values = [(e.plan.claim.domain, e.decision.delta, e.decision.se) for e in tested if e.decision]
    pooled = pool_domains(*domain_means(values, frozen.shared))
    p_loss = min(1.0, pooled.p_loss * (LOOKS if any(e.stopped for e in tested) else 1))
    excluded = mean_harm_p(pooled, case.policy.mean_harm) <= case.policy.alpha_pass
    return MeanReading(1, pooled, (pooled.z_loss,), p_loss, False, excluded, last=True)


def _problems(evidence: Sequence[Evidence]) -> Iterator[str]:
    if not any(e.paired.n for e in evidence):
        yield "No item is scored on both sides, so nothing was compared; evaluate both Runs anew."
    yield from (e.trouble for e in evidence if e.trouble and "unverified" not in e.plan.flags)


def _missing(case: Case, frozen: Plan) -> tuple[tuple[str, str], ...]:
    """Domains without a claim in the plan: the baseline lacks them, or everybody does."""
    planned = {name for c in frozen.claims for name in (c.claim.domain, c.claim.id)}
    lacks = lacking(case.speaking, case.sides)
    found = {domain: text for domain, text in lacks.items() if domain not in planned}
    for name in frozen.absent:
        if name.split("/", 1)[0] not in found:
            found[name] = (
                f"{name} is required and the baseline has none of it; evaluate it on both."
            )
    return tuple(sorted(found.items()))


def _lacks(missing: Sequence[tuple[str, str]], evidence: Sequence[Evidence]) -> tuple[str, ...]:
    own = (e.missing for e in evidence if e.missing)
    return tuple(dict.fromkeys([*(text for _, text in missing), *own]))


def _undecided(
    case: Case, frozen: Plan, evidence: Sequence[Evidence], mean: MeanReading | None
) -> Iterator[str]:
    """Why this cannot be green although nothing is proven lost, a sentence each."""
    policy = case.policy
    unmet = (words.unmet(c) for c in frozen.claims if c.required)
    yield from (reason for reason in unmet if reason)
    unseen = words.unseen_mean(frozen, policy)
    sees = any(c.numbers and c.numbers.sees_twice_margin for c in frozen.tested)
    if unseen:
        yield unseen
    elif not sees and (frozen.pooled_blind_spot or 1.0) > 2 * POOLED_LOSS:
        yield "Neither a domain nor their mean could show a loss of two margins; evaluate more items."
    yield from _cut_short(case, frozen)
    if any(e.stopped and e.plan.can_fail for e in evidence):
        yield (
            "A side was stopped before its last item, which can prove a loss but not its absence; "
            "complete it with the same `waterbed eval` command."
        )
    elif case.looks and case.looks.mean and not (mean and mean.settled):
        yield "The mean over domains was not read far enough; run the same gate again, it resumes."
    if policy.name != "harm":
        yield from _unproven(policy, frozen, evidence, mean)


def _cut_short(case: Case, frozen: Plan) -> Iterator[str]:
    """Tasks run on fewer items than the policy is content with: what was left out cannot be green."""
    tested = {task for c in frozen.tested for task in c.claim.tasks}
    for name, task in case.entries.items():
        full, ran = task.get("items_in_full"), task.get("items")
        wanted = min(case.policy.limit or full, full) if full else 0
        if name in tested and ran and ran < wanted:
            yield (
                f"{name}: {ran} of {full} items were run; run all of them, or say with --limit (or "
                f"`limit: {ran}` in the policy) that so many are enough."
            )


def _unproven(
    policy: Policy, frozen: Plan, evidence: Sequence[Evidence], mean: MeanReading | None
) -> Iterator[str]:
    """What `release` and `strict` demand beyond `harm`."""
    strict = policy.name == "strict"
    for found in evidence:
        claim = found.plan.claim
        critical = claim.domain in policy.critical or claim.id in policy.critical
        passed = found.usable and found.decision and found.decision.verdict == "pass"
        if (found.plan.gating if strict else critical) and not passed:
            yield f"{claim.id} did not PASS: a loss beyond its margin is not excluded."
    known = {name for c in frozen.claims for name in (c.claim.domain, c.claim.id)}
    for name in policy.critical:
        if name not in known:
            yield f"{name} is critical and the baseline has none of it; evaluate it on both sides."
    if strict and not any(c.gating for c in frozen.claims):
        yield "No domain has the items to PASS, so `strict` cannot be satisfied; evaluate more."
    if mean is None or not mean.harmless:
        yield f"A mean loss of {100 * policy.mean_harm:g} points over the domains is not excluded."


def _verdict(
    case: Case, frozen: Plan | None, evidence: Sequence[Evidence], ruling: Ruling
) -> Verdict:
    """The record, with the policy's mapping of exit code 3 applied."""
    policy, code = case.policy, ruling.code
    early = early_stop(case.looks, evidence, case.candidate) if case.looks else None
    mapped = {"fail": 1, "warn": 0, "pass": 0, None: 3}[policy.inconclusive] if code == 3 else code
    made = [str(run.manifest.get("created", "")) for run in case.sides.values()]
    return Verdict(
        outcome=_outcome(code),
        exit_code=mapped,
        headline=_headline(code, policy, waived=bool(ruling.waived)),
        sentence=_sentence(case, frozen, evidence, ruling),
        baseline=side_of(case.baseline, tuple(case.domains)),
        candidate=side_of(case.candidate, tuple(case.domains)),
        policy=policy.resolved(),
        target=case.target,
        family_size=frozen.family_size if frozen else 0,
        domain_list=_domain_list(case, frozen, evidence, ruling),
        pooled=_pooled_verdict(case, frozen, ruling) if frozen else None,
        differences=(*case.differences.refusals, *case.differences.notes),
        warnings=(*([early.sentence] if early else []), *_warnings(case, evidence, ruling)),
        problems=ruling.problems,
        command=command_of(case.baseline, case.candidate, policy, case.target, case.suites),
        created=max(made),
        version=__version__,
        waterbed=waterbed_of(evidence, case.target, policy.alpha_fail),
        early=early,
    )


def _outcome(code: int) -> Badge:
    return "pass" if code == 0 else "fail" if code == 1 else "inconclusive"


def _headline(code: int, policy: Policy, *, waived: bool) -> str:
    harm = "NO NEW HARM SHOWN" if waived else "NO HARM SHOWN"
    green = harm if policy.name == "harm" else "PASS, WITH A WAIVER" if waived else "PASS"
    return {0: green, 1: "REGRESSION", 3: "INCONCLUSIVE", 4: "INVALID"}[code]


def _sentence(case: Case, frozen: Plan | None, evidence: Sequence[Evidence], ruling: Ruling) -> str:
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
    lost = [
        (e.plan.claim.id, e.decision, adjusted[e.plan.claim.id])
        for e in evidence
        if e.decision and e.plan.claim.id in ruling.failed
    ]
    mean = words.pooled_sentence(ruling.pooled, adjusted.get(_POOL))
    return words.regression(lost) if lost else mean


def _domain_list(
    case: Case, frozen: Plan | None, evidence: Sequence[Evidence], ruling: Ruling
) -> tuple[DomainVerdict, ...]:
    policy, adjusted = case.policy, ruling.adjusted or {}
    records = [
        domain_verdict(
            found,
            failed=found.plan.claim.id in {*ruling.failed, *dict(ruling.waived)},
            adjusted=adjusted.get(found.plan.claim.id) if found.usable else None,
            family=frozen.family_size if frozen else 0,
            tasks=case.entries,
            policy=policy,
        )
        for found in evidence
    ]
    for name, sentence in ruling.missing:
        domain, _, metric = name.partition("/")
        margin = policy.margin(domain, metric, declared=None, small=False)
        required = policy.requires(domain, name, case.target)
        records.append(missing_verdict(name, sentence, margin, required=required))
    return tuple(sorted(records, key=lambda d: DOMAINS.index(d.domain)))


def _pooled_verdict(case: Case, frozen: Plan, ruling: Ruling) -> PooledVerdict:
    mean, pooled = ruling.mean, ruling.pooled
    adjusted = (ruling.adjusted or {}).get(_POOL) if pooled else None
    spot, sentence = frozen.pooled_blind_spot, words.pooled_sentence(pooled, adjusted)
    if mean is None or pooled is None:
        return PooledVerdict("inconclusive", None, None, None, None, None, None, spot, sentence)
    badge: Badge = "fail" if _POOL in ruling.failed else "inconclusive"
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


def _warnings(case: Case, evidence: Sequence[Evidence], ruling: Ruling) -> Iterator[str]:
    if ruling.code == 3 and case.policy.inconclusive == "warn":
        yield "Inconclusive, let through by the policy (inconclusive: warn)."
    if ruling.code == 4 or (ruling.code == 1 and not case.looks):
        yield from ruling.undecided  # a live gate that is red was stopped on purpose
    yield from (f"{waivers.warning(*each)}." for each in ruling.waived)
    yield from case.contamination.warnings
    if case.differences.refusals:
        yield "Made differently, compared because the policy only warns (on_difference: warn)."
    for name, task in case.entries.items():
        full, ran = task.get("items_in_full"), task.get("items")
        if full and ran and ran < full:
            yield f"{name}: {ran} of {full} items were run (limit)."
        if not verified(task) and not case.policy.allow_unverified:
            yield f"{name} is unverified and does not gate (allow_unverified: true lets it)."
    yield from (e.trouble for e in evidence if e.trouble and "unverified" in e.plan.flags)


def _check_target(target: str | None) -> None:
    if target is not None and target.split("/", 1)[0] not in DOMAINS:
        raise UnknownName.of("domain", target, DOMAINS)
