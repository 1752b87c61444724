"""`estimand: benchmark`: what the full run of a fixed list says, and nothing of other problems.

With every item scored the answer is exact: the list's difference is a number, held against the
margin without a test. With fewer it is a prediction of that answer (statistics/benchmark.py), which may
be that it cannot be told yet. Not here: claims on the skill behind the items (gate_evidence.py).
"""

from __future__ import annotations

import math
from dataclasses import replace

from .comparability import RunLike
from .gate_plan import ClaimPlan
from .gate_units import unit_pairs
from .pairing import PairedClaim
from .policy import Policy
from .runner import hash_place
from .statistics.benchmark import predict_full_run
from .statistics.decision import Decision, decide, reaches
from .statistics.sentences import points

_OUTCOMES = {"pass": "pass", "fail": "fail", "continue": "inconclusive"}


def fixed_decision(
    paired: PairedClaim, plan: ClaimPlan, policy: Policy, family: int, order: RunLike
) -> Decision | None:
    """The decision on a fixed list; None where nothing was paired.

    Args:
        paired: the items scored on both sides.
        plan: says how long the list is.
        policy: levels, for a prediction; that of FAIL is shared among the claims (Bonferroni).
        family: J, the number of claims.
        order: the Run whose seed says in which order items are asked.
    """
    if not paired.n or plan.listed is None:
        return None
    found = decide(unit_pairs(paired), plan.margin, policy.alpha_pass, policy.alpha_fail)
    total, left = math.fsum(paired.candidate - paired.baseline), plan.listed - paired.n
    verdict = _verdict(paired, plan, policy, family, order) if left > 0 else None
    if verdict is None:
        verdict = "fail" if reaches(total / paired.n, plan.margin) else "pass"
    return replace(
        found,
        verdict=verdict,  # type: ignore[arg-type]
        flags=(),
        low=max(-1.0, (total - left) / plan.listed),
        high=min(1.0, (total + left) / plan.listed),
        p_loss=0.0 if verdict == "fail" else 1.0,
        p_pass=0.0 if verdict == "pass" else 1.0,
    )


def _verdict(
    paired: PairedClaim, plan: ClaimPlan, policy: Policy, family: int, order: RunLike
) -> str:
    """A prediction from the first items of one list; several lists are not one random order."""
    if len(plan.claim.tasks) > 1:
        return "inconclusive"
    version = str(order.manifest["tasks"][plan.claim.tasks[0]].get("version", ""))
    seed = int(order.manifest.get("seed") or 0)
    places = [hash_place(seed, version, str(item)) for item in paired.sample_id]
    by_place = sorted(range(paired.n), key=places.__getitem__)
    predicted = predict_full_run(
        (paired.candidate - paired.baseline)[by_place],
        int(plan.listed or 0),
        plan.margin,
        policy.alpha_pass,
        policy.alpha_fail / family,
    )
    return _OUTCOMES[predicted.outcome]


def fixed_sentence(decision: Decision, items: int, listed: int) -> str:
    """What a fixed list says, and only that."""
    word = decision.verdict.upper()
    change, margin = points(decision.delta), points(decision.margin, signed=False)
    if items >= listed:
        return f"{word}: {change} points on these {listed} problems; {margin} is allowed."
    bounds = f"[{points(decision.low)}, {points(decision.high)}]"
    said = "predicted for" if decision.verdict != "inconclusive" else "not yet told for"
    return (
        f"{word}: {change} points on {items} of these {listed} problems; {said} all of them, which "
        f"must lie in {bounds}; {margin} is allowed."
    )
