"""What a policy demands before a gate is green, and why it is not there: a sentence for each lack.

Data that cannot be believed, tasks that a side lacks, evidence that was required and could not have
been seen, absence of loss that `release` and `strict` want shown. Not here: what is lost (gate.py),
the wording of single claims (gate_words.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from . import gate_words as words
from .gate_case import Case, Findings
from .gate_evidence import lacking
from .gate_fixed import fixed_sentence
from .gate_plan import Plan
from .policy import Policy
from .statistics.common_looks import MeanReading
from .statistics.families import POOLED_LOSS


def problems(found: Findings) -> Iterator[str]:
    """Why the data cannot be believed, a sentence each."""
    evidence = found.evidence
    if not any(e.paired.n for e in evidence):
        yield "No item is scored on both sides, so nothing was compared; evaluate both Runs anew."
    yield from (e.trouble for e in evidence if e.trouble and "unverified" not in e.plan.flags)
    kept = (e.trouble for e in found.anchored if e.trouble and "unverified" not in e.plan.flags)
    yield from (f"Against the anchor: {trouble}" for trouble in kept)


def missing(case: Case, frozen: Plan) -> tuple[tuple[str, str], ...]:
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


def lacks(absent: Sequence[tuple[str, str]], found: Findings) -> tuple[str, ...]:
    """Which tasks a side lacks, a sentence each."""
    own = (e.missing for e in found.evidence if e.missing)
    kept = (f"Against the anchor: {e.missing}" for e in found.anchored if e.missing)
    return tuple(dict.fromkeys([*(text for _, text in absent), *own, *kept]))


def undecided(case: Case, frozen: Plan, found: Findings, mean: MeanReading | None) -> Iterator[str]:
    """Why this cannot be green although nothing is proven lost, a sentence each."""
    policy = case.policy
    unmet = (words.unmet(c) for c in frozen.claims if c.required)
    yield from (reason for reason in unmet if reason)
    if frozen.listed:
        yield from _unlisted(found, policy)
        return
    unseen = words.unseen_mean(frozen, policy)
    sees = any(c.numbers and c.numbers.sees_twice_margin for c in frozen.tested)
    if unseen:
        yield unseen
    elif not sees and (frozen.pooled_blind_spot or 1.0) > 2 * POOLED_LOSS:
        yield "Neither a domain nor their mean could show a loss of two margins; evaluate more items."
    yield from _cut_short(case, frozen)
    yield from _unread(case, frozen, found)
    if any(e.stopped and e.plan.can_fail for e in (*found.evidence, *found.anchored)):
        yield (
            "A side was stopped before its last item, which can prove a loss but not its absence; "
            "complete it with the same `waterbed eval` command."
        )
    elif case.looks and case.looks.mean and not (mean and mean.settled):
        yield "The mean over domains was not read far enough; run the same gate again, it resumes."
    if policy.name != "harm":
        yield from _unproven(policy, frozen, found, mean)


def _unlisted(found: Findings, policy: Policy) -> Iterator[str]:
    """Fixed lists of which the full run cannot be told yet, or did not pass where it must."""
    if not any(one.usable for one in found.evidence):
        yield "No list could be tested; each needs 30 problems and a baseline above guessing."
    for one in (*found.evidence, *found.anchored):
        if one.usable and one.decision and one.decision.verdict == "inconclusive":
            yield f"{one.plan.claim.id}: {fixed_sentence(one.decision, one.paired.n, one.plan.listed or 0)}"
    for name in found.drift.not_excluded(policy.alpha_pass) if policy.name != "harm" else ():
        yield f"{name} did not PASS: a rise of its whole margin is not excluded."


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


def _unread(case: Case, frozen: Plan, found: Findings) -> Iterator[str]:
    """Drift and claims against the anchor that are gated and were not measured."""
    reasons = {f"drift/{row.metric}": row.why for row in found.drift.rows}
    named = [(name, reasons.get(name, "; ".join(found.drift.notes))) for name in frozen.drift]
    silent = [(name, why) for name, why in named if why]
    if silent:
        names = ", ".join(name for name, _ in silent)
        yield f"{names} can fail this gate and could not be measured: {silent[0][1]}."
    if case.anchor:
        known = {planned.claim.id for planned in frozen.anchored}
        for planned in frozen.tested:
            if planned.claim.id not in known:
                yield f"The anchor has none of {planned.claim.id}; evaluate it on the same suites."


def _unproven(
    policy: Policy, frozen: Plan, found: Findings, mean: MeanReading | None
) -> Iterator[str]:
    """What `release` and `strict` demand beyond `harm`."""
    strict = policy.name == "strict"
    for where, own in (("", found.evidence), (" against the anchor", found.anchored)):
        for one in own:
            claim = one.plan.claim
            critical = claim.domain in policy.critical or claim.id in policy.critical
            passed = one.usable and one.decision and one.decision.verdict == "pass"
            if (one.plan.gating if strict else critical) and not passed:
                yield f"{claim.id} did not PASS{where}: a loss beyond its margin is not excluded."
    for name in found.drift.not_excluded(policy.alpha_pass):
        yield f"{name} did not PASS: a rise of its whole margin is not excluded."
    known = {name for c in frozen.claims for name in (c.claim.domain, c.claim.id)}
    for name in policy.critical:
        if name not in known:
            yield f"{name} is critical and the baseline has none of it; evaluate it on both sides."
    if strict and not any(c.gating for c in frozen.claims):
        yield "No domain has the items to PASS, so `strict` cannot be satisfied; evaluate more."
    if mean is None or not mean.harmless:
        yield f"A mean loss of {100 * policy.mean_harm:g} points over the domains is not excluded."
