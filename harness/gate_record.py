"""Turns plan, evidence and ruling into the Verdict record.

Figures are shown in their natural direction (a lower `unsafe` is better), differences turned so that
negative is a loss. Not here: any decision (gate.py), any wording (gate_words.py).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from . import gate_words as words
from .comparability import RunLike
from .gate_case import Case
from .gate_evidence import LOOKS, Evidence, decision_of
from .gate_looks import TENTHS, Looks
from .pairing import PairedClaim
from .policy import Policy
from .statistics.decision import Decision
from .verdict import (
    Badge,
    ClaimStop,
    Comparison,
    DomainVerdict,
    EarlyStop,
    Side,
    TaskVerdict,
)

_SETTINGS = (
    "kind",
    "backend",
    "roles",
    "packages",
    "hardware",
    "seed",
    "git",
    "selection",
    "labels",
)


def side_of(run: RunLike, tasks: Sequence[str]) -> Side:
    """One Run as shown to people."""
    manifest = run.manifest
    checkpoint = manifest.get("checkpoint") or {}
    settings = {key: manifest[key] for key in _SETTINGS if manifest.get(key) is not None}
    made = {k: checkpoint[k] for k in ("stage", "parent", "settings") if checkpoint.get(k)}
    shown = {t: manifest["tasks"][t] for t in tasks if t in manifest.get("tasks", {})}
    return Side(
        label=run.label,
        path=str(run.path),
        digest=str(checkpoint.get("digest", "")),
        status=run.status,
        made=str(manifest.get("created", "")),
        cost=dict(manifest.get("cost") or {}),
        settings={**settings, **({"checkpoint": made} if made else {}), "tasks": shown},
    )


def command_of(case: Case) -> str:
    """One line that repeats the gate."""
    policy = case.policy
    line = ["waterbed", "gate", str(case.baseline.path), str(case.candidate.path)]
    line += ["--policy", policy.reference]
    line += ["--target", case.target] if case.target else []
    line += ["--suites", ",".join(case.suites)] if case.suites else []
    line += ["--anchor", str(case.anchor.path)] if case.anchor else []
    line += ["--limit", str(policy.limit)] if policy.limit else []
    own = "" if policy.repeatable else f"  # with the policy {policy.hash}, built in Python"
    return shlex.join(line) + own


def domain_verdict(
    found: Evidence,
    *,
    failed: bool,
    adjusted: float | None,
    family: int,
    tasks: Mapping[str, Mapping[str, Any]],
    policy: Policy,
) -> DomainVerdict:
    """One claim's record; `tasks` are the baseline's manifest entries."""
    plan, claim = found.plan, found.plan.claim
    parts = found.paired.parts or {claim.tasks[0]: found.paired}
    looks = LOOKS if found.stopped else 1
    return DomainVerdict(
        id=claim.id,
        domain=claim.domain,
        metric=claim.metric,
        badge=_badge(found, failed=failed),
        flags=_flags(found),
        margin=plan.margin,
        gating=plan.gating,
        required=plan.required,
        planned_discordance=plan.discordance,
        discordance_from=plan.discordance_from,
        blind_spot=plan.blind_spot,
        needed_items=plan.numbers.items_needed if plan.numbers else None,
        p_holm=adjusted,
        comparison=comparison(found.paired, found.decision),
        tasks=tuple(
            TaskVerdict(
                task=name,
                metric=part.claim.metric,
                version=str(tasks[name].get("version", "")),
                verified=str(tasks[name].get("verified", "")),
                comparison=comparison(part, decision_of(part, plan.margin, policy, looks)),
            )
            for name, part in sorted(parts.items())
        ),
        sentence=words.domain_sentence(found, failed=failed, adjusted=adjusted, family=family),
        rule=words.rule(found, adjusted, family),
        plan_sentence=words.plan_sentence(plan),
        unit="cluster" if found.paired.clustered else "item",
        units=found.paired.units,
        equal_style=found.equal_style,
    )


def early_stop(looks: Looks, evidence: Sequence[Evidence], candidate: RunLike) -> EarlyStop:
    """What was read, by which boundaries, and what was saved."""
    present = candidate.scores()[["task", "sample_id"]].drop_duplicates()
    planned = sum(cuts[-1] for cuts in looks.cuts.values())
    read = int(present["task"].isin(list(looks.cuts)).sum())
    cost = candidate.manifest.get("cost") or {}
    tokens = sum(int(cost.get(key) or 0) for key in ("prompt_tokens", "completion_tokens"))
    saved = round(tokens / max(1, len(present)) * (planned - read))
    claims = tuple(
        ClaimStop(
            id=e.reading.looks.id,
            tenths=e.reading.looks.tenths,
            units=e.reading.looks.plan.looks,
            bounds_pass=e.reading.looks.plan.bounds_pass,
            bounds_fail=e.reading.looks.plan.bounds_fail,
            decided_at=e.reading.tenth,
        )
        for e in evidence
        if e.reading
    )
    return EarlyStop(
        frame=looks.id,
        seed=int(candidate.manifest.get("seed") or 0),
        spending=next(iter(looks.claims.values())).plan.spending,
        claims=claims,
        mean_tenths=looks.common,
        mean_bounds=looks.mean.bounds_fail if looks.mean else (),
        items_planned=planned,
        items_read=read,
        tokens_saved=saved,
        sentence=words.saved(read, planned, saved),
    )


def missing_verdict(id: str, sentence: str, margin: float, *, required: bool) -> DomainVerdict:
    """A domain of which the baseline has nothing."""
    return DomainVerdict(
        id=id,
        domain=id.split("/", 1)[0],
        metric=id.partition("/")[2],
        badge="inconclusive",
        flags=("missing",),
        margin=margin,
        gating=False,
        required=required,
        planned_discordance=0.0,
        blind_spot=None,
        needed_items=None,
        p_holm=None,
        comparison=Comparison(0, None, None, None, None, None),
        tasks=(),
        sentence=sentence,
        rule="",
    )


def comparison(paired: PairedClaim, decision: Decision | None) -> Comparison:
    """The figures of some pairs; None where nothing was paired."""
    old, new = paired.baseline_counts, paired.candidate_counts
    counted = Comparison(
        n=paired.n,
        baseline=None,
        candidate=None,
        delta=None,
        low=None,
        high=None,
        baseline_unscored=old.unscored,
        candidate_unscored=new.unscored,
        baseline_notes=old.notes,
        candidate_notes=new.notes,
    )
    if decision is None:
        return counted
    lower = paired.claim.lower_is_better
    return replace(
        counted,
        baseline=_natural(decision.baseline, lower),
        candidate=_natural(decision.candidate, lower),
        delta=decision.delta,
        low=decision.low,
        high=decision.high,
        gained=int((paired.candidate > paired.baseline).sum()),
        lost=int((paired.candidate < paired.baseline).sum()),
        p_loss=decision.p_loss,
        p_gain=decision.p_gain,
        p_pass=decision.p_pass,
    )


def _natural(mean: float | None, lower: bool) -> float | None:
    # 1 - x leaves the noise of one rounding behind, which pages would print.
    return mean if mean is None or not lower else round(1.0 - mean, 12)


def _badge(found: Evidence, *, failed: bool) -> Badge:
    if failed:
        return "fail"
    if not found.usable or found.decision is None or found.decision.verdict == "fail":
        return "inconclusive"
    return found.decision.verdict


def _flags(found: Evidence) -> tuple[str, ...]:
    own = found.decision.flags if found.decision and found.usable else ()
    early = found.reading is not None and found.reading.tenth < TENTHS and found.reading.stop
    states = (
        ("missing", found.missing),
        ("data", found.trouble),
        ("stopped", found.stopped),
        ("stopped_early", early),
    )
    return (*own, *found.plan.flags, *(name for name, holds in states if holds))
